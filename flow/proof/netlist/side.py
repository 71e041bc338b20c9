"""One side of the comparison: a flat Yosys module whose bits become literals of an and-inverter graph on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flow.proof.netlist.aig import FALSE, TRUE, Aig, Literal, Word
from flow.proof.netlist.words import Function, number

Bit = int | str  # a net's number, or "0", "1", "x", "z"
Cell = Mapping[str, Any]
Special = Callable[["Side", str, Cell, Mapping[str, Word]], dict[str, Word]]


class Side:
    """The combinational logic of ``module`` over the literals that ``seed`` was given for registers and inputs.

    ``undefined`` gives the literal for a bit that has no value. What no function is known for becomes a variable:
    ``loose`` says why, by its node.
    """

    def __init__(
        self,
        graph: Aig,
        module: Mapping[str, Any],
        functions: Mapping[str, Function],
        undefined: Callable[[], Literal],
    ) -> None:
        self.graph, self.functions, self.undefined = graph, functions, undefined
        self.special: dict[str, Special] = {}
        self.registers: set[str] = set()  # types of cells that a loop may be broken at
        self.cells: dict[str, Cell] = {n: c for n, c in module["cells"].items() if c["type"] != "$scopeinfo"}
        self.names: dict[str, list[Bit]] = {n: net["bits"] for n, net in module["netnames"].items()}
        self.ports: dict[str, Mapping[str, Any]] = module["ports"]
        self.literals: dict[Bit, Literal] = {"0": FALSE, "1": TRUE}
        self.loose: dict[int, str] = {}
        self.drivers: dict[Bit, str] = {}
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output":
                    self.drivers.update(dict.fromkeys(bits, name))

    def seed(self, bit: Bit, literal: Literal) -> None:
        """Set what a register or an input stands for."""
        self.literals[bit] = literal

    def word(self, bits: list[Bit]) -> Word:
        """The literals of ``bits``, computed with all that they depend on."""
        for bit in bits:
            if bit not in self.literals:
                self._compute(bit)
        return [self.literals[b] if isinstance(b, int) or b in "01" else self.undefined() for b in bits]

    def _compute(self, bit: Bit) -> None:
        if bit in self.drivers:
            self.evaluate(self.drivers[bit])
        elif isinstance(bit, int):
            self.literals[bit] = self.undefined()

    def evaluate(self, cell: str) -> None:
        """Evaluate a cell with all that it depends on, without recursion: carry chains are deep."""
        stack, entered = [cell], set[str]()
        while stack:
            name = stack[-1]
            waiting = self._waiting(name)
            above = [w for w in waiting if w in entered]
            if above and self._broken(stack, entered, above[0]):
                continue
            inner = [w for w in waiting if w not in entered]
            if inner and name not in entered:
                entered.add(name)
                stack += inner
                continue
            entered.discard(stack.pop())
            self._apply(name)

    def _broken(self, stack: list[str], entered: set[str], above: str) -> bool:
        """Break a loop at a register in it, if there is one: its value is left open, what waits for it goes on."""
        for i in range(len(stack) - 1, stack.index(above) - 1, -1):
            if stack[i] in entered | {stack[-1]} and self.cells[stack[i]]["type"] in self.registers:
                for bit in self._outputs(stack[i]):
                    self.literals[bit] = self.unexplained("a register that depends on itself")
                entered.difference_update(stack[i:])
                del stack[i:]
                return True
        return False

    def _outputs(self, name: str) -> list[Bit]:
        cell = self.cells[name]
        return [b for p, bits in cell["connections"].items() if cell["port_directions"][p] == "output" for b in bits]

    def _inputs(self, name: str) -> dict[str, list[Bit]]:
        cell = self.cells[name]
        return {p: b for p, b in cell["connections"].items() if cell["port_directions"][p] == "input"}

    def unexplained(self, why: str) -> Literal:
        """A variable for what cannot be computed."""
        found = self.graph.variable()
        self.loose[found >> 1] = why
        return found

    def _waiting(self, name: str) -> list[str]:
        open_bits = [b for bits in self._inputs(name).values() for b in bits if b not in self.literals]
        return list(dict.fromkeys(self.drivers[b] for b in open_bits if b in self.drivers))

    def _apply(self, name: str) -> None:
        cell = self.cells[name]
        outputs = {p: b for p, b in cell["connections"].items() if cell["port_directions"][p] == "output"}
        if all(b in self.literals for bits in outputs.values() for b in bits):
            return
        kind = cell["type"]
        inputs = self._inputs(name)
        if any(b not in self.literals and b in self.drivers for bits in inputs.values() for b in bits):
            kind = "a loop"
        if kind in self.special:
            values = self.special[kind](self, name, cell, {p: self.word(b) for p, b in inputs.items()})
        elif kind in self.functions:
            ports = {p: self.word(b) for p, b in inputs.items()}
            values = self.functions[kind](self.graph, cell["parameters"], ports)
        else:
            values = {}
        for port, bits in outputs.items():
            for i, bit in enumerate(bits):
                found = values.get(port, [])
                literal = found[i] if i < len(found) else self.unexplained(f"what {kind} drives")
                self.literals.setdefault(bit, literal)


def merge_sums(module: Mapping[str, Any]) -> dict[str, Any]:
    """The module with every tree of additions, whose inner sums serve nothing else, as one cell ``$sum``."""
    cells = module["cells"]
    users = Counter(b for c in cells.values() for p, bits in c["connections"].items() for b in bits
                    if c["port_directions"][p] == "input")  # fmt: skip
    users.update(b for port in module["ports"].values() for b in port["bits"])
    makers = {tuple(c["connections"]["Y"]): n for n, c in cells.items() if c["type"] == "$add"}

    def inner(bits: Sequence[Bit], width: int) -> str | None:
        """The addition that makes exactly this operand, of no fewer bits than the sum it goes into."""
        name = makers.get(tuple(bits))
        return name if name and len(bits) >= width and all(users[b] == 1 for b in bits) else None

    swallowed = {i for c in cells.values() if c["type"] == "$add" for p in "AB"
                 if (i := inner(c["connections"][p], len(c["connections"]["Y"])))}  # fmt: skip
    merged = {n: c for n, c in cells.items() if n not in swallowed}
    for name, cell in merged.items():
        if cell["type"] == "$add":
            width, operands, stack = len(cell["connections"]["Y"]), [], [cell]
            while stack:
                top = stack.pop()
                signed = number(top["parameters"]["A_SIGNED"]) and number(top["parameters"]["B_SIGNED"])
                for port in "BA":
                    bits = top["connections"][port]
                    below = inner(bits, width)
                    if below:
                        stack.append(cells[below])
                    else:
                        operands.append((bits, bool(signed)))
            if len(operands) > 2:
                merged[name] = _sum(cell, operands[::-1])
    return {**module, "cells": merged}


def _sum(cell: Cell, operands: Sequence[tuple[list[Bit], bool]]) -> Cell:
    ports = {f"A{i}": bits for i, (bits, _) in enumerate(operands)}
    return {
        "type": "$sum",
        "parameters": {"Y_WIDTH": len(cell["connections"]["Y"]), "SIGNED": [signed for _, signed in operands]},
        "port_directions": {**dict.fromkeys(ports, "input"), "Y": "output"},
        "connections": {**ports, "Y": cell["connections"]["Y"]},
    }
