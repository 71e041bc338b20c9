// A word with handshakes.
`default_nettype none
module stream_register #(
    parameter BITS = 1
) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire [BITS-1:0] in_data,
    output reg  out_valid,
    input  wire out_ready,
    output reg  [BITS-1:0] out_data
);
    assign in_ready = !out_valid || out_ready;
    always @(posedge clk) begin
        if (rst) out_valid <= 1'b0;
        else if (in_ready) out_valid <= in_valid;
        if (in_valid && in_ready) out_data <= in_data;
    end
endmodule
`default_nettype wire
