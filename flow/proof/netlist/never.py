"""Whether a bit that a piece of combinational Verilog computes is ever true."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flow.core.errors import ReportError
from flow.proof.netlist.aig import Aig
from flow.proof.netlist.decide import Decider
from flow.proof.netlist.prove import CPU_S, read_text
from flow.proof.netlist.side import Side
from flow.proof.netlist.words import WORDS


def never(sources: Sequence[str], top: str, output: str, work: Path, cpu_s: float = CPU_S) -> bool | None:
    """Whether ``output`` of ``top`` is 0 for all inputs; None where that was not decided.

    ``sources`` are relative to ``work``, which gets the files of the tools. Raises ReportError for Verilog of which
    the bit is no function of the inputs.
    """
    module, graph = read_text(sources, top, work), Aig()
    side = Side(graph, module, WORDS, graph.undefined)
    for port in module["ports"].values():
        if port["direction"] == "input":
            for bit in port["bits"]:
                side.seed(bit, graph.variable())
    (literal,) = side.word(module["ports"][output]["bits"])
    if side.loose or graph.free:
        raise ReportError(f"module {top}: {output} is no function of its inputs")
    return Decider(graph, work / "abc", cpu_s).false([literal])[0]
