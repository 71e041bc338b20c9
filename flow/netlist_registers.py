"""The registers of a netlist, and the values of both sides under random assignments by which partners are found."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flow.aig import Aig, Literal
from flow.netlist_cells import CELLS, FLIP_FLOPS, next_state
from flow.netlist_memory import BLOCK_MEMORIES, LUT_MEMORIES, Array, block_outputs, lut_memory
from flow.netlist_model import Bit, Cell, Side
from flow.netlist_words import Ports, number

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


@dataclass(frozen=True)
class Register:
    """One bit that a netlist holds from cycle to cycle: its variable, what it is next, at first (None: open), clock."""

    cell: str
    state: Literal
    next: Literal
    first: int | None
    clock: Bit


class Gate:
    """The netlist's side: every register and memory of ``module`` with its functions.

    ``registers`` are by the net they drive; ``unknown`` names the types of cells that are not understood, whose
    outputs are left free.
    """

    def __init__(self, graph: Aig, module: Mapping[str, Any], inputs: Mapping[tuple[str, int], Literal]) -> None:
        self.graph = graph
        self.side = Side(graph, module, CELLS, lambda: self.side.unexplained("a bit without a value"))
        self.arrays: list[Array] = []
        self.registers: dict[Bit, Register] = {}
        for kind in LUT_MEMORIES:
            self.side.special[kind] = self._memory
        for (port, bit), literal in inputs.items():
            self.side.seed(self.side.ports[port]["bits"][bit], literal)
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
                self.side.unknown.add(f"{kind} with an asynchronous input")
                continue
            self.registers[bit] = Register(name, state, following, _first(p.get("INIT")), cell["connections"]["C"][0])

    def _block(self, name: str, cell: Cell) -> None:
        outputs = block_outputs(self.graph, cell, self._inputs(cell))
        if not outputs:
            self.side.unknown.add(f"{cell['type']} that is written or reset")
        for (pin, index), output in outputs.items():
            bits = cell["connections"].get(pin, [])
            if index < len(bits) and isinstance(bits[index], int):
                state = self.side.literals[bits[index]]
                following = self.graph.choose(output.enable, output.word, state)
                clock = cell["connections"][output.clock][0]
                self.registers[bits[index]] = Register(name, state, following, None, clock)

    def _memory(self, side: Side, name: str, cell: Cell, ports: Ports) -> dict[str, Any]:
        arrays, shown = lut_memory(self.graph, name, cell, ports)
        self.arrays += arrays
        return shown


def _rising(cell: Cell) -> bool:
    return not number(cell["parameters"].get("IS_C_INVERTED", 0))


def _first(init: Any) -> int | None:
    """The value a flip-flop starts with; where the parameter is left open, so is the value."""
    if isinstance(init, str) and init.strip("01"):
        return None
    return number(init) & 1 if init is not None else 0
