"""What a graph will occupy, without a synthesizer: LUT cells as the synthesizer counts them (sites: ``sites.py``)."""

from __future__ import annotations

from flow.core.fixed import bits_for
from flow.parallel.atoms import NO_ATOMS
from flow.parallel.graph import LayerGraph, Node, row_start
from flow.parallel.lut_networks import table_luts

ENERGY_PER_BIT_PJ = 0.1 / 32


def graph_luts(graph: LayerGraph) -> int:
    """Estimated LUT cells of a layer, registers not included."""
    return sum(node_luts(node, graph) for node in graph.nodes)


def graph_energy_pj(graph: LayerGraph) -> float:
    """Estimated energy of one result in a layer's carry chains, in pJ; wires, tables and registers not included.

    An added bit counts as in a 32-bit integer addition in 45 nm, which takes 0.1 pJ (Horowitz, ISSCC 2014).
    """
    return ENERGY_PER_BIT_PJ * sum(node_luts(node, graph) for node in graph.nodes if node.kind in ("row", "sum"))


def node_luts(node: Node, graph: LayerGraph) -> int:
    """Estimated LUT cells of one node."""
    if node.low == node.high:
        return 0
    if node.kind == "row":
        return _row_luts(node)
    if node.kind == "sum":
        return _sum_luts(node, graph)
    if node.kind == "table":
        return table_luts(node.table)
    return _quantize_luts(node, graph) if node.kind == "quantize" else 0


def _row_luts(node: Node) -> int:
    """One LUT per column of the chain; above the highest bit only the carry is left."""
    start = row_start(node)
    if node.carried:
        return len(node.carried) + (min(len(node.atoms), node.bits) if node.atoms != NO_ATOMS else 0)
    if node.atoms:
        return min(len(node.atoms), node.bits - start)
    return max((c for c, column in enumerate(node.columns) if column), default=-1) + 1 - min(start, len(node.columns))


def _sum_luts(node: Node, graph: LayerGraph) -> int:
    """A carry chain per addition: bits below both operands pass, bits above one operand's width still carry."""
    operands = [
        (t.shift, t.shift + graph.nodes[t.node].bits, t.negative, graph.nodes[t.node].signed) for t in node.terms
    ]
    if node.constant:
        low = (node.constant & -node.constant).bit_length() - 1
        operands.append((low, bits_for(0, abs(node.constant))[1], node.constant < 0, False))
    if len(operands) < 2:
        return node.bits if operands and operands[0][2] else 0
    luts = 0
    first = operands[0]
    for second in operands[1:]:
        start = second[0] if not first[2] else 0
        start = max(start, first[0]) if not second[2] else min(start, first[0]) if first[2] else start
        # above the shorter operand a zero-extended one needs no LUT, a subtracted or sign-extended one does
        longer = max(first[1], second[1]) if _extends(first) or _extends(second) else min(first[1], second[1])
        luts += max(min(longer, node.bits) - start, 0)
        first = (min(first[0], second[0]), node.bits, False, node.signed)
    return luts


def _extends(operand: tuple[int, int, bool, bool]) -> bool:
    return operand[2] or operand[3]


def _quantize_luts(node: Node, graph: LayerGraph) -> int:
    """Saturation: a LUT per result bit, and the detection of values beyond the ends; wrapping costs nothing."""
    source, shift = graph.nodes[node.terms[0].node], node.terms[0].shift
    low, high = (
        v << (shift - node.drop) if shift >= node.drop else v >> (node.drop - shift) for v in (source.low, source.high)
    )
    luts = 0
    if node.overflow == "RELU_WRAP" and low < 0:
        luts += node.bits
    elif node.overflow == "SAT" and (low < node.low or high > node.high):
        luts += node.bits
        above = bits_for(low, high)[1] - node.bits
        luts += max(-(-(above - 2) // 5), 0)
    dropped = node.drop - shift
    if node.half_even and dropped > 0:
        luts += 1 + dropped // 6
    return luts
