"""A layer as rows of bits: three-input carry chains, sub-sums shared for them, and no sign extension anywhere.

Every value inside is unsigned: a negative use takes the complement of its bits, and all constants that come of it are
gathered into one constant per neuron, whose ones are bits of that neuron's heap like others, together with bias and
rounding constant. So subtractions, offsets and biases cost places in a carry chain, not carry chains.

Neurons whose weights are multiples of one column, as those of a scale and of the parts of a function are, take their
multiples of its sum, which is made once (``_multiples``). Weights of +-1 everywhere are rewritten as a shared total and
half as many doubled terms (``_totals``). Neurons of few input bits become tables where these cost less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from flow.core.design import Design
from flow.core.fixed import Ints, bits_for
from flow.core.integers import sufficient
from flow.parallel.atom_heap import pack_atoms
from flow.parallel.bit_heap import HeapBit, Packing, pack
from flow.parallel.builder import GraphBuilder, aligned_bias, aligned_weights, rounding_constant, without_dead
from flow.parallel.cost import graph_luts, node_luts
from flow.parallel.graph import ONE, Bit, Columns, LayerGraph, Node, Term, plain_addition
from flow.parallel.lut_networks import Network, network
from flow.parallel.pattern_growth import Digits, Settings
from flow.parallel.subexpressions import Use, share, signed_digits
from keras_models.digits import nonzero_digits

_TOTALS = (0, 1, -1, 2, -2, 3, -3)  # multiples of the total that a row may be written with
_SETTINGS = (Settings(accept=0.95, luts_per_bit=0.56), Settings(size=4, accept=0.95, luts_per_bit=0.54))
_TABLE_BITS = 13  # of a neuron's inputs; more take long to search and rarely pay
_LARGE = 20_000  # weights; beyond, one search must do


def lowbit_graph(design: Design, index: int) -> LayerGraph:
    """Layer ``index`` of a design (widths pass done) as rows of bits, the cheapest of a few; not proved yet."""
    sums = _sums(design, index, frozenset())
    plain = _sums(design, index, frozenset(), factored=False) if any(sums.multiples) else None
    settings = _SETTINGS if not _is_large(sums) else (Settings(pairs=256, tried=256, accept=0.8),)
    tried = [(s, made) for s in settings for made in (sums, plain) if made and (made is sums or not _is_large(plain))]
    graphs = ((_graph(design, index, made, s, {}), s, made) for s, made in tried)
    best, chosen, sums = min(graphs, key=lambda g: graph_luts(g[0]))
    tables = _cheaper_tables(design, index, best)
    if not tables:
        return best
    rest = _sums(design, index, frozenset(tables), factored=any(sums.multiples))
    other = _graph(design, index, rest, chosen, tables)
    return min(best, other, key=graph_luts)


def _cheaper_tables(design: Design, index: int, graph: LayerGraph) -> dict[int, Network]:
    """The neurons that cost less as tables than what they have for themselves in ``graph``."""
    own: Counter[int] = Counter()
    for node in graph.nodes:
        own[node.neuron] += node_luts(node, graph)
    functions = ((j, _function(design, index, j)) for j in sorted(own) if j >= 0 and own[j])
    networks = ((j, network(function, own[j])) for j, function in functions if function is not None)
    return {j: found for j, found in networks if found}


def _function(design: Design, index: int, j: int) -> Ints | None:
    """Neuron ``j`` for every value of its inputs' bits, first input lowest; None where there are too many."""
    neuron, ranges = design.layers[index].neurons[j], design.ranges_into(index)
    weights = aligned_weights(neuron, design.formats_into(index), ranges)
    if sum(bits_for(*ranges[i])[1] for i, w in enumerate(weights) if w) > _TABLE_BITS:
        return None
    bias = aligned_bias(neuron)
    exact = sufficient([abs(bias), *(abs(w) << bits_for(*r)[1] for w, r in zip(weights, ranges, strict=True))])
    total = np.full(1, bias, exact)
    for i, weight in enumerate(weights):
        if weight:
            low, high = ranges[i]
            signed, bits = bits_for(low, high)
            values = np.arange(1 << bits, dtype=np.int64)
            values = np.where(signed & (values >> max(bits - 1, 0) == 1), values - (1 << bits), values).clip(low, high)
            total = (weight * values.astype(exact)[:, None] + total[None]).reshape(-1)
    assert neuron.accumulator is not None
    return neuron.output.from_integer(total, neuron.accumulator.frac) if neuron.output else total


@dataclass(frozen=True)
class _Sums:
    """A layer's sums as digit rows over its live inputs: the live neurons' rows, then the total's if there is one.

    Row ``r`` counts in ``2**bases[r]`` of its neuron's grid; beside it the neuron takes the total ``totals[r]`` times,
    in units of ``2**total_bases[r]``.
    ``shifts`` are the inputs' own powers of two, from their formats.
    """

    digits: Digits
    inputs: list[int]
    neurons: list[int]
    shifts: list[int]
    bases: list[int]
    total_bases: list[int]
    totals: list[int]
    multiples: list[tuple[int, int]]  # (row, factor): a neuron's sum is so many times that of a further row; (0, 0)


