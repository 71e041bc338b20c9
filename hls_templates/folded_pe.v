// Processing element: SIMD weights times SIMD inputs per cycle, summed by a tree and accumulated over a fold.
// A negated input is its complement plus one; that one rides as the free carry-in of an adder further down the tree,
// so a +-1 weight costs nothing beside the adder. Sums wrap: only the fold's final sum has to fit, and it does.
`default_nettype none
module folded_pe #(
    parameter SIMD = 1,
    parameter KIND = 1,          // 1: weight +1 (0) or -1 (1). 2: {negative, not zero}. 3: two's complement
    parameter WEIGHT_BITS = 1,   // 1 for kind 1, 2 for kind 2
    parameter X_BITS = 1,
    parameter X_SIGNED = 0,
    parameter SUM_BITS = 1,
    parameter PRODUCT_STAGE = 0, // a register behind the products
    parameter TREE_STAGE = 2,    // a register behind every TREE_STAGE levels of the tree
    parameter DSP = 0            // kind 3: products in DSP blocks instead of shifted sums
) (
    input  wire clk,
    input  wire clear,
    input  wire [SIMD*X_BITS-1:0] x,
    input  wire [SIMD*WEIGHT_BITS-1:0] w,
    input  wire valid,  // the tree's sum belongs to a vector
    input  wire last,   // and is the last of its fold
    output reg  [SUM_BITS-1:0] result
);
    localparam integer LEVELS = SIMD > 1 ? $clog2(SIMD) : 0;
    localparam integer XS = X_BITS + (X_SIGNED ? 0 : 1);  // the input as a signed number
    localparam integer PRODUCT_BITS = KIND == 3 ? XS + WEIGHT_BITS : XS;

    genvar l, i;
    generate
        for (l = 0; l <= LEVELS; l = l + 1) begin : level
            localparam integer COUNT = (SIMD + (1 << l) - 1) >> l;
            localparam integer BEFORE = (2 * SIMD + (1 << l) - 1) >> l;  // sums in the level before
            localparam integer BITS = PRODUCT_BITS + l;
            localparam integer STAGE = l == 0 ? PRODUCT_STAGE : l % TREE_STAGE == 0 && l < LEVELS ? 1 : 0;
            wire [COUNT*BITS-1:0] sum;
            wire [COUNT-1:0] one;  // still to be added to each sum
            wire [COUNT*BITS-1:0] sum_out;
            wire [COUNT-1:0] one_out;
            for (i = 0; i < COUNT; i = i + 1) begin : node
`ifdef FORMAL
                wire signed [BITS+1:0] found = $signed(sum[i*BITS+:BITS]) + $signed({1'b0, one[i]});
                wire signed [BITS+1:0] exact;
                always @* assert (found == exact);
`endif
                if (l == 0) begin : leaf
                    wire [X_BITS-1:0] xi = x[i*X_BITS+:X_BITS];
                    wire [WEIGHT_BITS-1:0] wi = w[i*WEIGHT_BITS+:WEIGHT_BITS];
                    wire [XS-1:0] xs;
                    if (X_SIGNED != 0) begin : signed_input
                        assign xs = xi;
                    end else begin : unsigned_input
                        assign xs = {1'b0, xi};
                    end
                    if (KIND == 1) begin : binary
                        assign sum[i*BITS+:BITS] = xs ^ {XS{wi[0]}};
                        assign one[i] = wi[0];
                    end else if (KIND == 2) begin : ternary
                        assign sum[i*BITS+:BITS] = (xs & {XS{wi[0]}}) ^ {XS{wi[1]}};
                        assign one[i] = wi[1];
                    end else begin : wide
                        folded_product #(.X_BITS(XS), .WEIGHT_BITS(WEIGHT_BITS), .DSP(DSP)) product (
                            .x(xs), .w(wi), .y(sum[i*BITS+:BITS])
                        );
                        assign one[i] = 1'b0;
                    end
`ifdef FORMAL
                    wire signed [1:0] sign = KIND == 2 && !wi[0] ? 2'sd0 : wi[KIND==2] ? -2'sd1 : 2'sd1;
                    wire signed [X_BITS:0] element = {(X_SIGNED != 0) && xi[X_BITS-1], xi};
                    if (KIND == 3) begin : product_defined
`ifdef PRODUCT_PROVED  // by itself, as folded_product
                        assign exact = $signed(sum[i*BITS+:BITS]);
                        always @* assert ($signed(xs) == element);
`else
                        assign exact = element * $signed(wi);
`endif
                    end else begin : sign_defined
                        assign exact = element * sign;
                        if (KIND == 2) begin : no_such_code
                            always @* assume (wi != 2'b10);
                        end
                    end
`endif
                end else if (2 * i + 1 < BEFORE) begin : add
                    wire [BITS-2:0] a = level[l-1].sum_out[2*i*(BITS-1)+:BITS-1];
                    wire [BITS-2:0] b = level[l-1].sum_out[(2*i+1)*(BITS-1)+:BITS-1];
                    wire carry = level[l-1].one_out[2*i];
                    wire [BITS:0] total = {a[BITS-2], a, carry} + {b[BITS-2], b, carry};
                    wire unused = &{1'b0, total[0]};
                    assign sum[i*BITS+:BITS] = total[BITS:1];
                    assign one[i] = level[l-1].one_out[2*i+1];
`ifdef FORMAL
                    assign exact = $signed(a) + $signed(b) + $signed({1'b0, carry}) + $signed({1'b0, one[i]});
`endif
                end else begin : pass
                    wire [BITS-2:0] a = level[l-1].sum_out[2*i*(BITS-1)+:BITS-1];
                    assign sum[i*BITS+:BITS] = {a[BITS-2], a};
                    assign one[i] = level[l-1].one_out[2*i];
`ifdef FORMAL
                    assign exact = $signed(a) + $signed({1'b0, one[i]});
`endif
                end
            end
`ifdef FORMAL
            // Every level is proved by itself, for whatever the level before it gives.
            (* anyseq *) wire [COUNT*BITS-1:0] any_sum;
            (* anyseq *) wire [COUNT-1:0] any_one;
            assign sum_out = any_sum;
            assign one_out = any_one;
`else
            if (STAGE != 0) begin : stage
                reg [COUNT*BITS-1:0] sum_q;
                reg [COUNT-1:0] one_q;
                always @(posedge clk) begin
                    sum_q <= sum;
                    one_q <= one;
                end
                assign sum_out = sum_q;
                assign one_out = one_q;
            end else begin : direct
                assign sum_out = sum;
                assign one_out = one;
            end
`endif
        end
    endgenerate

    localparam integer TREE_BITS = PRODUCT_BITS + LEVELS;
    localparam integer WIDE = TREE_BITS > SUM_BITS ? TREE_BITS : SUM_BITS;  // a sum may need less than its tree
    wire [TREE_BITS-1:0] tree = level[LEVELS].sum_out;
    wire one = level[LEVELS].one_out;
    wire [WIDE-1:0] tree_wide = {{(WIDE - TREE_BITS + 1) {tree[TREE_BITS-1]}}, tree[TREE_BITS-2:0]};
    reg [SUM_BITS-1:0] accumulator;
    wire [SUM_BITS:0] total = {accumulator, one} + {tree_wide[SUM_BITS-1:0], one};

    wire unused = &{1'b0, total[0], tree_wide};

    always @(posedge clk) begin
        if (valid) accumulator <= total[SUM_BITS:1];
        if (clear || (valid && last)) accumulator <= 0;
        if (valid && last) result <= total[SUM_BITS:1];
    end

`ifdef FORMAL
    wire signed [WIDE-1:0] tree_value = $signed(tree);
    wire [SUM_BITS-1:0] next = accumulator + tree_value[SUM_BITS-1:0] + one;
    reg [SUM_BITS-1:0] was_accumulator, was_next;
    reg was_clear, was_valid, was_last;
    always @(posedge clk) begin
        was_accumulator <= accumulator;
        was_next <= next;
        {was_clear, was_valid, was_last} <= {clear, valid, last};
    end
    always @* begin
        assert (accumulator == (was_clear || (was_valid && was_last) ? 0 : was_valid ? was_next : was_accumulator));
        if (was_valid && was_last) assert (result == was_next);
    end
`endif
endmodule
`default_nettype wire
