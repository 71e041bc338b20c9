"""Proves that a synthesized netlist does what its Verilog text says: from register to register, cone by cone.

The text is read by Yosys as simulators read it, with the plain sum of ``nmp_row.v`` and no optimisation; the netlist
with the primitives' models. Proved is: from the first clock edge on, for whatever comes in, the netlist's outputs are
those of the text for some content of the registers at power-up. A flip-flop of the netlist whose INIT is left open is
taken to start as 0, as the device starts it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.errors import ReportError
from flow.netproof.side import Bit
from flow.netproof.verdicts import Comparison, Found
from flow.tools import yosys

CPU_S = 60.0  # of one run of the solver
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


def text_script(sources: Sequence[str], top: str) -> str:
    """The Yosys commands that read ``sources`` as simulators do, without optimisation, into ``text.json``."""
    lines = [f"read_verilog -defer -nosynthesis {source}" for source in sources]
    lines += [f"hierarchy -check -top {top}", "proc -norom", "memory_collect", "flatten -noscopeinfo", "opt_clean"]
    return "\n".join([*lines, "write_json text.json"]) + "\n"


def prove_netlist(sources: Sequence[str], top: str, netlist: Path, work: Path, cpu_s: float = CPU_S) -> NetlistProof:
    """Compare ``netlist``, Yosys' JSON or Verilog, with the Verilog ``sources``, which are relative to ``work``.

    ``work`` gets the files of the tools. Raises ToolFailed where a tool fails, ReportError where the netlist cannot be
    read.
    """
    start = time.monotonic()
    yosys.run_script(work, text_script(sources, top), "text", _YOSYS_S)
    text, gates = _module(work / "text.json", top), _module(_as_json(netlist, top, work), top)
    comparison, refused = Comparison(text, gates, work / "abc", cpu_s), set[Bit]()
    for _ in range(_ROUNDS):
        cones, found = comparison.run(refused)
        failed = {guess for i in found if (guess := cones[i].guess) is not None}
        if not failed:
            break
        refused |= failed  # a wrong guess must not make other cones look wrong
    wrong = [f for i, f in found.items() if f.refuted and cones[i].guess is None]
    rest = [f for f in found.values() if f not in wrong]
    names = tuple(c.names for c in cones)
    return NetlistProof(names, tuple(wrong), tuple(rest), time.monotonic() - start)


def _as_json(netlist: Path, top: str, work: Path) -> Path:
    if netlist.suffix == ".json":
        return netlist
    name = os.path.relpath(netlist, work)
    library = "read_verilog -lib +/xilinx/cells_sim.v"  # ports alone
    lines = [library, f"read_verilog {name}", f"hierarchy -top {top}", f"select {top}"]
    yosys.run_script(work, "\n".join([*lines, "write_json -selected gates.json"]) + "\n", "gates", _YOSYS_S)
    return work / "gates.json"


def _module(path: Path, top: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())["modules"][top]
        assert isinstance(found, dict)
        return found
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as exc:
        raise ReportError(f"{path}: not a netlist of {top} ({exc}); synthesize again") from None
