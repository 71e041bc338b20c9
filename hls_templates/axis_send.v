// Sends results as AXI4-Stream beats, BEATS per result, lowest bits first; TLAST is on the last beat of a result that
// ends its packet. The next result is loaded while the last beat leaves, so the stream has no gaps of its own.
`default_nettype none
module axis_send #(
    parameter BUS = 32,
    parameter BEATS = 1,
    parameter PLACE_BITS = 1  // holds 0 to BEATS - 1
) (
    input  wire clk,
    input  wire rst,
    input  wire result_valid,
    output wire result_ready,
    input  wire [BEATS*BUS-1:0] result,
    input  wire result_last,
    output wire [BUS-1:0] m_axis_tdata,
    output wire [BUS/8-1:0] m_axis_tkeep,
    output wire m_axis_tvalid,
    input  wire m_axis_tready,
    output wire m_axis_tlast,
    output wire result_sent  // the last beat of a result leaves
);
    localparam integer LAST = BEATS - 1;

    reg [BEATS*BUS-1:0] held;
    reg busy, ends;
    reg [PLACE_BITS-1:0] left;  // beats after the one on the bus

    wire sent = busy && m_axis_tready;
    wire final_beat = left == 0;
    wire [(BEATS+1)*BUS-1:0] moved = {{BUS{1'b0}}, held};

    assign result_ready = !busy || (sent && final_beat);
    assign m_axis_tdata = held[BUS-1:0];
    assign m_axis_tkeep = {(BUS / 8) {1'b1}};
    assign m_axis_tvalid = busy;
    assign m_axis_tlast = ends && final_beat;
    assign result_sent = sent && final_beat;

    always @(posedge clk) begin
        if (result_valid && result_ready) begin
            held <= result;
            ends <= result_last;
            left <= LAST[PLACE_BITS-1:0];
        end else if (sent) begin
            held <= moved[(BEATS+1)*BUS-1:BUS];
            if (!final_beat) left <= left - 1'b1;
        end
        busy <= !rst && (result_ready ? result_valid : busy);
    end
    wire unused = &{1'b0, moved[BUS-1:0]};
endmodule
`default_nettype wire
