// Keeps results until the stream takes them. A vector may enter the core only while a place for its result is free
// (`space`), so a result never waits for a place and is never dropped, however long the stream stalls.
// The mark that a vector ends its packet is kept when the vector has entered and read with its result.
`default_nettype none
module axis_results #(
    parameter BITS = 1,
    parameter ADDRESS_BITS = 1,
    parameter PARTS = 1  // beats in which a vector enters the core
) (
    input  wire clk,
    input  wire rst,
    output wire space,
    input  wire enter,       // a vector begins to enter the core
    input  wire whole,       // a vector has entered with this beat, the same one where it takes one beat
    input  wire whole_last,  // it ends its packet
    input  wire push,        // the oldest vector inside the core leaves it as `data`
    input  wire [BITS-1:0] data,
    output wire result_valid,
    input  wire result_ready,
    output wire [BITS-1:0] result,
    output wire result_last,
    output wire idle,   // nothing is in the core and no result waits
    output reg  stray   // a result came for which no vector had entered
);
    localparam integer PLACES = 1 << ADDRESS_BITS;

    (* ram_style = "distributed" *) reg [BITS-1:0] results [0:PLACES-1];
    (* ram_style = "distributed" *) reg [0:0] lasts [0:PLACES-1];
    reg [ADDRESS_BITS:0] entered, finished, taken;  // one bit more than an address: full differs from empty

    wire expected = finished != entered;
    assign space = (entered ^ taken) != {1'b1, {ADDRESS_BITS{1'b0}}};
    assign idle = entered == taken;
    assign result = results[taken[ADDRESS_BITS-1:0]];
    assign result_last = lasts[taken[ADDRESS_BITS-1:0]];

    always @(posedge clk) begin
        if (push) results[finished[ADDRESS_BITS-1:0]] <= data;
        stray <= !rst && push && !expected;
        if (rst) begin
            entered <= 0;
            finished <= 0;
            taken <= 0;
        end else begin
            if (enter) entered <= entered + 1'b1;
            if (push && expected) finished <= finished + 1'b1;
            if (result_valid && result_ready) taken <= taken + 1'b1;
        end
    end

    generate
        if (PARTS > 1) begin : in_parts  // a result may be there before its vector's last part, and the mark, have come
            reg [ADDRESS_BITS:0] marked;
            always @(posedge clk) begin
                if (whole) lasts[marked[ADDRESS_BITS-1:0]] <= whole_last;
                if (rst) marked <= 0;
                else if (whole) marked <= marked + 1'b1;
            end
            assign result_valid = finished != taken && marked != taken;
        end else begin : at_once
            always @(posedge clk) if (whole) lasts[entered[ADDRESS_BITS-1:0]] <= whole_last;
            assign result_valid = finished != taken;
        end
    endgenerate
endmodule
`default_nettype wire
