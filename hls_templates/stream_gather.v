// COUNT pixels in a row as one word, the first in the lowest bits.
`default_nettype none
module stream_gather #(
    parameter BITS = 1,
    parameter COUNT = 1
) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire [BITS-1:0] in_data,
    output reg  out_valid,
    input  wire out_ready,
    output wire [COUNT*BITS-1:0] out_data
);
    localparam PLACE_BITS = COUNT > 1 ? $clog2(COUNT) : 1;
    localparam [31:0] LAST = COUNT - 1;
    reg [PLACE_BITS-1:0] place;
    reg [COUNT*BITS-1:0] held;
    wire last = place == LAST[PLACE_BITS-1:0];
    wire step = in_valid && in_ready;
    assign in_ready = !out_valid || out_ready;
    assign out_data = held;
    always @(posedge clk) begin
        if (rst) begin
            place <= {PLACE_BITS{1'b0}};
            out_valid <= 1'b0;
        end else begin
            out_valid <= step ? last : out_valid && !out_ready;
            if (step) place <= last ? {PLACE_BITS{1'b0}} : place + 1'b1;
        end
    end
    generate
        if (COUNT > 1) begin : shift
            always @(posedge clk) if (step) held <= {in_data, held[COUNT*BITS-1:BITS]};
        end else begin : single
            always @(posedge clk) if (step) held <= in_data;
        end
    endgenerate
endmodule
`default_nettype wire
