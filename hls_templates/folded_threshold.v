// Output quantizer of a folded layer: bias, rounding, saturation or wrapping, alignment, each neuron with its own
// parameters. Where wrap[0] is set the lowest bits are kept, as many as low..high takes; where wrap[1] is set, too,
// negative values become 0 before that.
// The bias holds the rounding constant. Three cycles from accumulator to out_data.
`default_nettype none
module folded_threshold #(
    parameter SUM_BITS = 2,
    parameter PRE_SHIFT = 0,   // the bias is finer than the accumulator by so many bits
    parameter BIAS_BITS = 2,
    parameter VALUE_BITS = 2,  // holds the biased sum and both limits
    parameter SHIFT_BITS = 1,
    parameter LIMIT_BITS = 2,
    parameter ALIGN_BITS = 1,
    parameter OUT_BITS = 1,
    parameter HALF_EVEN = 0,   // some neuron rounds halves to even
    parameter CLIP_LOW = 1,    // some neuron can fall below its limit
    parameter CLIP_HIGH = 1,   // some neuron can rise above its limit
    parameter WRAP = 0         // some neuron wraps
) (
    input  wire clk,
    input  wire signed [SUM_BITS-1:0] sum,
    input  wire signed [BIAS_BITS-1:0] bias,
    input  wire [SHIFT_BITS-1:0] shift,
    input  wire signed [LIMIT_BITS-1:0] low,
    input  wire signed [LIMIT_BITS-1:0] high,
    input  wire [ALIGN_BITS-1:0] align,
    input  wire even,
    input  wire [1:0] wrap,
    output reg  [OUT_BITS-1:0] out_data
);
    localparam integer WIDE = OUT_BITS > VALUE_BITS ? OUT_BITS : VALUE_BITS;
    // Sign extensions; every operand has at least two bits and at most as many as its target.
    wire [VALUE_BITS-1:0] sum_wide = {{(VALUE_BITS - SUM_BITS + 1) {sum[SUM_BITS-1]}}, sum[SUM_BITS-2:0]};
    wire [VALUE_BITS-1:0] bias_wide = {{(VALUE_BITS - BIAS_BITS + 1) {bias[BIAS_BITS-1]}}, bias[BIAS_BITS-2:0]};

    reg signed [VALUE_BITS-1:0] value, rounded;
    reg [SHIFT_BITS-1:0] shift_q;
    reg signed [LIMIT_BITS-1:0] low_q, low_q2, high_q, high_q2;
    reg [ALIGN_BITS-1:0] align_q, align_q2;
    reg even_q;
    reg [1:0] wrap_q, wrap_q2;

    wire signed [VALUE_BITS-1:0] shifted = value >>> shift_q;
    // With the rounding constant in the bias, a half shows as dropped bits that are all 0: then clear the last bit.
    wire [VALUE_BITS-1:0] dropped = value & ~({VALUE_BITS{1'b1}} << shift_q);
    wire to_even = (HALF_EVEN != 0) && even_q && dropped == 0;
    wire signed [VALUE_BITS-1:0] low_wide =
        {{(VALUE_BITS - LIMIT_BITS + 1) {low_q2[LIMIT_BITS-1]}}, low_q2[LIMIT_BITS-2:0]};
    wire signed [VALUE_BITS-1:0] high_wide =
        {{(VALUE_BITS - LIMIT_BITS + 1) {high_q2[LIMIT_BITS-1]}}, high_q2[LIMIT_BITS-2:0]};
    wire below = (CLIP_LOW != 0) && rounded < low_wide;
    wire above = (CLIP_HIGH != 0) && rounded > high_wide;
    wire [VALUE_BITS-1:0] clipped = below ? low_wide : above ? high_wide : rounded;
    // high + 1 is the sign's place where low is negative, and the bits of low are those from there up.
    wire turned = |(rounded & (high_wide + {{(VALUE_BITS - 1) {1'b0}}, 1'b1}));
    wire [VALUE_BITS-1:0] kept = (rounded & high_wide) | (low_wide & {VALUE_BITS{turned}});
    wire wraps = (WRAP != 0) && wrap_q2[0];
    wire [VALUE_BITS-1:0] result = !wraps ? clipped : wrap_q2[1] && rounded[VALUE_BITS-1] ? {VALUE_BITS{1'b0}} : kept;
    wire [WIDE-1:0] aligned = {{(WIDE - VALUE_BITS + 1) {result[VALUE_BITS-1]}}, result[VALUE_BITS-2:0]} << align_q2;
    wire unused = &{1'b0, aligned, even_q, low_wide, high_wide, kept, wrap_q2};

    always @(posedge clk) begin
        value <= (sum_wide << PRE_SHIFT) + bias_wide;
        shift_q <= shift;
        low_q <= low;
        high_q <= high;
        align_q <= align;
        even_q <= even;
        wrap_q <= wrap;

        rounded <= to_even ? {shifted[VALUE_BITS-1:1], 1'b0} : shifted;
        low_q2 <= low_q;
        high_q2 <= high_q;
        align_q2 <= align_q;
        wrap_q2 <= wrap_q;

        out_data <= aligned[OUT_BITS-1:0];
    end

`ifdef FORMAL
    // The definition in wide numbers, three cycles later, for sums and biases that fit VALUE_BITS together.
    localparam integer BIG = WIDE + PRE_SHIFT + SUM_BITS + 4;
    wire signed [BIG-1:0] biased = ($signed(sum) <<< PRE_SHIFT) + $signed(bias);
    wire signed [BIG-1:0] floored = biased >>> shift;
    wire tie = (HALF_EVEN != 0) && even && (biased & ~({BIG{1'b1}} << shift)) == 0;
    wire signed [BIG-1:0] nearest = tie && floored[0] ? floored - 1 : floored;
    wire signed [BIG-1:0] least = (CLIP_LOW != 0) && nearest < $signed(low) ? $signed(low) : nearest;
    wire signed [BIG-1:0] most = (CLIP_HIGH != 0) && least > $signed(high) ? $signed(high) : least;
    wire signed [BIG-1:0] positive = wrap[1] && nearest < 0 ? 0 : nearest;
    wire signed [BIG-1:0] span = $signed(high) - $signed(low) + 1;
    wire signed [BIG-1:0] lowest = positive & (span - 1);
    wire signed [BIG-1:0] modulo = lowest > $signed(high) ? lowest - span : lowest;
    wire signed [BIG-1:0] chosen = (WRAP != 0) && wrap[0] ? modulo : most;
    wire [BIG-1:0] placed = chosen << align;
    reg [OUT_BITS-1:0] due1, due2, due3;
    always @(posedge clk) {due3, due2, due1} <= {due2, due1, placed[OUT_BITS-1:0]};
    always @* begin
        assume (biased >= -(1 <<< VALUE_BITS - 1) && biased < 1 <<< VALUE_BITS - 1 && low <= high);
        // What wraps has the range of a format: 0 up to 2**k - 1, or that and its complement.
        assume (WRAP == 0 || !wrap[0] || (high >= 0 && (high & (high + 1)) == 0 && (low == 0 || low == ~high)));
        assert (out_data == due3);
    end
`endif
endmodule
`default_nettype wire
