// A word that entered DEPTH steps ago: a memory whose word for the next step is read ahead.
`default_nettype none
module stream_lines #(
    parameter BITS = 1,
    parameter DEPTH = 1,
    parameter BLOCK = 0
) (
    input  wire clk,
    input  wire rst,
    input  wire step,
    input  wire [BITS-1:0] in_data,
    output wire [BITS-1:0] out_data
);
    generate
        if (DEPTH == 1) begin : single
            reg [BITS-1:0] held;
            always @(posedge clk) if (step) held <= in_data;
            assign out_data = held;
            wire unused = &{1'b0, rst};
        end else begin : many
            localparam PLACE_BITS = $clog2(DEPTH);
            localparam [31:0] LAST = DEPTH - 1;
            reg [PLACE_BITS-1:0] place;
            wire [PLACE_BITS-1:0] next = place == LAST[PLACE_BITS-1:0] ? {PLACE_BITS{1'b0}} : place + 1'b1;
            reg [BITS-1:0] ahead;
            assign out_data = ahead;
            always @(posedge clk) begin
                if (rst) place <= {PLACE_BITS{1'b0}};
                else if (step) place <= next;
            end
            if (BLOCK) begin : block
                (* ram_style = "block" *) reg [BITS-1:0] words[0:DEPTH-1];
                always @(posedge clk) begin
                    if (step) words[place] <= in_data;
                    if (step) ahead <= words[next];
                end
            end else begin : distributed
                (* ram_style = "distributed" *) reg [BITS-1:0] words[0:DEPTH-1];
                always @(posedge clk) begin
                    if (step) words[place] <= in_data;
                    if (step) ahead <= words[next];
                end
            end
        end
    endgenerate
endmodule
`default_nettype wire
