// AXI3 slave of 64 KB for a processor: the registers of the stream shell, and windows onto its streams.
//
//   0x0000 to 0x0fff   the registers of axis_registers.v
//   0x1000 WINDOWS     bit 0: a write found no room in time and was dropped; bit 1: a read found no result in time and
//                      answered 0. Write 1 to a bit to clear it.
//   0x2000 to 0x201f   the registers of axi_dma.v
//   0x8000 to 0xbfff   a write is a beat of the vectors' stream, a read takes a beat of the results' stream
//   0xc000 to 0xffff   a write is a beat that ends its packet
//
// The place inside a window does not matter, so bursts and copies of any length work. A beat of a window is a whole
// word. Other addresses read 0 and ignore writes. A beat waits for at most 2 ** WAIT_BITS cycles, and not at all while
// a bit of WINDOWS is set: the bus always comes free, since a bus that does not would stop the processor. One read and
// one write are under way at a time.
`default_nettype none
module axi_windows #(
    parameter ID_BITS = 12,
    parameter WAIT_BITS = 12
) (
    input  wire clk,
    input  wire rst,
    input  wire [ID_BITS-1:0] s_axi_awid,
    input  wire [31:0] s_axi_awaddr,
    input  wire [3:0] s_axi_awlen,
    input  wire [1:0] s_axi_awsize,
    input  wire [1:0] s_axi_awburst,
    input  wire s_axi_awvalid,
    output wire s_axi_awready,
    input  wire [31:0] s_axi_wdata,
    input  wire [3:0] s_axi_wstrb,
    input  wire s_axi_wlast,
    input  wire s_axi_wvalid,
    output wire s_axi_wready,
    output wire [ID_BITS-1:0] s_axi_bid,
    output wire [1:0] s_axi_bresp,
    output wire s_axi_bvalid,
    input  wire s_axi_bready,
    input  wire [ID_BITS-1:0] s_axi_arid,
    input  wire [31:0] s_axi_araddr,
    input  wire [3:0] s_axi_arlen,
    input  wire [1:0] s_axi_arsize,
    input  wire [1:0] s_axi_arburst,
    input  wire s_axi_arvalid,
    output wire s_axi_arready,
    output wire [ID_BITS-1:0] s_axi_rid,
    output wire [31:0] s_axi_rdata,
    output wire [1:0] s_axi_rresp,
    output wire s_axi_rlast,
    output wire s_axi_rvalid,
    input  wire s_axi_rready,
    // the registers, as their only master
    output wire [11:0] lite_awaddr,
    output wire lite_write,
    input  wire lite_written,
    output wire [11:0] lite_araddr,
    output wire lite_arvalid,
    input  wire lite_arready,
    input  wire [31:0] lite_rdata,
    input  wire lite_rvalid,
    // the registers of the DMA, written with s_axi_wdata
    output wire dma_write,
    output wire [2:0] dma_write_at,
    output wire [2:0] dma_read_at,
    input  wire [31:0] dma_read_data,
    // the streams
    output wire vectors_valid,
    input  wire vectors_ready,
    output wire vectors_last,
    input  wire [31:0] results_data,
    input  wire results_valid,
    output wire results_ready
);
    localparam [1:0] IDLE = 2'd0, BEAT = 2'd1, FETCHED = 2'd2, ANSWER = 2'd2;

    reg [1:0] noted;  // WINDOWS
    wire hurry = |noted;

    // Writes: an address, its beats, an answer.
    reg [1:0] writing;
    reg [ID_BITS-1:0] write_id;
    reg [15:0] write_at, write_turn;
    reg [WAIT_BITS-1:0] write_waited;
    wire write_beat = writing == BEAT && s_axi_wvalid;
    wire write_stream = write_at[15];
    wire write_register = write_at[15:12] == 4'd0;
    wire write_late = hurry || &write_waited;
    wire write_dropped = write_beat && write_stream && write_late && !vectors_ready;
    assign vectors_valid = write_beat && write_stream;
    assign vectors_last = write_at[14];
    assign lite_write = write_beat && write_register;
    assign lite_awaddr = write_at[11:0];
    assign dma_write = write_beat && write_at[15:5] == 11'h100;
    assign dma_write_at = write_at[4:2];
    assign s_axi_awready = writing == IDLE && !rst;
    assign s_axi_wready = write_beat && (write_stream ? vectors_ready || write_late : !write_register || lite_written);
    assign s_axi_bid = write_id;
    assign s_axi_bresp = 2'b00;
    assign s_axi_bvalid = writing == ANSWER;
    wire [1:0] forgiven = write_beat && write_at[15:2] == 14'h0400 && s_axi_wstrb[0] ? s_axi_wdata[1:0] : 2'd0;

    // Reads: an address, then each beat is fetched and given.
    reg [1:0] reading;
    reg [ID_BITS-1:0] read_id;
    reg [15:0] read_at, read_turn;
    reg [3:0] read_left;
    reg [31:0] read_data;
    reg asked;  // the register file has the address
    reg [WAIT_BITS-1:0] read_waited;
    wire read_stream = read_at[15];
    wire read_register = read_at[15:12] == 4'd0;
    wire read_late = hurry || &read_waited;
    wire fetch = reading == BEAT;
    wire read_nothing = fetch && read_stream && read_late && !results_valid;
    wire fetched = fetch && (read_stream ? results_valid || read_late : !read_register || (asked && lite_rvalid));
    assign results_ready = fetch && read_stream;
    assign lite_arvalid = fetch && read_register && !asked;
    assign lite_araddr = read_at[11:0];
    assign dma_read_at = read_at[4:2];
    assign s_axi_arready = reading == IDLE && !rst;
    assign s_axi_rid = read_id;
    assign s_axi_rdata = read_data;
    assign s_axi_rresp = 2'b00;
    assign s_axi_rlast = read_left == 4'd0;
    assign s_axi_rvalid = reading == FETCHED;

    // The bits of an address that a burst's next beat changes: none if it is fixed, those of its length if it wraps.
    function [15:0] turn(input [1:0] burst, input [3:0] length);
        turn = burst == 2'b00 ? 16'd0 : burst == 2'b10 ? {10'd0, length, 2'b11} : 16'hffff;
    endfunction

    wire [15:0] write_next = (write_at & ~write_turn) | ((write_at + 16'd4) & write_turn);
    wire [15:0] read_next = (read_at & ~read_turn) | ((read_at + 16'd4) & read_turn);

    always @(posedge clk) begin
        noted <= rst ? 2'd0 : (noted & ~forgiven) | {read_nothing, write_dropped};

        write_waited <= s_axi_wready || !write_beat ? 0 : write_waited + 1'b1;
        if (s_axi_awvalid && s_axi_awready) begin
            write_id <= s_axi_awid;
            write_at <= s_axi_awaddr[15:0];
            write_turn <= turn(s_axi_awburst, s_axi_awlen);
            writing <= BEAT;
        end else if (s_axi_wvalid && s_axi_wready) begin
            write_at <= write_next;
            if (s_axi_wlast) writing <= ANSWER;
        end else if (s_axi_bvalid && s_axi_bready) writing <= IDLE;
        if (rst) writing <= IDLE;

        read_waited <= fetched || !fetch ? 0 : read_waited + 1'b1;
        asked <= fetch && !fetched && (asked || (lite_arvalid && lite_arready));
        if (s_axi_arvalid && s_axi_arready) begin
            read_id <= s_axi_arid;
            read_at <= s_axi_araddr[15:0];
            read_turn <= turn(s_axi_arburst, s_axi_arlen);
            read_left <= s_axi_arlen;
            reading <= BEAT;
        end else if (fetched) begin
            if (read_stream) read_data <= results_valid ? results_data : 32'd0;
            else if (read_register) read_data <= lite_rdata;
            else if (read_at[15:5] == 11'h100) read_data <= dma_read_data;
            else read_data <= read_at[15:2] == 14'h0400 ? {30'd0, noted} : 32'd0;
            reading <= FETCHED;
        end else if (s_axi_rvalid && s_axi_rready) begin
            read_at <= read_next;
            read_left <= read_left - 4'd1;
            reading <= s_axi_rlast ? IDLE : BEAT;
        end
        if (rst) reading <= IDLE;
    end
    wire unused = &{
        1'b0, s_axi_awaddr[31:16], s_axi_araddr[31:16], s_axi_awsize, s_axi_arsize, s_axi_wdata[31:2], s_axi_wstrb[3:1]
    };
endmodule
`default_nettype wire
