"""A layer as rows of bits or chains of atoms: of a few ways of sharing and packing the one that costs least.

Neurons of few input bits become tables where these cost less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from flow.core.design import Design
from flow.core.fixed import Ints, bits_for
from flow.core.integers import sufficient
from flow.parallel.atom_plans import AT_ONCE, SEARCHED, Effort
from flow.parallel.bit_rows import RowBuilder
from flow.parallel.builder import aligned_bias, aligned_weights, without_dead
from flow.parallel.cost import graph_luts, node_luts
from flow.parallel.graph import LayerGraph
from flow.parallel.lut_networks import Network, network
from flow.parallel.pattern_growth import Settings
from flow.parallel.sites import Target, registered
from flow.parallel.subexpressions import share
from flow.parallel.weighted_sums import Sums, layer_sums, unsigned_bits

_SETTINGS = (Settings(accept=0.95, luts_per_bit=0.56), Settings(size=4, accept=0.95, luts_per_bit=0.54))
_LARGE = (Settings(pairs=256, tried=256, accept=0.8),)
_ATOMS = tuple(Settings(size=size, accept=0.95, luts_per_bit=luts, atoms=True) for size, luts in ((8, 0.7), (20, 0.6)))
_LARGE_ATOMS = (Settings(pairs=256, tried=256, size=8, accept=0.8, luts_per_bit=0.6, atoms=True),)
_BIT_WORTHS = (None, 0.5, 0.6, 0.7)  # of a shared sum, to each who reads it, in sites
_TABLE_BITS = 13  # of a neuron's inputs; more take long to search and rarely pay


def lowbit_graph(design: Design, index: int, quick: bool = False) -> LayerGraph:
    """Layer ``index`` of a design (widths pass done) as rows of three bits per column: fewest LUTs; not proved yet.

    ``quick`` tries one way of sharing alone.
    """
    return _cheapest(design, index, _SETTINGS, _LARGE, None, quick)


def atom_graph(design: Design, index: int, target: Target, quick: bool = False) -> LayerGraph:
    """Layer ``index`` as chains of atoms, the one of a few that costs least on ``target``; not proved yet.

    ``quick`` tries one way of sharing alone.
    """
    return _cheapest(design, index, _ATOMS, _LARGE_ATOMS, target, quick)


def _cheapest(
    design: Design, index: int, usual: tuple[Settings, ...], large: tuple[Settings, ...], target: Target | None,
    quick: bool,
) -> LayerGraph:  # fmt: skip
    cost: Callable[[LayerGraph], float] = target.cost if target else graph_luts
    sums = layer_sums(design, index, frozenset())
    factored = not quick and any(factor for _, factor in sums.multiples)
    plain = layer_sums(design, index, frozenset(), factored=False) if factored else None
    settings = large if sums.large else usual[:1] if quick else usual
    tried = [(s, made) for s in settings for made in (sums, plain) if made and (made is sums or not made.large)]
    graphs = ((_graph(design, index, made, s, {}, target, AT_ONCE), s, made) for s, made in tried)
    best, chosen, sums = min(graphs, key=lambda g: cost(g[0]))
    if target:
        best = _graph(design, index, sums, chosen, {}, target, SEARCHED)
    tables = _cheaper_tables(design, index, best)
    if not tables:
        return best
    rest = layer_sums(design, index, frozenset(tables), factored=any(factor for _, factor in sums.multiples))
    other = _graph(design, index, rest, chosen, tables, target, SEARCHED)
    return min(best, other, key=cost)


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


def _graph(
    design: Design, index: int, sums: Sums, settings: Settings, tables: Mapping[int, Network], target: Target | None,
    effort: Effort,
) -> LayerGraph:  # fmt: skip
    ranges = design.ranges_into(index)
    highs = [(1 << unsigned_bits(ranges[i])) - 1 if ranges[i][0] < 0 else ranges[i][1] for i in sums.inputs]
    rows = share(sums.digits.copy(), highs, sums.shifts, settings)
    if target is None or not settings.atoms:
        return without_dead(RowBuilder(design, index, sums, rows, settings.atoms).layer_graph(tables))

    def ways(worth: float | None, effort: Effort) -> list[LayerGraph]:
        builder = RowBuilder(design, index, sums, rows, True, bit_worth=worth, effort=effort)
        graph = builder.layer_graph(tables)
        nodes = registered(graph, target)
        held = frozenset(k for k, i in enumerate(builder.whole) if i in nodes)
        if not held:
            return [without_dead(graph)]
        again = RowBuilder(design, index, sums, rows, True, held, worth, effort)
        return [without_dead(graph), without_dead(again.layer_graph(tables))]

    at_once = [(graph, worth) for worth in _BIT_WORTHS for graph in ways(worth, AT_ONCE)]
    best, worth = min(at_once, key=lambda found: target.cost(found[0]))
    searched = ways(worth, effort) if effort.kept else []
    return min([best, *searched], key=lambda graph: target.cost(graph))
