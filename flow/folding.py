"""The folding of a design: how many processing elements and inputs per cycle each weight group gets, and why.

A layer reads ``simd`` elements per cycle, the same ones for all its groups, and walks ``words`` such words once per
fold; a group of ``pe`` processing elements computes ``pe`` neurons per fold. All groups of a layer run the same number
of folds at most, so they finish together; a layer takes ``words * folds`` cycles per vector, the design as many as its
slowest layer. Layers work on different vectors at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flow.errors import DesignError
from flow.fixed import bits_for
from flow.lowered import Coding, Lowered, LoweredLayer, Unit

THRESHOLD_CYCLES = 4  # from a finished sum to the write of its output
TREE_STAGE = 2  # adder levels between registers
_BRAM_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
_SIMD_CHOICES = 24
_FOLD_CHOICES = 12
_LUT_FACTOR = 1.8  # LUTs after synthesis by Yosys over the counts below, from 1.4 (small) to 1.9 (4 x 512 neurons)


@dataclass(frozen=True)
class Memory:
    """A read-only memory: words, bits per word, ``block`` or ``distributed``, and what it takes."""

    depth: int
    width: int
    kind: str

    @property
    def bits(self) -> int:
        """Bits stored."""
        return self.depth * self.width

    @property
    def bram18(self) -> int:
        """18 Kb block RAMs: the best shape, short rows side by side in one block."""
        if self.kind != "block":
            return 0
        return min(math.ceil(math.ceil(self.depth / d) * self.width / w) for d, w in _BRAM_SHAPES)

    @property
    def lut(self) -> int:
        """LUTs of a memory in LUTs: 64 bits each, with the multiplexers beyond 256 words."""
        if self.kind == "block":
            return self.width * (math.ceil(self.depth / 8192) - 1)
        return math.ceil(self.width * self.depth / 64 * (1.0 if self.depth <= 256 else 1.3))


@dataclass(frozen=True)
class GroupFold:
    """One weight group: unit ``i`` is computed by element ``i % pe`` in fold ``i // pe``."""

    coding: Coding
    units: tuple[Unit, ...]
    pe: int
    simd: int
    memory: Memory
    dsp: bool = False

    @property
    def folds(self) -> int:
        """Folds this group needs."""
        return math.ceil(len(self.units) / self.pe)

    @property
    def sum_bits(self) -> int:
        """Accumulator width: the largest exact sum of the group."""
        return max(bits_for(min(u.sum_range[0], -1), max(u.sum_range[1], 1))[1] for u in self.units)

    @property
    def weight_bits(self) -> float:
        """Bits of memory per weight."""
        return self.memory.width / (self.pe * self.simd)


@dataclass(frozen=True)
class LayerFold:
    """One folded layer. ``order`` lists the input position (or -1) of every place of the buffer, word by word.

    ``lanes`` are the output units; each serves the (group, element) pairs listed, in that order, once per fold.
    ``banks`` are the input buffer's memories per lane of the layer before; ``slots`` vectors fit into it.
    """

    layer: LoweredLayer
    simd: int
    words: int
    folds: int
    groups: tuple[GroupFold, ...]
    lanes: tuple[tuple[tuple[int, int], ...], ...]
    order: tuple[int, ...]
    banks: tuple[int, ...]
    slots: int = 1
    release: int = 0

    @property
    def cycles(self) -> int:
        """Cycles per vector."""
        return self.words * self.folds

    @property
    def drain(self) -> int:
        """Cycles per fold in which finished sums leave; at most ``words``."""
        return max(len(lane) for lane in self.lanes)

    @property
    def product_stage(self) -> int:
        """1 where products get a register of their own."""
        return int(any(g.coding.kind == "signed" for g in self.groups))

    @property
    def sum_cycles(self) -> int:
        """From a step to the sum that includes it: memory, word register, products, tree, accumulator."""
        levels = (self.simd - 1).bit_length()
        return 3 + self.product_stage + max(levels - 1, 0) // TREE_STAGE

    @property
    def first_write(self) -> int:
        """Cycles from start to the first output's write."""
        return self.words + self.sum_cycles + THRESHOLD_CYCLES

    @property
    def latency(self) -> int:
        """Cycles from a vector's start here to the earliest start of the next layer."""
        return self.cycles + self.sum_cycles + self.drain + THRESHOLD_CYCLES

    def arrivals(self, lane: int) -> Iterator[Unit | None]:
        """What a lane's output unit handles, fold by fold; None where an element has no neuron left."""
        for fold in range(self.folds):
            for place in range(self.drain):
                unit = None
                if place < len(self.lanes[lane]):
                    group, pe = self.lanes[lane][place]
                    index = fold * self.groups[group].pe + pe
                    units = self.groups[group].units
                    unit = units[index] if fold < self.groups[group].folds and index < len(units) else None
                yield unit


