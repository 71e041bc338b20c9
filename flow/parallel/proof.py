"""Proof that a layer's graph computes the design: exact algebra over bits and inputs, no test vectors.

Going forward, every value of the graph gets its exact affine form over the input mantissas. A row of bits gets it by
expanding backwards: what a node contributes is a coefficient for each of its bits; where these are the weights of its
value, the node is replaced by its form or, if it is a partial row, by its own bits. This holds modulo ``2**bits`` of
the row; the form whose range over the inputs fits the row's range is then the row's value itself, since residues are
unique there (``_fitting``). The forms that reach the quantizers are compared with the weights; a quantizer acts on one
value, so its parameters are compared. Neurons made of tables are compared for every combination of
their inputs.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import numpy as np

from flow.core.design import Design, Neuron
from flow.core.errors import DesignError
from flow.core.fixed import Ints
from flow.parallel.atoms import places
from flow.parallel.builder import (
    aligned_bias,
    aligned_weights,
    form_dtype,
    is_comparison,
    quantized_range,
    quantizer_drop,
    rounding_constant,
)
from flow.parallel.graph import LayerGraph, Node, evaluate_node

_MOST_CHOICES = 12
_MOST_COMBINATIONS = 1 << 20  # of a table's inputs, all of which are tried
Form = tuple[Ints, int]  # coefficients of the input mantissas, constant


def prove(design: Design, index: int, graph: LayerGraph) -> None:
    """Prove that a graph's outputs equal the design's layer ``index``. Raises DesignError naming the neuron."""
    layer, formats, ranges = design.layers[index], design.formats_into(index), design.ranges_into(index)
    exact = form_dtype(layer, formats, ranges)
    forms = _Forms(graph, ranges, layer.name, exact)
    for j, neuron in enumerate(layer.neurons):
        where = f"layer {layer.name}, neuron {j}: the graph"
        node, accumulator = graph.nodes[graph.outputs[j]], neuron.accumulator
        assert accumulator is not None
        expected = aligned_weights(neuron, formats, ranges)
        if not any(expected):
            _prove_constant(neuron, node, where)
            continue
        if node.kind == "table":
            _prove_table(neuron, expected, graph, j, ranges, where, exact)
            continue
        source, shift, compared = graph.outputs[j], 0, False
        if neuron.output:
            compared = _compares(neuron, node, graph)
            if not compared:
                _prove_quantizer(neuron, node, graph, where)
            source, shift = node.terms[0].node, node.terms[0].shift
        form, constant = forms.below(source, shift) if graph.nodes[source].cut else forms.shifted(source, shift)
        fixed = sum(w * low for w, (low, high) in zip(expected, ranges, strict=True) if low == high)
        if form.tolist() != [0 if low == high else w for w, (low, high) in zip(expected, ranges, strict=True)]:
            raise DesignError(f"{where} weighs the inputs differently")
        if compared:
            _prove_comparison(
                neuron, node.drop + graph.nodes[source].cut, constant - fixed - aligned_bias(neuron), where
            )
        elif constant != aligned_bias(neuron) + rounding_constant(neuron.output, accumulator.frac) + fixed:
            raise DesignError(f"{where} adds another constant")


def _prove_constant(neuron: Neuron, node: Node, where: str) -> None:
    assert neuron.accumulator is not None
    value = aligned_bias(neuron)
    if neuron.output:
        value = int(neuron.output.from_integer([value], neuron.accumulator.frac)[0])
    if node.kind != "sum" or node.terms or node.constant != value:
        raise DesignError(f"{where} does not produce the constant {value}")


def _compares(neuron: Neuron, node: Node, graph: LayerGraph) -> bool:
    """Whether an output of 0 or 1 is a bit of a sum above which there is none."""
    quantizer = neuron.output
    if not quantizer or not is_comparison(quantizer):
        return False
    if (node.kind, node.low, node.high, node.half_even, node.overflow) != ("quantize", 0, 1, False, "SAT"):
        return False
    source, term = graph.nodes[node.terms[0].node], node.terms[0]
    if term.shift or term.negative or node.drop < 0:
        return False
    return (source.low >> node.drop, source.high >> node.drop) == (0, 1)


def _prove_comparison(neuron: Neuron, bit: int, added: int, where: str) -> None:
    """``bit`` of a sum to which ``added`` was added is the output: at its ends, for a quantizer never falls."""
    assert neuron.output is not None and neuron.accumulator is not None
    least = (1 << bit) - added
    if neuron.output.from_integer([least - 1, least], neuron.accumulator.frac).tolist() != [0, 1]:
        raise DesignError(f"{where} compares with another number")


def _prove_quantizer(neuron: Neuron, node: Node, graph: LayerGraph, where: str) -> None:
    quantizer, accumulator = neuron.output, neuron.accumulator
    assert quantizer is not None and accumulator is not None
    drop, half_even = quantizer_drop(quantizer, accumulator.frac)
    if node.kind != "quantize":
        raise DesignError(f"{where} does not round")
    source = graph.nodes[node.terms[0].node]
    if (node.drop + source.cut, node.half_even) != (drop, half_even) or (source.cut and (half_even or node.drop < 0)):
        raise DesignError(f"{where} rounds differently")
    if node.overflow != quantizer.overflow:
        raise DesignError(f"{where} treats overflow by {node.overflow}, not by {quantizer.overflow}")
    wanted = Node("quantize", quantizer.low, quantizer.high, node.terms, drop=node.drop, half_even=half_even,
                  overflow=quantizer.overflow)  # fmt: skip
    if node.terms[0].negative or (node.low, node.high) != quantized_range(wanted, source):
        raise DesignError(f"{where} saturates differently")


def _prove_table(
    neuron: Neuron, weights: list[int], graph: LayerGraph, j: int, ranges: tuple[tuple[int, int], ...], where: str,
    exact: Any,
) -> None:  # fmt: skip
    """Compare a neuron of tables for every combination of its inputs."""
    cone = {graph.outputs[j]}
    for i in range(graph.outputs[j], -1, -1):
        if i in cone:
            cone |= graph.nodes[i].sources
    if any(graph.nodes[i].kind not in ("input", "table") for i in cone):
        raise DesignError(f"{where} mixes tables with sums")
    elements = sorted({graph.nodes[i].element for i in cone if graph.nodes[i].kind == "input"} | {
        i for i, w in enumerate(weights) if w})  # fmt: skip
    spans = [np.arange(ranges[e][0], ranges[e][1] + 1) for e in elements]
    if np.prod([float(len(s)) for s in spans]) > _MOST_COMBINATIONS:
        raise DesignError(f"{where} is a table of too many inputs to be proved")
    grid = dict(zip(elements, (g.reshape(-1) for g in np.meshgrid(*spans, indexing="ij")), strict=True))
    count = len(grid[elements[0]])
    values: dict[int, Ints] = {}
    for i in sorted(cone):
        node = graph.nodes[i]
        values[i] = grid[node.element] if node.kind == "input" else evaluate_node(node, values, count)
        if values[i].min() < node.low or values[i].max() > node.high:
            raise DesignError(f"{where} has too narrow a table")
    assert neuron.accumulator is not None
    total = sum((weights[e] * grid[e].astype(exact) for e in elements), np.full(count, aligned_bias(neuron), exact))
    expected = neuron.output.from_integer(total, neuron.accumulator.frac) if neuron.output else total
    if not np.array_equal(values[graph.outputs[j]], expected):
        raise DesignError(f"{where} has a wrong entry in a table")


class _Forms:
    """The exact affine form of every value of a graph; ``None`` for partial rows, tables and quantized values.

    Of a row without its lowest bits it is that of the total, which is in ``totals``; the row itself has none.
    """

    def __init__(self, graph: LayerGraph, ranges: tuple[tuple[int, int], ...], layer: str, exact: Any) -> None:
        self.graph, self.layer, self.inputs, self.exact = graph, layer, len(ranges), exact
        self.lows = np.array([low for low, _ in ranges], exact)
        self.highs = np.array([high for _, high in ranges], exact)
        self.forms: list[Form | None] = []
        self.totals: dict[int, Form] = {}
        for i, node in enumerate(graph.nodes):
            form = self._form(i, node)
            if form is not None:
                low, high = self._range(form)
                if low >> node.cut < node.low or high >> node.cut > node.high:
                    raise DesignError(f"layer {layer}: node {i} of the graph is too narrow for {low}..{high}")
                if node.cut:
                    self.totals[i] = form
            self.forms.append(None if node.cut else form)

    def below(self, node: int, shift: int) -> Form:
        """The form of a row's total, before its lowest bits are left out."""
        if shift:
            raise DesignError(f"layer {self.layer}: node {node} of the graph is shifted, though it lacks bits")
        return self.totals[node]

    def shifted(self, node: int, shift: int) -> Form:
        """The form of ``node << shift``; raises DesignError where a right shift would drop a set bit."""
        known = self.forms[node]
        if known is None:
            raise DesignError(f"layer {self.layer}: node {node} of the graph is used as a value but is not one")
        form, constant = known
        if shift >= 0:
            return form << shift, constant << shift
        mask = (1 << -shift) - 1
        if constant & mask or (form & mask).any():
            raise DesignError(f"layer {self.layer}: a shift of node {node} drops bits that are not zero")
        return form >> -shift, constant >> -shift

    def _range(self, form: Form) -> tuple[int, int]:
        low, high = form[0] * self.lows, form[0] * self.highs
        return int(np.minimum(low, high).sum()) + form[1], int(np.maximum(low, high).sum()) + form[1]

    def _form(self, i: int, node: Node) -> Form | None:
        if node.kind in ("quantize", "table") or node.partial:
            return None
        if node.kind == "row":
            return self._row_form(i, node)
        form, constant = np.zeros(self.inputs, self.exact), node.constant
        if node.kind == "input" and self.lows[node.element] == self.highs[node.element]:
            constant += int(self.lows[node.element])  # an input of one value is a constant
        elif node.kind == "input":
            form[node.element] = 1
        for term in node.terms:
            part, offset = self.shifted(term.node, term.shift)
            form, constant = (form - part, constant - offset) if term.negative else (form + part, constant + offset)
        return form, constant

    def _row_form(self, i: int, node: Node) -> Form:
        """Expand a row's bits backwards into values; the constant is the one that fits the row's range."""
        form, constant = np.zeros(self.inputs, self.exact), 0
        modulus = 1 << node.bits + node.cut
        self._check_atoms(i, node)
        bits: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        constant += _add_columns(node, 1, bits)
        while bits:
            last = max(bits)
            source = self.graph.nodes[last]
            weight = self._value_weight(i, last, source, bits.pop(last), modulus)
            known = self.forms[last]
            if known is not None:
                form, constant = form + weight * known[0], constant + weight * known[1]
            elif source.partial:
                largest = sum(len(column) << c for c, column in enumerate(source.columns))
                self._check_atoms(last, source)
                if largest >> source.bits and (weight << source.bits) % modulus:
                    raise DesignError(f"layer {self.layer}: node {last} of the graph loses a carry")
                constant += _add_columns(source, weight, bits)
            else:
                raise DesignError(f"layer {self.layer}: node {i} of the graph reads a value that is no sum")
        return self._fitting(form, constant, node)

    def _check_atoms(self, i: int, node: Node) -> None:
        """Raises DesignError where a row's atoms do not take its bits, which would lose some."""
        if not node.atoms:
            return
        try:
            places(node)
        except DesignError as exc:
            raise DesignError(f"layer {self.layer}: node {i} of the graph: {exc}") from None

    def _fitting(self, form: Ints, constant: int, node: Node) -> Form:
        """The form, known modulo ``2**bits`` of the row, whose range lies within the row's; at most one does.

        A coefficient times its input's span is less than the modulus, so only inputs of two values leave a choice.
        """
        first, last = node.low << node.cut, (node.high + 1 << node.cut) - 1
        modulus, most = 1 << node.bits + node.cut, last - first
        spans = self.highs - self.lows
        least = (form + modulus // 2) % modulus - modulus // 2
        other = np.where(least < 0, least + modulus, least - modulus)
        open_ones = np.flatnonzero((spans == 1) & (np.abs(other) <= most))
        open_ones = open_ones[np.argsort(np.abs(other[open_ones]), kind="stable")][:_MOST_CHOICES]
        for choice in itertools.product((False, True), repeat=len(open_ones)):
            taken = least.copy()
            taken[open_ones] = np.where(choice, other[open_ones], least[open_ones])
            low, high = self._range((taken, constant))
            lowest = first + (low - first) % modulus
            if lowest + high - low <= last:
                return taken, constant + lowest - low
        return least, constant

    def _value_weight(self, reader: int, i: int, node: Node, weights: dict[int, int], modulus: int) -> int:
        """The weight of a node's value that the weights of its bits amount to, modulo ``modulus``."""
        top = node.bits - 1
        unit = -weights[0] if node.signed and not top else weights[0]
        for b in range(node.bits):
            expected = -unit << b if node.signed and b == top else unit << b
            if (weights[b] - expected) % modulus:
                raise DesignError(f"layer {self.layer}: node {reader} of the graph uses only a part of node {i}")
        return unit


def _add_columns(row: Node, weight: int, bits: dict[int, dict[int, int]]) -> int:
    """Add a row's bits, weighed, to ``bits`` (node -> bit -> weight); gives the constant that inversions add."""
    constant = 0
    for c, column in enumerate(row.columns):
        for bit in column:
            if bit.inverted:
                constant += weight << c
            if not bit.constant:
                bits[bit.node][bit.index] += -weight << c if bit.inverted else weight << c
    return constant
