// Sequencer of one folded layer. A vector takes WORDS x FOLDS steps: all input words once for every fold.
// `step` addresses the weights, `read_address` the input word; both hold the next step's value the cycle after start.
`default_nettype none
module folded_control #(
    parameter WORDS = 1,         // input words per fold
    parameter FOLDS = 1,         // folds: neurons that one processing element computes one after the other
    parameter STEP_BITS = 1,     // width of step: WORDS * FOLDS - 1 must fit
    parameter SLOTS = 1,         // vectors the input buffer holds
    parameter ADDRESS_BITS = 1,  // width of read_address: SLOTS * WORDS - 1 must fit
    parameter RELEASE = 0        // step from which on the writer may start to fill this vector's slot again
) (
    input  wire clk,
    input  wire rst,
    input  wire start,  // only while ready
    output wire ready,
    output reg  running,
    output reg  [STEP_BITS-1:0] step,
    output reg  [ADDRESS_BITS-1:0] read_address,
    output wire last_word,  // the step that completes a fold
    output wire release_slot
);
    localparam integer LAST_STEP = WORDS * FOLDS - 1;
    localparam integer LAST_WORD = WORDS - 1;
    localparam integer LAST_BASE = (SLOTS - 1) * WORDS;

    reg [ADDRESS_BITS-1:0] base;       // first word of the slot in use
    reg [ADDRESS_BITS-1:0] next_base;  // first word of the slot to use next
    wire last_step = step == LAST_STEP[STEP_BITS-1:0];
    wire [ADDRESS_BITS-1:0] offset = read_address - base;

    assign ready = !running || last_step;
    assign last_word = running && offset == LAST_WORD[ADDRESS_BITS-1:0];
    assign release_slot = running && step == RELEASE[STEP_BITS-1:0];

    always @(posedge clk) begin
        if (start) begin
            running <= 1'b1;
            step <= 0;
            base <= next_base;
            read_address <= next_base;
            next_base <= next_base == LAST_BASE[ADDRESS_BITS-1:0] ? 0 : next_base + WORDS[ADDRESS_BITS-1:0];
        end else if (running) begin
            running <= !last_step;
            step <= step + 1'b1;
            read_address <= last_word ? base : read_address + 1'b1;
        end
        if (rst) begin
            running <= 1'b0;
            next_base <= 0;
        end
    end

`ifdef FORMAL
    // What the sequence is meant to be, counted apart: word by word, fold by fold, slot by slot.
    reg [31:0] word = 0, fold = 0, slot = 0, next_slot = 0;
    always @* assume (!start || ready);
    always @(posedge clk) begin
        if (start) begin
            {word, fold} <= 64'd0;
            slot <= next_slot;
            next_slot <= next_slot == SLOTS - 1 ? 0 : next_slot + 1;
        end else if (running) begin
            word <= word == WORDS - 1 ? 0 : word + 1;
            fold <= word == WORDS - 1 ? fold + 1 : fold;
        end
        if (rst) next_slot <= 0;
    end
    always @* begin
        assert (next_slot < SLOTS && {32'd0, next_base} == next_slot * WORDS);
        if (running) begin
            assert (word < WORDS && fold < FOLDS && slot < SLOTS);
            assert ({32'd0, step} == fold * WORDS + word);
            assert ({32'd0, base} == slot * WORDS && {32'd0, read_address} == slot * WORDS + word);
            assert (last_word == (word == WORDS - 1));
        end else assert (!last_word);
        assert (ready == (!running || (fold == FOLDS - 1 && word == WORDS - 1)));
    end
`endif
endmodule
`default_nettype wire
