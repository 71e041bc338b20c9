// The DMA's way from the stream to memory. The queue holds two bursts; one begins when all of its beats are there.
`default_nettype none
module axi_dma_write (
    input  wire clk,
    input  wire set_address,
    input  wire set_words,
    input  wire [31:0] set_data,
    input  wire start,
    input  wire running,
    input  wire stopping,   // begin nothing more
    output reg  [23:0] left,  // words that the stream has not given
    output wire open,         // a burst is under way
    output wire done,
    output wire failed,       // memory answered with an error
    input  wire [31:0] results_data,
    input  wire results_valid,
    output wire results_ready,
    output reg  [31:0] m_axi_awaddr,
    output reg  [3:0] m_axi_awlen,
    output wire m_axi_awvalid,
    input  wire m_axi_awready,
    output wire [63:0] m_axi_wdata,
    output wire [7:0] m_axi_wstrb,
    output wire m_axi_wlast,
    output wire m_axi_wvalid,
    input  wire m_axi_wready,
    input  wire [1:0] m_axi_bresp,
    input  wire m_axi_bvalid,
    output wire m_axi_bready
);
    localparam [1:0] WAIT = 2'd0, ADDRESS = 2'd1, DATA = 2'd2, ANSWER = 2'd3;

    (* ram_style = "distributed" *) reg [63:0] beats[0:31];
    reg [5:0] came, went;  // one bit more than a place
    reg upper;             // the next word is the upper one of its beat
    reg [31:0] lower;      // the one before it
    reg half, final_burst;  // the last beat of all has a lower word only
    reg [1:0] state;
    reg [3:0] remaining;   // beats of the burst behind this one

    wire none, last_burst;
    wire [4:0] length;
    wire [31:0] address;
    wire [5:0] held = came - went;
    wire begins = running && !stopping && state == WAIT && !none && held >= {1'b0, length};
    axi_dma_burst u_burst (
        .clk(clk), .set_address(set_address), .set_data(set_data), .start(start), .words(left), .step(begins),
        .address(address), .beats(length), .last(last_burst), .none(none)
    );

    wire word = results_valid && results_ready;
    wire push = word && (upper || left == 24'd1);
    wire pop = m_axi_wvalid && m_axi_wready;
    assign results_ready = running && left != 24'd0 && !held[5];
    assign m_axi_awvalid = state == ADDRESS;
    assign m_axi_wdata = beats[went[4:0]];
    assign m_axi_wlast = remaining == 4'd0;
    assign m_axi_wstrb = {{4{!(half && final_burst && m_axi_wlast)}}, 4'hf};
    assign m_axi_wvalid = state == DATA;
    assign m_axi_bready = state == ANSWER;
    assign failed = m_axi_bready && m_axi_bvalid && m_axi_bresp[1];
    assign open = state != WAIT;
    assign done = left == 24'd0 && none && !open;

    always @(posedge clk) begin
        case (state)
            WAIT: begin
                m_axi_awaddr <= address;
                m_axi_awlen <= length[3:0] - 4'd1;
                remaining <= length[3:0] - 4'd1;
                final_burst <= last_burst;
                if (begins) state <= ADDRESS;
            end
            ADDRESS: if (m_axi_awready) state <= DATA;
            DATA:
            if (m_axi_wready) begin
                remaining <= remaining - 4'd1;
                if (m_axi_wlast) state <= ANSWER;
            end
            ANSWER: if (m_axi_bvalid) state <= WAIT;
        endcase
        if (push) beats[came[4:0]] <= upper ? {results_data, lower} : {32'd0, results_data};
        if (word) lower <= results_data;
        if (start) half <= left[0];
        if (set_words) left <= set_data[23:0];
        else if (word) left <= left - 24'd1;
        if (!running) begin
            state <= WAIT;
            came <= 6'd0;
            went <= 6'd0;
            upper <= 1'b0;
        end else begin
            if (push) came <= came + 6'd1;
            if (word) upper <= !upper;
            if (pop) went <= went + 6'd1;
        end
    end
    wire unused = &{1'b0, m_axi_bresp[0], length[4], set_data[31:24]};
endmodule
`default_nettype wire
