// The DMA's way from memory to the stream. The queue holds two bursts; one is asked for while there is room for it.
`default_nettype none
module axi_dma_read (
    input  wire clk,
    input  wire set_address,
    input  wire set_words,
    input  wire [31:0] set_data,
    input  wire start,
    input  wire running,
    input  wire stopping,   // ask for nothing more
    output reg  [23:0] left,  // words that the stream has not taken
    output reg  open,         // a burst is under way
    output wire done,
    output wire failed,       // memory answered with an error
    output wire [31:0] vectors_data,
    output wire vectors_valid,
    input  wire vectors_ready,
    output wire vectors_last,
    output reg  [31:0] m_axi_araddr,
    output reg  [3:0] m_axi_arlen,
    output reg  m_axi_arvalid,
    input  wire m_axi_arready,
    input  wire [63:0] m_axi_rdata,
    input  wire [1:0] m_axi_rresp,
    input  wire m_axi_rlast,
    input  wire m_axi_rvalid,
    output wire m_axi_rready
);
    (* ram_style = "distributed" *) reg [63:0] beats[0:31];
    reg [5:0] came, went;  // one bit more than a place
    reg upper;             // the stream gets the upper word of a beat

    wire none, last_burst;
    wire [4:0] length;
    wire [31:0] address;
    wire [5:0] held = came - went;
    wire ask = running && !stopping && !open && !none && held <= 6'd16;
    axi_dma_burst u_burst (
        .clk(clk), .set_address(set_address), .set_data(set_data), .start(start), .words(left), .step(ask),
        .address(address), .beats(length), .last(last_burst), .none(none)
    );

    wire beat = m_axi_rvalid && m_axi_rready;
    wire [63:0] oldest = beats[went[4:0]];
    wire sent = vectors_valid && vectors_ready;
    assign m_axi_rready = open;
    assign failed = beat && m_axi_rresp[1];
    assign vectors_data = upper ? oldest[63:32] : oldest[31:0];
    assign vectors_valid = running && held != 6'd0;
    assign vectors_last = left == 24'd1;
    assign done = left == 24'd0 && !open;

    always @(posedge clk) begin
        if (ask) begin
            m_axi_araddr <= address;
            m_axi_arlen <= length[3:0] - 4'd1;
        end
        m_axi_arvalid <= running && (ask || (m_axi_arvalid && !m_axi_arready));
        open <= running && (ask || (open && !(beat && m_axi_rlast)));
        if (beat) beats[came[4:0]] <= m_axi_rdata;
        if (set_words) left <= set_data[23:0];
        else if (sent) left <= left - 24'd1;
        if (!running) begin
            came <= 6'd0;
            went <= 6'd0;
            upper <= 1'b0;
        end else begin
            if (beat) came <= came + 6'd1;
            if (sent) upper <= !upper;
            if (sent && (upper || vectors_last)) went <= went + 6'd1;
        end
    end
    wire unused = &{1'b0, m_axi_rresp[0], last_burst, length[4], set_data[31:24]};
endmodule
`default_nettype wire
