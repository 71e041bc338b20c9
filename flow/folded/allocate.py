"""The folding of a design: how many processing elements and inputs per cycle each weight group gets, and why.

A layer reads ``simd`` elements per cycle, the same ones for all its groups, and walks ``words`` such words once per
fold. A group of ``pe`` processing elements computes ``pe`` neurons per fold, or, where it needs less, a part of them:
it takes a part of every word in one fold, the next part in the next one, so it has fewer inputs per cycle than the
layer without reading anything itself. All groups of a layer run the same number of folds at most, so they finish
together; a layer takes ``words * folds`` cycles per vector, the design as many as its slowest layer. Layers work on
different vectors at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from flow.core.errors import DesignError
from flow.folded.folding import Cost, Folding, GroupFold, LayerFold, Memory, Prices, group_cost, layer_cost, word_bits
from flow.folded.lowering import Coding, Lowered, LoweredLayer, Unit

_SIMD_CHOICES = 24
_FOLD_CHOICES = 12


def fold(lowered: Lowered, interval: int, prices: Prices, dsp: bool = False) -> Folding:
    """The cheapest folding found that takes at most ``interval`` cycles per vector; ``dsp``: DSP blocks where they pay.

    Raises DesignError naming the layer for which the interval is too short.
    """
    layers: list[LayerFold] = []
    for layer in lowered.layers:
        layers.append(_best_layer(layer, layers[-1] if layers else None, interval, prices, dsp))
    steady = max((la.cycles for la in layers), default=1)
    layers = _with_slots(layers, steady)
    total = sum((layer_cost(la) for la in layers), Cost())
    return Folding(lowered, tuple(layers), steady, total)


def _best_layer(layer: LoweredLayer, before: LayerFold | None, interval: int, prices: Prices, dsp: bool) -> LayerFold:
    best: tuple[float, LayerFold] | None = None
    for simd, banks, words in _simd_choices(layer, before):
        for folds in _fold_choices(layer, interval // words):
            candidate = _layer_fold(layer, before, simd, banks, words, folds, prices, dsp)
            if candidate is None:
                continue
            price = prices.of(layer_cost(candidate))
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
    prices: Prices, dsp: bool,
) -> LayerFold | None:  # fmt: skip
    groups = [
        min(
            (
                _group_fold(coding, units, simd, words, folds, n, prices, block)
                for n in _slices(len(units), simd, folds)
                for block in ((False, True) if dsp and coding.kind == "signed" else (False,))
            ),
            key=lambda g: prices.of(group_cost(g, layer)),
        )
        for coding, units in _groups(layer).items()
    ]
    elements = [(g, p) for g, group in enumerate(groups) for p in range(group.pe)]
    count = math.ceil(len(elements) / words)
    folds = max(g.folds for g in groups)
    lanes = tuple(tuple(elements[k::count]) for k in range(count))
    return LayerFold(layer, simd, words, folds, tuple(groups), lanes, (), banks if before else ())


def _slices(neurons: int, simd: int, folds: int) -> list[int]:
    """Into how many parts a group may divide the words: one, or so many that it needs fewer products per cycle."""
    whole = math.ceil(neurons / folds) * simd
    parts = [n for n in range(2, min(simd, folds) + 1) if simd % n == 0]
    return [1, *(n for n in parts if math.ceil(neurons / (folds // n)) * (simd // n) < whole)]


def _group_fold(
    coding: Coding, units: Sequence[Unit], simd: int, words: int, folds: int, slices: int, prices: Prices, dsp: bool
) -> GroupFold:
    """The fewest elements that compute the units in so many folds, ``slices`` of them per unit."""
    pe = math.ceil(len(units) / (folds // slices))
    depth = math.ceil(len(units) / pe) * slices * words
    memory = _memory(depth, word_bits(coding, pe * (simd // slices)), prices)
    return GroupFold(coding, tuple(units), pe, simd // slices, memory, dsp, slices)


def _memory(depth: int, width: int, prices: Prices) -> Memory:
    kinds = [Memory(depth, width, kind) for kind in ("block", "distributed")]
    return min(kinds, key=lambda m: prices.of(Cost(m.lut, m.bram18)))


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
        release = max(0, layer.cycles - 1 - before.first_write)  # a word is read one cycle after its step
        slots = max(2, math.ceil((release + before.latency + 2) / interval))
        result[index] = replace(layer, slots=slots, release=release)
    return result
