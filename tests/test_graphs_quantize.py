"""Every quantizer the Verilog can state, on every value of its source: one simulation of 600 small ones."""

from __future__ import annotations

import random
import subprocess

import numpy as np

from flow.core.fixed import bits_for
from flow.emit.rtl.expressions import Value, quantize_lines
from flow.parallel.graph import Node, Term, quantize
from flow.tools import icarus

COUNT = 600


def some_quantizer(rng: random.Random) -> tuple[Node, int, int]:
    """A quantize node with any limits that its values reach, and its source's range."""
    low = rng.randint(-40, 30)
    high = low + rng.randint(1, 70)
    drop, half_even = rng.randint(-2, 5), rng.random() < 0.3
    free = Node("quantize", -(10**6), 10**6, (Term(0, 0),), drop=drop, half_even=half_even)
    reached = quantize(free, np.arange(low, high + 1))
    first, last = int(reached.min()), int(reached.max())
    limits = sorted((rng.randint(first, last), rng.randint(first, last)))
    limits[0] = first if rng.random() < 0.3 else limits[0]
    limits[1] = last if rng.random() < 0.3 else limits[1]
    return Node("quantize", *limits, (Term(0, 0),), drop=drop, half_even=half_even), low, high


def test_every_value_of_many_quantizers(tmp_path):
    rng = random.Random(7)
    lines, expected = ["module bench;"], []
    for index in range(COUNT):
        node, low, high = some_quantizer(rng)
        if node.low == node.high:
            continue  # a constant, which is not emitted this way
        signed, bits = bits_for(low, high)
        lines += [
            f"reg [{bits - 1}:0] x{index};",
            *quantize_lines(node, f"q{index}", Value(f"x{index}", bits, signed), low, high),
        ]
        lines += ["initial begin"]
        for value in range(low, high + 1):
            lines.append(f'x{index} = {bits}\'d{value % (1 << bits)}; #1 $display("{index} {value} %0d", q{index});')
            result = int(quantize(node, np.array([value]))[0])
            expected.append(f"{index} {value} {result % (1 << node.bits)}")
        lines.append("end")
    source = tmp_path / "bench.v"
    source.write_text("\n".join([*lines, "endmodule\n"]))
    compiler, runner = icarus.find()
    subprocess.run([compiler, "-g2005", "-Wall", "-o", tmp_path / "bench", source], check=True)
    told = subprocess.run([runner, tmp_path / "bench"], check=True, capture_output=True, text=True).stdout.split("\n")
    wrong = sorted(set(expected) - set(told))
    assert len(expected) > 10_000 and not wrong, wrong[:5]