@dataclass(frozen=True)
class Cost:
    """Estimated resources."""

    lut: float = 0.0
    bram18: int = 0
    dsp: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.lut + other.lut, self.bram18 + other.bram18, self.dsp + other.dsp)


@dataclass(frozen=True)
class Weights:
    """What one LUT, one block RAM and one DSP block weigh: the scarcer, the heavier."""

    lut: float
    bram18: float
    dsp: float

    def of(self, cost: Cost) -> float:
        """One number for a cost."""
        return cost.lut * self.lut + cost.bram18 * self.bram18 + cost.dsp * self.dsp


@dataclass(frozen=True, eq=False)
class Folding:
    """The folding of a whole design, its steady interval in cycles, its estimated cost and why it was chosen."""

    lowered: Lowered
    layers: tuple[LayerFold, ...]
    interval: int
    cost: Cost
    reason: str = ""

    @property
    def memory_bits(self) -> int:
        """Bits of weight memory."""
        return sum(g.memory.bits for la in self.layers for g in la.groups)

    @property
    def learned_bits(self) -> float:
        """Computed weights times the width their neurons learned: what the memory should not exceed by much."""
        return sum(u.learned_bits * len(la.layer.inputs) for la in self.layers for u in la.layer.units)


def fold(lowered: Lowered, interval: int, weights: Weights, dsp: bool = False) -> Folding:
    """The cheapest folding found that takes at most ``interval`` cycles per vector.

    Raises DesignError naming the layer for which the interval is too short.
    """
    layers: list[LayerFold] = []
    for layer in lowered.layers:
        layers.append(_best_layer(layer, layers[-1] if layers else None, interval, weights, dsp))
    steady = max((la.cycles for la in layers), default=1)
    layers = _with_slots(layers, steady)
    total = sum((layer_cost(la) for la in layers), Cost())
    return Folding(lowered, tuple(layers), steady, total)


