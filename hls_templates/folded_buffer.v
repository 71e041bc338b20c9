// Buffer between two layers: SLOTS vectors of DEPTH words, a word being one element from each of BANKS memories.
// Elements arrive one by one and fill the banks in turn; `close` ends a vector. Elements that never arrive stay 0.
`default_nettype none
module folded_buffer #(
    parameter BITS = 1,
    parameter BANKS = 1,
    parameter DEPTH = 1,
    parameter SLOTS = 2,
    parameter ADDRESS_BITS = 1
) (
    input  wire clk,
    input  wire rst,
    input  wire write,
    input  wire [BITS-1:0] data,
    input  wire close,
    input  wire [ADDRESS_BITS-1:0] read_address,
    output wire [BANKS*BITS-1:0] word
);
    localparam integer LAST_BASE = (SLOTS - 1) * DEPTH;

    reg [ADDRESS_BITS-1:0] base;     // first word of the slot being filled
    reg [ADDRESS_BITS-1:0] address;  // word being filled
    reg [BANKS-1:0] bank;            // one-hot: the bank that takes the next element
    wire [ADDRESS_BITS-1:0] next_base = base == LAST_BASE[ADDRESS_BITS-1:0] ? 0 : base + DEPTH[ADDRESS_BITS-1:0];
    wire [2*BANKS-1:0] turned = {bank, bank} << 1;
    wire unused = &{1'b0, turned[BANKS-1:0]};

    always @(posedge clk) begin
        if (rst || close) begin
            base <= rst ? 0 : next_base;
            address <= rst ? 0 : next_base;
            bank <= 1;
        end else if (write) begin
            bank <= turned[2*BANKS-1:BANKS];
            if (bank[BANKS-1]) address <= address + 1'b1;
        end
    end

    genvar b;
    generate
        for (b = 0; b < BANKS; b = b + 1) begin : banks
            (* ram_style = "distributed" *) reg [BITS-1:0] memory [0:SLOTS*DEPTH-1];
            integer i;
            initial for (i = 0; i < SLOTS * DEPTH; i = i + 1) memory[i] = 0;
            always @(posedge clk) if (write && bank[b]) memory[address] <= data;
`ifndef FORMAL
            assign word[b*BITS+:BITS] = memory[read_address];
`endif
        end
    endgenerate

`ifdef FORMAL
    // Element n of a vector goes to bank n % BANKS, word n / BANKS, of the slot whose turn it is.
    reg [31:0] number, bank_number, word_number, slot;
    always @* assume (!write || number < BANKS * DEPTH);
    always @(posedge clk) begin
        if (rst || close) begin
            {number, bank_number, word_number} <= 96'd0;
            slot <= rst || slot == SLOTS - 1 ? 0 : slot + 1;
        end else if (write) begin
            number <= number + 1;
            bank_number <= bank_number == BANKS - 1 ? 0 : bank_number + 1;
            word_number <= bank_number == BANKS - 1 ? word_number + 1 : word_number;
        end
    end
    always @* begin
        assert (slot < SLOTS && bank_number < BANKS && number == word_number * BANKS + bank_number);
        assert ({32'd0, base} == slot * DEPTH && bank == 1 << bank_number);
        if (number < BANKS * DEPTH) assert ({32'd0, address} == slot * DEPTH + word_number);
    end
`endif
endmodule
`default_nettype wire
