// AXI4-Lite registers of the stream shell: what it is, how it does, and its soft reset. All registers are 32 bits.
//
//   0x00 MAGIC      "NMP1" in ASCII, first letter in the highest byte
//   0x04 VERSION    of this register file
//   0x08 INPUTS     elements of a vector              0x0c OUTPUTS     elements of a result
//   0x10 IN_BYTES   bytes of a vector on the stream   0x14 OUT_BYTES   bytes of a result on the stream
//   0x18 LATENCY    cycles from vector to result      0x1c FORMAT      bus width [15:0], bits of an input lane
//                                                                   [23:16], of an output lane [31:24] (0: packed)
//   0x20 to 0x3c    DIGEST of the build, SHA-256, first four bytes at 0x20 with the first byte highest
//   0x40 CONTROL    bit 0: write 1 to drop everything inside and clear counters, errors and PACKET; reads 0
//   0x44 STATUS     bit 0: nothing is inside; bit 1: an error is noted
//   0x48 ERRORS     write 1 to a bit to clear it: 0 a packet ended inside a vector, 1 a packet had fewer vectors than
//                   PACKET, 2 a packet went on after PACKET vectors, 3 TKEEP left out a data byte, 4 a stray result
//   0x4c PACKET     vectors every packet must have; 0: any number
//   0x50 VECTORS_IN, 0x54 VECTORS_OUT, 0x58 PACKETS_IN, 0x5c PACKETS_OUT   counters, they wrap
//   0x60 STALLS_IN  cycles in which input waited      0x64 STALLS_OUT  cycles in which output waited
//
// Other addresses read 0 and ignore writes: an error response would kill the program on the processor that asked.
`default_nettype none
module axis_registers #(
    parameter [31:0] INPUTS = 0,
    parameter [31:0] OUTPUTS = 0,
    parameter [31:0] IN_BYTES = 0,
    parameter [31:0] OUT_BYTES = 0,
    parameter [31:0] LATENCY = 0,
    parameter [31:0] FORMAT = 0,
    parameter [255:0] DIGEST = 0
) (
    input  wire clk,
    input  wire rst,
    input  wire [11:0] s_axi_awaddr,
    input  wire [2:0] s_axi_awprot,
    input  wire s_axi_awvalid,
    output wire s_axi_awready,
    input  wire [31:0] s_axi_wdata,
    input  wire [3:0] s_axi_wstrb,
    input  wire s_axi_wvalid,
    output wire s_axi_wready,
    output wire [1:0] s_axi_bresp,
    output wire s_axi_bvalid,
    input  wire s_axi_bready,
    input  wire [11:0] s_axi_araddr,
    input  wire [2:0] s_axi_arprot,
    input  wire s_axi_arvalid,
    output wire s_axi_arready,
    output wire [31:0] s_axi_rdata,
    output wire [1:0] s_axi_rresp,
    output wire s_axi_rvalid,
    input  wire s_axi_rready,
    input  wire idle,
    input  wire [4:0] errors,
    input  wire [5:0] events,  // stall out, stall in, packet out, packet in, vector out, vector in
    output wire [31:0] packet_vectors,
    output reg  soft_reset
);
    localparam [31:0] MAGIC = 32'h4e4d5031;
    localparam [31:0] VERSION = 32'd1;

    reg answered, read_valid;  // a write response, a read response stands on the bus
    reg [31:0] read_data, packet;
    reg [4:0] noted;
    reg [6*32-1:0] counters;

    wire write = s_axi_awvalid && s_axi_wvalid && !answered && !rst;
    wire read = s_axi_arvalid && s_axi_arready;
    wire [9:0] target = s_axi_awaddr[11:2];
    wire [9:0] source = s_axi_araddr[11:2];
    wire clear = rst || soft_reset;
    wire [4:0] forgiven = write && target == 10'h12 && s_axi_wstrb[0] ? s_axi_wdata[4:0] : 5'd0;

    assign s_axi_awready = write;
    assign s_axi_wready = write;
    assign s_axi_bresp = 2'b00;
    assign s_axi_bvalid = answered;
    assign s_axi_arready = !rst && !read_valid;
    assign s_axi_rdata = read_data;
    assign s_axi_rresp = 2'b00;
    assign s_axi_rvalid = read_valid;
    assign packet_vectors = packet;

    integer i;
    always @(posedge clk) begin
        answered <= !rst && (write || (answered && !s_axi_bready));
        read_valid <= !rst && (read || (read_valid && !s_axi_rready));
        soft_reset <= write && target == 10'h10 && s_axi_wstrb[0] && s_axi_wdata[0];
        noted <= clear ? 5'd0 : (noted & ~forgiven) | errors;
        for (i = 0; i < 4; i = i + 1) begin
            if (clear) packet[8*i+:8] <= 8'd0;
            else if (write && target == 10'h13 && s_axi_wstrb[i]) packet[8*i+:8] <= s_axi_wdata[8*i+:8];
        end
        for (i = 0; i < 6; i = i + 1) begin
            if (clear) counters[32*i+:32] <= 32'd0;
            else if (events[i]) counters[32*i+:32] <= counters[32*i+:32] + 32'd1;
        end
        if (read) begin
            case (source)
                10'h00: read_data <= MAGIC;
                10'h01: read_data <= VERSION;
                10'h02: read_data <= INPUTS;
                10'h03: read_data <= OUTPUTS;
                10'h04: read_data <= IN_BYTES;
                10'h05: read_data <= OUT_BYTES;
                10'h06: read_data <= LATENCY;
                10'h07: read_data <= FORMAT;
                10'h08: read_data <= DIGEST[255:224];
                10'h09: read_data <= DIGEST[223:192];
                10'h0a: read_data <= DIGEST[191:160];
                10'h0b: read_data <= DIGEST[159:128];
                10'h0c: read_data <= DIGEST[127:96];
                10'h0d: read_data <= DIGEST[95:64];
                10'h0e: read_data <= DIGEST[63:32];
                10'h0f: read_data <= DIGEST[31:0];
                10'h11: read_data <= {30'd0, |noted, idle};
                10'h12: read_data <= {27'd0, noted};
                10'h13: read_data <= packet;
                10'h14: read_data <= counters[0+:32];
                10'h15: read_data <= counters[32+:32];
                10'h16: read_data <= counters[64+:32];
                10'h17: read_data <= counters[96+:32];
                10'h18: read_data <= counters[128+:32];
                10'h19: read_data <= counters[160+:32];
                default: read_data <= 32'd0;
            endcase
        end
    end
    wire unused = &{1'b0, s_axi_awaddr[1:0], s_axi_araddr[1:0], s_axi_awprot, s_axi_arprot};
endmodule
`default_nettype wire
