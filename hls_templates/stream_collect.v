// Handshakes around a pipeline that never waits: a word enters only if its result is sure of a place in the queue.
`default_nettype none
module stream_collect #(
    parameter BITS = 1,   // of a result
    parameter PLACES = 2  // results in the pipeline and in the queue
) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    output wire enter,  // into the pipeline
    input  wire done,  // a result leaves the pipeline
    input  wire [BITS-1:0] result,
    output wire out_valid,
    input  wire out_ready,
    output wire [BITS-1:0] out_data
);
    localparam COUNT_BITS = $clog2(PLACES + 1);
    localparam [31:0] FULL = PLACES;
    reg [COUNT_BITS-1:0] taken;
    wire pop = out_valid && out_ready;
    assign in_ready = taken != FULL[COUNT_BITS-1:0];
    assign enter = in_valid && in_ready;
    always @(posedge clk) begin
        if (rst) taken <= {COUNT_BITS{1'b0}};
        else if (enter && !pop) taken <= taken + 1'b1;
        else if (pop && !enter) taken <= taken - 1'b1;
    end
    wire always_ready;
    stream_fifo #(.BITS(BITS), .PLACES(PLACES)) queue (
        .clk(clk), .rst(rst), .in_valid(done), .in_ready(always_ready), .in_data(result),
        .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data)
    );
    wire unused = &{1'b0, always_ready};
endmodule
`default_nettype wire
