"""When every pixel moves through a streamed network: cycles per image, latency, and whether queues are deep enough.

Each part is a sequential process that waits for what enters and for room where it leaves, so the times of all moves
follow from the network alone, in whatever order the processes are looked at (Kahn 1974; queues of bounded depth only
add waits for room). Times are clock cycles from the first pixel; a design that stands still for ever is found out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design
from flow.core.nodes import INPUT, Node, Window
from flow.streamed.shapes import is_plain, is_whole, readers

Edge = tuple[int, int]  # a source and its reader
UNLIMITED = 1 << 40
_BEGIN = 1 << 30  # when pixels come: all that needs none, such as zeros around a map, is done before


@dataclass(frozen=True)
class Pace:
    """How a node's core moves: cycles per position, from a position to its result, and results that may wait in it."""

    interval: int
    latency: int
    places: int


@dataclass(frozen=True)
class Timing:
    """Cycles per image in steady state and from the first pixel to the last result; most words seen in each queue."""

    interval: int
    latency: int
    depths: Mapping[Edge, int]

    @property
    def images(self) -> int:
        """Images that are under way at a time."""
        return -(-self.latency // self.interval)


@dataclass(frozen=True)
class Bus:
    """A bus that brings images: bits of a beat, beats of an image, bits of a pixel on it, without gaps between pixels.

    A beat has room while no more than a pixel waits, and an image begins with a beat of its own.
    """

    bits: int
    beats: int
    pixel_bits: int


@dataclass
class _Stream:
    """Words of a stream: from when each can be taken, and when it was."""

    ready: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)


def timing(design: Design, paces: Sequence[Pace], queues: Mapping[Edge, int], bus: Bus | None = None) -> Timing | None:
    """The network's timing at full rate, or with pixels as ``bus`` brings them; None where it comes to a standstill.

    ``paces`` are by node, ``queues`` the places of the queue on an edge; an edge without one is a wire. The cycles per
    image are the most that are seen once the first image has left, for as many images as were under way then: small
    images follow each other into the network, and wait for each other there.
    """
    images, found = 0, None
    while images < (needed := max(3, 2 * found.images - 1) if found else 3):
        images = needed
        found = _Network(design, paces, queues, images, bus).timing()
        if found is None:
            return None
    return found


def steps(window: Window) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """By step of a window over an image: whether it takes a pixel, and whether a position is complete after it."""
    if is_whole(window):
        ends = np.arange(window.pixel_count) == window.pixel_count - 1
        return np.ones(window.pixel_count, bool), ends
    takes, lands = np.ones(1, bool), np.ones(1, bool)
    if window.repeats:
        for n, times in zip(window.shape, window.repeats, strict=False):
            takes = np.outer(takes, np.arange(n * times) % times == 0).ravel()
        return takes, np.ones(len(takes), bool)
    for n, (before, behind), reach, stride in zip(
        window.shape, window.padded, window.reach, window.strides, strict=False
    ):
        place = np.arange(before + n + behind)
        inside = (place >= before) & (place < before + n)
        complete = (place >= reach - 1) & ((place - reach + 1) % stride == 0)
        takes, lands = np.outer(takes, inside).ravel(), np.outer(lands, complete).ravel()
    return takes, lands


def cycles(window: Window, interval: int) -> int:
    """Cycles per image of a node that is never kept waiting: a position waits for its steps, or for its core."""
    if is_plain(window):
        return window.count * interval
    _, lands = steps(window)
    places = np.flatnonzero(lands)
    gaps = np.diff(places, append=places[0] + len(lands))
    return int(np.maximum(gaps, interval).sum())


