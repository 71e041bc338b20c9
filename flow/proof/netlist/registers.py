"""The registers of a netlist, and the values of both sides under random assignments by which partners are found."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flow.proof.netlist.aig import FALSE, TRUE, Aig, Literal
from flow.proof.netlist.cells import CELLS, FLIP_FLOPS, next_state
from flow.proof.netlist.decide import Decider
from flow.proof.netlist.memory import BLOCK_MEMORIES, LUT_MEMORIES, Array, Shared, block_outputs, lut_memory
from flow.proof.netlist.side import Bit, Cell, Side
from flow.proof.netlist.words import Ports, number

_SAMPLES = 512
_ALL = (1 << _SAMPLES) - 1


class Samples:
    """Every literal's value under the same many random assignments of the variables; the graph may go on growing."""

    def __init__(self, graph: Aig) -> None:
        self.graph, self.found, self.random = graph, [0], random.Random(1)

    def of(self, literal: Literal) -> int:
        """Bit k is the value under assignment k."""
        left, right, found = self.graph.left, self.graph.right, self.found
        for node in range(len(found), len(left)):
            a, b = left[node], right[node]
            if a < 0:
                found.append(self.random.getrandbits(_SAMPLES))
            else:
                found.append((found[a >> 1] ^ -(a & 1)) & (found[b >> 1] ^ -(b & 1)) & _ALL)
        return (found[literal >> 1] ^ -(literal & 1)) & _ALL

    def assignment(self, literal: Literal, number: int) -> dict[int, int]:
        """Of the variables' nodes that ``literal`` depends on, their values under one of the assignments."""
        self.of(literal)
        return {n: self.found[n] >> number & 1 for n in self.graph.cone([literal]) if self.graph.left[n] < 0}


@dataclass(frozen=True)
class Register:
    """One bit that a netlist holds from cycle to cycle: its variable, what it is next, at first (None: open), clock."""

    cell: str
    state: Literal
    next: Literal
    first: int | None
    clock: Bit


