"""Static timing of a synthesized Xilinx netlist: the longest path between two registers, by the delay model.

Memories count as what they are: a block RAM's output comes late after the clock, a memory in LUTs is read within the
cycle, through its address, and an output of a DSP block depends on the registers that are used inside.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flow.netlist.truth_tables import Bit, reduced, truth_table
from flow.parts.family import Delays

_REGISTER = re.compile(r"FD[RSCP]E(_1)?|LD[CP]E")
_LUT_MEMORY = re.compile(r"RAM\d+[XM]\w*")
_SHIFT = re.compile(r"SRL\w+")
_BLOCK = re.compile(r"RAMB\w+|URAM\w+")
_DSP = re.compile(r"DSP48E\d")
_SEQUENTIAL = re.compile("|".join(p.pattern for p in (_REGISTER, _LUT_MEMORY, _SHIFT, _BLOCK, _DSP)))
_CLOCK = re.compile(r"C|G|W?CLK|CLK(ARD|BWR)CLK")
# The addresses that a memory in LUTs is read by, per output; those it is written by are ADDRD, A and WE.
_READ_ADDRESS = {"DOA": "ADDRA", "DOB": "ADDRB", "DOC": "ADDRC", "DOD": "ADDRD", "DPO": "DPRA", "SPO": "A", "O": "A"}

Source = tuple[int, float]  # a net and the delay from it


@dataclass(frozen=True)
class TimingPath:
    """The longest register-to-register path by the delay model.

    ``through`` are its cells from the register it starts at, or what `in_words` calls them; ``endpoint`` is the net or
    the part of the design where it ends.
    """

    delay_ns: float
    levels: int
    endpoint: str
    through: Sequence[str] = ()


def in_words(path: TimingPath, name: Callable[[str], str | None]) -> TimingPath:
    """A path by the parts that its cells belong to, in order, as ``name`` knows them."""
    parts = [part for cell in path.through if (part := name(cell)) is not None]
    through = [part for i, part in enumerate(parts) if i == 0 or part != parts[i - 1]]
    return replace(path, endpoint=through[-1] if through else path.endpoint, through=through)


def longest_path(cells: dict[str, Any], netnames: dict[str, Any], delays: Delays) -> TimingPath:
    """Longest path by summing cell delays and a mean net delay per connection that leaves a slice."""
    return next(longest_paths(cells, netnames, delays), TimingPath(0.0, 0, "no register is fed by logic"))


def longest_paths(cells: dict[str, Any], netnames: dict[str, Any], delays: Delays) -> Iterator[TimingPath]:
    """The longest path to every net that a register takes, the longest of all first."""
    arrival, names = _Arrival(cells, delays), _net_names(netnames)
    ends: dict[int, tuple[tuple[float, int], str]] = {}
    for name, cell in cells.items():
        if not _SEQUENTIAL.fullmatch(cell["type"]):
            continue
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "output" or _CLOCK.fullmatch(port):
                continue
            setup = _setup(cell, port, delays)
            if setup is None:
                continue
            for bit in bits:
                if isinstance(bit, int):
                    at, levels = arrival.into(bit, cell, port)
                    if bit not in ends or (at + setup, levels) > ends[bit][0]:
                        ends[bit] = (at + setup, levels), name
    for bit, ((at, levels), end) in sorted(ends.items(), key=lambda item: item[1][0], reverse=True):
        if (at, levels) > (0.0, 0):
            delay_ns = at + delays.register + delays.detour
            called = names.get(bit, f"net {bit}")
            yield TimingPath(delay_ns, levels, called, (*arrival.cells_to(bit), end))


def _used(cell: dict[str, Any], *parameters: str) -> bool:
    """Whether one of these registers inside a block is used; a number is written as a text of binary digits."""
    return any("1" in str(cell.get("parameters", {}).get(p, "0")) for p in parameters)


def _launch(cell: dict[str, Any], port: str, delays: Delays) -> float | None:
    """Clock to output, in ns more than a register's; None where an output does not follow the clock."""
    kind = cell["type"]
    if _BLOCK.fullmatch(kind):
        return delays.block_output_register if _used(cell, f"DO{port[2]}_REG") else delays.block_output
    if _SHIFT.fullmatch(kind):
        return delays.shift_output
    if _LUT_MEMORY.fullmatch(kind):
        return delays.lut_memory_output
    if not _DSP.fullmatch(kind):
        return 0.0 if _REGISTER.fullmatch(kind) else None
    if _used(cell, "PREG"):
        return 0.0
    if _used(cell, "MREG"):
        return delays.dsp_sum
    return delays.dsp_product + delays.dsp_sum if _used(cell, "AREG", "BREG", "CREG") else None


