"""What has to be equal for a netlist to do what its Verilog says: next states, outputs and memory ports, cone by cone.

A relation gives every register of the text its value from the netlist: a register's, a register's inverse or a
constant, by the names that synthesis keeps, or by what it is next where its name is lost. From there on it is a proof
by induction: where the relation holds, both show the same outputs, and it holds again after the clock's edge. A wrong
partner can therefore make a cone fail, but never make one pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow.aig import FALSE, TRUE, Aig, Literal, Word
from flow.netlist_arrays import Matcher, Cone
from flow.netlist_memory import columns
from flow.netlist_model import Bit, Cell, Side, merge_sums
from flow.netlist_registers import Gate, Samples
from flow.netlist_words import WORDS, Ports, number

_LOST = "$lost"  # a bit of a register without a name in the netlist


@dataclass(frozen=True)
class _Partner:
    """What stands for a register of the text: its literal, what it is next, and at first (None: left open)."""

    state: Literal
    next: Literal
    first: int | None


@dataclass(frozen=True)
class _Held:
    """One bit of a register of the text."""

    data: Bit
    clock: Bit
    names: tuple[tuple[str, int], ...]
    first: str


class Text:
    """The Verilog's side of the comparison. ``cones`` are all that must be equal once ``relate`` has run."""

    def __init__(
        self, graph: Aig, module: Mapping[str, Any], gate: Gate, inputs: Mapping[tuple[str, int], Literal]
    ) -> None:
        self.graph, self.gate, self.samples = graph, gate, Samples(graph)
        self.cones: list[Cone] = []
        self.partners: dict[Bit, _Partner] = {}
        self._ports = module["ports"]
        self._clocks, self._gate_clocks = _one_bit_inputs(module["ports"]), _one_bit_inputs(gate.side.ports)
        self._states = {r.state >> 1: r for r in gate.registers.values()}
        self._by_next: dict[int, list[_Partner]] | None = None
        merged = merge_sums(module)
        self.held = dict(_held_bits(merged))
        for bit, held in self.held.items():
            partner = self._by_name(held)
            if partner:
                self.partners[bit] = partner
        kept = {n: c for n, c in merged["cells"].items() if not _is_register(c)}
        lost = {f"{_LOST} {q}": _lost_cell(held, q) for q, held in self.held.items() if q not in self.partners}
        self.side = Side(graph, {**merged, "cells": {**kept, **lost}}, WORDS, graph.undefined)
        self.side.special |= {_LOST: self._lost, "$mem_v2": self._memory}
        for (port, bit), literal in inputs.items():
            self.side.seed(module["ports"][port]["bits"][bit], literal)
        for bit, partner in self.partners.items():
            self.side.seed(bit, partner.state)

    def relate(self) -> None:
        """Compute every output and every register that has a partner."""
        for name, port in self._ports.items():
            if port["direction"] == "output":
                netlist = self.gate.side.word(self.gate.side.ports[name]["bits"])
                for i, (text, found) in enumerate(zip(self.side.word(port["bits"]), netlist, strict=True)):
                    self.cones.append(Cone((f"{name}[{i}]",), text, found))
        for bit in list(self.partners):
            self.side.word([self.held[bit].data])
        for bit, partner in self.partners.items():  # by now also those that were found by what they are next
            held = self.held[bit]
            text = self.side.word([held.data])[0]
            fault = ""
            if held.first in ("0", "1") and partner.first != int(held.first):
                fault = f"starts as {held.first} in the Verilog, as {_shown(partner.first)} in the netlist"
            self.cones.append(Cone(tuple(f"{n}[{i}]" for n, i in held.names), text, partner.next, fault))

    def _by_name(self, held: _Held) -> _Partner | None:
        """A register, an inverted one or a constant that has the same name in the netlist."""
        constant = None
        for name, index in held.names:
            bits = self.gate.side.names.get(name, [])
            if index >= len(bits) or bits[index] in ("x", "z"):
                continue
            literal = self.gate.side.word([bits[index]])[0]
            if literal in (FALSE, TRUE):
                constant = _Partner(literal, literal, literal)
            found = self._register(literal, held.clock)
            if found:
                return found
        return constant

    def _register(self, literal: Literal, clock: Bit) -> _Partner | None:
        register = self._states.get(literal >> 1)
        if register is None or not self._same_clock(clock, register.clock):
            return None
        inverted = (literal ^ register.state) & 1
        first = None if register.first is None else register.first ^ inverted
        return _Partner(literal, register.next ^ inverted, first)

    def _same_clock(self, text: Bit, netlist: Bit | None) -> bool:
        name = self._clocks.get(text)
        return name is not None and name == self._gate_clocks.get(netlist or "")

    def _lost(self, side: Side, name: str, cell: Cell, ports: Ports) -> dict[str, Word]:
        """A register without a name in the netlist: one that is next what this one is next does as well."""
        bit, data = cell["connections"]["Q"][0], ports["D"][0]
        held = self.held[bit]
        if data in (FALSE, TRUE):
            self.partners[bit] = _Partner(data, data, data)
            return {"Q": [data]}
        value = self.samples.of(data)
        for register in self._nexts().get(min(value, self.samples.of(data ^ 1)), ()):
            inverted = int(self.samples.of(register.next) != value)
            found = self._register(register.state ^ inverted, held.clock)
            if found:
                self.partners[bit] = found
                return {"Q": [found.state]}
        return {}

    def _nexts(self) -> Mapping[int, Sequence[Any]]:
        if self._by_next is None:
            found = defaultdict(list)
            for register in self.gate.registers.values():
                found[min(self.samples.of(register.next), self.samples.of(register.next ^ 1))].append(register)
            self._by_next = found
        return self._by_next

    def _memory(self, side: Side, name: str, cell: Cell, ports: Ports) -> dict[str, Word]:
        """A memory of the text: a table, or the netlist's arrays that are written as it is."""
        p = cell["parameters"]
        if number(p["RD_CLK_ENABLE"]) or number(p["OFFSET"]) or number(p["WR_PORTS"]) > 1:
            return {}
        bits, contents = number(p["ABITS"]), columns(p["INIT"], number(p["SIZE"]), number(p["WIDTH"]))
        addresses = [ports["RD_ADDR"][r * bits : (r + 1) * bits] for r in range(number(p["RD_PORTS"]))]
        if number(p["WR_PORTS"]):
            matcher = Matcher(self.graph, self.samples, self.gate.arrays, self._same_clock, self.cones)
            return {"RD_DATA": matcher.read(side, cell, ports, contents, addresses)}
        pairs = list(zip(*contents, strict=True))
        return {"RD_DATA": [self._constant(value, known, a) for a in addresses for value, known in pairs]}

    def _constant(self, values: int, defined: int, address: Word) -> Literal:
        known, value = self.graph.lookup(defined, address), self.graph.lookup(values, address)
        return value if known == TRUE else self.graph.choose(known, value, self.graph.undefined())


