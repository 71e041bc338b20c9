"""One layer as an integer data-flow graph: the form between a design and Verilog.

Nodes are in topological order. A value is an integer; shifts are wiring. Every node carries its exact range, so its
width is exact. A layer's inputs are the mantissas that enter it, its outputs the mantissas that leave it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flow.errors import DesignError
from flow.fixed import Ints, bits_for


@dataclass(frozen=True, slots=True)
class Term:
    """``±(value << shift)``; a negative shift drops low bits that are known to be zero."""

    node: int
    shift: int
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A value: an ``input`` element, a ``sum`` of terms and a constant, or a ``quantize`` of one term.

    ``neuron`` names the neuron a value belongs to, -1 where neurons share it. A ``quantize`` node drops ``drop`` low
    bits of its term (the rounding constant is already in it; negative: appends zeros), clears the result's bit 0 where
    the dropped bits are all zero if ``half_even``, and saturates to ``low..high``.
    """

    kind: str
    low: int
    high: int
    terms: tuple[Term, ...] = ()
    constant: int = 0
    element: int = -1
    drop: int = 0
    half_even: bool = False
    neuron: int = -1

    @property
    def signed(self) -> bool:
        """Whether the value needs a sign bit."""
        return bits_for(self.low, self.high)[0]

    @property
    def bits(self) -> int:
        """Width of the value."""
        return bits_for(self.low, self.high)[1]


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """A layer's nodes, and for each neuron the node that is its output."""

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    engine: str

    @property
    def adders(self) -> int:
        """Two-input additions, constant additions included."""
        return sum(len(n.terms) - 1 + (n.constant != 0) for n in self.nodes if n.kind == "sum")


def evaluate_graph(graph: LayerGraph, mantissas: Ints) -> Ints:
    """Run the graph on input mantissas (vectors x inputs); gives output mantissas (vectors x neurons)."""
    values: list[Ints] = []
    for node in graph.nodes:
        if node.kind == "input":
            values.append(mantissas[:, node.element])
            continue
        total = np.full(len(mantissas), node.constant, np.int64)
        for term in node.terms:
            value = values[term.node]
            value = value << term.shift if term.shift >= 0 else value >> -term.shift
            total = total - value if term.negative else total + value
        if node.kind == "quantize":
            total = quantize(node, total)
        values.append(total)
    return np.stack([values[i] for i in graph.outputs], axis=1)


def quantize(node: Node, value: Ints) -> Ints:
    """What a ``quantize`` node makes of its shifted term."""
    if node.drop <= 0:
        rounded = value << -node.drop
    else:
        rounded = value >> node.drop
        if node.half_even:
            tie = (value & ((1 << node.drop) - 1)) == 0
            rounded = rounded & ~tie.astype(np.int64)
    return np.asarray(np.clip(rounded, node.low, node.high), np.int64)


def linear_form(graph: LayerGraph, inputs: int) -> tuple[list[Ints | None], list[int]]:
    """Each sum as an exact affine form of the inputs: (coefficients or None for a quantized value, constant)."""
    forms: list[Ints | None] = []
    constants: list[int] = []
    for node in graph.nodes:
        form: Ints | None = np.zeros(inputs, np.int64)
        constant = node.constant
        if node.kind == "input":
            assert form is not None
            form[node.element] = 1
        elif node.kind == "quantize":
            form = None
        else:
            for term in node.terms:
                part = forms[term.node]
                assert part is not None and form is not None
                scaled, offset = shifted_form(part, constants[term.node], term.shift)
                form = form - scaled if term.negative else form + scaled
                constant += -offset if term.negative else offset
        forms.append(form)
        constants.append(constant)
    return forms, constants


def shifted_form(form: Ints, constant: int, shift: int) -> tuple[Ints, int]:
    """``form`` and ``constant`` times ``2**shift``; raises DesignError where a right shift would drop a set bit."""
    if shift >= 0:
        return form << shift, constant << shift
    mask = (1 << -shift) - 1
    if constant & mask or (form & mask).any():
        raise DesignError("a shift would drop bits that are not zero")
    return form >> -shift, constant >> -shift
