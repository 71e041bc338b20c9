"""Whether a mutant is no fault at all: the same hardware for every sequence of inputs, or the same program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flow.bench.bus_layout import Layout
from flow.bench.description import Bench, Element
from flow.core.design import Design
from flow.core.errors import ToolFailed
from flow.files import plan
from flow.tools import process, yosys
from flow.tools.hls_compile import FLAGS

_PROVER_S = 20
# The outputs that count, and the output that says when: the others may be anything meanwhile.
_CORE = {"out_valid": "", "out_data": "out_valid", "in_ready": ""}
_AXIS = {
    "s_axis_tready": "", "m_axis_tvalid": "", "m_axis_tdata": "m_axis_tvalid", "m_axis_tkeep": "m_axis_tvalid",
    "m_axis_tlast": "m_axis_tvalid", "s_axi_awready": "", "s_axi_wready": "", "s_axi_bvalid": "",
    "s_axi_bresp": "s_axi_bvalid", "s_axi_arready": "", "s_axi_rvalid": "", "s_axi_rdata": "s_axi_rvalid",
    "s_axi_rresp": "s_axi_rvalid",
}  # fmt: skip


@dataclass(frozen=True)
class Ports:
    """A top module as a pair of them is compared: its input and output ports with their bits, clock and reset."""

    top: str
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    when: Mapping[str, str]
    clock: str = "clk"
    reset: str = "rst"
    legal: tuple[tuple[Element, int, int], ...] = ()  # elements of in_data and their ranges

    @property
    def pair(self) -> str:
        """The module that holds both and says in ``bad`` that they differ, from the first reset on."""
        ports = [f"input [{bits - 1}:0] {name}" for name, bits in self.inputs.items()]
        held = f"{self.reset} & begun" if self.reset == "aresetn" else f"{self.reset} | ~begun"
        lines = [f"module pair ({', '.join(ports)}, output bad);", "reg begun = 0;"]
        lines += [f"always @(posedge {self.clock}) begun <= 1;", f"wire held = {held};", *self._legal()]
        given = {**{n: n for n in self.inputs}, self.reset: "held", **({"in_data": "data"} if self.legal else {})}
        for side in ("first", "second"):
            lines += [f"wire [{bits - 1}:0] {side}_{name};" for name, bits in self.outputs.items()]
            joined = [f".{n}({e})" for n, e in given.items()] + [f".{n}({side}_{n})" for n in self.outputs]
            lines.append(f"{side} u_{side} ({', '.join(joined)});")
        wrong = [
            f"({f'first_{self.when[n]} & ' if self.when[n] else ''}(first_{n} != second_{n}))" for n in self.outputs
        ]
        return "\n".join([*lines, f"assign bad = begun & ({' | '.join(wrong)});", "endmodule", ""])

    def _legal(self) -> list[str]:
        """``data`` is ``in_data`` with every element that is outside its range put to the range's low end."""
        lines, pieces, place = [], [], 0
        for number, (element, low, high) in enumerate(self.legal):
            if element.bits:
                kind = f"wire {'signed ' if element.signed else ''}[{element.bits - 1}:0]"
                lines.append(f"{kind} e{number} = in_data[{place}+:{element.bits}];")
                lines.append(f"{kind} l{number} = e{number} < {low} || e{number} > {high} ? {low} : e{number};")
                pieces.insert(0, f"l{number}")
                place += element.bits
        return [*lines, f"wire [{max(place, 1) - 1}:0] data = {{{', '.join(pieces) or '1b0'}}};"] if lines else []


def core_ports(bench: Bench, design: Design) -> Ports:
    """The ports of a core."""
    inputs = {"clk": 1, "rst": 1, "in_valid": 1, "in_data": max(bench.in_bits, 1)}
    outputs = {"out_valid": 1, "out_data": max(bench.out_bits, 1)}
    if bench.ready:
        inputs["out_ready"], outputs["in_ready"] = 1, 1
    legal = tuple((e, q.low, q.high) for e, q in zip(bench.inputs, design.inputs, strict=True))
    return Ports(bench.top, inputs, outputs, _CORE, legal=legal)