class _Network:
    def __init__(
        self, design: Design, paces: Sequence[Pace], queues: Mapping[Edge, int], images: int, bus: Bus | None
    ) -> None:
        self.design, self.paces, self.queues, self.images = design, paces, queues, images
        last = len(design.nodes) - 1
        self.made = {number: _Stream() for number in range(-1, last + 1)}
        self.edges: dict[Edge, _Stream] = {}
        processes = [self._enter() if bus is None else self._enter_by(bus)]
        for source, own in readers(design).items():
            for reader in own:
                queued = len(own) > 1 or (source, reader) in queues
                self.edges[source, reader] = _Stream() if queued else self.made[source]
            if len(own) > 1 or any((source, reader) in queues for reader in own):
                processes.append(self._queue(source, own))
        for number, node in enumerate(design.nodes):
            if is_plain(node.window):
                processes.append(self._core(number, None))
                continue
            if node.kind == "repeat":  # what is seen leaves as it is
                processes.append(self._window(number, node, self.made[number]))
                continue
            seen = _Stream()
            processes += [self._window(number, node, seen), self._core(number, seen)]
        processes.append(self._leave())
        self.processes = processes

    def timing(self) -> Timing | None:
        running = list(self.processes)
        while running:
            before = self._moves()
            running = [process for process in running if next(process, None) is not None]
            if running and self._moves() == before:
                return None
        results = np.array(self.made[len(self.design.nodes) - 1].taken).reshape(self.images, -1)
        deepest = {edge: _deepest(self.edges[edge]) for edge in self.queues}
        gaps = np.diff(results[:, -1])
        return Timing(int(gaps[len(gaps) // 2 :].max()), int(results[0, -1]) - self.made[INPUT].taken[0], deepest)

    def _moves(self) -> int:
        streams = [*self.made.values(), *self.edges.values()]
        return sum(len(stream.ready) + len(stream.taken) for stream in streams)

    def _enter(self) -> Iterator[bool]:
        """Pixels, as fast as they are taken."""
        self.made[INPUT].ready += [_BEGIN] * (self.images * self.design.pixel_count)
        yield from ()

    def _enter_by(self, bus: Bus) -> Iterator[bool]:
        """Pixels, as their beats come."""
        own, now, pixels = self.made[INPUT], _BEGIN - 1, self.design.pixel_count
        for image in range(self.images):
            for beat in range(bus.beats):
                waiting = max(-(-(beat * bus.bits - bus.pixel_bits) // bus.pixel_bits), 0)  # that have to be gone
                gone = image * pixels + min(waiting, pixels)
                while len(own.taken) < gone:
                    yield True
                now = max(now + 1, own.taken[gone - 1] if gone else now)
                there = min((beat + 1) * bus.bits // bus.pixel_bits, pixels)
                own.ready += [now + 1] * (image * pixels + there - len(own.ready))

    def _leave(self) -> Iterator[bool]:
        """Results, taken as they come."""
        out, now = self.made[len(self.design.nodes) - 1], -1
        for number in range(self.images * self.design.nodes[-1].window.count):
            while len(out.ready) <= number:
                yield True
            now = max(now + 1, out.ready[number])
            out.taken.append(now)

    def _queue(self, source: int, readers: Sequence[int]) -> Iterator[bool]:
        """The queues of one stream, which all take a word at once."""
        own, now = self.made[source], -1
        ends = [(self.edges[source, reader], self.queues.get((source, reader), UNLIMITED)) for reader in readers]
        count = self.images * self._count(source)
        for number in range(count):
            while len(own.ready) <= number:
                yield True
            now = max(now + 1, own.ready[number])
            for end, places in ends:
                if number >= places:
                    while len(end.taken) <= number - places:
                        yield True
                    now = max(now, end.taken[number - places] + 1)
            own.taken.append(now)
            for end, _ in ends:
                end.ready.append(now + 1)

    def _count(self, source: int) -> int:
        return self.design.pixel_count if source == INPUT else self.design.nodes[source].window.count

    def _window(self, number: int, node: Node, seen: _Stream) -> Iterator[bool]:
        sources = [self.edges[source, number] for source in dict.fromkeys(node.sources)]
        takes, lands = (row.tolist() * self.images for row in steps(node.window))
        now, pixel, position, waits = -1, 0, 0, False
        for take, land in zip(takes, lands, strict=True):
            now += 1
            if waits:  # the position before has to be taken first
                while len(seen.taken) < position:
                    yield True
                now, waits = max(now, seen.taken[position - 1]), False
            if take:
                for source in sources:
                    while len(source.ready) <= pixel:
                        yield True
                    now = max(now, source.ready[pixel])
                for source in sources:
                    source.taken.append(now)
                pixel += 1
            if land:
                seen.ready.append(now + 1)
                position, waits = position + 1, True

    def _core(self, number: int, seen: _Stream | None) -> Iterator[bool]:
        node, pace, made = self.design.nodes[number], self.paces[number], self.made[number]
        sources = [self.edges[source, number] for source in dict.fromkeys(node.sources)]
        entering = [seen] if seen is not None else sources
        now = -pace.interval
        for position in range(self.images * node.window.count):
            now += pace.interval
            for stream in entering:
                while len(stream.ready) <= position:
                    yield True
                now = max(now, stream.ready[position])
            if position >= pace.places:
                while len(made.taken) <= position - pace.places:
                    yield True
                freed = made.taken[position - pace.places]
                now = max(now, freed + (node.kind == "dense"))  # a register is taken and filled in one cycle
            for stream in entering:
                stream.taken.append(now)
            made.ready.append(now + pace.latency)


def _deepest(stream: _Stream) -> int:
    """Most words of a queue at a time: those that were there when one more entered."""
    entered = np.array(stream.ready) - 1
    return int((np.arange(1, len(entered) + 1) - np.searchsorted(np.array(stream.taken), entered)).max(initial=1))