def _is_large(sums: _Sums | None) -> bool:
    return sums is not None and sums.digits.size >= _LARGE


def _sums(design: Design, index: int, without: frozenset[int], factored: bool = True) -> _Sums:
    """The sums of a layer's live neurons, those of ``without`` left out; ``factored``: common factors taken out."""
    layer, formats, ranges = design.layers[index], design.formats_into(index), design.ranges_into(index)
    matrix = layer.matrix * np.array([r != (0, 0) for r in ranges])[:, None]
    matrix[:, sorted(without)] = 0
    inputs = np.flatnonzero(matrix.any(axis=1)).tolist()
    neurons = np.flatnonzero(matrix.any(axis=0)).tolist()
    finest = max((formats[i].frac for i in inputs), default=0)
    shifts = [finest - formats[i].frac for i in inputs]
    weights = matrix[np.ix_(inputs, neurons)]
    bits = np.array([_bits(ranges[i]) for i in inputs], np.int64)
    bases = []
    for j in neurons:
        accumulator = layer.neurons[j].accumulator
        assert accumulator is not None
        bases.append(accumulator.frac - layer.neurons[j].weight_frac - finest)
    shared, multiples = _multiples(weights, bases) if factored else ([], [(0, 0)] * len(neurons))
    weights = weights * np.array([not factor for _, factor in multiples], np.int64)
    totals = _totals(weights, bits, bases)
    rows = weights - np.array(totals, np.int64)[None]
    units = [_trailing_zeros(rows[:, r]) for r in range(len(neurons))]
    rows = rows >> np.array(units, np.int64)[None]
    if any(totals):
        rows = np.concatenate([rows, np.ones((len(inputs), 1), np.int64)], axis=1)
    first = rows.shape[1]
    rows = np.concatenate([rows, *(column[:, None] for column in shared)], axis=1)
    multiples = [(first + row if factor else 0, factor) for row, factor in multiples]
    both = [base + unit for base, unit in zip(bases, units, strict=True)]
    return _Sums(signed_digits(rows), inputs, neurons, shifts, both, bases, totals, multiples)


