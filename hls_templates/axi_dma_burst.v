// Where the next burst of a DMA lies and how long it is: of beats of 64 bits, up to the next multiple of 128 bytes. So
// it has at most 16 beats and never crosses a boundary of 4 KB.
`default_nettype none
module axi_dma_burst (
    input  wire clk,
    input  wire set_address,
    input  wire [31:0] set_data,
    input  wire start,
    input  wire [23:0] words,  // of 32 bits, at a start
    input  wire step,          // to the burst after this one
    output wire [31:0] address,
    output wire [4:0] beats,   // 1 to 16 of this burst, where there is one
    output wire last,          // no other burst follows
    output wire none           // all bursts are asked for
);
    reg [28:0] at;    // in beats
    reg [23:0] left;  // beats

    wire [4:0] room = 5'd16 - {1'b0, at[3:0]};
    assign last = left <= {19'd0, room};
    assign beats = last ? left[4:0] : room;
    assign none = left == 24'd0;
    assign address = {at, 3'd0};

    always @(posedge clk) begin
        if (set_address) at <= set_data[31:3];
        else if (step) at <= at + {24'd0, beats};
        if (start) left <= {1'b0, words[23:1]} + {23'd0, words[0]};
        else if (step) left <= left - {19'd0, beats};
    end
    wire unused = &{1'b0, set_data[2:0]};
endmodule
`default_nettype wire
