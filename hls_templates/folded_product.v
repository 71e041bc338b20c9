// Product of two signed numbers: in a DSP block, or as the sum of the shifted input's copies that the weight selects.
`default_nettype none
module folded_product #(
    parameter X_BITS = 2,
    parameter WEIGHT_BITS = 2,
    parameter DSP = 0
) (
    input  wire signed [X_BITS-1:0] x,
    input  wire signed [WEIGHT_BITS-1:0] w,
    output wire signed [X_BITS+WEIGHT_BITS-1:0] y
);
    localparam integer BITS = X_BITS + WEIGHT_BITS;
    generate
        if (DSP != 0) begin : block
            assign y = x * w;
        end else begin : shifted
            wire [BITS-1:0] wide = {{WEIGHT_BITS{x[X_BITS-1]}}, x};
            reg [BITS-1:0] sum;
            integer b;
            always @* begin
                sum = wide & {BITS{w[0]}};
                for (b = 1; b < WEIGHT_BITS - 1; b = b + 1) sum = sum + ((wide & {BITS{w[b]}}) << b);
                sum = sum - ((wide & {BITS{w[WEIGHT_BITS-1]}}) << (WEIGHT_BITS - 1));
            end
            assign y = sum;
        end
    endgenerate
endmodule
`default_nettype wire
