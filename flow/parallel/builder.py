"""Builds a layer's graph node by node, keeping every value's exact affine form and range; shared by all generators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from flow.core.design import Design, Layer, Neuron
from flow.core.fixed import Fixed, Ints, Quantizer, bounded_range
from flow.core.integers import as_integers, magnitude, sufficient
from flow.parallel.graph import Bit, LayerGraph, Node, Term, dropped, shifted


class GraphBuilder:
    """The nodes of one layer so far; the inputs are there from the start.

    ``forms`` holds a value's coefficients over the input mantissas and ``constants`` its constant, where the value is
    an affine function of them; both are meaningless for partial rows and quantized values, which nothing asks about.
    """

    def __init__(self, design: Design, index: int) -> None:
        self.layer = design.layers[index]
        self.formats: tuple[Fixed, ...] = design.formats_into(index)
        self.ranges = design.ranges_into(index)
        self.nodes: list[Node] = [Node("input", low, high, element=i) for i, (low, high) in enumerate(self.ranges)]
        exact = form_dtype(self.layer, self.formats, self.ranges)
        self.forms: list[Ints] = list(np.eye(len(self.nodes), dtype=exact))
        self.constants = [0] * len(self.nodes)
        self.lows = np.array([low for low, _ in self.ranges], exact)
        self.highs = np.array([high for _, high in self.ranges], exact)
        self.no_form = np.zeros(len(self.nodes), exact)

    def append(self, node: Node, form: Ints | None = None, constant: int = 0) -> int:
        """Add a node; gives its index."""
        self.nodes.append(node)
        self.forms.append(self.no_form if form is None else form)
        self.constants.append(constant)
        return len(self.nodes) - 1

    def add_sum(self, terms: tuple[Term, ...], constant: int, neuron: int) -> int:
        """Add a sum of terms and a constant."""
        form, total = self.no_form, constant
        for term in terms:
            part, offset = self.forms[term.node], self.constants[term.node]
            part = part << term.shift if term.shift >= 0 else part >> -term.shift
            offset = offset << term.shift if term.shift >= 0 else offset >> -term.shift
            form, total = (form - part, total - offset) if term.negative else (form + part, total + offset)
        low, high = self.range_of(form, total)
        return self.append(Node("sum", low, high, terms, constant, neuron=neuron), form, total)

    def range_of(self, form: Ints, constant: int) -> tuple[int, int]:
        """Exact range of an affine form over the input ranges."""
        at_low, at_high = form * self.lows, form * self.highs
        return int(np.minimum(at_low, at_high).sum()) + constant, int(np.maximum(at_low, at_high).sum()) + constant

    def add_constant_neuron(self, j: int, neuron: Neuron) -> int:
        """Output node of a neuron without live weights."""
        assert neuron.accumulator is not None
        value = aligned_bias(neuron)
        if neuron.output:
            value = int(neuron.output.from_integer([value], neuron.accumulator.frac)[0])
        return self.append(Node("sum", value, value, (), value, neuron=j), None, value)

    def add_quantize(self, term: Term, neuron: int) -> int:
        """Append neuron ``neuron``'s output quantizer; its rounding constant is already in ``term``."""
        quantizer, accumulator = self.layer.neurons[neuron].output, self.layer.neurons[neuron].accumulator
        assert quantizer is not None and accumulator is not None
        drop, half_even = quantizer_drop(quantizer, accumulator.frac)
        drop -= self.nodes[term.node].cut
        probe = Node("quantize", quantizer.low, quantizer.high, (term,), drop=drop, half_even=half_even, neuron=neuron,
                     overflow=quantizer.overflow)  # fmt: skip
        low, high = quantized_range(probe, self.nodes[term.node])
        return self.append(replace(probe, low=low, high=high))


def form_dtype(layer: Layer, formats: Sequence[Fixed], ranges: Sequence[tuple[int, int]]) -> Any:
    """The dtype in which every affine form of a layer's values, and its range over the inputs, is exact."""
    sizes = [max(abs(low), abs(high)) for low, high in ranges]
    fracs = [n.accumulator.frac if n.accumulator else 0 for n in layer.neurons]
    constants = [
        abs(aligned_bias(n)) + rounding_constant(n.output, f) for n, f in zip(layer.neurons, fracs, strict=True)
    ]
    lift = max(f - n.weight_frac for n, f in zip(layer.neurons, fracs, strict=True)) - min(f.frac for f in formats)
    rough = magnitude(layer.matrix) * sum(sizes) << max(lift, 0)  # quickly found, and enough for ordinary layers
    if sufficient([rough, *constants]) is np.int64:
        return np.int64
    return sufficient(
        constant + sum(abs(w) * size for w, size in zip(aligned_weights(n, formats, ranges), sizes, strict=True))
        for n, constant in zip(layer.neurons, constants, strict=True)
    )


