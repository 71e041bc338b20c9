// Product of two signed numbers: in a DSP block, or by Booth's digits of the shorter one.
//
// Two bits of the shorter operand and the one below them are a digit of -2 to 2. A row adds a digit's multiple of the
// longer operand to what the rows below left, a LUT per bit: it chooses the multiple and adds it on the carry chain. A
// negative multiple is a complement, whose one comes in below. Each row leaves two finished bits. At most DEPTH rows
// follow each other; the sums of several such stacks are added.
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
    localparam integer LONG = X_BITS > WEIGHT_BITS ? X_BITS : WEIGHT_BITS;
    localparam integer SHORT = BITS - LONG;
    localparam integer ROWS = (SHORT + 1) / 2;
    localparam integer DEPTH = 2;
    localparam integer STACKS = (ROWS + DEPTH - 1) / DEPTH;
    localparam integer WIDTH = LONG + 2;  // of a row: no sum of a stack's rows reaches 8/3 of the longer operand
    genvar s, r;
    generate
        if (DSP != 0) begin : block
            assign y = x * w;
        end else begin : booth
            wire [WIDTH-1:0] once, twice;  // the longer operand
            wire [2*ROWS:0] digits;        // the shorter one, and a zero below it
            if (X_BITS > WEIGHT_BITS) begin : weight_is_shorter
                assign once = {{2{x[X_BITS-1]}}, x};
                assign digits = {{(2 * ROWS + 1 - SHORT) {w[WEIGHT_BITS-1]}}, w} << 1;
            end else begin : input_is_shorter
                assign once = {{2{w[WEIGHT_BITS-1]}}, w};
                assign digits = {{(2 * ROWS + 1 - SHORT) {x[X_BITS-1]}}, x} << 1;
            end
            assign twice = once << 1;
            wire [STACKS*BITS-1:0] total;  // of this stack and those below
            for (s = 0; s < STACKS; s = s + 1) begin : stack
                localparam integer HEIGHT = s + 1 < STACKS ? DEPTH : ROWS - DEPTH * s;
                localparam integer HIGH = WIDTH + 2 * HEIGHT - 2;
                wire [WIDTH*HEIGHT-1:0] rows;
                wire [HIGH-1:0] sum;
                for (r = 0; r < HEIGHT; r = r + 1) begin : row
                    wire [2:0] digit = digits[2*(DEPTH*s+r)+:3];
                    wire one = digit[1] ^ digit[0];
                    wire two = (digit[2] ^ digit[1]) & ~one;
                    wire [WIDTH-1:0] multiple = ({WIDTH{one}} & once | {WIDTH{two}} & twice) ^ {WIDTH{digit[2]}};
                    wire [WIDTH-1:0] below;
                    // verilator lint_off UNUSEDSIGNAL
                    wire low;  // of the position below, which makes the carry that comes in
                    // verilator lint_on UNUSEDSIGNAL
                    if (r == 0) begin : first
                        assign below = {WIDTH{1'b0}};
                    end else begin : next
                        assign below = {{2{rows[WIDTH*r-1]}}, rows[WIDTH*r-1-:WIDTH-2]};
                    end
                    // below + multiple + digit[2], said so that no tool swaps the operands: what is below enters the
                    // chain past the LUT, which has six inputs without it
                    assign {rows[WIDTH*r+:WIDTH], low} = {below, 1'b0} - ~{multiple, digit[2]};
                    if (r + 1 < HEIGHT) begin : finished
                        assign sum[2*r+:2] = rows[WIDTH*r+:2];
                    end else begin : last
                        assign sum[HIGH-1-:WIDTH] = rows[WIDTH*r+:WIDTH];
                    end
                end
                // verilator lint_off UNUSEDSIGNAL
                wire [BITS+HIGH-1:0] wide = {{BITS{sum[HIGH-1]}}, sum};  // more than there is room for
                // verilator lint_on UNUSEDSIGNAL
                wire [BITS-1:0] here = wide[BITS-1:0] << (2 * DEPTH * s);
                if (s == 0) begin : lowest
                    assign total[0+:BITS] = here;
                end else begin : higher
                    assign total[BITS*s+:BITS] = total[BITS*(s-1)+:BITS] + here;
                end
            end
            assign y = total[BITS*STACKS-1-:BITS];
        end
    endgenerate
endmodule
`default_nettype wire
