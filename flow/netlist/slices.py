"""LUT sites of a netlist once its cells lie in slices, where not every pair of cells can share a site.

A site is a 6-input LUT with two outputs, O6 and O5, beside one position of a carry chain. A chain's S input comes from
the O6 beside it, its DI input from the O5 beside it or from a pin of the slice; the position's ways out are O6's own, a
multiplexer and registers. What needs a way out that is taken, or an input that no LUT feeds, costs a site more:

- (a) an O5 that only feeds the DI beside it does not leave;
- (b) O5, sum and carry of a position share one multiplexer (7 series: UG474, figures 2-3 and 2-4; UltraScale: UG574,
  figure 2-4, and the slice in prjuray's spec/slice.v), and a register that alone takes one of them needs none: on
  7 series one, by the sum or the carry, since a second register's own output takes the multiplexer; on UltraScale two;
- (c) a carry-in that is a signal holds the pin by which the first DI would come from outside: it comes through O5;
- (d) an output port is a user like any other;
- (e) an inverter is a LUT;
- (f) an O5 that had to leave its site counts as one of its own. Functions of at most five inputs together may share a
  site again: ``paired`` counts that, as a packer may do it and nextpnr does not.

Placements by nextpnr of netlists made by hand agree, but for registered pairs of sum and O5, which it always splits.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow.netlist.pairing import MOST_INPUTS, Function, pairs
from flow.netlist.truth_tables import reduced, truth_table

Cells = Mapping[str, Mapping[str, Any]]
_User = tuple[str, str, int]  # cell, or "" for an output port; pin; bit of the pin

_LUT = re.compile(r"LUT[1-6]|LUT6_2|INV")
_WIDE = re.compile(r"MUXF7")
_REGISTERS = {"CARRY4": 1, "CARRY8": 2}  # of a position, that take sum or carry without the multiplexer
_LUTS_OF_MEMORY = {
    "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1, "RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2,
    "RAM128X1S": 2, "RAM128X1D": 4, "RAM256X1S": 4, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Sites:
    """Expected LUT sites: in all, by the cell that they are for, and in all where a packer pairs what may be paired."""

    total: int
    by_cell: Mapping[str, int]
    paired: int


def is_lut(kind: str) -> bool:
    """Whether a cell of this type is a look-up table, an inverter among them."""
    return bool(_LUT.fullmatch(kind))


def luts_of_memory(kind: str) -> int:
    """LUTs that a memory or shift register of this type takes, 0 for what is none."""
    return _LUTS_OF_MEMORY.get(kind, 0)


def expected_sites(module: Mapping[str, Any]) -> Sites:
    """Expected LUT sites of a module of a Yosys netlist."""
    return _Slices(module).counted()


class _Slices:
    """Places the LUTs of a netlist beside its carry chains, as far as that decides what shares a site."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        self.cells: Cells = {n: c for n, c in module["cells"].items() if c["type"] != "$scopeinfo"}
        self.driver: dict[int, tuple[str, str, int]] = {}
        self.users: dict[int, list[_User]] = defaultdict(list)
        for name, cell in self.cells.items():
            for pin, bits in cell["connections"].items():
                output = cell["port_directions"][pin] == "output"
                for i, bit in enumerate(bits):
                    if isinstance(bit, int) and output:
                        self.driver[bit] = name, pin, i
                    elif isinstance(bit, int):
                        self.users[bit].append((name, pin, i))
        for name, port in module["ports"].items():
            if port["direction"] == "output":
                for i, bit in enumerate(port["bits"]):
                    self.users[bit].append(("", name, i))
        self.sites = {n: 1 if is_lut(c["type"]) else luts_of_memory(c["type"]) for n, c in self.cells.items()}
        self.seated: set[str] = set()  # LUTs beside a chain or a wide multiplexer
        self.displaced: set[str] = set()  # double LUTs whose O5 lies elsewhere
        self.hosts: list[Function] = []  # inputs of LUTs beside chains that have room for another function

    def counted(self) -> Sites:
        for name, cell in self.cells.items():
            if cell["type"] in _REGISTERS:
                self._chain(name, cell)
        for name, cell in self.cells.items():
            if _WIDE.fullmatch(cell["type"]):
                self._wide(name, cell["connections"])
        by_cell = {name: sites for name, sites in self.sites.items() if sites}
        total = sum(by_cell.values())
        return Sites(total, by_cell, total - pairs(self._free(), self.hosts))

    def _chain(self, name: str, cell: Mapping[str, Any]) -> None:
        wires = cell["connections"]
        used = [i for i in range(len(wires["S"])) if any(self._users_of(cell, pin, i) for pin in ("O", "CO"))]
        for i in range(max(used, default=-1) + 1):
            lut = self._seat(wires["S"][i])
            if lut is None:
                self.sites[name] += 1  # the LUT beside the chain passes a constant or a signal on
            free = self._outputs(name, cell, i, lut)
            if i == 0 and self._is_signal(cell):
                self._first(name, wires["DI"][0], lut)
            elif free:
                self._host(wires["S"][i], lut)

    def _seat(self, bit: int | str) -> str | None:
        """The LUT that can lie where it feeds this pin: one that lies nowhere yet."""
        name, pin, _ = self.driver.get(bit, ("", "", 0)) if isinstance(bit, int) else ("", "", 0)
        if not name or pin not in ("O", "O6") or not is_lut(self.cells[name]["type"]) or name in self.seated:
            return None
        self.seated.add(name)
        return name

    def _outputs(self, name: str, cell: Mapping[str, Any], i: int, lut: str | None) -> bool:
        """Count what has no way out of a position; whether O5 and a way out are free."""
        wires = cell["connections"]
        second = self._second(lut)
        o5 = [u for u in self.users.get(second, ()) if u != (name, "DI", i)] if second is not None else []
        carry = self._users_of(cell, "CO", i)
        if i == len(wires["S"]) - 1:
            carry = self._beyond_the_next_chain(carry)
        leaving = [users for users in (self._users_of(cell, "O", i), carry) if users]
        if cell["type"] == "CARRY8" and o5:
            leaving.append(o5)
        registered = min(sum(map(self._is_register, leaving)), _REGISTERS[cell["type"]])
        needed = len(leaving) - registered + bool(o5 and cell["type"] == "CARRY4")
        for _ in range(needed - 1):
            if lut is not None and o5 and lut not in self.displaced:
                self._displace(lut)
            else:
                self.sites[name] += 1
        return needed == 0 and second is None

    def _first(self, name: str, data: int | str, lut: str | None) -> None:
        """The first DI, where a signal for a carry-in holds its pin: through O5, if that is free."""
        second = self._second(lut)
        if lut is None or (second is not None and second == data):
            return
        if second is not None and lut not in self.displaced:
            self._displace(lut)
        inputs = self._first_function(lut)
        if len(inputs | ({data} if isinstance(data, int) else set())) > MOST_INPUTS:
            self.sites[name] += 1  # the LUT lies elsewhere, and the one beside the chain passes two signals on

    def _wide(self, name: str, wires: Mapping[str, Sequence[int | str]]) -> None:
        self.sites[name] += sum(self._seat(wires[pin][0]) is None for pin in ("I0", "I1"))

    def _displace(self, lut: str) -> None:
        self.displaced.add(lut)
        self.sites[lut] += 1

    def _host(self, bit: int | str, lut: str | None) -> None:
        inputs = self._first_function(lut) if lut is not None else frozenset({bit} if isinstance(bit, int) else ())
        if len(inputs) <= MOST_INPUTS:
            self.hosts.append(inputs)

    def _users_of(self, cell: Mapping[str, Any], pin: str, i: int) -> list[_User]:
        bits = cell["connections"].get(pin, [])
        return self.users.get(bits[i], []) if i < len(bits) else []

    def _second(self, lut: str | None) -> int | None:
        """The net of a double LUT's O5, if anything uses it."""
        bits = self.cells[lut]["connections"].get("O5", []) if lut is not None else []
        return bits[0] if bits and self.users.get(bits[0]) else None

    def _is_register(self, users: Sequence[_User]) -> bool:
        (cell, pin, _), more = users[0], users[1:]
        return not more and pin == "D" and bool(cell) and self.cells[cell]["type"].startswith("FD")

    def _beyond_the_next_chain(self, users: Iterable[_User]) -> list[_User]:
        """Users of a chain's last carry without the one chain that goes on with it."""
        found = list(users)
        following = next((u for u in found if u[1] == "CI" and u[0] and self.cells[u[0]]["type"] in _REGISTERS), None)
        return [u for u in found if u != following]

    def _is_signal(self, cell: Mapping[str, Any]) -> bool:
        """Whether a chain begins with a signal from outside."""
        start = next(iter(cell["connections"].get("CYINIT", [])), None)
        if isinstance(start, int):
            return True
        carry = next(iter(cell["connections"].get("CI", [])), None)
        name, pin, i = self.driver.get(carry, ("", "", 0)) if isinstance(carry, int) else ("", "", 0)
        below = self.cells[name] if pin == "CO" else None
        return isinstance(carry, int) and (below is None or i != len(below["connections"]["S"]) - 1)

    def _first_function(self, lut: str) -> Function:
        return self._function(lut, "O6" if self.cells[lut]["type"] == "LUT6_2" else "O")

    def _function(self, lut: str, output: str) -> Function:
        cell = self.cells[lut]
        if cell["type"] == "INV":
            return frozenset(b for b in cell["connections"]["I"] if isinstance(b, int))
        return frozenset(reduced(*truth_table(dict(cell), output))[1])

    def _free(self) -> list[Function]:
        """Inputs of the functions that may share a site with another: of LUTs beside no chain, and displaced ones."""
        found = [self._function(lut, "O5") for lut in self.displaced]
        for name, cell in self.cells.items():
            if is_lut(cell["type"]) and name not in self.seated:
                both = cell["type"] == "LUT6_2"
                if both and self._second(name) is not None and self.users.get(cell["connections"]["O6"][0]):
                    continue  # it is a pair
                output = "O" if not both else "O6" if self._second(name) is None else "O5"
                found.append(self._function(name, output))
        return [f for f in found if len(f) <= MOST_INPUTS]
