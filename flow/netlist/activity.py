"""How often every net of a synthesized netlist changes as vectors stream through it, a result per clock cycle.

The netlist itself is evaluated, cell by cell in the order of its signals: a net's value over all cycles is one integer,
whose bit ``t`` is its value in cycle ``t``, so a look-up table is a handful of operations on such integers. Changes
within a cycle (glitches) are not seen. It takes netlists of parallel hardware, in which no signal returns to itself but
the hold of a register.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flow.netlist.truth_tables import Bit, reduced, truth_table

_REGISTER = re.compile(r"FD[RS]E")
_LUT = re.compile(r"LUT[1-6]|LUT6_2|INV")
_CARRY = re.compile(r"CARRY[48]")


class NotStreamed(Exception):
    """A netlist that this cannot evaluate; the message says why."""


@dataclass(frozen=True)
class Activity:
    """Changes of every net (by its number) over ``cycles`` transitions from one clock cycle to the next."""

    changes: Mapping[int, int]
    cycles: int


def activity(module: Mapping[str, Any], inputs: Mapping[str, list[int]], count: int, skip: int) -> Activity:
    """Stream ``count`` cycles through a netlist's module.

    ``inputs`` holds for the bits of every input port, lowest first, the values over all cycles; registers start at 0.
    Changes are counted from cycle ``skip`` on, when the pipeline is full. Raises `NotStreamed`.
    """
    values = _Values(module, count)
    for port, bits in inputs.items():
        for net, value in zip(module["ports"][port]["bits"], bits, strict=True):
            values.known[net] = value
    for net in list(values.driver):
        values.of(net)
    window = (1 << count - 1) - (1 << skip)
    changes = {net: ((value ^ value >> 1) & window).bit_count() for net, value in values.known.items()
               if isinstance(net, int)}  # fmt: skip
    return Activity(changes, count - 1 - skip)


def _function(cell: dict[str, Any], port: str) -> tuple[int, list[int]]:
    """A look-up table's function of the nets that it depends on."""
    table, inputs = truth_table(cell, port)
    found, places = _reduced(table, tuple(i if isinstance(bit, int) else bit for i, bit in enumerate(inputs)))
    return found, [bit for place in places if isinstance(bit := inputs[place], int)]


@lru_cache(maxsize=1 << 16)
def _reduced(table: int, inputs: tuple[Bit, ...]) -> tuple[int, list[int]]:
    return reduced(table, inputs)  # a layer has many equal tables


class _Values:
    """The value of every net over all cycles, computed on demand."""

    def __init__(self, module: Mapping[str, Any], count: int) -> None:
        self.ones = (1 << count) - 1
        self.known: dict[Bit, int] = {"0": 0, "1": self.ones, "x": 0}
        self.cells = {name: cell for name, cell in module["cells"].items() if cell["type"] != "$scopeinfo"}
        self.driver: dict[int, tuple[str, str, int]] = {}
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output":
                    self.driver.update({bit: (name, port, i) for i, bit in enumerate(bits) if isinstance(bit, int)})

    def of(self, net: Bit) -> None:
        """Compute a net and all that it depends on, without recursion: pipelines are deep."""
        stack, entered = [net], set[Bit]()
        while stack:
            current = stack[-1]
            if current in self.known:
                stack.pop()
                continue
            if current not in self.driver:
                raise NotStreamed(f"net {current} is driven by nothing")
            waiting = [b for b in self._needs(current) if b not in self.known]
            if not waiting:
                self.known[current] = self._value(current)
                stack.pop()
            elif current in entered:
                raise NotStreamed("signals return to where they come from")
            else:
                entered.add(current)
                stack.extend(waiting)

    def _needs(self, net: Bit) -> list[Bit]:
        assert isinstance(net, int)
        name, port, index = self.driver[net]
        cell = self.cells[name]
        kind, wires = cell["type"], cell["connections"]
        if _REGISTER.fullmatch(kind):
            return [bit for p in ("D", "CE", "R", "S") for bit in wires.get(p, ())]
        if kind == "INV":
            return list(wires["I"])
        if _LUT.fullmatch(kind):
            return list(_function(cell, port)[1])
        if _CARRY.fullmatch(kind):
            before = [b for p in ("CI", "CYINIT") for b in wires.get(p, ())]
            return [*before, *wires["S"][: index + 1], *wires["DI"][: index + (port == "CO")]]
        if kind.startswith("MUXF"):
            return [bit for p in ("I0", "I1", "S") for bit in wires[p]]
        raise NotStreamed(f"cells of type {kind} are not evaluated")

    def _value(self, net: Bit) -> int:
        assert isinstance(net, int)
        name, port, index = self.driver[net]
        cell = self.cells[name]
        kind, wires = cell["type"], cell["connections"]
        if _REGISTER.fullmatch(kind):
            return self._register(cell)
        if kind == "INV":
            return self.ones ^ self.known[wires["I"][0]]
        if _LUT.fullmatch(kind):
            table, inputs = _function(cell, port)
            return self._table(table, [self.known[bit] for bit in inputs])
        if _CARRY.fullmatch(kind):
            return self._carry(wires, port, index)
        low, high, select = (self.known[wires[p][0]] for p in ("I0", "I1", "S"))
        return low ^ ((low ^ high) & select)

    def _table(self, table: int, inputs: list[int]) -> int:
        """A truth table by Shannon's expansion, highest input first."""
        if not inputs:
            return self.ones if table & 1 else 0
        half = 1 << len(inputs) - 1
        low, high = table & ((1 << half) - 1), table >> half
        if low == high:
            return self._table(low, inputs[:-1])
        below, above = self._table(low, inputs[:-1]), self._table(high, inputs[:-1])
        return below ^ ((below ^ above) & inputs[-1])

    def _carry(self, wires: Mapping[str, list[Bit]], port: str, index: int) -> int:
        """O or CO of a chain: where S is set the carry goes on, elsewhere DI takes its place."""
        carry = 0
        for start in ("CI", "CYINIT"):
            carry |= self.known[wires[start][0]] if wires.get(start) else 0
        for i in range(index + 1):
            select = self.known[wires["S"][i]]
            if i == index and port == "O":
                return select ^ carry
            other = self.known[wires["DI"][i]]
            carry = other ^ ((other ^ carry) & select)
        return carry

    def _register(self, cell: Mapping[str, Any]) -> int:
        """A flip-flop without an enable that falls and without a reset that rises is its input, a cycle later."""
        wires = cell["connections"]
        if any("1" in str(cell.get("parameters", {}).get(p, "0")) for p in ("IS_C_INVERTED", "IS_D_INVERTED")):
            raise NotStreamed("flip-flops of inverted clock or input are not evaluated")
        enable = self.known[wires["CE"][0]] if wires.get("CE") else self.ones
        clear = self.known[wires["R"][0]] if wires.get("R") else 0
        preset = self.known[wires["S"][0]] if wires.get("S") else 0
        given = (self.known[wires["D"][0]] & ~clear | preset) & self.ones
        active = enable | clear | preset
        if active == self.ones:
            return given << 1 & self.ones
        found, value, cycle = 0, 0, 1
        while cycle <= self.ones:  # bit by bit where it holds
            found |= cycle if value else 0
            value = bool(given & cycle) if active & cycle else value
            cycle <<= 1
        return found
