// Every pixel of a map DOWN x ACROSS times: each pixel ACROSS times, and each row of them DOWN times.
// A pixel waits in the register that leaves; a row comes round in a memory until its last time.
`default_nettype none
module stream_repeat #(
    parameter BITS = 1,  // of a pixel
    parameter WIDTH = 1,  // of the map, in pixels
    parameter DOWN = 1,
    parameter ACROSS = 1,
    parameter BLOCK = 0  // the row lies in block RAM, else in LUTs
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
    localparam ACROSS_BITS = ACROSS > 1 ? $clog2(ACROSS) : 1;
    localparam [31:0] LAST_ACROSS = ACROSS - 1;

    reg [ACROSS_BITS-1:0] across;
    wire last_across = across == LAST_ACROSS[ACROSS_BITS-1:0];
    wire next_pixel = across == {ACROSS_BITS{1'b0}};
    wire is_new;  // the row comes for the first time
    wire [BITS-1:0] pixel;
    wire free = !out_valid || out_ready;
    wire takes = next_pixel && is_new;
    wire step = free && (!takes || in_valid);
    assign in_ready = free && takes;

    always @(posedge clk) begin
        if (rst) begin
            across <= {ACROSS_BITS{1'b0}};
            out_valid <= 1'b0;
        end else begin
            out_valid <= step || (out_valid && !out_ready);
            if (step) across <= last_across ? {ACROSS_BITS{1'b0}} : across + 1'b1;
        end
        if (step && next_pixel) out_data <= pixel;
    end

    generate
        if (DOWN > 1) begin : rows
            localparam COL_BITS = WIDTH > 1 ? $clog2(WIDTH) : 1;
            localparam DOWN_BITS = $clog2(DOWN);
            localparam [31:0] LAST_COL = WIDTH - 1, LAST_DOWN = DOWN - 1;
            reg [COL_BITS-1:0] col;
            reg [DOWN_BITS-1:0] down;
            wire last_col = col == LAST_COL[COL_BITS-1:0];
            wire last_down = down == LAST_DOWN[DOWN_BITS-1:0];
            wire [BITS-1:0] kept;
            assign is_new = down == {DOWN_BITS{1'b0}};
            assign pixel = is_new ? in_data : kept;
            always @(posedge clk) begin
                if (rst) begin
                    col <= {COL_BITS{1'b0}};
                    down <= {DOWN_BITS{1'b0}};
                end else if (step && last_across) begin
                    col <= last_col ? {COL_BITS{1'b0}} : col + 1'b1;
                    if (last_col) down <= last_down ? {DOWN_BITS{1'b0}} : down + 1'b1;
                end
            end
            stream_lines #(.BITS(BITS), .DEPTH(WIDTH), .BLOCK(BLOCK)) memory (
                .clk(clk), .rst(rst), .step(step && next_pixel), .in_data(pixel), .out_data(kept)
            );
        end else begin : row
            assign is_new = 1'b1;
            assign pixel = in_data;
        end
    endgenerate
endmodule
`default_nettype wire
