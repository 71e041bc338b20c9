// A row without its two single bits: y = a + b + c, as nmp_row.v says it.
`default_nettype none
module nmp_sum #(
    parameter W = 4,
    parameter Y = W + 2,
    parameter [W-1:0] NA = {W{1'b0}},
    parameter [W-1:0] NB = {W{1'b0}},
    parameter [W-1:0] NC = {W{1'b0}}
) (
    input  wire [W-1:0] a,
    input  wire [W-1:0] b,
    input  wire [W-1:0] c,
    output wire [Y-1:0] y
);
    nmp_row #(.W(W), .Y(Y), .NA(NA), .NB(NB), .NC(NC)) row (
        .a(a), .b(b), .c(c), .d(1'b0), .e(1'b0), .y(y)
    );
endmodule
`default_nettype wire
