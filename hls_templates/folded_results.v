// Holds finished results until they are taken. The writer counts the free places, so a push always finds one.
`default_nettype none
module folded_results #(
    parameter BITS = 1,
    parameter PLACES = 1
) (
    input  wire clk,
    input  wire rst,
    input  wire push,
    input  wire [BITS-1:0] data,
    output wire out_valid,
    input  wire out_ready,
    output wire [BITS-1:0] out_data
);
    reg [PLACES*BITS-1:0] held;  // the oldest result in the lowest bits
    reg [PLACES-1:0] full;
    wire pop = out_valid && out_ready;
    wire [PLACES-1:0] kept = pop ? full >> 1 : full;
    wire [PLACES:0] grown = {kept, 1'b1};
    wire [PLACES-1:0] first_free = ~kept & grown[PLACES-1:0];

    assign out_valid = full[0];
    assign out_data = held[BITS-1:0];

    integer i;
    always @(posedge clk) begin
        if (pop) held <= held >> BITS;
        for (i = 0; i < PLACES; i = i + 1) if (push && first_free[i]) held[i*BITS+:BITS] <= data;
        full <= rst ? {PLACES{1'b0}} : push ? grown[PLACES-1:0] : kept;
    end
    wire unused = &{1'b0, grown[PLACES]};
endmodule
`default_nettype wire
