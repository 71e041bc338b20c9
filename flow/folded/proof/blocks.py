"""The small modules of the folded architecture against their definitions, by SAT in Yosys.

Each module carries its definition beside it, under ``FORMAL``: exact sums and products of an element level by level,
the sequence of the counters counted apart, the output unit in wide numbers. A module is proved for the parameters with
which a design uses it: whatever its registers hold and whatever comes in, and for counters by induction from a reset.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from flow.folded.proof.layer import Block

_COUNTERS = "-seq 1 -set-at 1 rst 1 -tempinduct -maxsteps 4"
_STEPS = {
    "folded_pe": "-seq 2 -prove-skip 1",  # of the accumulator; everything before it has no memory
    "folded_threshold": "-seq 4 -prove-skip 3",
    "folded_trits": "-seq 1",
    "folded_control": _COUNTERS,
    "folded_buffer": _COUNTERS,
    "folded_slices": _COUNTERS,
}
_NEEDS = {"folded_pe": ("folded_product",)}
_SECONDS = 120  # for one module; those within reach take a few
_PRODUCT_BITS = 14  # of both operands of a multiplier together, beyond which SAT takes minutes and more
_TRIED_BITS = 22  # of both operands, which can all be tried
_VALUE_BITS = 32


def within_reach(block: Block) -> bool:
    """Whether SAT proves a block in seconds."""
    parameters = dict(block.parameters)
    if block.module == "folded_pe" and parameters["KIND"] == 3:
        return parameters["X_BITS"] + parameters["WEIGHT_BITS"] <= _PRODUCT_BITS
    return block.module != "folded_threshold" or parameters["VALUE_BITS"] <= _VALUE_BITS


def product_of(block: Block) -> tuple[int, int] | None:
    """Bits of both operands of a block's multiplier that SAT does not reach and that all values can be tried of."""
    parameters = dict(block.parameters)
    if within_reach(block) or block.module != "folded_pe" or parameters.get("DSP"):
        return None
    operands = parameters["X_BITS"] + (not parameters["X_SIGNED"]), parameters["WEIGHT_BITS"]
    return operands if sum(operands) <= _TRIED_BITS else None


def product_text(operands: tuple[int, int]) -> str:
    """A module ``top`` whose output ``wrong`` tells that ``folded_product`` is not the product of these operands."""
    x, w = operands
    return f"""module top (input signed [{x - 1}:0] x, input signed [{w - 1}:0] w, output wrong);
    wire signed [{x + w - 1}:0] y;
    folded_product #(.X_BITS({x}), .WEIGHT_BITS({w})) product (.x(x), .w(w), .y(y));
    assign wrong = y != x * w;
endmodule
"""


def proof_script(blocks: Sequence[Block], folder: str) -> str:
    """The Yosys commands that prove every block, from the sources in ``folder``; the first that fails ends them."""
    lines = []
    for number, block in enumerate(blocks):
        sources = " ".join(f"{folder}/{name}.v" for name in (*_NEEDS.get(block.module, ()), block.module))
        parameters = " ".join(f"-chparam {name} {value}" for name, value in block.parameters)
        lines += [
            f"log {_marker(number)}",
            f"read_verilog -formal -DFORMAL{'' if within_reach(block) else ' -DPRODUCT_PROVED'} {sources}",
            f"hierarchy -top {block.module} {parameters}",
            "proc -norom",
            "flatten",
            "chformal -lower",
            "opt -fast",
            f"sat -prove-asserts -set-assumes -timeout {_SECONDS} -verify {_STEPS[block.module]}",
            "design -reset",
        ]
    return "\n".join(lines) + "\n"


def refuted(blocks: Sequence[Block], log: str) -> Block | None:
    """The block that the log of a script which did not succeed refutes; None where something else went wrong."""
    reached = [n for n in range(len(blocks)) if _marker(n) in log]
    if not reached or not re.search(r"proof did fail|model found: FAIL|Proof FAILED", log):
        return None
    return blocks[reached[-1]]


def _marker(number: int) -> str:
    return f"proof of block {number} begins"