def axis_ports(top: str, layout: Layout) -> Ports:
    """The ports of a stream shell."""
    bus = layout.bus_bits
    inputs = {
        "aclk": 1, "aresetn": 1, "s_axis_tdata": bus, "s_axis_tkeep": bus // 8, "s_axis_tvalid": 1, "s_axis_tlast": 1,
        "m_axis_tready": 1, "s_axi_awaddr": 12, "s_axi_awprot": 3, "s_axi_awvalid": 1, "s_axi_wdata": 32,
        "s_axi_wstrb": 4, "s_axi_wvalid": 1, "s_axi_bready": 1, "s_axi_araddr": 12, "s_axi_arprot": 3,
        "s_axi_arvalid": 1, "s_axi_rready": 1,
    }  # fmt: skip
    wide = {"m_axis_tdata": bus, "m_axis_tkeep": bus // 8, "s_axi_bresp": 2, "s_axi_rresp": 2, "s_axi_rdata": 32}
    return Ports(top, inputs, {n: wide.get(n, 1) for n in _AXIS}, _AXIS, "aclk", "aresetn")


def same_hardware(ports: Ports, first: Mapping[str, str], second: Mapping[str, str], work: Path, *, synthesis: bool,
                  timeout_s: int = _PROVER_S) -> bool:  # fmt: skip
    """Whether two sets of Verilog files give the same outputs from a reset on, whatever comes in.

    ABC decides on the gates of both, registers 0 at first; False also where it cannot in its time. With ``synthesis``
    the files are read as a synthesizer does, otherwise as a simulator does.
    """
    plan.fresh_folder(work)
    files = {"pair.v": ports.pair, "cells.v": _cells("".join([*first.values(), *second.values()]))}
    files |= {f"{side}/{n}": t for side, texts in (("first", first), ("second", second)) for n, t in texts.items()}
    plan.write(files, work)
    lines = []
    for side, texts in (("first", first), ("second", second)):
        lines += [f"read_verilog {'' if synthesis else '-nosynthesis '}{side}/{name}" for name in texts]
        lines += ["read_verilog cells.v"] if synthesis else []
        lines += [f"hierarchy -top {ports.top}", "proc", "flatten", "opt_clean", f"rename {ports.top} {side}"]
        lines += [f"design -stash {side}"]
    lines += ["design -copy-from first -as first first", "design -copy-from second -as second second"]
    lines += [
        "read_verilog pair.v", "hierarchy -check -top pair", "proc", "flatten", "opt -full", "memory_map", "opt -full",
        "techmap", "setundef -zero -init", "dfflegalize -cell $_DFF_P_ 0", "techmap", "aigmap", "opt_clean -purge",
        "write_aiger -zinit pair.aig",
    ]  # fmt: skip
    prove = f"read pair.aig; print_stats; scorr -F 2; print_stats; dc2; dprove -T {timeout_s}; print_status"
    try:
        yosys.run_script(work, "\n".join(lines) + "\n", "pair", 300.0)
        prover = str(yosys.package_folder() / "yosys-abc")
        process.run([prover, "-c", prove], work, work / "abc.log", timeout_s + 120)
    except ToolFailed:
        return False
    return "Status = 1" in (work / "abc.log").read_text()


def _cells(text: str) -> str:
    """The models of the library's cells that a text names."""
    models = re.finditer(r"^module (\w+)\b.*?^endmodule\n", yosys.cell_library().read_text(), flags=re.M | re.S)
    return "".join(m[0] for m in models if re.search(rf"\b{m[1]}\b", text))


def same_program(first: Path, second: Path, top: str) -> bool:
    """Whether two HLS projects become the same object code, their test benches included."""
    return _object(first, top) == _object(second, top)


def _object(project: Path, top: str) -> bytes:
    compiler = process.find("g++", "NMP_CXX", "install it")
    found = b""
    for source in (f"firmware/{top}.cpp", f"{top}_test.cpp"):
        process.run([compiler, *FLAGS, "-c", source, "-o", "csim/one.o"], project, project / "csim" / "one.log", 300.0)
        found += (project / "csim" / "one.o").read_bytes()
    return found
