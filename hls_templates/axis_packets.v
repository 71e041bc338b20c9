// Beats of an AXI4-Stream as beats of vectors, BEATS each, and what is wrong with the packets they come in.
// A packet that ends inside a vector is reported and the vector filled up with zeros, so that every packet has a
// result that carries its TLAST and software that waits for it is not left hanging.
`default_nettype none
module axis_packets #(
    parameter BUS = 32,
    parameter BEATS = 1,
    parameter PLACE_BITS = 1,            // holds 0 to BEATS - 1
    parameter [BUS/8-1:0] LAST_KEEP = 1  // bytes of a vector's last beat that carry data
) (
    input  wire clk,
    input  wire rst,
    input  wire [31:0] packet_vectors,  // vectors that every packet must have; 0: any number
    input  wire [BUS-1:0] s_axis_tdata,
    input  wire [BUS/8-1:0] s_axis_tkeep,
    input  wire s_axis_tvalid,
    output wire s_axis_tready,
    input  wire s_axis_tlast,
    input  wire room,  // a beat can be taken
    output wire step,  // it is, as `beat`
    output wire [BUS-1:0] beat,
    output reg  [PLACE_BITS-1:0] place,  // of the beat in its vector
    output wire final_beat,   // the beat is its vector's last
    output wire packet_ends,  // with the beat's vector
    output reg  torn,         // a packet ended inside a vector
    output reg  short,        // a packet had fewer vectors than packet_vectors
    output reg  overrun,      // a packet went on after packet_vectors vectors
    output reg  holes         // TKEEP left out a byte that carries data
);
    localparam integer LAST = BEATS - 1;

    reg filling;
    reg [31:0] earlier;  // vectors of this packet before the one whose beats come

    wire take = s_axis_tvalid && s_axis_tready;
    wire counted = packet_vectors != 32'd0;
    wire [31:0] number = earlier + 32'd1;
    wire [BUS/8-1:0] needed = final_beat ? LAST_KEEP : {(BUS / 8) {1'b1}};

    assign s_axis_tready = !rst && !filling && room;
    assign step = take || (filling && room);
    assign beat = filling ? {BUS{1'b0}} : s_axis_tdata;
    assign final_beat = place == LAST[PLACE_BITS-1:0];
    assign packet_ends = filling || s_axis_tlast;

    always @(posedge clk) begin
        if (rst) begin
            filling <= 1'b0;
            place <= 0;
            earlier <= 32'd0;
        end else if (step) begin
            filling <= packet_ends && !final_beat;
            place <= final_beat ? 0 : place + 1'b1;
            if (final_beat) earlier <= packet_ends ? 32'd0 : number;
        end
        torn <= !rst && take && s_axis_tlast && !final_beat;
        holes <= !rst && take && |(needed & ~s_axis_tkeep);
        short <= !rst && step && final_beat && packet_ends && counted && number < packet_vectors;
        overrun <= !rst && step && final_beat && !packet_ends && counted && number == packet_vectors;
    end
endmodule
`default_nettype wire
