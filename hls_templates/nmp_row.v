// One row of a bit heap: y = a + b + c + d + e on one carry chain, one LUT per column.
// a, b, c are W bits wide, a bit of them is taken inverted where NA, NB, NC have a 1; d and e are single bits.
// y holds the lowest Y bits of the sum; W + 2 bits hold all of it.
//
// For synthesis it is built from 7-series primitives (LUT6_2, CARRY4; newer families take these too): in each column
// O6 is the sum of the three bits and of the carry from the column below, O5 the carry of the three bits to the column
// above, and the carry chain adds both. Simulators, and any tool if NMP_GENERIC is defined, get the plain sum.
`default_nettype none
module nmp_row #(
    parameter W = 4,
    parameter Y = W + 2,
    parameter [W-1:0] NA = {W{1'b0}},
    parameter [W-1:0] NB = {W{1'b0}},
    parameter [W-1:0] NC = {W{1'b0}}
) (
    input  wire [W-1:0] a,
    input  wire [W-1:0] b,
    input  wire [W-1:0] c,
    input  wire         d,
    input  wire         e,
    output wire [Y-1:0] y
);
    // verilator lint_off UNUSEDSIGNAL
    wire [W+1:0] total;  // its upper bits are left out where Y is less than W + 2
    // verilator lint_on UNUSEDSIGNAL
    assign y = total[Y-1:0];
`ifdef SYNTHESIS
`ifndef NMP_GENERIC
`define NMP_PRIMITIVES
`endif
`endif
`ifdef NMP_PRIMITIVES
    localparam CHAINS = (W + 4) / 4;
    localparam P = 4 * CHAINS;
    wire [W:0] k;  // carries of three bits, from column to column
    wire [P-1:0] s, di, o, co;
    assign k[0] = d;
    assign s[P-1:W] = {{(P - W - 1) {1'b0}}, k[W]};
    assign di = {{(P - W) {1'b0}}, k[W-1:0]};
    assign total = {co[W], o[W:0]};
    genvar i;
    generate
        for (i = 0; i < W; i = i + 1) begin : column
            localparam [7:0] A = 8'hAA ^ {8{NA[i]}};
            localparam [7:0] B = 8'hCC ^ {8{NB[i]}};
            localparam [7:0] C = 8'hF0 ^ {8{NC[i]}};
            localparam [7:0] CARRY = (A & B) | (A & C) | (B & C);
            localparam [7:0] SUM = A ^ B ^ C;
            LUT6_2 #(
                .INIT({{2{~SUM, SUM}}, {4{CARRY}}})
            ) lut (
                .I0(a[i]), .I1(b[i]), .I2(c[i]), .I3(k[i]), .I4(1'b0), .I5(1'b1), .O6(s[i]), .O5(k[i+1])
            );
        end
        for (i = 0; i < CHAINS; i = i + 1) begin : chain
            if (i == 0)
                CARRY4 carry (.CI(1'b0), .CYINIT(e), .S(s[3:0]), .DI(di[3:0]), .O(o[3:0]), .CO(co[3:0]));
            else
                CARRY4 carry (
                    .CI(co[4*i-1]), .CYINIT(1'b0), .S(s[4*i+3:4*i]), .DI(di[4*i+3:4*i]), .O(o[4*i+3:4*i]),
                    .CO(co[4*i+3:4*i])
                );
        end
    endgenerate
`undef NMP_PRIMITIVES
`else
    assign total = {2'b00, a ^ NA} + {2'b00, b ^ NB} + {2'b00, c ^ NC} + {{(W + 1) {1'b0}}, d} + {{(W + 1) {1'b0}}, e};
`endif
endmodule
`default_nettype wire
