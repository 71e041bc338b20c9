// Three ternary weights from five bits: code = t0 + 3 t1 + 9 t2 with t = 0, 1, 2 for 0, +1, -1.
// A trit leaves as {negative, not zero}, t0 in the lowest bits. Every output bit is one five-input table.
`default_nettype none
module folded_trits (
    input  wire [4:0] code,
    output reg  [5:0] trits
);
    always @*
        case (code)
            5'd0: trits = 6'b00_00_00;
            5'd1: trits = 6'b00_00_01;
            5'd2: trits = 6'b00_00_11;
            5'd3: trits = 6'b00_01_00;
            5'd4: trits = 6'b00_01_01;
            5'd5: trits = 6'b00_01_11;
            5'd6: trits = 6'b00_11_00;
            5'd7: trits = 6'b00_11_01;
            5'd8: trits = 6'b00_11_11;
            5'd9: trits = 6'b01_00_00;
            5'd10: trits = 6'b01_00_01;
            5'd11: trits = 6'b01_00_11;
            5'd12: trits = 6'b01_01_00;
            5'd13: trits = 6'b01_01_01;
            5'd14: trits = 6'b01_01_11;
            5'd15: trits = 6'b01_11_00;
            5'd16: trits = 6'b01_11_01;
            5'd17: trits = 6'b01_11_11;
            5'd18: trits = 6'b11_00_00;
            5'd19: trits = 6'b11_00_01;
            5'd20: trits = 6'b11_00_11;
            5'd21: trits = 6'b11_01_00;
            5'd22: trits = 6'b11_01_01;
            5'd23: trits = 6'b11_01_11;
            5'd24: trits = 6'b11_11_00;
            5'd25: trits = 6'b11_11_01;
            5'd26: trits = 6'b11_11_11;
            default: trits = 6'b00_00_00;
        endcase

`ifdef FORMAL
    genvar t;
    generate
        for (t = 0; t < 3; t = t + 1) begin : defined
            wire [1:0] trit = (t == 0 ? code : t == 1 ? code / 3 : code / 9) % 3;
            always @* if (code < 27) assert (trits[2*t+:2] == (trit == 2 ? 2'b11 : trit));
        end
    endgenerate
`endif
endmodule
`default_nettype wire
