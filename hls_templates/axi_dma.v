// A small DMA: takes vectors from memory, gives them to the accelerator's stream, and puts its results into memory, by
// an AXI3 master of 64 bits. Five registers, of 32 bits each:
//
//   0x00 STATUS    write: bit 0 starts a transfer, bit 1 stops it. Read: bit 0 a transfer is under way, bit 1 the last
//                  one is complete, bit 2 memory answered a read with an error, bit 3 a write; bits 31 to 16 are "DM"
//   0x04 SOURCE        address of the vectors          0x08 SOURCE_WORDS   words of 32 bits, at most 2 ** 24 - 1;
//   0x0c TARGET        address of the results          0x10 TARGET_WORDS   what is left of them is read
//
// Addresses are multiples of 8. Registers must be written before a start, which leaves them changed; what is written
// while a transfer is under way is ignored, a stop excepted. An error stops a transfer. A stopped one ends when memory
// has answered all that it was asked: no burst is ever left half done, which would block the processor's port. A burst
// is asked for only where the queue has room for all of it, or holds all of it: memory never waits for the core.
`default_nettype none
module axi_dma (
    input  wire clk,
    input  wire rst,
    // registers
    input  wire write,
    input  wire [2:0] write_at,
    input  wire [31:0] write_data,
    input  wire [2:0] read_at,
    output reg  [31:0] read_data,
    // streams, which are the DMA's while it is busy
    output wire busy,
    output wire [31:0] vectors_data,
    output wire vectors_valid,
    input  wire vectors_ready,
    output wire vectors_last,
    input  wire [31:0] results_data,
    input  wire results_valid,
    output wire results_ready,
    // memory
    output wire [31:0] m_axi_araddr,
    output wire [3:0] m_axi_arlen,
    output wire m_axi_arvalid,
    input  wire m_axi_arready,
    input  wire [63:0] m_axi_rdata,
    input  wire [1:0] m_axi_rresp,
    input  wire m_axi_rlast,
    input  wire m_axi_rvalid,
    output wire m_axi_rready,
    output wire [31:0] m_axi_awaddr,
    output wire [3:0] m_axi_awlen,
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
    reg running, stopping, complete;
    reg [1:0] failed;  // a write, a read
    wire [23:0] source_left, target_left;
    wire source_open, target_open, read_failed, write_failed;  // a burst is under way; memory answered with an error
    wire source_done, target_done;

    wire set = write && !running;
    wire command = write && write_at == 3'd0;
    wire start = command && write_data[0] && !running;
    wire stop = (command && write_data[1]) || read_failed || write_failed;
    wire done = source_done && target_done;
    assign busy = running;

    always @(posedge clk) begin
        if (start) begin
            running <= 1'b1;
            stopping <= 1'b0;
            complete <= 1'b0;
            failed <= 2'b00;
        end else if (running) begin
            if (stop) stopping <= 1'b1;
            failed <= failed | {write_failed, read_failed};
            if (done || (stopping && !source_open && !target_open)) begin
                running <= 1'b0;
                complete <= done && !stopping && !stop;
            end
        end
        if (rst) begin
            running <= 1'b0;
            complete <= 1'b0;
            failed <= 2'b00;
        end
    end

    always @* begin
        case (read_at)
            3'd0: read_data = {16'h444d, 12'd0, failed, complete, running};
            3'd2: read_data = {8'd0, source_left};
            3'd4: read_data = {8'd0, target_left};
            default: read_data = 32'd0;
        endcase
    end

    axi_dma_read u_read (
        .clk(clk), .set_address(set && write_at == 3'd1), .set_words(set && write_at == 3'd2),
        .set_data(write_data), .start(start), .running(running && !rst), .stopping(stopping || stop),
        .left(source_left), .open(source_open), .done(source_done), .failed(read_failed),
        .vectors_data(vectors_data), .vectors_valid(vectors_valid), .vectors_ready(vectors_ready),
        .vectors_last(vectors_last),
        .m_axi_araddr(m_axi_araddr), .m_axi_arlen(m_axi_arlen), .m_axi_arvalid(m_axi_arvalid),
        .m_axi_arready(m_axi_arready), .m_axi_rdata(m_axi_rdata), .m_axi_rresp(m_axi_rresp),
        .m_axi_rlast(m_axi_rlast), .m_axi_rvalid(m_axi_rvalid), .m_axi_rready(m_axi_rready)
    );
    axi_dma_write u_write (
        .clk(clk), .set_address(set && write_at == 3'd3), .set_words(set && write_at == 3'd4),
        .set_data(write_data), .start(start), .running(running && !rst), .stopping(stopping || stop),
        .left(target_left), .open(target_open), .done(target_done), .failed(write_failed),
        .results_data(results_data), .results_valid(results_valid), .results_ready(results_ready),
        .m_axi_awaddr(m_axi_awaddr), .m_axi_awlen(m_axi_awlen), .m_axi_awvalid(m_axi_awvalid),
        .m_axi_awready(m_axi_awready), .m_axi_wdata(m_axi_wdata), .m_axi_wstrb(m_axi_wstrb),
        .m_axi_wlast(m_axi_wlast), .m_axi_wvalid(m_axi_wvalid), .m_axi_wready(m_axi_wready),
        .m_axi_bresp(m_axi_bresp), .m_axi_bvalid(m_axi_bvalid), .m_axi_bready(m_axi_bready)
    );
endmodule
`default_nettype wire