def _one_bit_inputs(ports: Mapping[str, Any]) -> dict[Bit, str]:
    return {p["bits"][0]: n for n, p in ports.items() if p["direction"] == "input" and len(p["bits"]) == 1}


def _is_register(cell: Cell) -> bool:
    return cell["type"] == "$dff" and bool(number(cell["parameters"]["CLK_POLARITY"]))


def _lost_cell(held: _Held, bit: Bit) -> Cell:
    return {
        "type": _LOST,
        "parameters": {},
        "port_directions": {"D": "input", "Q": "output"},
        "connections": {"D": [held.data], "Q": [bit]},
    }


def _held_bits(module: Mapping[str, Any]) -> Iterator[tuple[Bit, _Held]]:
    names: dict[Bit, list[tuple[str, int]]] = defaultdict(list)
    first: dict[Bit, str] = {}
    for name, net in module["netnames"].items():
        init = str(net["attributes"].get("init", ""))[::-1]
        for i, bit in enumerate(net["bits"]):
            names[bit].append((name, i))
            if init[i : i + 1] in ("0", "1"):
                first[bit] = init[i]
    for cell in module["cells"].values():
        if _is_register(cell):
            pins = cell["connections"]
            for data, bit in zip(pins["D"], pins["Q"], strict=True):
                yield bit, _Held(data, pins["CLK"][0], tuple(names[bit]), first.get(bit, ""))


def _shown(first: int | None) -> str:
    return "anything" if first is None else str(first)
