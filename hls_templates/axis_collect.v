// Collects the beats of an AXI4-Stream into vectors: every vector takes BEATS beats, the first one in the lowest bits.
// A vector stands until it is taken, and the first beat of the next one is accepted in the cycle in which it is.
// A packet that ends inside a vector is reported and the vector filled up with zeros, so that every packet has a
// result that carries its TLAST and software that waits for it is not left hanging.
`default_nettype none
module axis_collect #(
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
    output wire vector_valid,
    input  wire vector_ready,
    output wire [BEATS*BUS-1:0] vector,
    output wire vector_last,  // the vector ends its packet
    output wire empty,        // not even a part of a vector is inside
    output reg  torn,         // a packet ended inside a vector
    output reg  short,        // a packet had fewer vectors than packet_vectors
    output reg  overrun,      // a packet went on after packet_vectors vectors
    output reg  holes         // TKEEP left out a byte that carries data
);
    localparam integer LAST = BEATS - 1;

    reg [BEATS*BUS-1:0] held;
    reg full, ends, filling;
    reg [PLACE_BITS-1:0] place;
    reg [31:0] earlier;  // vectors of this packet before the one being collected

    wire take = s_axis_tvalid && s_axis_tready;
    wire step = take || filling;
    wire final_beat = place == LAST[PLACE_BITS-1:0];
    wire packet_ends = filling || s_axis_tlast;
    wire counted = packet_vectors != 32'd0;
    wire [31:0] number = earlier + 32'd1;
    wire [BUS-1:0] beat = filling ? {BUS{1'b0}} : s_axis_tdata;
    wire [BUS/8-1:0] needed = final_beat ? LAST_KEEP : {(BUS / 8) {1'b1}};

    assign s_axis_tready = !rst && !filling && (!full || vector_ready);
    assign vector_valid = full;
    assign vector = held;
    assign vector_last = ends;
    assign empty = !full && place == 0;

    // Every beat is written to its place rather than shifted through: what the core sees changes once per vector, which
    // saves power in its first layer, and time in simulation.
    integer i;
    always @(posedge clk) begin
        for (i = 0; i < BEATS; i = i + 1) if (step && place == i[PLACE_BITS-1:0]) held[i*BUS+:BUS] <= beat;
        if (step && final_beat) ends <= packet_ends;
        if (rst) begin
            full <= 1'b0;
            filling <= 1'b0;
            place <= 0;
            earlier <= 32'd0;
        end else begin
            full <= step ? final_beat : full && !vector_ready;
            if (step) begin
                filling <= packet_ends && !final_beat;
                place <= final_beat ? 0 : place + 1'b1;
                if (final_beat) earlier <= packet_ends ? 32'd0 : number;
            end
        end
        torn <= !rst && take && s_axis_tlast && !final_beat;
        holes <= !rst && take && |(needed & ~s_axis_tkeep);
        short <= !rst && step && final_beat && packet_ends && counted && number < packet_vectors;
        overrun <= !rst && step && final_beat && !packet_ends && counted && number == packet_vectors;
    end
endmodule
`default_nettype wire
