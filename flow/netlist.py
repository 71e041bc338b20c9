"""Reads a synthesized Xilinx netlist (Yosys JSON): resources and a static timing estimate."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.errors import ReportError
from flow.luts import reduced, truth_table
from flow.timing import XC7, Delays

_SEQUENTIAL = re.compile(r"FD[RSCP]E(_1)?|LD[CP]E|SRL\w+|RAM\w+|DSP48E\d")
_LUTS_OF_MEMORY = {
    "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1, "RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2,
    "RAM128X1S": 2, "RAM128X1D": 4, "RAM256X1S": 4, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8,
}  # fmt: skip
_OUTPUTS = {"O", "O5", "O6", "CO", "Q", "Q15", "Q31", "P", "DO", "DOA", "DOB", "DOC", "DOD", "DOADO", "DOBDO"}


@dataclass(frozen=True)
class Resources:
    """What a netlist occupies. ``lut`` counts 6-input LUT sites, memories and shift registers in LUTs included."""

    lut: int
    lut_as_memory: int
    ff: int
    dsp: int
    bram18: int
    carry4: int
    inverters: int


@dataclass(frozen=True)
class TimingPath:
    """The longest register-to-register path by the delay model."""

    delay_ns: float
    levels: int
    endpoint: str


@dataclass(frozen=True)
class Netlist:
    """Resources and timing of one synthesized top module."""

    resources: Resources
    longest_path: TimingPath


def read_netlist(path: Path, top: str, delays: Delays = XC7) -> Netlist:
    """Read ``netlist.json``. Raises ReportError where it is not a Yosys netlist holding ``top``."""
    try:
        module = json.loads(path.read_text())["modules"][top]
        cells = {name: cell for name, cell in module["cells"].items() if cell["type"] != "$scopeinfo"}
        return Netlist(_resources(cells), _longest_path(cells, module["netnames"], delays))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ReportError(f"{path}: not a netlist of {top} ({exc}); synthesize again") from None


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
        lut_as_memory=memory,
        ff=sum(n for kind, n in count.items() if re.fullmatch(r"FD[RSCP]E(_1)?|LD[CP]E", kind)),
        dsp=sum(n for kind, n in count.items() if kind.startswith("DSP48")),
        bram18=sum(n * (2 if "36" in kind else 1) for kind, n in count.items() if kind.startswith("RAMB")),
        carry4=count["CARRY4"],
        inverters=count["INV"],
    )


def _longest_path(cells: dict[str, Any], netnames: dict[str, Any], delays: Delays) -> TimingPath:
    """Longest path by summing cell delays and a mean net delay per connection that leaves a slice."""
    arrival = _Arrival(cells, delays)
    worst, worst_bit = (0.0, 0), -1
    for cell in cells.values():
        if not _SEQUENTIAL.fullmatch(cell["type"]):
            continue
        for port, bits in cell["connections"].items():
            if port in _OUTPUTS or port in ("C", "CLK"):
                continue
            for bit in bits:
                if isinstance(bit, int) and arrival.into(bit, port) > worst:
                    worst, worst_bit = arrival.into(bit, port), bit
    if worst_bit < 0:
        return TimingPath(0.0, 0, "no register is fed by logic")
    return TimingPath(worst[0] + delays.register, worst[1], _net_name(netnames, worst_bit))


class _Arrival:
    """Latest arrival (ns after a clock edge's clock-to-output, logic levels) of every net, computed on demand."""

    def __init__(self, cells: dict[str, Any], delays: Delays) -> None:
        self.cells, self.delays = cells, delays
        self.driver: dict[int, tuple[str, str, int]] = {}
        self.users: Counter[int] = Counter()
        for name, cell in cells.items():
            for port, bits in cell["connections"].items():
                wires = [(bit, i) for i, bit in enumerate(bits) if isinstance(bit, int)]
                if port in _OUTPUTS:
                    self.driver.update({bit: (name, port, i) for bit, i in wires})
                else:
                    self.users.update(bit for bit, _ in wires)
        self.known: dict[int, tuple[float, int]] = {}

    def into(self, bit: int, port: str) -> tuple[float, int]:
        """Arrival at a register's ``port``; a LUT or carry chain shares the slice of the register it drives."""
        at, levels = self.at(bit)
        beside = port == "D" and self._drives(bit, "LUT", "CARRY4", "INV")
        return (at if beside else at + self._net(bit)), levels

    def at(self, bit: int) -> tuple[float, int]:
        """Arrival at a net, without recursion: carry chains and adder trees can be deep."""
        stack = [bit]
        while stack:
            current = stack[-1]
            if current in self.known:
                stack.pop()
                continue
            waiting = [b for b, _ in self._sources(current) if b not in self.known]
            if waiting:
                stack.extend(waiting)
                continue
            self.known[current] = self._arrive(current)
            stack.pop()
        return self.known[bit]

    def _sources(self, bit: int) -> list[tuple[int, float]]:
        """Nets a net depends on within the cycle, with the delay from each."""
        if bit not in self.driver:
            return []
        name, port, index = self.driver[bit]
        cell = self.cells[name]
        if _SEQUENTIAL.fullmatch(cell["type"]):
            return []
        wires = cell["connections"]
        if cell["type"] == "LUT6_2":  # each output depends on inputs of its own
            return [(b, self._net(b) + self.delays.lut) for b in reduced(*truth_table(cell, port))[1]]
        if cell["type"] != "CARRY4":
            return [(b, self._net(b) + self.delays.lut) for p, bs in wires.items() if p not in _OUTPUTS for b in bs
                    if isinstance(b, int)]  # fmt: skip
        # CARRY4: bit i of O or CO depends on S and DI up to i and on the carry in.
        entry = self.delays.carry_entry - self.delays.lut
        through = self.delays.carry_exit if port == "O" else self.delays.carry_per_4_bits
        operands = [(b, p) for p in ("S", "DI") for b in wires[p][: index + 1] if isinstance(b, int)]
        result = [(b, entry + self._beside(b, p)) for b, p in operands]
        result += [(b, through) for b in wires["CI"] if isinstance(b, int)]
        return result + [(b, entry + self._net(b)) for b in wires.get("CYINIT", []) if isinstance(b, int)]

    def _net(self, bit: int) -> float:
        """Delay of a net: by the number of its users, and short from a double LUT, whose users are beside it."""
        if bit in self.driver and self.driver[bit][1] == "O5":
            return self.delays.net_beside
        return self.delays.fanout(self.users[bit])

    def _beside(self, bit: int, port: str) -> float:
        """Delay to a carry chain's operand: none from a LUT packed beside the chain."""
        # the LUT's second output is the way to DI, so a LUT is there only if it drives nothing else
        packed = self._drives(bit, "LUT", "INV") and (port == "S" or self.users[bit] == 1)
        return 0.0 if packed else self._net(bit) + self.delays.lut

    def _drives(self, bit: int, *kinds: str) -> bool:
        return bit in self.driver and self.cells[self.driver[bit][0]]["type"].startswith(kinds)

    def _arrive(self, bit: int) -> tuple[float, int]:
        best = (0.0, 0)
        for source, delay in self._sources(bit):
            start, levels = self.known[source]
            best = max(best, (start + delay, levels + 1))
        return best


def _net_name(netnames: dict[str, Any], bit: int) -> str:
    names = [name for name, net in netnames.items() if bit in net["bits"]]
    return min(names, key=lambda n: (n.startswith("$"), "$" in n, len(n))) if names else f"net {bit}"
