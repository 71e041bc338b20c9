// Counts what is there to be taken: vectors waiting in a buffer, or free slots of one.
`default_nettype none
module folded_tokens #(
    parameter INITIAL = 0,
    parameter BITS = 2
) (
    input  wire clk,
    input  wire rst,
    input  wire add,
    input  wire take,  // only while any
    output wire any
);
    reg [BITS-1:0] count;
    assign any = count != 0;
    always @(posedge clk) begin
        if (rst) count <= INITIAL[BITS-1:0];
        else if (add && !take) count <= count + 1'b1;
        else if (take && !add) count <= count - 1'b1;
    end
endmodule
`default_nettype wire