class Gate:
    """The netlist's side: every register, by the net it drives, and every memory of ``module`` with its functions.

    ``starts`` tells that registers of the text have values at the start, so that those of the netlist count as well.
    """

    def __init__(
        self,
        graph: Aig,
        module: Mapping[str, Any],
        inputs: Mapping[tuple[str, int], Literal],
        samples: Samples,
        decider: Decider,
        starts: bool,
    ) -> None:
        self.starts = starts
        self.graph, self.samples, self.decider = graph, samples, decider
        self.side = Side(graph, module, CELLS, lambda: self.side.unexplained("a bit without a value"))
        self.arrays: list[Array] = []
        self.shared: Shared = {}
        self.registers: dict[Bit, Register] = {}
        for kind in LUT_MEMORIES:
            self.side.special[kind] = self._memory
        for (port, index), literal in inputs.items():
            self.side.seed(self.side.ports[port]["bits"][index], literal)
        flip_flops = [(n, c) for n, c in self.side.cells.items() if c["type"] in FLIP_FLOPS and _rising(c)]
        blocks = [(n, c) for n, c in self.side.cells.items() if c["type"] in BLOCK_MEMORIES]
        for _, cell in flip_flops:
            self._new_state(cell["connections"].get("Q", [])[:1])
        for _, cell in blocks:
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output":
                    self._new_state(bits)
        for name, cell in flip_flops:
            self._flip_flop(name, cell)
        for name, cell in blocks:
            self._block(name, cell)
        for name, cell in self.side.cells.items():
            if cell["type"] in LUT_MEMORIES:
                self.side.evaluate(name)

        self._merge_twins()
        while by := self._alike():
            self._replace(by)
            self._merge_twins()
        self.names: dict[Bit, list[tuple[str, int]]] = {bit: [] for bit in self.registers}
        for name, bits in self.side.names.items():
            for i, bit in enumerate(bits):
                if bit in self.names:
                    self.names[bit].append((name, i))

    def _merge_twins(self) -> None:
        """Give registers that are next the same, or the opposite, one variable; those that are always next the same
        value become it. So they are from the first edge on, and from the start where they have a set value then.
        """
        while True:
            by = self._twins()
            if not by:
                return
            self._replace(by)

    def _alike(self) -> dict[int, Literal]:
        """By the variable's node of what arrays show that another one shows too: that one's literal.

        Registers that turned out to be twins may be what two arrays are written with: these hold the same from then on.
        """
        leaders: Shared = {}
        by: dict[int, Literal] = {}
        for array in self.arrays:
            own = array.reads
            for address, literal in own.items():
                kept = array.share(leaders).reads.setdefault(address, literal)
                if kept != literal:
                    by[literal >> 1] = kept ^ (literal & 1)
        return by

    def _twins(self) -> dict[int, Literal]:
        """By the variable's node of registers that are proved to equal another, that one's literal."""
        leaders: dict[tuple[Any, ...], Register] = {}
        pairs: list[tuple[Literal, Literal, Register]] = []  # the leader's next state and state, as the follower's are
        for register in self.registers.values():
            value, opposite = self.samples.of(register.next), self.samples.of(register.next ^ 1)
            turned = int(register.first is None and opposite < value)
            key = (opposite if turned else value, register.first, register.clock)
            constant = Register("", TRUE if value == _ALL and not turned else FALSE, FALSE, None, register.clock)
            is_constant = key[0] == 0 or (key[0] == _ALL and register.first == 1)
            leader = leaders.setdefault(key, replace(constant, next=constant.state) if is_constant else register)
            inverted = turned ^ int(self.samples.of(leader.next) != key[0])
            if leader is not register and leader.state ^ inverted != register.state:
                pairs.append((leader.next ^ inverted, leader.state ^ inverted, register))
        same = self.decider.false([self.graph.differ(n, r.next) for n, _, r in pairs])
        return {r.state >> 1: s ^ (r.state & 1) for (_, s, r), yes in zip(pairs, same, strict=True) if yes}

    def _replace(self, by: Mapping[int, Literal]) -> None:
        bits, nets = list(self.registers), list(self.side.literals)
        states = self.graph.replaced([self.registers[b].state for b in bits], by)
        nexts = self.graph.replaced([self.registers[b].next for b in bits], by)
        for bit, state, following in zip(bits, states, nexts, strict=True):
            self.registers[bit] = replace(self.registers[bit], state=state, next=following)
        found = self.graph.replaced([self.side.literals[n] for n in nets], by)
        self.side.literals.update(zip(nets, found, strict=True))
        for array in self.arrays:
            array.enable, array.data, *array.address = self.graph.replaced(
                [array.enable, array.data, *array.address], by
            )
            array.reads = {tuple(self.graph.replaced(a, by)): value for a, value in array.reads.items()}

    def _new_state(self, bits: list[Bit]) -> None:
        for bit in bits:
            if isinstance(bit, int):
                self.side.seed(bit, self.graph.variable())

    def _inputs(self, cell: Cell) -> Ports:
        return {p: self.side.word(b) for p, b in cell["connections"].items() if cell["port_directions"][p] == "input"}

    def _flip_flop(self, name: str, cell: Cell) -> None:
        ports, kind, p = self._inputs(cell), cell["type"], cell["parameters"]
        for bit in cell["connections"].get("Q", [])[:1]:
            state = self.side.literals[bit]
            following = next_state(self.graph, kind, p, ports, state)
            if following is None:
                self.side.loose[state >> 1] = f"{kind} with an asynchronous input"
                continue
            first = _first(p.get("INIT"))
            first = 0 if first is None and self.starts else first  # as the device starts it
            self.registers[bit] = Register(name, state, following, first, cell["connections"]["C"][0])

    def _block(self, name: str, cell: Cell) -> None:
        outputs = block_outputs(self.graph, cell, self._inputs(cell))
        for (pin, index), output in outputs.items():
            bits = cell["connections"].get(pin, [])
            if index < len(bits) and isinstance(bits[index], int):
                state = self.side.literals[bits[index]]
                following = self.graph.choose(output.enable, output.word, state)
                clock = cell["connections"][output.clock][0]
                self.registers[bits[index]] = Register(name, state, following, None, clock)
        for pin, bits in cell["connections"].items():
            for index, bit in enumerate(bits):
                if cell["port_directions"][pin] == "output" and (pin, index) not in outputs and isinstance(bit, int):
                    self.side.loose[self.side.literals[bit] >> 1] = f"an unusual use of {cell['type']}"

    def _memory(self, side: Side, name: str, cell: Cell, ports: Ports) -> dict[str, Any]:
        arrays, shown = lut_memory(self.graph, name, cell, ports, self.shared)
        self.arrays += arrays
        return shown


def _rising(cell: Cell) -> bool:
    return not number(cell["parameters"].get("IS_C_INVERTED", 0))


def _first(init: Any) -> int | None:
    """The value a flip-flop starts with; where the parameter is left open, so is the value."""
    if isinstance(init, str) and init.strip("01"):
        return None
    return number(init) & 1 if init is not None else 0
