"""One layer as an integer data-flow graph: the form between a design and Verilog.

Nodes are in topological order. A value is an integer; shifts are wiring. Every node carries its exact range, so its
width is exact. A layer's inputs are the mantissas that enter it, its outputs the mantissas that leave it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flow.core.fixed import Ints, bits_for, bounded
from flow.core.integers import SAFE_BITS, as_int64, ends_in_zeros, magnitude, narrowed, shifted_left, wide


@dataclass(frozen=True, slots=True)
class Term:
    """``±(value << shift)``; a negative shift drops low bits that are known to be zero."""

    node: int
    shift: int
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Bit:
    """Bit ``index`` of a node's two's complement, or its complement; node -1 is the constant 0."""

    node: int
    index: int
    inverted: bool = False

    @property
    def constant(self) -> bool:
        """Whether the bit is a constant: 0, or 1 if inverted."""
        return self.node < 0


ZERO = Bit(-1, 0)
ONE = Bit(-1, 0, True)
Columns = tuple[tuple[Bit, ...], ...]
NodeKind = Literal["input", "sum", "row", "table", "quantize"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value: an ``input``, a ``sum`` of terms and a constant, a ``row`` of bits, a ``table`` or a ``quantize``.

    ``neuron`` names the neuron a value belongs to, -1 where neurons share it. A ``quantize`` node drops ``drop`` low
    bits of its term (the rounding constant is already in it; negative: appends zeros), clears the result's bit 0 where
    the dropped bits are all zero if ``half_even``, and saturates to ``low..high``; with ``overflow`` WRAP it keeps as
    many low bits as ``low..high`` takes, with RELU_WRAP those of negative values are 0.

    A ``row`` adds bits: those of ``columns[c]`` weigh ``2**c``, and the total is taken modulo ``2**bits`` into
    ``low..high``. One carry chain does it: columns hold at most three bits, the first with more than one at most five,
    of which two, not inverted, enter at the end of the chain (``row_start``). A ``partial`` row holds bits that mean
    something only together with the other bits of the heap that a later row completes. A row with ``atoms`` adds as
    many bits as these take, a digit per column of the chain (``flow.parallel.atoms``). Of the columns in ``carried``,
    groups from ``row_start`` on, only the carry goes on: the row's value is the total without its ``cut`` lowest bits.
    A ``table`` gives ``table[index]``, where the single bit of ``columns[i]`` is bit ``i`` of the index.
    """

    kind: NodeKind
    low: int
    high: int
    terms: tuple[Term, ...] = ()
    constant: int = 0
    element: int = -1
    drop: int = 0
    half_even: bool = False
    neuron: int = -1
    columns: Columns = ()
    partial: bool = False
    table: tuple[int, ...] = ()
    overflow: str = "SAT"
    atoms: tuple[int, ...] = ()
    carried: tuple[tuple[int, ...], ...] = ()

    @property
    def carried_columns(self) -> int:
        """Columns of a row's chain of which only the carry goes on."""
        return sum(len(group) for group in self.carried)

    @property
    def cut(self) -> int:
        """How many of the lowest bits of a row's total its value lacks."""
        return row_start(self) + self.carried_columns if self.carried else 0

    @property
    def sources(self) -> set[int]:
        """The nodes this one reads."""
        return {t.node for t in self.terms} | {b.node for column in self.columns for b in column if b.node >= 0}

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
    """A layer's nodes, and for each neuron the node that is its output; ``generator`` says what made it."""

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    generator: str

    @property
    def adders(self) -> int:
        """Carry chains: two-input additions, constant additions included, and rows that add."""
        sums = sum(len(n.terms) - 1 + (n.constant != 0) for n in self.nodes if n.kind == "sum" and n.terms)
        return sums + sum(row_start(n) < len(n.columns) for n in self.nodes if n.kind == "row")


def node_names(graph: LayerGraph) -> list[str]:
    """A name for each node: ``x<element>``, ``n<neuron>_out`` or ``_sum``, its parts ``n<neuron>_p<k>``, ``s<k>``."""
    names: list[str] = []
    count: Counter[str] = Counter()
    outputs = set(graph.outputs)
    for i, node in enumerate(graph.nodes):
        if node.kind == "input":
            names.append(f"x{node.element}")
            continue
        owner = f"n{node.neuron}_" if node.neuron >= 0 else ""
        if owner and not node.partial:
            names.append(owner + ("out" if i in outputs else "sum"))
            continue
        stem = owner + "p" if owner else "s"
        names.append(f"{stem}{count[stem]}")
        count[stem] += 1
    return names


