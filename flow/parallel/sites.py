"""What a graph will occupy once it lies in slices of a 7-series part: LUT sites, by how each value leaves its row.

A slice has one way out beside a LUT's O6 for its O5, for the sum and for the carry beside it, and a register that the
sum may enter instead (UG474, figure 2-3). So a row that adds three bits per column, whose LUTs' O5 go to the column
above, takes two sites per column unless its sum goes into registers alone; of a chain of atoms only the carry at the
upper end leaves beside a sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from flow.core.errors import DesignError
from flow.parallel.atoms import CARRIED_PLACES, FULL_ADDER, NO_ATOMS
from flow.parallel.bit_heap import FIRST_PLACES
from flow.parallel.cost import node_luts
from flow.parallel.graph import LayerGraph, Node, plain_addition, row_start
from flow.parallel.pipelining import Schedule, schedule
from flow.parts.family import XC7, Family

_REGISTERS = 2  # of a slice for each of its LUTs
_BITS_TAKEN = 2  # by a LUT beside a carry chain: six bits and a carry leave an atom's two LUTs as two bits and a carry


@dataclass(frozen=True)
class Target:
    """What a layer is made for: a clock, a family of parts, and whether each row goes into registers."""

    clock_period_ns: float = XC7.default_clock_period_ns
    family: Family = XC7
    every_row: bool = False

    def plan(self, graph: LayerGraph) -> Schedule | None:
        """A graph's pipeline; None where one operation takes longer than the clock."""
        try:
            return schedule(graph, self.clock_period_ns, self.family.planned, self.every_row)
        except DesignError:
            return None

    def sites(self, graph: LayerGraph) -> float:
        """A graph's expected LUT sites, endless where the clock is too fast for it."""
        plan = self.plan(graph)
        return graph_sites(graph, plan) if plan else inf

    def cost(self, graph: LayerGraph) -> float:
        """Sites, or those of the slices that the registers of a deep pipeline take."""
        plan = self.plan(graph)
        return max(graph_sites(graph, plan), graph_registers(graph, plan) / _REGISTERS) if plan else inf


def graph_sites(graph: LayerGraph, plan: Schedule) -> int:
    """Expected LUT sites of a layer, pipelined by ``plan``; registers not included."""
    leaving = _leaving(graph, plan)
    return sum(_node_sites(node, graph, leaving[i]) for i, node in enumerate(graph.nodes))


def least_sites(graph: LayerGraph) -> int:
    """Sites that no packing of a layer's shared sums comes below: a site takes at most two bits out of a heap.

    Of two columns that a quantizer drops, one site may take five. What chains of atoms reach is less at their ends and
    between columns of odd height, so this is not to be had.
    """
    bits, others = 0, 0
    for node in graph.nodes:
        if node.kind == "quantize" and graph.nodes[node.terms[0].node].kind == "row" and not node.half_even:
            unread = max(node.drop + graph.nodes[node.terms[0].node].cut - node.terms[0].shift, 0)
            bits -= (unread + 1) // 2 * (CARRIED_PLACES - _BITS_TAKEN)
    for node in graph.nodes:
        if node.kind == "row" and node.low != node.high:
            start = row_start(node)
            bits += sum(not bit.constant for column in node.columns[start:] for bit in column)
            bits -= (node.bits + node.cut - start) * (start < len(node.columns))
        else:
            others += _node_sites(node, graph, 0)
    return others - (-max(bits, 0) // _BITS_TAKEN)


def graph_registers(graph: LayerGraph, plan: Schedule) -> int:
    """Registers of a layer: each bit waits as long as something still reads it."""
    until = [[stage] * node.bits for node, stage in zip(graph.nodes, plan.stages, strict=True)]
    for i, node in enumerate(graph.nodes):
        for bit in (bit for column in node.columns for bit in column if not bit.constant):
            bit_until = until[bit.node]
            index = min(bit.index, len(bit_until) - 1)
            bit_until[index] = max(bit_until[index], plan.stages[i])
        for term in node.terms:
            until[term.node] = [max(u, plan.stages[i]) for u in until[term.node]]
    for i in graph.outputs:
        until[i] = [plan.latency] * len(until[i])
    ends = zip(graph.nodes, until, plan.stages, strict=True)
    return sum(sum(u - stage for u in bits) for node, bits, stage in ends if node.low != node.high)


def registered(graph: LayerGraph, target: Target) -> frozenset[int]:
    """The nodes of a graph that something reads, though nothing before a register."""
    plan = target.plan(graph)
    if plan is None:
        return frozenset()
    return frozenset(i for i, bits in enumerate(_leaving(graph, plan)) if not bits)


def _leaving(graph: LayerGraph, plan: Schedule) -> list[int]:
    """By node the bits that something reads before a register, bit by bit as a number."""
    found = [0] * len(graph.nodes)
    for i in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[i]
        wired = row_start(node) if node.kind == "row" else 0
        for c, column in enumerate(node.columns):
            if node.carried and c < wired:
                continue  # nothing reads what is below a chain of which only the carry goes on
            for bit in column:
                passed = c < wired and not bit.inverted  # wiring: it leaves there as it leaves here
                if bit.node >= 0 and plan.stages[bit.node] == plan.stages[i] and (not passed or found[i] >> c & 1):
                    found[bit.node] |= 1 << bit.index
        for term in node.terms:
            if plan.stages[term.node] == plan.stages[i] and not (_wiring(node) and not found[i]):
                found[term.node] |= (1 << graph.nodes[term.node].bits) - 1
    return found


def _wiring(node: Node) -> bool:
    """Whether a node of one term only names its bits."""
    return (node.kind == "quantize" and node.overflow == "WRAP" and not node.half_even) or (
        node.kind == "sum" and len(node.terms) == 1 and not node.constant and not node.terms[0].negative
    )


def _node_sites(node: Node, graph: LayerGraph, leaving: int) -> int:
    """Sites of one node, of which the bits of ``leaving`` are read before a register."""
    if node.low == node.high:
        return 0
    if node.kind == "row" and row_start(node) < len(node.columns):
        return _row_sites(node, leaving)
    chain = node.kind == "sum" and len(node.terms) + bool(node.constant) > 1
    return node_luts(node, graph) + chain


def _row_sites(node: Node, leaving: int) -> int:
    start = row_start(node)
    if node.carried:
        return len(node.carried) + (min(len(node.atoms) + 1, node.bits) if node.atoms != NO_ATOMS else 0)
    columns = node.columns[start : 1 + max(c for c, column in enumerate(node.columns) if column)]
    result, leaving = node.bits - start, leaving >> start
    if node.atoms:
        if node.atoms == FULL_ADDER:
            return 1
        return min(len(node.atoms) + 1, result)  # the last carry leaves beside a sum, or passes a LUT of its own
    if plain_addition(node.columns):
        return min(len(columns) + 1, result)
    width, beside = min(len(columns), result), set[int]()
    for c, column in enumerate(columns[: result - 1]):
        if len(column) > 1 and leaving >> c & 1:
            beside.add(c)
    if len(columns[0]) == FIRST_PLACES and not any(bit.constant for bit in columns[0]):
        beside.add(0)  # one bit enters where DI would, which takes O5
    else:
        beside.discard(0)  # nothing enters below, so O6 is the sum, which leaves without the chain
    # above lie the carry of three bits, which passes through a LUT of its own, and that of the chain, beside it
    return width + len(beside) + min(result - width, 2)
