"""What has to be equal for a netlist to do what its Verilog says: next states, outputs and memory ports, cone by cone.

A relation gives every register of the text its value from the netlist: a register's, a register's inverse or a
constant, by the names that synthesis keeps, or by what it is next where its name is lost. From there on it is a proof
by induction: where the relation holds, both show the same outputs, and it holds again after the clock's edge. A wrong
partner can therefore make a cone fail, but never make one pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flow.proof.netlist.aig import FALSE, TRUE, Aig, Literal, Word
from flow.proof.netlist.arrays import Cone, Matcher
from flow.proof.netlist.memory import columns
from flow.proof.netlist.registers import Gate
from flow.proof.netlist.selected import Table, selected
from flow.proof.netlist.side import Bit, Cell, Side, merge_sums
from flow.proof.netlist.words import WORDS, Ports, number

_LOST = "$lost"  # a bit of a register without a name in the netlist


@dataclass(frozen=True)
class _Partner:
    """What stands for a register of the text: its literal, what it is next, and at first."""

    state: Literal
    next: Literal
    first: int
    made: bool = False  # here, as no net of the netlist is it


@dataclass(frozen=True)
class _Held:
    """One bit of a register of the text."""

    data: Bit
    clock: Bit
    names: tuple[tuple[str, int], ...]
    first: str


def related(
    graph: Aig,
    module: Mapping[str, Any],
    gate: Gate,
    inputs: Mapping[tuple[str, int], Literal],
    refused: Collection[Bit] = (),
) -> Text:
    """The text's side with all cones; what is found out about registers without a name is used in another round.

    Registers in ``refused`` get no partner other than by name.
    """
    merged, guesses = merge_sums(module), dict[Bit, _Partner]()
    while True:
        text = Text(graph, merged, gate, inputs, guesses, refused)
        found = text.relate()
        if not found:
            return text
        guesses = {**text.guesses, **found}


class Text:
    """The Verilog's side of the comparison. ``cones`` are all that must be equal once ``relate`` has run."""

    def __init__(
        self,
        graph: Aig,
        module: Mapping[str, Any],
        gate: Gate,
        inputs: Mapping[tuple[str, int], Literal],
        guesses: Mapping[Bit, _Partner],
        refused: Collection[Bit],
    ) -> None:
        self.graph, self.gate, self.samples, self.refused = graph, gate, gate.samples, refused
        self.cones: list[Cone] = []
        self.beyond: dict[int, Literal] = {}  # by the variable of a memory's word: read beyond the memory
        self._tables: dict[Literal, Table] = {}  # of the text, by what is read of them
        self._ports = module["ports"]
        self._clocks, self._gate_clocks = _one_bit_inputs(module["ports"]), _one_bit_inputs(gate.side.ports)
        self._states = {r.state >> 1: r for r in gate.registers.values()}
        self._nexts = defaultdict(list)
        for register in gate.registers.values():
            self._nexts[self.samples.of(register.next)].append(register)
        self.held = dict(_held_bits(module))
        self.guesses = dict(guesses)
        self.partners = {q: p for q, held in self.held.items() if (p := self._by_name(held))} | self.guesses
        kept = {n: c for n, c in module["cells"].items() if not _is_register(c)}
        lost = {f"{_LOST} {q}": _lost_cell(held, q) for q, held in self.held.items() if q not in self.partners}
        self.side = Side(graph, {**module, "cells": {**kept, **lost}}, WORDS, graph.undefined)
        self.side.registers.add(_LOST)
        self.side.special |= {_LOST: self._lost, "$mem_v2": self._memory}
        for (port, index), literal in inputs.items():
            self.side.seed(module["ports"][port]["bits"][index], literal)
        for bit, partner in self.partners.items():
            self.side.seed(bit, partner.state)

    def relate(self) -> dict[Bit, _Partner]:
        """Compute every output and every register that has a partner; gives partners found for further registers."""
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
                fault = f"starts as {held.first} in the Verilog, as {partner.first} in the netlist"
            names = tuple(f"{n}[{i}]" for n, i in held.names)
            guess = bit if bit in self.guesses else None
            self.cones.append(Cone(names, text, partner.next, fault, guess, partner.made))
        return self._resolved()

    def _resolved(self) -> dict[Bit, _Partner]:
        """Partners of registers whose value depends on itself and whose name is lost: constants, or by other names."""
        literals = self.side.literals
        lost = {literals[q] >> 1: q for q in self.held if q in literals and q not in self.partners}
        lost = {node: q for node, q in lost.items() if node in self.side.loose and q not in self.refused}
        constants = self._constant_registers(lost)
        found = {lost[node]: _Partner(value, value, value) for node, value in constants.items()}
        claimed = {p.state >> 1 for p in self.partners.values()}
        for bit, register in self.gate.registers.items() if lost else ():
            for name, index in () if register.state >> 1 in claimed else self.gate.names[bit]:
                word = self.side.word(self.side.names.get(name, [])[index : index + 1])
                for literal in self.graph.replaced(word, constants):
                    own = lost.get(literal >> 1)
                    if own is not None and own not in found:
                        partner = self._register(register.state ^ (literal & 1), self.held[own].clock)
                        found |= {own: partner} if partner else {}
        return {**self._followed(lost), **found} or self._selections(lost)

    def _selections(self, lost: Mapping[int, Bit]) -> dict[Bit, _Partner]:
        """Partners of words that are read of several block RAMs and selected in the logic behind them."""
        found: dict[Bit, _Partner] = {}
        for own in lost.values():
            table, clock = self._tables.get(self.side.word([self.held[own].data])[0]), self.held[own].clock

            def holder(following: Literal, clock: Bit = clock) -> tuple[Literal, Literal] | None:
                partner = self._by_next(following, clock)
                return (partner.state, partner.next) if partner else None

            state = selected(self.graph, table, holder) if table else None
            if state is not None:
                found[own] = _Partner(*state, 0, made=True)
        return found

    def _followed(self, lost: Mapping[int, Bit]) -> dict[Bit, _Partner]:
        """Partners of registers that another register takes over as they are: what that one takes in the netlist.

        A word that is read of several block RAMs is no register there, but a selection among their outputs.
        """
        found: dict[Bit, _Partner] = {}
        for bit, partner in self.partners.items() if lost else ():
            text = self.side.word([self.held[bit].data])[0]
            own = lost.get(text >> 1)
            if own is not None and own not in found and self.held[own].first not in ("0", "1"):
                function = self._function(partner.next ^ (text & 1), self.held[own].clock)
                found |= {own: function} if function else {}
        return found

    def function(self, literal: Literal, clock: Bit) -> tuple[Literal, Literal] | None:
        """What the text says for a function of registers alone of one clock of the netlist, now and after its edge."""
        name = self._gate_clocks.get(clock)
        own = next((text for text, known in self._clocks.items() if known == name), None)
        found = self._function(literal, own) if own is not None and name is not None else None
        return None if found is None else (found.state, found.next)

    def _function(self, literal: Literal, clock: Bit) -> _Partner | None:
        """A function of the netlist's registers alone, all of one clock, and what it is after the clock's edge."""
        nexts: dict[int, Literal] = {}
        for node in self.graph.cone([literal]):
            if self.graph.left[node] < 0:
                register = self._states.get(node)
                if register is None or not self._same_clock(clock, register.clock):
                    return None
                nexts[node] = register.next ^ (register.state & 1)
        return _Partner(literal, self.graph.replaced([literal], nexts)[0], 0)

    def _constant_registers(self, lost: Mapping[int, Bit]) -> dict[int, Literal]:
        """Of registers without a name, those that are proved to keep a value once they have it."""
        nexts = {node: self.side.word([self.held[q].data])[0] for node, q in lost.items()}
        constants: dict[int, Literal] = {}
        while True:
            tried = [(node, value) for value in (TRUE, FALSE) for node in nexts if node not in constants]
            changes = [
                self.graph.replaced([nexts[node]], {**constants, node: value})[0] ^ value for node, value in tried
            ]
            likely = [i for i, change in enumerate(changes) if not self.samples.of(change)]
            kept = self.gate.decider.false([changes[i] for i in likely])
            fixed = dict(tried[i] for i, yes in zip(likely, kept, strict=True) if yes)
            if not fixed:
                return constants
            constants |= fixed

    def _by_name(self, held: _Held) -> _Partner | None:
        """A register, an inverted one or a constant that has the same name in the netlist."""
        constant = None
        for name, index in held.names:
            bits = self.gate.side.names.get(name, [])
            if index >= len(bits) or bits[index] in ("x", "z"):
                continue
            literal, register = self.gate.side.word([bits[index]])[0], self.gate.registers.get(bits[index])
            if register and self._same_clock(held.clock, register.clock):
                return _Partner(register.state, register.next, register.first or 0)
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
        return _Partner(literal, register.next ^ inverted, (register.first or 0) ^ inverted)

    def _same_clock(self, text: Bit, netlist: Bit | None) -> bool:
        name = self._clocks.get(text)
        return name is not None and name == self._gate_clocks.get(netlist or "")

    def _lost(self, side: Side, name: str, cell: Cell, ports: Ports) -> dict[str, Word]:
        """A register without a name in the netlist: one that is next what this one is next does as well."""
        bit, data = cell["connections"]["Q"][0], ports["D"][0]
        partner = None if bit in self.refused else self._by_next(data, self.held[bit].clock)
        if partner is None:
            return {}
        self.partners[bit] = self.guesses[bit] = partner
        return {"Q": [partner.state]}

    def _by_next(self, data: Literal, clock: Bit) -> _Partner | None:
        if data in (FALSE, TRUE):
            return _Partner(data, data, data)
        for inverted in (0, 1):
            alike = self._nexts.get(self.samples.of(data ^ inverted), [])
            for register in [*(r for r in alike if r.next == data ^ inverted), *alike]:
                found = self._register(register.state ^ inverted, clock)
                if found:
                    return found
        return None

    def _memory(self, side: Side, name: str, cell: Cell, ports: Ports) -> dict[str, Word]:
        """A memory of the text: a table, or the netlist's arrays that are written as it is."""
        p = cell["parameters"]
        if number(p["RD_CLK_ENABLE"]) or number(p["OFFSET"]) or number(p["WR_PORTS"]) > 1:
            return {}
        bits, contents = number(p["ABITS"]), columns(p["INIT"], number(p["SIZE"]), number(p["WIDTH"]))
        addresses = [ports["RD_ADDR"][r * bits : (r + 1) * bits] for r in range(number(p["RD_PORTS"]))]
        if number(p["WR_PORTS"]):
            matcher = Matcher(
                self.graph, self.samples, self.gate.arrays, self._same_clock, self.cones, self.beyond, self.refused
            )
            return {"RD_DATA": matcher.read(side, cell, ports, contents, addresses)}
        pairs = list(zip(*contents, strict=True))
        return {"RD_DATA": [self._constant(value, known, a) for a in addresses for value, known in pairs]}

    def _constant(self, values: int, defined: int, address: Word) -> Literal:
        known, value = self.graph.lookup(defined, address), self.graph.lookup(values, address)
        read = value if known == TRUE else self.graph.choose(known, value, self.graph.undefined())
        self._tables[read] = Table(values, defined, address)
        return read


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


def starts(module: Mapping[str, Any]) -> bool:
    """Whether a register of the module has a value at the start."""
    return any(held.first for _, held in _held_bits(module))
