// The largest of COUNT values, by a tree.
`default_nettype none
module stream_max #(
    parameter BITS = 1,
    parameter COUNT = 2,
    parameter SIGNED = 0
) (
    input  wire [COUNT*BITS-1:0] x,
    output wire [BITS-1:0] y
);
    generate
        if (COUNT == 1) begin : one
            assign y = x;
        end else begin : two
            localparam LEFT = COUNT / 2;
            wire [BITS-1:0] a, b;
            stream_max #(.BITS(BITS), .COUNT(LEFT), .SIGNED(SIGNED)) first (.x(x[LEFT*BITS-1:0]), .y(a));
            stream_max #(.BITS(BITS), .COUNT(COUNT - LEFT), .SIGNED(SIGNED)) second (.x(x[COUNT*BITS-1:LEFT*BITS]), .y(b));
            if (SIGNED) begin : signs
                assign y = $signed(a) > $signed(b) ? a : b;
            end else begin : plain
                assign y = a > b ? a : b;
            end
        end
    endgenerate
endmodule
`default_nettype wire
