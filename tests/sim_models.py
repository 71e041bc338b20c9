"""Small hand-written hardware for the tests of the benches: one pipelined module, one with handshakes."""

from pathlib import Path

import numpy as np

from flow.bench.description import Bench, Element

INPUTS = (Element(4, True, "input 0"), Element(0, False, "input 1"), Element(5, False, "input 2"))
OUTPUTS = (
    Element(7, True, "layer last, neuron 0"),
    Element(5, True, "layer last, neuron 1"),
    Element(0, False, "layer last, neuron 2"),
    Element(5, False, "layer last, neuron 3"),
)

PIPELINE = """
module pipeline (input wire clk, input wire rst, input wire in_valid, input wire [8:0] in_data,
                 output wire out_valid, output wire [16:0] out_data);
  wire signed [3:0] a = in_data[3:0];
  wire [4:0] b = in_data[8:4];
  reg [2:0] v;
  reg signed [6:0] s0, s1, s2;
  reg signed [4:0] d0, d1, d2;
  reg [4:0] b0, b1, b2;
  reg ran = 0, dead = 0;
  reg [4:0] count = 0;
  always @(posedge clk) begin
    v <= rst ? 3'd0 : {v[1:0], in_valid};
    s0 <= a + $signed({1'b0, b}); s1 <= s0; s2 <= s1;
    d0 <= a - 5'sd1; d1 <= d0; d2 <= d1;
    b0 <= b; b1 <= b0; b2 <= b1;
    if (v[2]) ran <= 1;
    if (rst && ran) dead <= 1;
    count <= rst ? 5'd0 : count + v[1];
  end
  assign out_valid = v[2];
  assign out_data = {b2, d2, s2};
endmodule
"""

HANDSHAKE = """
module handshake (input wire clk, input wire rst, input wire in_valid, input wire [8:0] in_data, output wire in_ready,
                  output wire out_valid, output wire [16:0] out_data, input wire out_ready);
  reg [1:0] state = 0;
  reg [8:0] x;
  wire signed [3:0] a = x[3:0];
  wire [4:0] b = x[8:4];
  assign out_valid = state == 3;
  assign in_ready = state == 0 || (out_valid && out_ready);
  always @(posedge clk) begin
    if (rst) state <= 0;
    else if (in_valid && in_ready) begin state <= 1; x <= in_data; end
    else if (out_valid) state <= out_ready ? 0 : 3;
    else if (state != 0) state <= state + 1;
  end
  wire signed [6:0] s = a + $signed({1'b0, b});
  wire signed [4:0] d = a - 5'sd1;
  assign out_data = {b, d, s};
endmodule
"""


def vectors(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and golden outputs of both modules."""
    rng = np.random.default_rng(seed)
    a, b, none = rng.integers(-8, 8, count), rng.integers(0, 32, count), np.zeros(count, np.int64)
    return np.stack([a, none, b], axis=1), np.stack([a + b, a - 1, none, b], axis=1)


def write(folder: Path, text: str, *changes: tuple[str, str], latency: int = 3, interval: int = 1) -> Bench:
    """Write the module with ``changes`` applied, and describe it."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    ready = "in_ready" in text
    name = "handshake" if ready else "pipeline"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.v").write_text(text)
    return Bench(name, (f"{name}.v",), INPUTS, OUTPUTS, latency, interval, ready)
