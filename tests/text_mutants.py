"""Random edits of Verilog text, and Icarus as the judge of what an edited design computes."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flow.core.design import Design
from flow.core.evaluate import evaluate
from flow.core.fixed import Fixed
from flow.emit.rtl.verilog import Rtl, port_bits

_TOKEN = re.compile(r"//[^\n]*|\d+'[sbdh][0-9a-fA-F]+|\d+|\$?[A-Za-z_]\w*|<=|>=|==|~\||~&|.|\n", re.DOTALL)
_SWAPS = {"+": ["-", "|", "^"], "-": ["+"], "&": ["|", "^"], "|": ["&", "^"], "<": [">", "<="], ">": ["<", ">="],
          "^": ["|"], "~": [""], "(": ["(~"]}  # fmt: skip
_KEPT = set("module input output wire reg assign always posedge begin end endmodule localparam if else clk rst".split())

_PROCESSOR_S = 5  # a run and a compilation take a fraction of a second; a loop may have no end

BENCH = """`timescale 1ns/1ps
module tb;
  reg clk = 0, rst = 1, iv = 0; always #1 clk = ~clk;
  reg [{inputs}-1:0] id = 0, xs[0:{count}-1]; reg [{outputs}-1:0] ys[0:{count}-1];
  wire ov; wire [{outputs}-1:0] od; integer i, bad = 0;
  {top} dut (.clk(clk), .rst(rst), .in_valid(iv), .in_data(id), .out_valid(ov), .out_data(od));
  initial begin
    $readmemb("x.txt", xs); $readmemb("y.txt", ys);
    repeat ({latency} + 3) @(posedge clk);
    #0.1 rst = 0;
    for (i = 0; i < {count} + {latency}; i = i + 1) begin
      iv = i < {count}; id = iv ? xs[i] : ~id;
      @(posedge clk); #0.5;
      if (ov !== (i >= {latency} - 1 && i - {latency} + 1 < {count})) bad = bad + 1;
      else if (ov && od !== ys[i - {latency} + 1]) bad = bad + 1;
    end
    $display("BAD %0d", bad); $finish;
  end
endmodule
"""


def mutant(text: str, rng: random.Random) -> str | None:
    """The text with one token changed: a number, name, operator or sign."""
    tokens = _TOKEN.findall(text)
    names = [t for t in tokens if re.match(r"[A-Za-z_]\w*$", t) and t not in _KEPT and not t.startswith("nmp")]
    for _ in range(100):
        i = rng.randrange(len(tokens))
        new = _changed(tokens[i], names, rng)
        if new is not None and new != tokens[i] and not (i and tokens[i - 1] == "."):
            return "".join([*tokens[:i], new, *tokens[i + 1 :]])
    return None


def _changed(token: str, names: list[str], rng: random.Random) -> str | None:
    constant = re.match(r"(\d+)'([bdh])([0-9a-f]+)$", token)
    if constant:
        base, form = {"b": (2, "b"), "d": (10, "d"), "h": (16, "x")}[constant[2]]
        value = int(constant[3], base) ^ 1 << rng.randrange(max(int(constant[1]), 1))
        return f"{constant[1]}'{constant[2]}{value:{form}}"
    if token.isdigit():
        return str(int(token) + rng.choice([-1, 1]))
    if token in _SWAPS:
        return rng.choice(_SWAPS[token])
    if token in ("signed", "$signed"):
        return ""
    if not re.match(r"[A-Za-z_]\w*$", token) or token in _KEPT or token.startswith("nmp"):
        return None
    kind = rng.random()
    if kind < 0.3:
        return re.sub(r"_q\d+$", "", token) if "_q" in token else f"{token}_q1"
    return f"~{token}" if kind < 0.5 else rng.choice(names)


class Judge:
    """Runs versions of a design's Verilog in Icarus: on every input vector if there are at most ``most``."""

    def __init__(self, design: Design, rtl: Rtl, folder: Path, most: int = 2048) -> None:
        self.folder, rng = folder, np.random.default_rng(0)
        spans = [range(q.low, q.high + 1) for q in design.inputs]
        self.exhaustive = float(np.prod([float(len(s)) for s in spans])) <= most
        inputs = (
            np.array(list(itertools.product(*spans)), np.int64).reshape(-1, len(spans))
            if self.exhaustive
            else np.stack([rng.integers(q.low, q.high + 1, most) for q in design.inputs], axis=1)
        )
        rng.shuffle(inputs)
        index = (Fixed(False, max((len(design.output_formats) - 1).bit_length(), 1), 0),)
        formats = index if design.head == "argmax" else design.output_formats
        (folder / "x.txt").write_text(_packed(inputs, design.input_formats))
        (folder / "y.txt").write_text(_packed(evaluate(design, inputs), formats))
        sizes = {"inputs": port_bits(design.input_formats), "outputs": port_bits(formats), "count": len(inputs)}
        (folder / "tb.v").write_text(BENCH.format(top=rtl.top, latency=rtl.latency_cycles, **sizes))

    def wrong(self, files: Mapping[str, str]) -> int | None:
        """How many cycles were wrong, 1 where the text oscillates for ever; None for text that Icarus refuses."""
        for name, text in files.items():
            (self.folder / name).write_text(text)
        if self._run(["iverilog", "-g2005", "-o", "sim.vvp", "tb.v", *files]).returncode:
            return None
        done = self._run(["vvp", "sim.vvp"])
        if done.returncode < 0:  # a loop of gates that never settles
            return 1
        found = re.search(r"BAD (\d+)", done.stdout)
        return int(found[1]) if found else None

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        limited = ["bash", "-c", f'ulimit -t {_PROCESSOR_S}; exec "$@"', "limited", *command]
        return subprocess.run(limited, cwd=self.folder, capture_output=True, text=True, check=False)


def _packed(rows: np.ndarray, formats: tuple[Fixed, ...]) -> str:
    def word(row: np.ndarray) -> str:
        bits = "".join(
            format(int(v) % (1 << f.bits), f"0{f.bits}b")
            for v, f in reversed(list(zip(row, formats, strict=True)))
            if f.bits
        )
        return bits or "0"

    return "\n".join(word(row) for row in rows)
