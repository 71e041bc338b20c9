"""Reads a synthesized Xilinx netlist (Yosys JSON): resources, with the timing estimate of ``flow.netlist.sta``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.core.errors import ReportError
from flow.core.untrusted import MAX_OWN_JSON, read_json, refused
from flow.netlist.slices import placed_luts
from flow.netlist.sta import TimingPath, longest_path
from flow.parts.family import XC7, Delays

_LUTS_OF_MEMORY = {
    "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1, "RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2,
    "RAM128X1S": 2, "RAM128X1D": 4, "RAM256X1S": 4, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Resources:
    """What a netlist occupies. ``lut`` counts 6-input LUT sites, memories and shift registers in LUTs included.

    ``lut_placed`` is what remains of that in slices (``flow.netlist.slices``), an estimate; ``carry4`` counts carry
    chains in units of four bits.
    """

    lut: int
    lut_placed: int
    lut_as_memory: int
    ff: int
    dsp: int
    bram18: int
    carry4: int
    inverters: int


@dataclass(frozen=True)
class Netlist:
    """Resources and timing of one synthesized top module."""

    resources: Resources
    longest_path: TimingPath


def read_netlist(path: Path, top: str, delays: Delays = XC7.routed) -> Netlist:
    """Read ``netlist.json``. Raises ReportError where it is not a Yosys netlist holding ``top``."""
    with netlist_module(path, top) as module:
        cells = {name: cell for name, cell in module["cells"].items() if cell["type"] != "$scopeinfo"}
        return Netlist(_resources(cells), longest_path(cells, module["netnames"], delays))


@contextmanager
def netlist_module(path: Path, top: str) -> Iterator[dict[str, Any]]:
    """The module ``top`` of a Yosys netlist. Raises ReportError where it cannot be read or, inside, taken apart."""
    with refused(ReportError, f"{path}: not a netlist of {top}", "synthesize again"):
        yield read_json(path, MAX_OWN_JSON)["modules"][top]


def lut_sites(kind: str) -> int:
    """6-input LUT sites a cell of this type takes, 0 for what is no LUT."""
    return 1 if re.fullmatch(r"LUT[1-6]|LUT6_2", kind) else _LUTS_OF_MEMORY.get(kind, 0)


def _resources(cells: dict[str, Any]) -> Resources:
    count: Counter[str] = Counter(cell["type"] for cell in cells.values())
    logic = sum(n for kind, n in count.items() if re.fullmatch(r"LUT[1-6]|LUT6_2", kind))
    memory = sum(_LUTS_OF_MEMORY.get(kind, 0) * n for kind, n in count.items())
    unknown = [k for k in count if k.startswith("RAM") and k not in _LUTS_OF_MEMORY and not k.startswith("RAMB")]
    if unknown:
        raise ReportError(f"unknown memory primitive {unknown[0]} in the netlist")
    return Resources(
        lut=logic + memory,
        lut_placed=placed_luts(cells, logic + memory),
        lut_as_memory=memory,
        ff=sum(n for kind, n in count.items() if re.fullmatch(r"FD[RSCP]E(_1)?|LD[CP]E", kind)),
        dsp=sum(n for kind, n in count.items() if kind.startswith("DSP48")),
        bram18=sum(n * (2 if "36" in kind else 1) for kind, n in count.items() if kind.startswith("RAMB")),
        carry4=count["CARRY4"] + 2 * count["CARRY8"],
        inverters=count["INV"],
    )
