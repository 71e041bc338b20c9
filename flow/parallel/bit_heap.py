"""Adds up a heap of bits with carry chains: which bits go into which row.

A row of ``w`` columns takes three bits per column and five in its first one, and gives ``w + 2`` bits: two bits less
per LUT, whatever its length. The bound ``(bits - result bits) / 2`` LUTs is missed by half a LUT for every place left
empty, so rows are packed full, lowest column first, and the last row adds what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow.parallel.graph import ZERO, Bit

PLACES, FIRST_PLACES = 3, 5
# (fewest bits in a row's first column, in its other ones) once no full row is left: several are tried, the best taken
_MANNERS = ((5, 3), (4, 3), (4, 2), (3, 3), (3, 2), (3, 1))


@dataclass(frozen=True, slots=True, order=True)
class HeapBit:
    """A bit to be added and the number of rows it waits for; ``row`` -1 is a given bit, else an earlier row's result.

    ``free`` bits need no inversion and may enter at the end of a carry chain.
    """

    level: int
    free: bool
    row: int
    index: int
    bit: Bit = ZERO


Heap = list[list[HeapBit]]
HeapColumns = tuple[tuple[HeapBit, ...], ...]


@dataclass(frozen=True)
class Row:
    """One carry chain: ``columns`` from column ``start`` on; its lowest ``width`` result bits are used.

    ``atoms`` says of a chain of atoms what it is made of (``flow.parallel.atoms``); otherwise columns are added as is.
    """

    start: int
    columns: tuple[tuple[HeapBit, ...], ...]
    width: int
    atoms: tuple[int, ...] = ()


@dataclass(frozen=True)
class Packing:
    """The rows that add a heap, and its last row over all result columns, with that row's atoms if it has any.

    ``luts`` is what it costs, for rows of atoms in sites, and ``levels`` how many rows lie before the last one. Of its
    columns in ``last_carried`` only the carry goes on.
    """

    rows: tuple[Row, ...]
    last: tuple[tuple[HeapBit, ...], ...]
    luts: int
    levels: int
    last_atoms: tuple[int, ...] = ()
    last_carried: tuple[tuple[int, ...], ...] = ()


def pack(heap: Sequence[Sequence[HeapBit]]) -> Packing:
    """Rows that add ``heap`` (bits per column) modulo ``2**len(heap)``: the cheapest found, then the shallowest."""
    tried = [_Packer(heap).run(*manner) for manner in _MANNERS]
    return min(tried, key=lambda p: (p.luts, p.levels, len(p.rows)))


def estimate(heights: Sequence[int]) -> int:
    """LUTs for a heap of so many bits per column, all given and not inverted."""
    return pack([[HeapBit(0, True, -1, i) for i in range(h)] for h in heights]).luts


class _Packer:
    def __init__(self, heap: Sequence[Sequence[HeapBit]]) -> None:
        self.heap: Heap = [sorted(column) for column in heap]
        self.rows: list[Row] = []
        self.luts = 0
        self.level = min((b.level for column in heap for b in column), default=0)

    def run(self, first: int, other: int) -> Packing:
        while not self._finished():
            made = self._sweep(FIRST_PLACES, PLACES)
            made = self._sweep(first, other) or made
            if made:
                continue
            later = [b.level for column in self.heap for b in column if b.level > self.level]
            if later:
                self.level = min(later)
            else:
                first, other = PLACES, 1  # nothing fits the manner any more: finish with what there is
        last = tuple(tuple(column) for column in self.heap)
        start = next((c for c, column in enumerate(last) if len(column) > 1), len(last))
        top = max((c for c, column in enumerate(last) if column), default=-1)
        levels = max((b.level for column in last for b in column), default=0)
        return Packing(tuple(self.rows), last, self.luts + max(top - start + 1, 0), levels)

    def _finished(self) -> bool:
        """Whether one last row can add what is left."""
        start = next((c for c, column in enumerate(self.heap) if len(column) > 1), len(self.heap))
        if any(len(column) > PLACES for column in self.heap[start + 1 :]):
            return False
        if start == len(self.heap) or len(self.heap[start]) <= PLACES:
            return True
        more = len(self.heap[start]) - PLACES
        return more <= FIRST_PLACES - PLACES and sum(b.free for b in self.heap[start]) >= more

    def _sweep(self, first: int, other: int) -> bool:
        """Make every row that starts with ``first`` bits or more, lowest column first."""
        made = False
        for start in range(len(self.heap)):
            while self._make(start, first, other):
                made = True
        return made

    def _make(self, start: int, first: int, other: int) -> bool:
        ready = self._ready(start)
        if len(self.heap[start]) <= PLACES or len(ready) < PLACES:
            return False
        extra = min(FIRST_PLACES - PLACES, len(ready) - PLACES, sum(b.free for b in ready))
        if PLACES + extra < first:
            return False
        ends = [b for b in ready if b.free][:extra]
        columns = [(*self._take(start, ends), *self._take(start, self._next(start)))]
        c = start + 1
        while c < len(self.heap) and len(self.heap[c]) > PLACES and len(self._ready(c)) >= other:
            columns.append(self._take(c, self._next(c)))
            c += 1
        self._add_row(start, columns)
        return True

    def _ready(self, column: int) -> list[HeapBit]:
        return [b for b in self.heap[column] if b.level <= self.level]

    def _next(self, column: int) -> list[HeapBit]:
        """The bits to take next: those that can go nowhere else first."""
        return sorted(self._ready(column), key=lambda b: (b.free, b))[:PLACES]

    def _take(self, column: int, bits: list[HeapBit]) -> tuple[HeapBit, ...]:
        for bit in bits:
            self.heap[column].remove(bit)
        return tuple(bits)

    def _add_row(self, start: int, columns: list[tuple[HeapBit, ...]]) -> None:
        width = sum(len(column) << c for c, column in enumerate(columns)).bit_length()
        width = min(width, len(self.heap) - start)
        self.luts += len(columns)
        for i in range(width):
            self.heap[start + i].append(HeapBit(self.level + 1, True, len(self.rows), i))
        self.rows.append(Row(start, tuple(columns), width))