def aligned_weights(neuron: Neuron, formats: Sequence[Fixed], ranges: Sequence[tuple[int, int]]) -> list[int]:
    """What each input mantissa weighs on the accumulator's grid; 0 for inputs that are always 0."""
    assert neuron.accumulator is not None
    return [
        w << (neuron.accumulator.frac - f.frac - neuron.weight_frac) if w and r != (0, 0) else 0
        for w, f, r in zip(neuron.weights, formats, ranges, strict=True)
    ]


def aligned_bias(neuron: Neuron) -> int:
    """The bias on the accumulator's grid."""
    assert neuron.accumulator is not None
    return neuron.bias << (neuron.accumulator.frac - neuron.bias_frac) if neuron.bias else 0


def quantizer_drop(quantizer: Quantizer, frac: int) -> tuple[int, bool]:
    """How many bits a quantizer drops from an accumulator with ``frac`` fraction bits, and whether ties go to even."""
    drop = frac - quantizer.format.frac
    return drop, quantizer.rounding == "RND_CONV" and drop > 0


def unread_bits(neuron: Neuron) -> int:
    """How many of the lowest bits of its sum, the rounding constant added, a neuron's output does not depend on."""
    assert neuron.accumulator is not None
    if neuron.output is None:
        return 0
    drop, half_even = quantizer_drop(neuron.output, neuron.accumulator.frac)
    return 0 if half_even else max(drop, 0)


class Threshold(NamedTuple):
    """An output of 0 or 1 as a comparison: 1 where the weighted sum and the bias are at least ``least``.

    The sum plus ``2**unread - least`` has bit ``unread`` set just then, and none above it.
    """

    least: int
    unread: int


def is_comparison(quantizer: Quantizer) -> bool:
    """Whether a quantizer's result is 1 from some sum on and 0 below it."""
    return (quantizer.low, quantizer.high, quantizer.overflow) == (0, 1, "SAT")


def threshold(neuron: Neuron, low: int, high: int) -> Threshold | None:
    """The comparison that an output of 0 or 1 is; None where it is always the same.

    The weighted sum and the bias lie in ``low..high``. A saturating quantizer never falls, so the least sum that gives
    1 is found by halving.
    """
    quantizer, accumulator = neuron.output, neuron.accumulator
    assert quantizer is not None and is_comparison(quantizer) and accumulator is not None
    below, least = low, high
    if quantizer.from_integer([low, high], accumulator.frac).tolist() != [0, 1]:
        return None
    while least - below > 1:
        middle = (below + least) // 2
        one = bool(quantizer.from_integer([middle], accumulator.frac)[0])
        below, least = (below, middle) if one else (middle, least)
    return Threshold(least, max(least - low - 1, high - least).bit_length())


def rounding_constant(quantizer: Quantizer | None, frac: int) -> int:
    """What must be added to an accumulator before bits are dropped."""
    if quantizer is None or quantizer.rounding == "TRN":
        return 0
    drop = frac - quantizer.format.frac
    return 1 << (drop - 1) if drop > 0 else 0


def quantized_range(node: Node, source: Node) -> tuple[int, int]:
    """Exact range of a quantize node's result over its source's range; the node's own is its quantizer's."""
    ends = shifted(as_integers([source.low, source.high]), node.terms[0].shift)
    first, last = (int(v) for v in dropped(node, ends))
    return bounded_range(node.overflow, node.low, node.high, first, last)


def without_dead(graph: LayerGraph) -> LayerGraph:
    """Drop nodes no output depends on; inputs stay, so ports keep their meaning."""
    used = set(graph.outputs)
    for i in range(len(graph.nodes) - 1, -1, -1):
        if i in used:
            used |= graph.nodes[i].sources
    keep = [i for i, n in enumerate(graph.nodes) if i in used or n.kind == "input"]
    new = {old: position for position, old in enumerate(keep)}
    nodes = tuple(_renumbered(graph.nodes[i], new) for i in keep)
    return replace(graph, nodes=nodes, outputs=tuple(new[i] for i in graph.outputs))


def _renumbered(node: Node, new: dict[int, int]) -> Node:
    terms = tuple(replace(t, node=new[t.node]) for t in node.terms)
    columns = tuple(tuple(Bit(new.get(b.node, -1), b.index, b.inverted) for b in column) for column in node.columns)
    return replace(node, terms=terms, columns=columns)