def evaluate_graph(graph: LayerGraph, mantissas: Ints) -> Ints:
    """Run the graph on input mantissas (vectors x inputs); gives output mantissas (vectors x neurons)."""
    values: list[Ints] = []
    for node in graph.nodes:
        values.append(
            mantissas[:, node.element] if node.kind == "input" else evaluate_node(node, values, len(mantissas))
        )
    return np.stack([as_int64(values[i]) for i in graph.outputs], axis=1)


def evaluate_node(node: Node, values: Sequence[Ints] | Mapping[int, Ints], count: int) -> Ints:
    """A node's value from the values of the nodes it reads, for ``count`` vectors at once.

    Exact: where int64 does not hold a value, or what it is made of, as Python integers.
    """
    if node.kind == "row":
        return _evaluate_row(node, values, count)
    if node.kind == "table":
        bits = (_bit(column[0], values) << c for c, column in enumerate(node.columns))
        return np.array(node.table, np.int64)[sum(bits, np.zeros(count, np.int64))]
    parts = [shifted(values[t.node], t.shift) for t in node.terms]
    largest = abs(node.constant) + sum(magnitude(part) for part in parts)
    exact = narrowed if largest.bit_length() <= SAFE_BITS else wide
    total = exact(np.full(count, node.constant, object))
    for term, part in zip(node.terms, parts, strict=True):
        total = total - exact(part) if term.negative else total + exact(part)
    return quantize(node, total) if node.kind == "quantize" else narrowed(total)


def shifted(value: Ints, shift: int) -> Ints:
    """``value << shift`` exactly; a negative shift drops low bits."""
    return shifted_left(value, shift) if shift >= 0 else value >> -shift


def _bit(bit: Bit, values: Sequence[Ints] | Mapping[int, Ints]) -> Ints | np.int64:
    if bit.constant:
        return np.int64(bit.inverted)
    return (values[bit.node] >> bit.index).astype(np.int64) & 1 ^ bit.inverted


def row_start(node: Node) -> int:
    """The first column of a row that holds more than one bit: where its carry chain starts."""
    return next((c for c, column in enumerate(node.columns) if len(column) > 1), len(node.columns))


def plain_addition(columns: Columns) -> bool:
    """Whether two operands, the first one with no bit inverted, hold all bits of a row's columns from its start on."""
    start = next((c for c, column in enumerate(columns) if len(column) > 1), len(columns))
    return not any(
        len(column) > 2 or sum(b.inverted and not b.constant for b in column) > 1 for column in columns[start:]
    )


def _evaluate_row(node: Node, values: Sequence[Ints] | Mapping[int, Ints], count: int) -> Ints:
    # int64 wraps modulo 2**64, which does not touch the result modulo a smaller power of two.
    width = node.bits + node.cut
    exact = object if width > SAFE_BITS else np.int64
    total = np.zeros(count, exact)
    for c, column in enumerate(node.columns):
        for bit in column:
            total = total + (np.asarray(_bit(bit, values), exact) << c)
    total = (total & ((1 << width) - 1)) >> node.cut
    return total - ((total > node.high).astype(exact) << node.bits) if node.signed else total


def quantize(node: Node, value: Ints) -> Ints:
    """What a ``quantize`` node makes of its shifted term."""
    low, high = node.low, node.high
    if node.overflow != "SAT":  # into all that its bits hold, of which low..high is what can come
        low = -(1 << node.bits - 1) if node.signed else 0
        high = low + (1 << node.bits) - 1
    return bounded(node.overflow, dropped(node, value), low, high)


def dropped(node: Node, value: Ints) -> Ints:
    """A ``quantize`` node's shifted term without its low bits, not yet saturated or wrapped."""
    if node.drop <= 0:
        return shifted_left(value, -node.drop)
    rounded = value >> node.drop
    return np.where(ends_in_zeros(value, node.drop), rounded & ~1, rounded) if node.half_even else rounded
