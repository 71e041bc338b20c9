"""Hand-written hardware whose faults wait: for a long pause, stall or run, or for a reset at one moment.

Two input elements beside the numbers say which fault is at work and at what length, so that one model serves all cases.
"""

from pathlib import Path

import numpy as np
import sim_models as models

from flow.bench.description import Bench, Element

# A vector is marked when it is accepted, and its result is then wrong. `now` is the fault of the vector on the port.
COUNTERS = """
  wire [4:0] now = in_data[13:9];
  wire [16:0] limit = in_data[30:14];
  reg [4:0] fault = 0;
  reg [16:0] bound = 0, idle, age, taken, asserted = 0, reset_age, reset_idle;
  reg fresh, was_rst = 0;
  always @(posedge clk) begin
    was_rst <= rst;
    if (accept) begin fault <= now; bound <= limit; end
    idle <= rst || accept ? 0 : idle + 1;
    age <= accept ? 0 : age + 1;
    taken <= rst ? 0 : taken + accept;
    fresh <= rst || (fresh && !accept);
    if (rst) asserted <= was_rst ? asserted + 1 : 1;
    if (rst && !was_rst) begin reset_age <= age; reset_idle <= idle; end
  end
  wire mark = (now == 1 && !fresh && idle >= limit) || (now == 2 && !fresh && idle == limit)
    || (now == 3 && taken == limit) || (now == 4 && taken >= limit) || (now == 5 && fresh && asserted == limit)
    || (now == 6 && fresh && reset_age == limit) || (now == 7 && fresh && reset_idle >= limit)
    || (now == 8 && fresh && idle == limit) || (now == 10 && stalled == limit);
  wire late = now == 11 && !fresh && idle >= limit;
"""
PIPELINE = """
module patient_pipeline (input wire clk, input wire rst, input wire in_valid, input wire [30:0] in_data,
                         output wire out_valid, output wire [16:0] out_data);
  wire accept = in_valid && !rst;
  wire [16:0] stalled = 0;
  reg [3:0] v, m, w;
  reg [8:0] x0, x1, x2, x3;
  always @(posedge clk) begin
    v <= rst ? 4'd0 : {v[2:0], in_valid};
    m <= {m[2:0], mark};
    w <= {w[2:0], late};
    {x3, x2, x1, x0} <= {x2, x1, x0, in_data[8:0]};
  end
  assign out_valid = (v[2] && !w[2]) || (v[3] && w[3]);
  wire [8:0] x = w[3] ? x3 : x2;
  wire flip = m[2];
"""
HANDSHAKE = """
module patient_handshake (input wire clk, input wire rst, input wire in_valid, input wire [30:0] in_data,
                          output wire in_ready, output wire out_valid, output wire [16:0] out_data,
                          input wire out_ready);
  reg [2:0] state;
  reg [8:0] x;
  reg m, w;
  reg [16:0] held, stalled;
  wire accept = in_valid && in_ready && !rst;
  wire lost = fault == 12 && held >= bound;
  assign out_valid = state == 4 && !lost;
  assign in_ready = state == 0 || (out_valid && out_ready);
  always @(posedge clk) begin
    held <= rst || !out_valid || out_ready ? 0 : held + 1;
    if (rst) stalled <= 0;
    else if (out_valid && out_ready) stalled <= held;
    if (rst) state <= 0;
    else if (accept) begin state <= late ? 1 : 2; x <= in_data[8:0]; m <= mark; end
    else if (state == 4) state <= out_ready || lost ? 0 : 4;
    else if (state != 0) state <= state + 1;
  end
  wire flip = m || (fault == 9 && held >= bound);
"""
ARITHMETIC = """
  wire signed [3:0] a = x[3:0];
  wire [4:0] b = x[8:4];
  wire signed [6:0] s = a + $signed({1'b0, b});
  wire signed [4:0] d = a - 5'sd1;
  assign out_data = {b, d, s ^ {6'd0, flip}};
endmodule
"""
AT_LEAST_IDLE, EXACTLY_IDLE, EXACTLY_TAKEN, AT_LEAST_TAKEN, RESET_LENGTH, RESET_MOMENT, RESET_AFTER_IDLE = range(1, 8)
IDLE_AFTER_RESET, CHANGES_WHILE_HELD, AFTER_A_STALL, LATE_AFTER_IDLE, LOST_WHILE_HELD = range(8, 13)


def write(folder: Path, ready: bool) -> Bench:
    """Write one of the modules, and describe it."""
    name, text = ("patient_handshake", HANDSHAKE) if ready else ("patient_pipeline", PIPELINE)
    (folder / f"{name}.v").write_text(text + COUNTERS + ARITHMETIC)
    inputs = (*models.INPUTS, Element(5, False, "fault"), Element(17, False, "length"))
    return Bench(name, (f"{name}.v",), inputs, models.OUTPUTS, 3, 3 if ready else 1, ready)


def vectors(fault: int, length: int, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Inputs with the fault at work, and what hardware without it makes of them."""
    inputs, expected = models.vectors(count)
    return np.concatenate([inputs, np.tile([fault, length], (count, 1))], axis=1), expected
