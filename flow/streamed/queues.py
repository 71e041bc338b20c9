"""Queues between nodes: as deep as the network's rate asks, no deeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flow.core.design import Design
from flow.core.errors import DesignError
from flow.streamed.shapes import readers
from flow.streamed.timing import UNLIMITED, Bus, Edge, Pace, Timing, timing


@dataclass(frozen=True)
class Queued:
    """Places of the queues, by edge, and the timing with them."""

    places: Mapping[Edge, int]
    timing: Timing


def queued(design: Design, paces: Sequence[Pace], limit: int | None = None) -> Queued:
    """The shallowest queues with which an image takes ``limit`` cycles, or the fewest there are if that is more.

    With one place less in any of them the network is slower than that, or stands still. Where a map has several readers
    each gets a queue; elsewhere only where it is needed.
    """
    edges, forks = _edges(design)
    free = timed(design, paces, dict.fromkeys(edges, UNLIMITED))
    most = max(free.interval, limit or 0)
    places = {edge: max(free.depths[edge], 1) for edge in edges}
    bare = {edge: places[edge] for edge in forks}
    if _enough(design, paces, bare, most):
        places = bare
    for edge in list(places):  # fewer in one can only ask for more in another
        low, high = int(edge in forks), places[edge]
        while low < high:
            middle = (low + high) // 2
            fits = _enough(design, paces, _with(places, edge, middle), most)
            low, high = (low, middle) if fits else (middle + 1, high)
        places = _with(places, edge, high)
    return Queued(places, timed(design, paces, places))


def _with(places: Mapping[Edge, int], edge: Edge, count: int) -> dict[Edge, int]:
    """The places with other ones on an edge: none make it a wire."""
    return {e: n for e, n in {**places, edge: count}.items() if n}


def _enough(design: Design, paces: Sequence[Pace], places: Mapping[Edge, int], most: int) -> bool:
    """Whether an image takes at most ``most`` cycles with these queues."""
    found = timing(design, paces, places)
    return found is not None and found.interval <= most


def _edges(design: Design) -> tuple[list[Edge], list[Edge]]:
    """All edges, and those from maps with several readers."""
    by_source = readers(design)
    edges = [(source, reader) for source, own in by_source.items() for reader in own]
    return edges, [(source, reader) for source, reader in edges if len(by_source[source]) > 1]


def timed(design: Design, paces: Sequence[Pace], places: Mapping[Edge, int], bus: Bus | None = None) -> Timing:
    """The timing with these queues. Raises DesignError where the network stands still."""
    found = timing(design, paces, places, bus=bus)
    if found is None:
        raise DesignError(f"{design.name}: its branches wait for each other whatever the queues")
    return found
