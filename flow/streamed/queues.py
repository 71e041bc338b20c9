"""Queues between nodes: as deep as the network's rate asks, no deeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flow.core.design import Design
from flow.core.errors import DesignError
from flow.streamed.timing import UNLIMITED, Edge, Pace, Timing, timing


@dataclass(frozen=True)
class Queued:
    """Places of the queues, by edge, and the timing with them."""

    places: Mapping[Edge, int]
    timing: Timing


def queued(design: Design, paces: Sequence[Pace], limit: int | None = None) -> Queued:
    """The shallowest queues with which an image takes ``limit`` cycles, or the fewest there are if that is more.

    Each is as deep as it must be with the others unlimited: one place less and the network is slower than that, or
    stands still. Where a map has several readers each gets a queue; elsewhere only where it is needed.
    """
    edges, forks = _edges(design)
    free = _timed(design, paces, dict.fromkeys(edges, UNLIMITED))
    most = max(free.interval, limit or 0)
    deepest = free.depths
    places: dict[Edge, int] = {}
    bare = timing(design, paces, {edge: max(deepest[edge], 1) for edge in forks})
    for edge in forks if bare is not None and bare.interval <= most else edges:
        places[edge] = _fewest(design, paces, {e: max(deepest[e], 1) for e in edges}, edge, most, int(edge in forks))
    places = {edge: count for edge, count in places.items() if count}
    found = timing(design, paces, places)
    if found is None or found.interval > most:  # each was enough by itself, and together they are not
        places = {edge: max(count, 1) for edge, count in deepest.items()}
        found = _timed(design, paces, places)
    return Queued(places, found)


def _edges(design: Design) -> tuple[list[Edge], list[Edge]]:
    """All edges, and those from maps with several readers."""
    readers: dict[int, list[int]] = {}
    for number, node in enumerate(design.nodes):
        for source in dict.fromkeys(node.sources):
            readers.setdefault(source, []).append(number)
    edges = [(source, reader) for source, own in readers.items() for reader in own]
    return edges, [(source, reader) for source, own in readers.items() if len(own) > 1 for reader in own]


def _timed(design: Design, paces: Sequence[Pace], places: Mapping[Edge, int]) -> Timing:
    found = timing(design, paces, places)
    if found is None:
        raise DesignError(f"{design.name}: its branches wait for each other whatever the queues")
    return found


def _fewest(
    design: Design, paces: Sequence[Pace], others: Mapping[Edge, int], edge: Edge, most: int, least: int
) -> int:
    """Fewest places on an edge, 0 for a wire, that keep an image within ``most`` cycles."""

    def enough(count: int) -> bool:
        places = {**others, edge: count} if count else {e: n for e, n in others.items() if e != edge}
        found = timing(design, paces, places, images=3)
        return found is not None and found.interval <= most

    low, high = least, others[edge]
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high