def _multiples(weights: Ints, bases: list[int]) -> tuple[list[Ints], list[tuple[int, int]]]:
    """Columns that others are multiples of, and for each column of ``weights`` which and how many times; 0 for none.

    Those of one use and a factor of a power of two are left as they are: a shift costs nothing. So are those of a grid
    coarser than the inputs', on which the shared sum would not be whole.
    """
    primitive: dict[bytes, list[tuple[int, int]]] = {}
    for r, column in enumerate(weights.T):
        if column.any() and bases[r] >= 0:
            factor = int(np.gcd.reduce(column)) * (1 if column[np.flatnonzero(column)[0]] > 0 else -1)
            primitive.setdefault((column // factor).tobytes(), []).append((r, factor))
    shared: list[Ints] = []
    found = [(0, 0)] * weights.shape[1]
    for key, uses in primitive.items():
        if len(uses) > 1 or abs(uses[0][1]).bit_count() > 1:
            for r, factor in uses:
                found[r] = (len(shared), factor)
            shared.append(np.frombuffer(key, np.int64))
    return shared, found


def _bits(limits: tuple[int, int]) -> int:
    low, high = limits
    return max(high.bit_length(), (-low - 1).bit_length() + 1 if low < 0 else 0)


def _totals(weights: Ints, bits: Ints, bases: list[int]) -> list[int]:
    """For each column the multiple of the total of all inputs to take out of it.

    Costs are bits in heaps; the total is taken only if it saves more over all columns than it costs itself.
    """
    wide = int(bits.max(initial=0)) + len(weights).bit_length()
    columns = range(weights.shape[1])
    costs = np.zeros((len(columns), len(_TOTALS)), np.int64)
    for k, t in enumerate(_TOTALS):
        costs[:, k] = (nonzero_digits(weights - t) * bits[:, None]).sum(axis=0) + wide * int(nonzero_digits(t))
    costs[np.array(bases) < 0, 1:] = np.iinfo(np.int64).max  # the total is finer than the column's grid
    saved = int((costs[:, 0] - costs.min(axis=1, initial=np.iinfo(np.int64).max)).sum())
    return [_TOTALS[k] if saved > int(bits.sum()) else 0 for k in costs.argmin(axis=1)]


def _trailing_zeros(values: Ints) -> int:
    union = int(np.bitwise_or.reduce(values)) if len(values) else 0
    return (union & -union).bit_length() - 1 if union else 0


def _graph(design: Design, index: int, sums: _Sums, settings: Settings, tables: Mapping[int, Network]) -> LayerGraph:
    layer, ranges = design.layers[index], design.ranges_into(index)
    highs = [(1 << _bits(ranges[i])) - 1 if ranges[i][0] < 0 else ranges[i][1] for i in sums.inputs]
    rows = share(sums.digits.copy(), highs, sums.shifts, settings)
    builder = _RowBuilder(design, index, sums, rows, settings.atoms)
    row_of = {j: r for r, j in enumerate(sums.neurons)}
    outputs = []
    for j, neuron in enumerate(layer.neurons):
        if j in tables:
            outputs.append(builder.table_neuron(j, tables[j]))
        else:
            outputs.append(builder.neuron(j, row_of[j]) if j in row_of else builder.add_constant_neuron(j, neuron))
    generator = f"bit rows and {len(tables)} tables" if tables else "bit rows"
    return without_dead(LayerGraph(layer.name, tuple(builder.nodes), tuple(outputs), generator))


class _RowBuilder(GraphBuilder):
    """Turns rows of uses into nodes; shared rows are made when first used."""

    def __init__(self, design: Design, index: int, sums: _Sums, rows: list[list[Use]], atoms: bool) -> None:
        super().__init__(design, index)
        self.sums, self.rows, self.atoms = sums, rows, atoms
        self.made: dict[int, int] = {}
        self.levels: list[int] = [0] * len(self.nodes)

    def neuron(self, j: int, row: int) -> int:
        """Output node of neuron ``j``: its heap, its constants, its quantizer."""
        neuron, base = self.layer.neurons[j], self.sums.bases[row]
        assert neuron.accumulator is not None
        uses = [(self._operand(u.operand), u.shift + base, u.negative) for u in self.rows[row]]
        unit = self.sums.total_bases[row]
        for source, factor in ((len(self.sums.neurons), self.sums.totals[row]), self.sums.multiples[row]):
            if factor:
                digits = signed_digits(np.array([[factor]]))[0, :, 0]
                node = self._row_node(source)
                uses += [(node, unit + s, bool(d < 0)) for s, d in enumerate(digits) if d]
        constant = aligned_bias(neuron) + rounding_constant(neuron.output, neuron.accumulator.frac)
        node = self._add(uses, constant, j)
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

    def _operand(self, operand: int) -> int:
        if operand < len(self.sums.inputs):
            return self.sums.inputs[operand]
        return self._row_node(len(self.sums.digits) + operand - len(self.sums.inputs))

    def _row_node(self, row: int) -> int:
        """The node of a shared row: those it uses are made first, without deep recursion."""
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
                self.made[current] = self._add(uses, None, -1)
        return self.made[row]

    def _add(self, uses: list[tuple[int, int, bool]], constant: int | None, neuron: int) -> int:
        """A node for a sum of whole values plus ``constant``; None leaves the constant that makes it unsigned."""
        form, natural = self.no_form, 0
        bits: list[tuple[int, Bit]] = []
        for node, shift, negative in uses:
            source, sign = self.nodes[node], -1 if negative else 1
            form = form + sign * (self.forms[node] << shift)
            natural += (sign * self.constants[node] + _complement(source, negative)) << shift
            top = source.bits - 1
            bits += [(shift + b, Bit(node, b, negative != (source.signed and b == top))) for b in range(source.bits)]
        total = natural if constant is None else constant
        low, high = self.range_of(form, total)
        width = bits_for(low, high)[1]
        bits += [(c, ONE) for c in range(width) if ((total - natural) >> c) & 1]
        heap: list[list[HeapBit]] = [[] for _ in range(width)]
        for k, (c, bit) in enumerate(bits):
            if c < width:
                level = 0 if bit.constant else self.levels[bit.node]
                heap[c].append(HeapBit(level, bit.constant or not bit.inverted, -1, k, bit))
        packing = pack_atoms(heap) if self.atoms else pack(heap)
        columns = self._rows(packing, neuron)
        node = Node("row", low, high, neuron=neuron, columns=columns, atoms=_needed(packing.last_atoms, columns))
        return self.append(node, form, total)

    def _rows(self, packing: Packing, neuron: int) -> Columns:
        """Make a heap's rows; gives the columns of the last one."""
        nodes: list[int] = []

        def placed(columns: tuple[tuple[HeapBit, ...], ...]) -> Columns:
            return tuple(
                tuple(b.bit if b.row < 0 else Bit(nodes[b.row], b.index) for b in column) for column in columns
            )

        for row in packing.rows:
            high = min(sum(len(column) << c for c, column in enumerate(row.columns)), (1 << row.width) - 1)
            columns = placed(row.columns)
            atoms = _needed(row.atoms, columns)
            node = Node("row", 0, high, neuron=neuron, columns=columns, partial=True, atoms=atoms)
            nodes.append(self.append(node))
        return placed(packing.last)

    def append(self, node: Node, form: Ints | None = None, constant: int = 0) -> int:
        """Add a node and note how many carry chains lie before its result."""
        chain = any(len(column) > 1 for column in node.columns)
        self.levels.append(max((self.levels[i] for i in node.sources), default=0) + chain)
        return super().append(node, form, constant)


def _needed(atoms: tuple[int, ...], columns: Columns) -> tuple[int, ...]:
    """The atoms of a row, none where a plain addition does."""
    return () if plain_addition(columns) else atoms


def _complement(source: Node, negative: bool) -> int:
    """What a value's bits, inverted where it is negative or at its sign, add beyond the value itself."""
    if source.signed:
        return (1 << (source.bits - 1)) - negative
    return (1 << source.bits) - 1 if negative else 0
