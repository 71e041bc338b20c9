// A window that slides over a map, a pixel at a time, in rows and columns with zeros around them.
// out_data holds ROWS x COLS pixels, the first row's first pixel in the lowest bits. A position leaves once its last
// pixel is in; zeros need no input. The rows above lie in a memory, the pixels under the window in registers.
`default_nettype none
module stream_window #(
    parameter BITS = 1,    // of a pixel
    parameter HEIGHT = 1,  // of the map, in pixels
    parameter WIDTH = 1,
    parameter TOP = 0,  // zeros around it
    parameter BOTTOM = 0,
    parameter LEFT = 0,
    parameter RIGHT = 0,
    parameter ROWS = 1,  // of the window
    parameter COLS = 1,
    parameter DOWN = 1,  // its stride
    parameter ACROSS = 1,
    parameter BLOCK = 0  // the rows above lie in block RAM, else in LUTs
) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire [BITS-1:0] in_data,
    output reg  out_valid,
    input  wire out_ready,
    output wire [ROWS*COLS*BITS-1:0] out_data
);
    localparam FULL_HEIGHT = TOP + HEIGHT + BOTTOM;
    localparam FULL_WIDTH = LEFT + WIDTH + RIGHT;
    localparam ROW_BITS = FULL_HEIGHT > 1 ? $clog2(FULL_HEIGHT) : 1;
    localparam COL_BITS = FULL_WIDTH > 1 ? $clog2(FULL_WIDTH) : 1;
    localparam DOWN_BITS = DOWN > 1 ? $clog2(DOWN) : 1;
    localparam ACROSS_BITS = ACROSS > 1 ? $clog2(ACROSS) : 1;
    localparam [31:0] LAST_ROW = FULL_HEIGHT - 1, LAST_COL = FULL_WIDTH - 1, LAST_DOWN = DOWN - 1,
                      LAST_ACROSS = ACROSS - 1;
    localparam signed [31:0] FIRST_ROW = ROWS - 1, FIRST_COL = COLS - 1, UPPER = TOP, LEFTMOST = LEFT,
                             LOWER = TOP + HEIGHT, RIGHTMOST = LEFT + WIDTH;

    reg [ROW_BITS-1:0] row;
    reg [COL_BITS-1:0] col;
    reg [DOWN_BITS-1:0] down;  // rows, and columns, to the next position
    reg [ACROSS_BITS-1:0] across;
    wire signed [31:0] at_row = {{(32 - ROW_BITS) {1'b0}}, row}, at_col = {{(32 - COL_BITS) {1'b0}}, col};
    wire is_zero = at_row < UPPER || at_row >= LOWER || at_col < LEFTMOST || at_col >= RIGHTMOST;
    wire free = !out_valid || out_ready;
    wire step = free && (is_zero || in_valid);
    wire [BITS-1:0] pixel = is_zero ? {BITS{1'b0}} : in_data;
    wire last_col = col == LAST_COL[COL_BITS-1:0], last_row = row == LAST_ROW[ROW_BITS-1:0];
    wire in_rows = at_row >= FIRST_ROW, in_cols = at_col >= FIRST_COL;
    wire lands = in_rows && in_cols && down == {DOWN_BITS{1'b0}} && across == {ACROSS_BITS{1'b0}};
    assign in_ready = free && !is_zero;

    always @(posedge clk) begin
        if (rst) begin
            row <= {ROW_BITS{1'b0}};
            col <= {COL_BITS{1'b0}};
            down <= {DOWN_BITS{1'b0}};
            across <= {ACROSS_BITS{1'b0}};
            out_valid <= 1'b0;
        end else begin
            out_valid <= step ? lands : out_valid && !out_ready;
            if (step) begin
                col <= last_col ? {COL_BITS{1'b0}} : col + 1'b1;
                if (last_col || (in_cols && across == LAST_ACROSS[ACROSS_BITS-1:0])) across <= {ACROSS_BITS{1'b0}};
                else if (in_cols) across <= across + 1'b1;
                if (last_col) begin
                    row <= last_row ? {ROW_BITS{1'b0}} : row + 1'b1;
                    if (last_row || (in_rows && down == LAST_DOWN[DOWN_BITS-1:0])) down <= {DOWN_BITS{1'b0}};
                    else if (in_rows) down <= down + 1'b1;
                end
            end
        end
    end

    // The column that is entering: its pixel in the lowest row, those above from the memory.
    wire [ROWS*BITS-1:0] column;
    generate
        if (ROWS > 1) begin : lines
            wire [(ROWS-1)*BITS-1:0] above;  // the oldest row in the lowest bits
            assign column = {pixel, above};
            stream_lines #(.BITS((ROWS - 1) * BITS), .DEPTH(FULL_WIDTH), .BLOCK(BLOCK)) memory (
                .clk(clk), .rst(rst), .step(step), .in_data(column[ROWS*BITS-1:BITS]), .out_data(above)
            );
        end else begin : line
            assign column = pixel;
        end
    endgenerate

    reg [ROWS*COLS*BITS-1:0] seen;  // by column, the oldest in the lowest bits
    generate
        if (COLS > 1) begin : slide
            always @(posedge clk) if (step) seen <= {column, seen[ROWS*COLS*BITS-1:ROWS*BITS]};
        end else begin : stand
            always @(posedge clk) if (step) seen <= column;
        end
    endgenerate

    genvar r, c;
    generate
        for (r = 0; r < ROWS; r = r + 1) begin : rows
            for (c = 0; c < COLS; c = c + 1) begin : cols
                assign out_data[(r*COLS+c)*BITS+:BITS] = seen[(c*ROWS+r)*BITS+:BITS];
            end
        end
    endgenerate
endmodule
`default_nettype wire
