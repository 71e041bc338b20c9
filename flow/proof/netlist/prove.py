"""Proves that a synthesized netlist does what its Verilog text says: from register to register, cone by cone.

The text is read by Yosys as simulators read it, with the plain sum of ``nmp_row.v`` and no optimisation; the netlist
with the primitives' models. Proved is: from the first clock edge on, for whatever comes in, the netlist's outputs are
those of the text for some content of the registers at power-up. A flip-flop of the netlist whose INIT is left open is
taken to start as 0, as the device starts it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.core.errors import ReportError
from flow.netlist.read import netlist_module
from flow.proof.netlist.side import Bit
from flow.proof.netlist.verdicts import Comparison, Found
from flow.tools import yosys

Module = Mapping[str, Any]  # a flat module of Yosys' JSON

CPU_S = 12.0  # of each stage of the solver's work
_YOSYS_S = 1800.0
_ROUNDS = 4  # in which registers are related that have no name in the netlist


@dataclass(frozen=True)
class NetlistProof:
    """Of ``cones``, each with the text's names for it, all but the refuted and undecided are proved equal.

    A register's cone is proved for every value of the registers and inputs that it depends on; the netlist as a whole
    is proved where every cone is.
    """

    cones: tuple[tuple[str, ...], ...]
    refuted: tuple[Found, ...]
    undecided: tuple[Found, ...]
    seconds: float

    @property
    def proved(self) -> int:
        """How many cones are proved."""
        return len(self.cones) - len(self.refuted) - len(self.undecided)


def prove_netlist(sources: Sequence[str], top: str, netlist: Path, work: Path, cpu_s: float = CPU_S) -> NetlistProof:
    """Compare ``netlist``, Yosys' JSON or Verilog, with the Verilog ``sources``, which are relative to ``work``.

    ``work`` gets the files of the tools. Raises ToolFailed where a tool fails, ReportError where the netlist cannot be
    read.
    """
    return compare(read_text(sources, top, work), read_gates(netlist, top, work), work, cpu_s)


def read_text(sources: Sequence[str], top: str, work: Path) -> Module:
    """The Verilog ``sources`` as one flat module of Yosys' word-level cells, read as simulators do, not optimised."""
    lines = [f"read_verilog -defer -nosynthesis {source}" for source in sources]
    lines += [f"hierarchy -check -top {top}", "proc -norom", "memory_collect", "flatten -noscopeinfo", "opt_clean"]
    yosys.run_script(work, "\n".join([*lines, "write_json text.json"]) + "\n", "text", _YOSYS_S)
    return _module(work / "text.json", top)


def read_gates(netlist: Path, top: str, work: Path) -> Module:
    """A netlist as a flat module of primitives, from Yosys' JSON or Verilog."""
    if netlist.suffix == ".json":
        return _module(netlist, top)
    library = "read_verilog -lib +/xilinx/cells_sim.v"  # the primitives' ports alone
    lines = [library, f"read_verilog {os.path.relpath(netlist, work)}", f"hierarchy -top {top}", f"select {top}"]
    yosys.run_script(work, "\n".join([*lines, "write_json -selected gates.json"]) + "\n", "gates", _YOSYS_S)
    return _module(work / "gates.json", top)


def compare(text: Module, gates: Module, work: Path, cpu_s: float = CPU_S) -> NetlistProof:
    """Compare two modules that were read; ABC's files go to ``work``."""
    start = time.monotonic()
    _same_ports(text, gates)
    comparison, refused = Comparison(text, gates, work / "abc", cpu_s), set[Bit]()
    for _ in range(_ROUNDS):
        cones, found = comparison.run(refused)
        failed = {guess for i in found if (guess := cones[i].guess) is not None}
        if any(f.refuted for f in found.values()):
            failed |= {cone.guess for cone in cones if cone.made and cone.guess is not None}
        if not failed:
            break
        refused |= failed  # a wrong guess must not make other cones look wrong
    wrong = tuple(f for i, f in found.items() if f.refuted and cones[i].guess is None)
    rest = tuple(f for f in found.values() if f not in wrong)
    return NetlistProof(tuple(c.names for c in cones), wrong, rest, time.monotonic() - start)


def _same_ports(text: Module, gates: Module) -> None:
    shapes = [{n: (p["direction"], len(p["bits"])) for n, p in module["ports"].items()} for module in (text, gates)]
    if shapes[0] != shapes[1]:
        names = sorted(n for n in shapes[0].keys() | shapes[1].keys() if shapes[0].get(n) != shapes[1].get(n))
        raise ReportError(f"the netlist has other ports than its Verilog: {', '.join(names)}; synthesize again")


def _module(path: Path, top: str) -> Module:
    with netlist_module(path, top) as found:
        return {part: dict(found[part]) for part in ("ports", "cells", "netnames")}
