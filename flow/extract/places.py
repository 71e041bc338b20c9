"""Values of a graph in a chain of layers: what is needed later than in the next layer passes through those between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flow.core.design import Layer, Neuron
from flow.core.fixed import Fixed, Quantizer
from flow.core.ranges import accumulator_range
from flow.extract.needed import needed_bits

CARRIED_BITS = 1.58  # the label of a weight that is 1 or 0: ternary


@dataclass(frozen=True)
class Place:
    """A value of the hardware: an input element (level 0, no neuron), or a neuron on values of lower levels.

    ``weights`` are the neuron's, by place; ``span`` has the format and the range of the value.
    """

    level: int
    layer: str
    index: int
    span: Quantizer
    neuron: Neuron | None = None
    weights: Mapping[int, int] | None = None
    asked: bool = False  # whether Keras was asked about each of its sums

    @property
    def label(self) -> str:
        """The value as the model's owner knows it."""
        return f"{self.layer}[{self.index}]"


def place_of(neuron: Neuron, sources: Sequence[int], places: Sequence[Place], layer: str, index: int) -> Place:
    """The place of a neuron that reads these places, one level above all of them; repeated ones are added up."""
    weights: dict[int, int] = {}
    for source, weight in zip(sources, neuron.weights, strict=True):
        weights[source] = weights.get(source, 0) + weight
    live = {source: weight for source, weight in weights.items() if weight}
    bits = needed_bits(list(live.values()), neuron.weight_bits)
    sparse = replace(neuron, weights=tuple(live.values()), weight_bits=bits)
    level = 1 + max((places[s].level for s in sources), default=0)
    return Place(level, layer, index, neuron.output or _span(sparse, [places[s].span for s in live]), sparse, live)


def held(span: Quantizer) -> Quantizer:
    """The range of a value that has gone through its quantizer: nothing is left there to wrap.

    A ReLU before it makes no difference: what it leaves may still wrap to negative numbers.
    """
    return replace(span, overflow="SAT")


def _span(neuron: Neuron, spans: Sequence[Quantizer]) -> Quantizer:
    low, high, frac = accumulator_range(neuron, tuple(q.format for q in spans), tuple((q.low, q.high) for q in spans))
    return Quantizer(Fixed.holding(low, high, frac), "TRN", low, high)


@dataclass(frozen=True)
class Chain:
    """Layers in order, and what each of their neurons holds; ``carried`` counts those that only pass a value on.

    ``asked`` are the neurons (layer, number) whose sums Keras was asked about one by one.
    """

    layers: tuple[Layer, ...]
    labels: tuple[tuple[str, ...], ...]
    carried: int
    asked: tuple[tuple[int, int], ...]


def chained(places: Sequence[Place], inputs: Sequence[int], outputs: Sequence[int]) -> Chain:
    """The chain that computes ``outputs`` (places, in this order) from ``inputs``."""
    depth = max(1, *(places[o].level for o in outputs))
    last = _last_levels(places, outputs, depth)
    before, layers, labels, carried = list(inputs), [], [], 0
    asked: list[tuple[int, int]] = []
    for level in range(1, depth + 1):
        own = [p for p in last if places[p].level == level]
        passing = sorted(p for p, until in last.items() if places[p].level < level <= until)
        columns = list(outputs) if level == depth else [*sorted(own), *passing]
        position = {place: i for i, place in reversed(list(enumerate(before)))}
        neurons = tuple(_neuron(places[p], p, level, position, len(before)) for p in columns)
        names = dict.fromkeys(places[p].layer for p in sorted(own))
        layers.append(Layer("_".join(names), neurons))
        labels.append(tuple(places[p].label for p in columns))
        carried += sum(places[p].level < level for p in columns)
        asked += [(level - 1, j) for j, p in enumerate(columns) if places[p].level == level and places[p].asked]
        before = columns
    return Chain(tuple(layers), tuple(labels), carried, tuple(asked))


def _last_levels(places: Sequence[Place], outputs: Sequence[int], depth: int) -> dict[int, int]:
    """The places that outputs depend on, and the last level at which each is needed."""
    last = dict.fromkeys(outputs, depth)
    waiting = list(last)
    while waiting:
        place = waiting.pop()
        for source in places[place].weights or ():
            if source not in last:
                waiting.append(source)
            last[source] = max(last.get(source, 0), places[place].level - 1)
    return last


def _neuron(place: Place, number: int, level: int, position: Mapping[int, int], width: int) -> Neuron:
    """The place's neuron among the columns of the level below, or one that passes its value on."""
    weights = [0] * width
    if place.neuron is None or place.level < level:
        weights[position[number]] = 1
        return Neuron(tuple(weights), 0, CARRIED_BITS)
    for source, weight in (place.weights or {}).items():
        weights[position[source]] = weight
    return replace(place.neuron, weights=tuple(weights))
