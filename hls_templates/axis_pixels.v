// Takes the beats of an AXI4-Stream apart into pixels: every vector is PIXELS of them without gaps, in BEATS beats, the
// first one in the lowest bits. What is behind the last pixel in a vector's last beat is dropped.
`default_nettype none
module axis_pixels #(
    parameter BUS = 32,
    parameter BEATS = 1,
    parameter PLACE_BITS = 1,             // holds 0 to BEATS - 1
    parameter [BUS/8-1:0] LAST_KEEP = 1,  // bytes of a vector's last beat that carry data
    parameter BITS = 8,                   // of a pixel on the bus
    parameter PIXELS = 1,
    parameter UNIT = 8  // divides BUS and BITS
) (
    input  wire clk,
    input  wire rst,
    input  wire [31:0] packet_vectors,  // vectors that every packet must have; 0: any number
    input  wire [BUS-1:0] s_axis_tdata,
    input  wire [BUS/8-1:0] s_axis_tkeep,
    input  wire s_axis_tvalid,
    output wire s_axis_tready,
    input  wire s_axis_tlast,
    output wire pixel_valid,
    input  wire pixel_ready,
    output wire [BITS-1:0] pixel,
    output wire pixel_first,  // of its vector
    output wire pixel_last,
    output wire vector_last,  // the vector whose last pixel this is ends its packet
    output wire empty,        // not even a part of a vector is inside
    output wire torn,         // what is wrong with a packet, as axis_packets says
    output wire short,
    output wire overrun,
    output wire holes
);
    localparam integer PIXEL = BITS / UNIT, BEAT = BUS / UNIT;  // in units, as `count` is
    localparam integer COUNT_BITS = $clog2(PIXEL + BEAT + 1), AT_BITS = PIXELS > 1 ? $clog2(PIXELS) : 1;
    localparam [31:0] PIXEL_UNITS = PIXEL, BEAT_UNITS = BEAT, LAST = PIXELS - 1;

    reg [BITS+BUS-1:0] held;  // zeros behind what is there
    reg [COUNT_BITS-1:0] count;
    reg [AT_BITS-1:0] at;
    reg complete, ends;  // the vector's last beat is in; its packet ends
    wire step, final_beat, packet_ends;
    wire [BUS-1:0] beat;
    wire [PLACE_BITS-1:0] place;

    wire pop = pixel_valid && pixel_ready;
    wire leaves = pop && pixel_last;
    wire [COUNT_BITS-1:0] rest = leaves ? {COUNT_BITS{1'b0}} : pop ? count - PIXEL_UNITS[COUNT_BITS-1:0] : count;
    wire [BITS+BUS-1:0] kept = leaves ? {(BITS + BUS) {1'b0}} : pop ? held >> BITS : held;

    axis_packets #(.BUS(BUS), .BEATS(BEATS), .PLACE_BITS(PLACE_BITS), .LAST_KEEP(LAST_KEEP)) packets (
        .clk(clk), .rst(rst), .packet_vectors(packet_vectors),
        .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready), .s_axis_tlast(s_axis_tlast),
        .room((!complete || leaves) && rest <= PIXEL_UNITS[COUNT_BITS-1:0]),
        .step(step), .beat(beat), .place(place), .final_beat(final_beat), .packet_ends(packet_ends),
        .torn(torn), .short(short), .overrun(overrun), .holes(holes)
    );
    assign pixel_valid = count >= PIXEL_UNITS[COUNT_BITS-1:0];
    assign pixel = held[BITS-1:0];
    assign pixel_first = at == {AT_BITS{1'b0}};
    assign pixel_last = at == LAST[AT_BITS-1:0];
    assign vector_last = ends;
    assign empty = count == {COUNT_BITS{1'b0}} && pixel_first && place == 0;

    integer i;
    reg [BITS+BUS-1:0] filled;
    always @* begin
        filled = kept;
        for (i = 0; i <= PIXEL; i = i + 1) if (rest == i[COUNT_BITS-1:0]) filled[i*UNIT+:BUS] = beat;
    end

    always @(posedge clk) begin
        held <= step ? filled : kept;
        if (step && final_beat) ends <= packet_ends;
        if (rst) begin
            count <= {COUNT_BITS{1'b0}};
            at <= {AT_BITS{1'b0}};
            complete <= 1'b0;
        end else begin
            count <= step ? rest + BEAT_UNITS[COUNT_BITS-1:0] : rest;
            if (pop) at <= pixel_last ? {AT_BITS{1'b0}} : at + 1'b1;
            complete <= step ? final_beat : complete && !leaves;
        end
    end
endmodule
`default_nettype wire