def _setup(cell: dict[str, Any], port: str, delays: Delays) -> float | None:
    """Setup of an input, in ns more than a register's; None where it is not clocked, such as a read address."""
    kind = cell["type"]
    if _BLOCK.fullmatch(kind):
        return delays.block_setup
    if _SHIFT.fullmatch(kind):
        return None if re.fullmatch(r"A\d?", port) else delays.lut_memory_setup
    if _LUT_MEMORY.fullmatch(kind):
        return None if re.fullmatch(r"ADDR[ABCEFG]|DPRA\d?", port) else delays.lut_memory_setup
    if not _DSP.fullmatch(kind) or not re.fullmatch("[ABCD]", port) or _used(cell, f"{port}REG"):
        return 0.0
    if _used(cell, "MREG") and port != "C":
        return delays.dsp_product
    if not _used(cell, "PREG"):
        return None
    return delays.dsp_sum if port == "C" else delays.dsp_product + delays.dsp_sum


class _Arrival:
    """Latest arrival (ns after a register's clock-to-output, logic levels) of every net, computed on demand."""

    def __init__(self, cells: dict[str, Any], delays: Delays) -> None:
        self.cells, self.delays = cells, delays
        self.driver: dict[int, tuple[str, str, int]] = {}
        self.users: Counter[int] = Counter()
        for name, cell in cells.items():
            for port, bits in cell["connections"].items():
                wires = [(bit, i) for i, bit in enumerate(bits) if isinstance(bit, int)]
                if cell["port_directions"][port] == "output":
                    self.driver.update({bit: (name, port, i) for bit, i in wires})
                else:
                    self.users.update(bit for bit, _ in wires)
        self.known: dict[int, tuple[float, int]] = {}

    def into(self, bit: int, cell: dict[str, Any], port: str) -> tuple[float, int]:
        """Arrival at a register's ``port``; a LUT or carry chain shares the slice of the register it drives."""
        at, levels = self.at(bit)
        beside = port == "D" and _REGISTER.fullmatch(cell["type"]) and self._drives(bit, "LUT", "CARRY", "INV", "MUXF")
        return (at if beside else at + self._net(bit)), levels

    def at(self, bit: int) -> tuple[float, int]:
        """Arrival at a net, without recursion: carry chains and adder trees can be deep."""
        stack = [bit]
        while stack:
            current = stack[-1]
            if current in self.known:
                stack.pop()
                continue
            start, sources = self._fed_by(current)
            waiting = [b for b, _ in sources if b not in self.known]
            if waiting:
                stack.extend(waiting)
                continue
            best = (start, 0)
            for source, delay in sources:
                before, levels = self.known[source]
                best = max(best, (before + delay, levels + 1))
            self.known[current] = best
            stack.pop()
        return self.known[bit]

    def cells_to(self, bit: int) -> list[str]:
        """The cells of the path that a net is last to follow, in order."""
        found = list[str]()
        while bit in self.driver:
            found.append(self.driver[bit][0])
            sources = self._fed_by(bit)[1]
            if not sources:
                break
            bit, _ = max(sources, key=lambda s: self.known[s[0]][0] + s[1])
        return found[::-1]

    def _fed_by(self, bit: int) -> tuple[float, list[Source]]:
        """When a net follows the clock, and the nets it depends on within the cycle, with the delay from each."""
        if bit not in self.driver:
            return 0.0, []
        name, port, index = self.driver[bit]
        cell = self.cells[name]
        kind, wires = cell["type"], cell["connections"]
        if _SEQUENTIAL.fullmatch(kind):
            return _launch(cell, port, self.delays) or 0.0, self._through(cell, port)
        if kind == "LUT6_2":  # each output depends on inputs of its own
            return 0.0, [(b, self._net(b) + self.delays.lut) for b in reduced(*truth_table(cell, port))[1]]
        if kind.startswith("MUXF"):
            return 0.0, self._multiplexer(wires)
        if not kind.startswith("CARRY"):
            inputs = [p for p in wires if cell["port_directions"][p] == "input"]
            return 0.0, self._logic(wires, inputs, self.delays.lut)
        return 0.0, self._carry(wires, port, index)

    def _carry(self, wires: dict[str, list[Bit]], port: str, index: int) -> list[Source]:
        """Bit ``index`` of O or CO depends on S and DI up to there and on the carry in."""
        entry = self.delays.carry_entry - self.delays.lut
        through = self.delays.carry_exit if port == "O" else self.delays.carry_per_4_bits
        operands = [(i, b, p) for p in ("S", "DI") for i, b in enumerate(wires[p][: index + 1]) if isinstance(b, int)]
        result = [
            (b, entry + self._beside(b, p) + self.delays.carry_per_4_bits * (index // 4 - i // 4))
            for i, b, p in operands
        ]
        wait = self.delays.carry_per_4_bits * (index // 4)
        for bit in wires["CI"]:
            if isinstance(bit, int):
                result.append((bit, wait + (through if self._drives(bit, "CARRY") else entry + self._net(bit))))
        return result + self._logic(wires, ["CYINIT"], entry)

    def _through(self, cell: dict[str, Any], port: str) -> list[Source]:
        """What an output of a clocked cell depends on within the cycle: read addresses, operands of a plain product."""
        kind, wires = cell["type"], cell["connections"]
        if _LUT_MEMORY.fullmatch(kind) or _SHIFT.fullmatch(kind):
            address = "A" if _SHIFT.fullmatch(kind) else _READ_ADDRESS.get(port, f"ADDR{port[-1]}")
            return self._logic(wires, [p for p in wires if re.fullmatch(rf"{address}\d?", p)], self.delays.lut)
        if not _DSP.fullmatch(kind) or _launch(cell, port, self.delays) is not None:
            return []
        product = self._logic(wires, [p for p in ("A", "B", "D") if p in wires], self.delays.dsp_product)
        return [(b, delay + self.delays.dsp_sum) for b, delay in product]

    def _logic(self, wires: dict[str, list[Bit]], ports: list[str], delay: float) -> list[Source]:
        bits = [b for port in ports for b in wires.get(port, ())]
        return [(b, self._net(b) + delay) for b in bits if isinstance(b, int)]

    def _multiplexer(self, wires: dict[str, list[Bit]]) -> list[Source]:
        """MUXF7 and MUXF8 lie behind the LUTs of their slice; only the select comes from outside."""
        operands = [(b, self.delays.wide_mux) for p in ("I0", "I1") for b in wires[p] if isinstance(b, int)]
        return operands + self._logic(wires, ["S"], self.delays.wide_mux)

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


def _net_names(netnames: dict[str, Any]) -> dict[int, str]:
    """What every net is called: of several names the one that is most likely a person's."""
    order = sorted(netnames, key=lambda n: (n.startswith("$"), "$" in n, len(n)), reverse=True)
    return {bit: name for name in order for bit in netnames[name]["bits"] if isinstance(bit, int)}
