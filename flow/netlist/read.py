"""Reads a synthesized Xilinx netlist (Yosys JSON): resources, with the timing estimate of ``flow.netlist.sta``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.core.errors import ReportError
from flow.core.untrusted import MAX_OWN_JSON, read_json, refused
from flow.netlist.slices import Sites, expected_sites, is_lut, luts_of_memory
from flow.netlist.sta import TimingPath, longest_path
from flow.parts.family import XC7, Delays


@dataclass(frozen=True)
class Resources:
    """What a netlist occupies. ``lut`` counts expected 6-input LUT sites (``flow.netlist.slices``), ``lut_cells`` the
    cells that lie in them, ``lut_paired`` the sites if a packer pairs whatever may share one.

    All three include memories and shift registers in LUTs, ``lut_as_memory``. ``carry4`` counts carry chains in units
    of four bits.
    """

    lut: int
    lut_cells: int
    lut_paired: int
    lut_as_memory: int
    ff: int
    dsp: int
    bram18: int
    carry4: int
    inverters: int


@dataclass(frozen=True)
class Netlist:
    """Resources and timing of one synthesized top module; ``sites`` are the expected LUT sites by cell."""

    resources: Resources
    longest_path: TimingPath
    sites: Mapping[str, int]


def read_netlist(path: Path, top: str, delays: Delays = XC7.routed) -> Netlist:
    """Read ``netlist.json``. Raises ReportError where it is not a Yosys netlist holding ``top``."""
    with netlist_module(path, top) as module:
        return measured(module, delays)


def measured(module: dict[str, Any], delays: Delays = XC7.routed) -> Netlist:
    """What a module of a netlist takes."""
    cells = {name: cell for name, cell in module["cells"].items() if cell["type"] != "$scopeinfo"}
    sites = expected_sites(module)
    return Netlist(_resources(module, sites), longest_path(cells, module["netnames"], delays), sites.by_cell)


@contextmanager
def netlist_module(path: Path, top: str) -> Iterator[dict[str, Any]]:
    """The module ``top`` of a Yosys netlist. Raises ReportError where it cannot be read or, inside, taken apart."""
    with refused(ReportError, f"{path}: not a netlist of {top}", "synthesize again"):
        yield read_json(path, MAX_OWN_JSON)["modules"][top]


def _resources(module: dict[str, Any], sites: Sites) -> Resources:
    count: Counter[str] = Counter(cell["type"] for cell in module["cells"].values())
    logic = sum(n for kind, n in count.items() if is_lut(kind) and kind != "INV")
    memory = sum(luts_of_memory(kind) * n for kind, n in count.items())
    unknown = [k for k in count if k.startswith("RAM") and not luts_of_memory(k) and not k.startswith("RAMB")]
    if unknown:
        raise ReportError(f"unknown memory primitive {unknown[0]} in the netlist")
    return Resources(
        lut=sites.total,
        lut_cells=logic + memory,
        lut_paired=sites.paired,
        lut_as_memory=memory,
        ff=sum(n for kind, n in count.items() if re.fullmatch(r"FD[RSCP]E(_1)?|LD[CP]E", kind)),
        dsp=sum(n for kind, n in count.items() if kind.startswith("DSP48")),
        bram18=sum(n * (2 if "36" in kind else 1) for kind, n in count.items() if kind.startswith("RAMB")),
        carry4=count["CARRY4"] + 2 * count["CARRY8"],
        inverters=count["INV"],
    )
