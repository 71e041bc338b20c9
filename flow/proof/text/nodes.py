"""What each node of a data-flow graph computes, as exact functions of the nodes that it reads.

The meaning is that of ``flow.parallel.graph.evaluate_node``, written down a second time for bits instead of integers;
nothing of the emission is used.
"""

from __future__ import annotations

from flow.parallel.graph import Bit, LayerGraph, Node, row_start
from flow.proof.text.bdd import FALSE, TRUE
from flow.proof.text.findings import Unread
from flow.proof.text.space import Space, Vector, constant, extended
from flow.proof.text.sums import Form


class Nodes:
    """A graph's nodes as atoms of a space: ``bits`` of their values, and what they are to be."""

    def __init__(self, space: Space, graph: LayerGraph, names: list[str]) -> None:
        self.space, self.graph = space, graph
        self.bits: list[Vector] = []
        for i, (node, name) in enumerate(zip(graph.nodes, names, strict=True)):
            if self.constant(i):
                self.bits.append(constant(node.low, node.bits))
            elif node.partial:  # such a row is taken modulo its width: its limits are not used
                self.bits.append(space.atom(name, node.bits))
            else:
                self.bits.append(space.atom(name, node.bits, node.low, node.high))

    def constant(self, i: int) -> bool:
        """Whether a node is a constant. Raises Unread for a partial row that only claims to be one."""
        node = self.graph.nodes[i]
        if node.partial and node.low == node.high and any(not b.constant for column in node.columns for b in column):
            raise Unread(f"node {i} of the graph is said to be constant but reads values")
        return node.low == node.high

    def form(self, i: int) -> Form | None:
        """The sum that a ``sum`` or ``row`` is, to be taken modulo its width; None for other kinds.

        Of a row without its ``cut`` lowest bits it is the sum from ``row_start`` on: below it nothing carries.
        """
        node = self.graph.nodes[i]
        if node.kind not in ("sum", "row"):
            return None
        found = Form({}, node.constant)
        for term in node.terms:
            factor = -1 if term.negative else 1
            source = self.graph.nodes[term.node]
            for b, bit in enumerate(self.bits[term.node]):
                if b + term.shift >= 0:  # a right shift drops bits
                    sign = -1 if source.signed and b == source.bits - 1 else 1
                    found = _added(found, self.space, bit, factor * sign << b + term.shift)
        for c, column in enumerate(node.columns[row_start(node) if node.carried else 0 :]):
            for place in column:
                found = _added(found, self.space, self.bit(place), 1 << c)
        return found

    def bit(self, bit: Bit) -> int:
        """A bit of a node, as ``Bit`` means it."""
        if bit.constant:
            return TRUE if bit.inverted else FALSE
        function = self.extended(bit.node, bit.index + 1)[bit.index]
        return self.space.bdd.invert(function) if bit.inverted else function

    def extended(self, i: int, width: int) -> Vector:
        """A node's value in ``width`` bits."""
        return extended(self.bits[i], width, self.graph.nodes[i].signed)

    def function(self, i: int) -> Vector | None:
        """The bits that a ``table`` or ``quantize`` is; None for other kinds."""
        node = self.graph.nodes[i]
        if node.kind == "table":
            index = tuple(self.bit(column[0]) for column in node.columns)
            entries = (tuple((value >> b) & 1 for value in node.table) for b in range(node.bits))
            return tuple(self.space.lookup(entry, index) for entry in entries)
        return self._quantized(node) if node.kind == "quantize" else None

    def _quantized(self, node: Node) -> Vector:
        """Shift, drop bits, clear bit 0 at a tie, saturate or keep the lowest bits."""
        term, space = node.terms[0], self.space
        if term.negative:
            raise Unread("a quantizer of a negative term is not known")
        source = self.graph.nodes[term.node]
        drop, shift = max(node.drop, 0), max(-node.drop, 0)
        wide = max(source.bits, 1) + abs(term.shift) + abs(node.drop) + node.bits + 2
        value = self.extended(term.node, wide)
        value = constant(0, term.shift) + value if term.shift >= 0 else value[-term.shift :]
        rounded = extended(constant(0, shift) + value[drop:], wide, source.signed)
        if node.half_even and drop:
            tie = space.bdd.invert(space.any(value[:drop]))
            rounded = (space.bdd.both(rounded[0], space.bdd.invert(tie)), *rounded[1:])
        if node.overflow == "RELU_WRAP":
            rounded = space.select(rounded[-1], constant(0, wide), rounded)
        if node.overflow != "SAT":
            return rounded[: node.bits]
        low, high = constant(node.low, wide), constant(node.high, wide)
        bounded = space.select(space.less(high, rounded, True), high, rounded)
        return space.select(space.less(rounded, low, True), low, bounded)[: node.bits]


def _added(form: Form, space: Space, bit: int, weight: int) -> Form:
    """A form and one more bit; of a complement the plain bit counts."""
    if bit < 2:
        return Form(form.weights, form.constant + bit * weight)
    if space.owner(bit) is None:
        form, bit, weight = Form(form.weights, form.constant + weight), space.bdd.invert(bit), -weight
    form.weights[bit] = form.weights.get(bit, 0) + weight
    return form
