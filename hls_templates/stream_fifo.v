// A queue of PLACES words.
`default_nettype none
module stream_fifo #(
    parameter BITS = 1,
    parameter PLACES = 2
) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire [BITS-1:0] in_data,
    output wire out_valid,
    input  wire out_ready,
    output wire [BITS-1:0] out_data
);
    localparam PLACE_BITS = PLACES > 1 ? $clog2(PLACES) : 1;
    localparam COUNT_BITS = $clog2(PLACES + 1);
    localparam [31:0] LAST = PLACES - 1, FULL = PLACES;
    reg [BITS-1:0] words[0:PLACES-1];
    reg [PLACE_BITS-1:0] first, next;
    reg [COUNT_BITS-1:0] count;
    wire push = in_valid && in_ready, pop = out_valid && out_ready;
    assign in_ready = count != FULL[COUNT_BITS-1:0];
    assign out_valid = count != {COUNT_BITS{1'b0}};
    assign out_data = words[first];
    always @(posedge clk) begin
        if (push) words[next] <= in_data;
        if (rst) begin
            first <= {PLACE_BITS{1'b0}};
            next <= {PLACE_BITS{1'b0}};
            count <= {COUNT_BITS{1'b0}};
        end else begin
            if (push) next <= next == LAST[PLACE_BITS-1:0] ? {PLACE_BITS{1'b0}} : next + 1'b1;
            if (pop) first <= first == LAST[PLACE_BITS-1:0] ? {PLACE_BITS{1'b0}} : first + 1'b1;
            if (push && !pop) count <= count + 1'b1;
            if (pop && !push) count <= count - 1'b1;
        end
    end
endmodule
`default_nettype wire
