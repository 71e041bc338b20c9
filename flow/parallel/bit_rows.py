"""A layer as rows of bits: three-input carry chains, sub-sums shared for them, and no sign extension anywhere.

Every value inside is unsigned: a negative use takes the complement of its bits, and all constants that come of it are
gathered into one constant per neuron, whose ones are bits of that neuron's heap like others, together with bias and
rounding constant. So subtractions, offsets and biases cost places in a carry chain, not carry chains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from flow.core.design import Design
from flow.core.fixed import Ints, bits_for
from flow.parallel.atom_heap import pack_atoms, pack_partly
from flow.parallel.atom_plans import AT_ONCE, Effort
from flow.parallel.bit_heap import HeapBit, HeapColumns, Row, pack
from flow.parallel.builder import (
    GraphBuilder,
    aligned_bias,
    aligned_weights,
    is_comparison,
    rounding_constant,
    threshold,
    unread_bits,
)
from flow.parallel.graph import ONE, Bit, Columns, LayerGraph, Node, Term, plain_addition
from flow.parallel.lut_networks import Network
from flow.parallel.subexpressions import Use, signed_digits
from flow.parallel.weighted_sums import Sums


class _Operand(NamedTuple):
    """What a sum adds: bits and their columns, whose sum is ``form`` of the inputs plus ``constant``."""

    bits: tuple[tuple[int, Bit], ...]
    form: Ints
    constant: int


class _Heap(NamedTuple):
    """The bits of a sum by column, modulo 2**columns, its affine form and its range."""

    bits: list[list[HeapBit]]
    form: Ints
    constant: int
    low: int
    high: int


class RowBuilder(GraphBuilder):
    """Turns rows of uses into nodes; shared rows are made when first used.

    ``whole`` are the nodes of whole sums in the order of their making, of which those of ``held`` go into registers
    alone; ``atoms`` says that chains of atoms add them. ``bit_worth`` is what one bit less is worth to each who reads a
    shared sum, in sites: where chains take more for it, the bits that they would add are shared.
    """

    def __init__(
        self, design: Design, index: int, sums: Sums, rows: list[list[Use]], atoms: bool,
        held: frozenset[int] = frozenset(), bit_worth: float | None = None, effort: Effort = AT_ONCE,
    ) -> None:  # fmt: skip
        super().__init__(design, index)
        self.sums, self.rows, self.atoms, self.held = sums, rows, atoms, held
        self.bit_worth, self.effort = bit_worth, effort
        self.readers = Counter(u.operand - len(sums.inputs) + len(sums.digits) for row in rows for u in row)
        for total, (source, factor) in zip(sums.totals, sums.multiples, strict=True):
            self.readers[len(sums.neurons)] += len(_digits(total))
            self.readers[source] += len(_digits(factor))
        self.whole: list[int] = []
        self.made: dict[int, _Operand] = {}
        self.levels: list[int] = [0] * len(self.nodes)

    def layer_graph(self, tables: Mapping[int, Network]) -> LayerGraph:
        """The layer's graph; the neurons of ``tables`` are made of these."""
        row_of = {j: r for r, j in enumerate(self.sums.neurons)}
        outputs = []
        for j, neuron in enumerate(self.layer.neurons):
            if j in tables:
                outputs.append(self.table_neuron(j, tables[j]))
            else:
                outputs.append(self.neuron(j, row_of[j]) if j in row_of else self.add_constant_neuron(j, neuron))
        generator = "chains of atoms" if self.atoms else "bit rows"
        generator += f" and {len(tables)} tables" if tables else ""
        return LayerGraph(self.layer.name, tuple(self.nodes), tuple(outputs), generator)

    def neuron(self, j: int, row: int) -> int:
        """Output node of neuron ``j``: its heap, its constants, its quantizer."""
        neuron, base = self.layer.neurons[j], self.sums.bases[row]
        assert neuron.accumulator is not None
        uses = [(self._operand(u.operand), u.shift + base, u.negative) for u in self.rows[row]]
        unit = self.sums.total_bases[row]
        for source, factor in ((len(self.sums.neurons), self.sums.totals[row]), self.sums.multiples[row]):
            if factor:
                shared = self._shared(source)
                uses += [(shared, unit + s, negative) for s, negative in _digits(factor)]
        bias = aligned_bias(neuron)
        compared = neuron.output is not None and is_comparison(neuron.output)
        if compared and (found := threshold(neuron, *self.range_of(self._form(uses), bias))):
            node = self._add(uses, bias + (1 << found.unread) - found.least, j, found.unread)
            drop = found.unread - self.nodes[node].cut
            return self.append(Node("quantize", 0, 1, (Term(node, 0),), drop=drop, neuron=j))
        constant = bias + rounding_constant(neuron.output, neuron.accumulator.frac)
        node = self._add(uses, constant, j, unread_bits(neuron))
        return self.add_quantize(Term(node, 0), j) if neuron.output else node

    def table_neuron(self, j: int, tables: Network) -> int:
        """Output node of neuron ``j`` made of tables."""
        weights = aligned_weights(self.layer.neurons[j], self.formats, self.ranges)
        inputs = [Bit(i, b) for i, w in enumerate(weights) if w for b in range(self.nodes[i].bits)]
        made: list[int] = []
        for lookup in tables.lookups:
            bits = (inputs[b] if k < 0 else Bit(made[k], b) for k, b in lookup.inputs)
            low, high, last = min(lookup.table), max(lookup.table), lookup is tables.lookups[-1]
            node = Node("table", low, high, neuron=j, columns=tuple((bit,) for bit in bits), table=lookup.table)
            made.append(self.append(node if last else replace(node, partial=True)))
        return made[-1]

    def _operand(self, operand: int) -> _Operand:
        if operand < len(self.sums.inputs):
            return self._value(self.sums.inputs[operand])
        return self._shared(len(self.sums.digits) + operand - len(self.sums.inputs))

    def _value(self, index: int) -> _Operand:
        """A node's value as bits: the sign's is inverted, so that it counts like the others."""
        node, top = self.nodes[index], self.nodes[index].bits - 1
        bits = tuple((b, Bit(index, b, node.signed and b == top)) for b in range(node.bits))
        return _Operand(bits, self.forms[index], self.constants[index] + (1 << top if node.signed else 0))

    def _shared(self, row: int) -> _Operand:
        """A shared row: those it uses are made first, without deep recursion."""
        waiting = [row]
        while waiting:
            current = waiting[-1]
            needs = [
                len(self.sums.digits) + u.operand - len(self.sums.inputs)
                for u in self.rows[current]
                if u.operand >= len(self.sums.inputs)
            ]
            missing = [r for r in needs if r not in self.made]
            if missing and current not in self.made:
                waiting += missing
                continue
            waiting.pop()
            if current not in self.made:
                uses = [(self._operand(u.operand), u.shift, u.negative) for u in self.rows[current]]
                self.made[current] = self._part(uses, self.readers[current])
        return self.made[row]

    def _form(self, uses: Sequence[tuple[_Operand, int, bool]]) -> Ints:
        """What a sum of operands weighs the inputs."""
        return sum((-1 if negative else 1) * (source.form << shift) for source, shift, negative in uses) + self.no_form

    def _heap(self, uses: list[tuple[_Operand, int, bool]], constant: int | None) -> _Heap:
        """The bits of a sum of operands plus ``constant``; None leaves the constant that makes it unsigned."""
        form, natural = self._form(uses), 0
        bits: list[tuple[int, Bit]] = []
        for source, shift, negative in uses:
            natural += (
                -source.constant + sum(1 << c for c, _ in source.bits) if negative else source.constant
            ) << shift
            bits += [(shift + c, replace(bit, inverted=bit.inverted != negative)) for c, bit in source.bits]
        total = natural if constant is None else constant
        low, high = self.range_of(form, total)
        width = bits_for(low, high)[1]
        bits += [(c, ONE) for c in range(width) if ((total - natural) >> c) & 1]
        heap: list[list[HeapBit]] = [[] for _ in range(width)]
        for k, (c, bit) in enumerate(bits):
            if c < width:
                level = 0 if bit.constant else self.levels[bit.node]
                heap[c].append(HeapBit(level, bit.constant or not bit.inverted, -1, k, bit))
        return _Heap(heap, form, total, low, high)

    def _add(self, uses: list[tuple[_Operand, int, bool]], constant: int, neuron: int, unread: int) -> int:
        """A node for a sum of operands plus ``constant``, which may lack its ``unread`` lowest bits."""
        return self._whole(self._heap(uses, constant), neuron, unread)

    def _whole(self, heap: _Heap, neuron: int, unread: int = 0) -> int:
        """A node for a heap's sum, which may lack its ``unread`` lowest bits."""
        registered = len(self.whole) in self.held
        packing = pack_atoms(heap.bits, registered, self.effort, unread) if self.atoms else pack(heap.bits)
        columns = self._rows(packing.rows, packing.last, neuron)
        carried = packing.last_carried
        atoms = packing.last_atoms if carried else _needed(packing.last_atoms, columns)
        row = Node("row", 0, 0, neuron=neuron, columns=columns, atoms=atoms, carried=carried)
        row = replace(row, low=heap.low >> row.cut, high=heap.high >> row.cut)
        known = () if carried else (heap.form, heap.constant)
        self.whole.append(self.append(row, *known))
        return self.whole[-1]

    def _part(self, uses: list[tuple[_Operand, int, bool]], readers: int) -> _Operand:
        """A shared sum, or the bits that some chains leave of it, where ``readers`` add these for less than it costs.

        No bit and no carry may be lost of these, which a sum's own range allows where its bits cannot all be ones.
        """
        heap, kept = self._heap(uses, None), None
        most = sum(1 << c + shift for source, shift, _ in uses for c, _ in source.bits)
        if self.bit_worth is not None and most.bit_length() <= len(heap.bits):
            kept = pack_partly(heap.bits, readers * self.bit_worth, self.effort)
        if kept is None:
            return self._value(self._whole(heap, -1))
        columns = self._rows(*kept, -1)
        self.whole.append(-1)
        return _Operand(tuple((c, b) for c, column in enumerate(columns) for b in column), heap.form, heap.constant)

    def _rows(self, rows: Sequence[Row], last: HeapColumns, neuron: int) -> Columns:
        """Make a heap's rows; gives the columns of the last one."""
        nodes: list[int] = []

        def placed(columns: tuple[tuple[HeapBit, ...], ...]) -> Columns:
            return tuple(
                tuple(b.bit if b.row < 0 else Bit(nodes[b.row], b.index) for b in column) for column in columns
            )

        for row in rows:
            high = min(sum(len(column) << c for c, column in enumerate(row.columns)), (1 << row.width) - 1)
            columns = placed(row.columns)
            atoms = _needed(row.atoms, columns)
            node = Node("row", 0, high, neuron=neuron, columns=columns, partial=True, atoms=atoms)
            nodes.append(self.append(node))
        return placed(last)

    def append(self, node: Node, form: Ints | None = None, constant: int = 0) -> int:
        """Add a node and note how many carry chains lie before its result."""
        chain = any(len(column) > 1 for column in node.columns)
        self.levels.append(max((self.levels[i] for i in node.sources), default=0) + chain)
        return super().append(node, form, constant)


def _needed(atoms: tuple[int, ...], columns: Columns) -> tuple[int, ...]:
    """The atoms of a row, none where a plain addition does."""
    return () if plain_addition(columns) else atoms


def _digits(factor: int) -> list[tuple[int, bool]]:
    """The powers of two that a factor is the sum of, as shifts and whether they are subtracted."""
    digits = signed_digits(np.array([[factor]])).reshape(-1)
    return [(s, bool(d < 0)) for s, d in enumerate(digits) if d]
