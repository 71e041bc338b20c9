// Counts the parts of the input words that a group of few inputs per cycle takes, one part per fold.
`default_nettype none
module folded_slices #(
    parameter SLICES = 2,  // parts of a word
    parameter BITS = 1     // width of slice: SLICES - 1 must fit
) (
    input  wire clk,
    input  wire rst,
    input  wire fold_end,
    input  wire vector_end,  // the next vector begins with part 0
    output reg  [BITS-1:0] slice,
    output wire last
);
    localparam integer LAST = SLICES - 1;
    assign last = slice == LAST[BITS-1:0];
    always @(posedge clk) begin
        if (fold_end) slice <= last ? 0 : slice + 1'b1;
        if (rst || vector_end) slice <= 0;
    end

`ifdef FORMAL
    reg [31:0] counted;
    always @(posedge clk) begin
        if (fold_end) counted <= counted == SLICES - 1 ? 0 : counted + 1;
        if (rst || vector_end) counted <= 0;
    end
    always @* assert (counted < SLICES && slice == counted && last == (counted == SLICES - 1));
`endif
endmodule
`default_nettype wire
