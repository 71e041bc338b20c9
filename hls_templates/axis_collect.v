// Collects the beats of an AXI4-Stream into vectors: every vector takes BEATS beats, the first one in the lowest bits.
// A vector stands until it is taken, and the first beat of the next one is accepted in the cycle in which it is.
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
    output wire torn,         // what is wrong with a packet, as axis_packets says
    output wire short,
    output wire overrun,
    output wire holes
);
    reg [BEATS*BUS-1:0] held;
    reg full, ends;
    wire step, final_beat, packet_ends;
    wire [BUS-1:0] beat;
    wire [PLACE_BITS-1:0] place;

    axis_packets #(.BUS(BUS), .BEATS(BEATS), .PLACE_BITS(PLACE_BITS), .LAST_KEEP(LAST_KEEP)) packets (
        .clk(clk), .rst(rst), .packet_vectors(packet_vectors),
        .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready), .s_axis_tlast(s_axis_tlast), .room(!full || vector_ready),
        .step(step), .beat(beat), .place(place), .final_beat(final_beat), .packet_ends(packet_ends),
        .torn(torn), .short(short), .overrun(overrun), .holes(holes)
    );
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
        if (rst) full <= 1'b0;
        else full <= step ? final_beat : full && !vector_ready;
    end
endmodule
`default_nettype wire