def _best_layer(layer: LoweredLayer, before: LayerFold | None, interval: int, weights: Weights, dsp: bool) -> LayerFold:
    best: tuple[float, LayerFold] | None = None
    for simd, banks, words in _simd_choices(layer, before):
        for folds in _fold_choices(layer, interval // words):
            candidate = _layer_fold(layer, before, simd, banks, words, folds, weights, dsp)
            if candidate is None:
                continue
            price = weights.of(layer_cost(candidate))
            if best is None or price < best[0]:
                best = price, candidate
    if best is None:
        raise DesignError(
            f"layer {layer.name}: {interval} cycles per vector are too few for the folded architecture; ask for a"
            " longer --initiation-interval or for --architecture parallel"
        )
    chosen = best[1]
    return replace(chosen, order=_order(layer, before, chosen))


def _simd_choices(layer: LoweredLayer, before: LayerFold | None) -> Iterator[tuple[int, tuple[int, ...], int]]:
    """Inputs per cycle worth trying, with the banks per lane of the layer before and the words that result."""
    count = len(layer.inputs)
    arrivals = [count] if before is None else _lane_counts(layer, before)
    seen = set()
    for words in range(count, 0, -1):
        simd = math.ceil(count / words)
        if simd in seen or simd < len(arrivals):
            continue
        seen.add(simd)
        if len(seen) > _SIMD_CHOICES and count % simd:
            continue
        banks = _banks(arrivals, simd)
        yield simd, banks, max(math.ceil(n / b) for n, b in zip(arrivals, banks, strict=True))


def _lane_counts(layer: LoweredLayer, before: LayerFold) -> list[int]:
    return [sum(u is not None for u in before.arrivals(lane)) for lane in range(len(before.lanes))]


def _banks(arrivals: Sequence[int], simd: int) -> tuple[int, ...]:
    """Give every lane a bank, then each further bank to the lane whose banks are deepest."""
    banks = [1] * len(arrivals)
    for _ in range(simd - len(arrivals)):
        banks[max(range(len(banks)), key=lambda k: arrivals[k] / banks[k])] += 1
    return tuple(banks)


def _fold_choices(layer: LoweredLayer, most: int) -> list[int]:
    """Fold counts worth trying: those at which some group can lose a processing element."""
    sizes = [len(units) for units in _groups(layer).values()]
    most = min(most, max(sizes))
    useful = {math.ceil(n / math.ceil(n / f)) for n in sizes for f in range(1, min(most, n) + 1)}
    return sorted(f for f in useful if f <= most)[-_FOLD_CHOICES:]


def _groups(layer: LoweredLayer) -> dict[Coding, list[Unit]]:
    groups: dict[Coding, list[Unit]] = {}
    for unit in layer.units:
        groups.setdefault(unit.coding, []).append(unit)
    return dict(sorted(groups.items()))


def _layer_fold(
    layer: LoweredLayer, before: LayerFold | None, simd: int, banks: tuple[int, ...], words: int, folds: int,
    weights: Weights, dsp: bool,
) -> LayerFold | None:  # fmt: skip
    groups = []
    for coding, units in _groups(layer).items():
        pe = math.ceil(len(units) / folds)
        width = word_bits(coding, pe * simd)
        memory = _memory(math.ceil(len(units) / pe) * words, width, weights)
        groups.append(GroupFold(coding, tuple(units), pe, simd, memory, dsp and coding.kind == "signed"))
    elements = [(g, p) for g, group in enumerate(groups) for p in range(group.pe)]
    count = math.ceil(len(elements) / words)
    folds = max(g.folds for g in groups)
    lanes = tuple(tuple(elements[k::count]) for k in range(count))
    return LayerFold(layer, simd, words, folds, tuple(groups), lanes, (), banks if before else ())


def word_bits(coding: Coding, weights: int) -> int:
    """Bits of a memory word of so many weights; three ternary weights take five bits."""
    if coding.kind == "ternary":
        return 5 * (weights // 3) + 2 * (weights % 3)
    return coding.bits * weights


def _memory(depth: int, width: int, weights: Weights) -> Memory:
    kinds = [Memory(depth, width, kind) for kind in ("block", "distributed")]
    return min(kinds, key=lambda m: weights.of(Cost(m.lut, m.bram18)))


def _order(layer: LoweredLayer, before: LayerFold | None, chosen: LayerFold) -> tuple[int, ...]:
    """Where every element lies: lanes write their banks in turn, in the order in which neurons are finished."""
    places = [-1] * (chosen.words * chosen.simd)
    if before is None:
        places[: len(layer.inputs)] = range(len(layer.inputs))
        return tuple(places)
    position = {neuron: i for i, neuron in enumerate(layer.inputs)}
    first = 0
    for lane, banks in enumerate(chosen.banks):
        for n, unit in enumerate(u for u in before.arrivals(lane) if u is not None):
            places[n // banks * chosen.simd + first + n % banks] = position[unit.neuron]
        first += banks
    return tuple(places)


def _with_slots(layers: Sequence[LayerFold], interval: int) -> list[LayerFold]:
    """Size every buffer: the fewest slots with which the layer before never waits at the steady interval."""
    result = [replace(layer) for layer in layers]
    for index in range(1, len(result)):
        before, layer = result[index - 1], result[index]
        release = max(0, layer.cycles - 2 - before.first_write)
        slots = max(2, math.ceil((release + before.latency + 2) / interval))
        result[index] = replace(layer, slots=slots, release=release)
    return result


def layer_cost(fold: LayerFold) -> Cost:
    """Estimated resources of one layer, with the buffer it reads from."""
    total = Cost(60.0 + 130.0 * len(fold.lanes))  # sequencer and output units
    x_bits = fold.layer.lane.bits + (not fold.layer.lane.signed)
    for group in fold.groups:
        total += Cost(group.memory.lut, group.memory.bram18)
        total += Cost(group.pe * _element_luts(group, x_bits), 0, group.pe * fold.simd if group.dsp else 0)
    widest = max(g.sum_bits for g in fold.groups)
    elements = sum(g.pe for g in fold.groups)
    total += Cost(widest * elements / 4)  # choosing among finished sums
    depth = fold.words * fold.slots if fold.banks else fold.words
    rows = math.ceil(depth / 64) * (4 / 3) if fold.banks else depth / 4
    total += Cost(fold.simd * fold.layer.lane.bits * rows)
    return replace(total, lut=total.lut * _LUT_FACTOR)


def _element_luts(group: GroupFold, x_bits: int) -> float:
    """LUTs of one processing element: leaves, adder tree and accumulator."""
    luts = float(group.sum_bits)
    count, bits = group.simd, x_bits
    if group.coding.kind == "signed":
        luts += 0 if group.dsp else group.simd * (group.coding.bits - 1) * (x_bits + 1)
        bits += group.coding.bits
    elif group.simd > 1:
        luts += group.simd / 2 * bits
    while count > 1:
        bits += 1
        luts += count // 2 * bits
        count = (count + 1) // 2
    return luts
