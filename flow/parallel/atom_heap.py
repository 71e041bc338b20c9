"""Adds up a heap of bits with chains of atoms: which bits go into which chain, for fewest LUT sites.

A chain of ``w`` columns takes as many sites, and one more where its carry leaves it beside the highest sum. It is worth
the bits that disappear in it less what its sites are to be worth, a price per site. Of all starts and all sequences of
atoms the one that is worth most is taken, again and again, while there are chains worth the price, then at a lower one,
and where none is, a full adder. Several lists of prices are tried. What is left is added by one last chain as soon as
one can. Only the numbers of bits per column, and of those that need no inversion, count, so plans are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from flow.parallel.atoms import ALONE, FIVE, FOUR, FULL_ADDER, SIX, Atoms
from flow.parallel.bit_heap import PLACES, Heap, HeapBit, HeapColumns, Packing, Row

_PRICES = ((1.7, 1.5, 1.3, 1.15, 1.0), (1.5, 0.8), (1.2,), (1.7, 1.4, 0.7))
_WORTH = 1e-9
_CARRY_SITE = 1  # of a carry that leaves beside a sum

Counts = tuple[int, ...]  # bits per column
NOTHING: Counts = ()


class Chain(NamedTuple):
    """A chain from column ``start`` on; ``parts`` are the bits that each atom or single column takes of its columns.

    If ``full`` it is no chain but a full adder.
    """

    start: int
    carry: int  # bits that enter below
    parts: tuple[Counts, ...]
    full: bool = False

    @property
    def columns(self) -> list[int]:
        """The bits taken from each column, without the one that enters below."""
        return [bits for part in self.parts for bits in part]

    @property
    def atoms(self) -> Atoms:
        """The chain's digits."""
        return FULL_ADDER if self.full else tuple(digit for part in self.parts for digit in _digits(part))


class Plan(NamedTuple):
    """Chains in order, the atoms of the last one, which adds all that they leave, and the sites of all.

    Without atoms what is left needs no addition, or is added by a row of three bits per column.
    """

    chains: tuple[Chain, ...]
    last: Atoms
    sites: int


def pack_atoms(heap: Sequence[Sequence[HeapBit]], registered: bool = False) -> Packing:
    """Chains of atoms that add ``heap`` (bits per column) modulo ``2**len(heap)``: the cheapest found.

    If ``registered``, the sum goes into registers alone, so that the last row may add three bits per column.
    """
    counts, free = tuple(len(column) for column in heap), tuple(sum(b.free for b in column) for column in heap)
    return _Packer(heap).run(plan(counts, free, registered))


def estimate_atoms(heights: Sequence[int]) -> int:
    """Sites for a heap of so many bits per column, all given and not inverted."""
    counts = tuple(heights)
    return plan(counts, counts, False).sites


def pack_partly(heap: Sequence[Sequence[HeapBit]], bit_sites: float) -> tuple[tuple[Row, ...], HeapColumns] | None:
    """The first chains of a heap's plan, and the columns that they leave, where a bit less is worth ``bit_sites``.

    None where adding all of it is worth it.
    """
    counts, free = tuple(len(column) for column in heap), tuple(sum(b.free for b in column) for column in heap)
    found = plan(counts, free, False)
    sites, left = 0, sum(counts)
    cost, kept = bit_sites * left, 0
    for number, chain in enumerate(found.chains, 1):
        result = _result_bits(chain, len(counts))
        sites += _sites(chain, result)
        left += result - sum(chain.columns) - chain.carry
        if sites + bit_sites * left < cost:
            cost, kept = sites + bit_sites * left, number
    if found.sites + bit_sites * min(left, len(counts)) <= cost:
        return None
    packer = _Packer(heap)
    for chain in found.chains[:kept]:
        packer.add(chain)
    return tuple(packer.rows), tuple(tuple(sorted(column)) for column in packer.heap)


@lru_cache(maxsize=1 << 16)
def plan(counts: Counts, free: Counts, registered: bool) -> Plan:
    """The cheapest plan found for a heap of so many bits per column, of which ``free`` need no inversion."""
    plans = (_Planner(counts, free, registered).run(prices) for prices in _PRICES)
    return min(plans, key=lambda p: (p.sites, len(p.chains)))


class _Planner:
    def __init__(self, counts: Counts, free: Counts, registered: bool) -> None:
        self.counts, self.free, self.width = list(counts), list(free), len(counts)
        self.registered = registered
        self.chains: list[Chain] = []
        self.sites = 0

    def run(self, prices: Sequence[float]) -> Plan:
        while (last := self._last()) is None:
            self._take(next((chain for price in prices if (chain := self._best(price))), self._full_adder()))
        return Plan(tuple(self.chains), last[1], self.sites + last[0])

    def _full_adder(self) -> Chain:
        """A full adder for the lowest column of more than two bits."""
        return Chain(next(c for c, count in enumerate(self.counts) if count > ALONE), 0, (FULL_ADDER,), True)

    def _take(self, chain: Chain) -> None:
        """Take a chain's bits, those that need an inversion first, and give its results back."""
        bits = chain.columns
        self.counts[chain.start] -= chain.carry
        self.free[chain.start] -= chain.carry
        for c, count in enumerate(bits, chain.start):
            inverted = min(count - (count == SIX[0]), self.counts[c] - self.free[c])
            self.counts[c] -= count
            self.free[c] -= count - inverted
        width = _result_bits(chain, self.width)
        for c in range(chain.start, chain.start + width):
            self.counts[c] += 1
            self.free[c] += 1
        self.sites += _sites(chain, width)
        self.chains.append(chain)

    def _last(self) -> tuple[int, Atoms] | None:
        """The fewest sites for a row that adds all that is left, with its atoms; None where there is none."""
        start = next((c for c, count in enumerate(self.counts) if count > 1), self.width)
        if start == self.width:
            return 0, ()
        if max(self.counts) > SIX[0] + 1:
            return None
        top = max(c for c, count in enumerate(self.counts) if count)
        rest = self._rests(top)
        found = []
        for carry in range(1 + bool(self.free[start])):
            for cost, parts in self._wholes(start, carry, rest):
                found.append((cost, Chain(start, carry, parts).atoms))
        if self.registered and self._three_each(start, top):
            found.append((top + 1 - start + min(self.width - 1 - top, 2), ()))
        return min(found, default=None, key=lambda f: f[0])

    def _three_each(self, start: int, top: int) -> bool:
        """Whether a row of three bits per column, and one more in the lowest, adds what is left."""
        more = self.counts[start] - PLACES
        return max(self.counts[start + 1 : top + 1], default=0) <= PLACES and more <= min(1, self.free[start])

    def _rests(self, top: int) -> list[tuple[int, tuple[Counts, ...]] | None]:
        """From each column on, with a carry into it, the fewest sites that add all, and how; None where nothing can."""
        rest: list[tuple[int, tuple[Counts, ...]] | None] = [None] * (self.width + 2)
        rest[self.width] = (0, ())
        for c in range(self.width - 1, -1, -1):
            if c > top:
                rest[c] = (_CARRY_SITE, ())
            else:
                rest[c] = min(self._wholes(c, 0, rest), default=None)
        return rest

    def _wholes(
        self, c: int, carry: int, rest: Sequence[tuple[int, tuple[Counts, ...]] | None]
    ) -> list[tuple[int, tuple[Counts, ...]]]:
        """The ways of adding all bits of column ``c`` on, but for ``carry`` of them."""
        count, found = self.counts[c] - carry, []
        after = self.counts[c + 1] if c + 1 < self.width else 0
        straight = count < SIX[0] or self.free[c] > carry
        for part in ((count,), (count, after)):
            alone = ALONE if c + 1 < self.width else SIX[0]
            fits = count <= alone if len(part) == 1 else count > alone and _fits(count, after)
            fits = fits and straight
            beyond = rest[c + len(part)] if fits else None
            if beyond is not None:
                found.append((len(part) + beyond[0], (part, *beyond[1])))
        return found

    def _best(self, price: float) -> Chain | None:
        """The chain that is worth most at a price per site, the lowest of equal ones; None where none is worth it."""
        stop = -1 - price * _CARRY_SITE
        worth, parts = [0.0] * (self.width + 2), [NOTHING] * (self.width + 2)  # of going on from a column with a carry
        begun = [(0.0, NOTHING)] * self.width
        for c in range(self.width - 1, -1, -1):
            begun[c] = self._grown(c, 0, 1 + price, worth)
            worth[c], parts[c] = begun[c] if begun[c][0] > stop else (stop, NOTHING)
        best, found, full = _WORTH, (-1, 0, NOTHING), False
        for c in range(self.width):
            if self.counts[c] <= ALONE:
                continue
            if 1 - price > best and c + 1 < self.width:
                best, found, full = 1 - price, (c, 0, FULL_ADDER), True
            for carry in range(1 + bool(self.free[c])):
                value, part = self._grown(c, 1, 1 + price, worth) if carry else begun[c]
                if part and value + carry > best + _WORTH:
                    best, found, full = value + carry, (c, carry, part), False
        start, carry, part = found
        if not part:
            return None
        return Chain(start, carry, (part,) if full else tuple(_followed(start, part, parts)), full)

    def _grown(self, c: int, carry: int, each: float, worth: Sequence[float]) -> tuple[float, Counts]:
        """What going through column ``c`` is worth at most, ``carry`` of whose bits are taken, and by which part.

        ``each`` is what a column costs: its site, and the bit that comes out of it.
        """
        count = self.counts[c] - carry
        most = min(count, SIX[0] if self.free[c] > carry else FIVE[0])
        if not count:
            return float("-inf"), NOTHING
        if c + 1 == self.width:  # the last column needs no upper one
            return most - each, (most,)
        part: Counts = (min(count, ALONE),)
        best = part[0] - each + worth[c + 1]
        if count > ALONE:
            lower = min(count, FOUR[0])
            for bits in ((most, 0), (lower, 1) if self.counts[c + 1] else (lower, 0)):
                value = bits[0] + bits[1] - 2 * each + worth[c + 2]
                if value > best + _WORTH:
                    best, part = value, bits
        return best, part


def _followed(column: int, part: Counts, parts: Sequence[Counts]) -> Iterator[Counts]:
    """A part and those that follow it, each column's own."""
    while part:
        yield part
        column += len(part)
        part = parts[column]


class _Packer:
    """Carries a plan out on the bits of a heap: those of low levels first, of these those that need an inversion."""

    def __init__(self, heap: Sequence[Sequence[HeapBit]]) -> None:
        self.heap: Heap = [list(column) for column in heap]
        self.rows: list[Row] = []

    def run(self, found: Plan) -> Packing:
        for chain in found.chains:
            self.add(chain)
        last = tuple(tuple(sorted(column)) for column in self.heap)
        levels = max((b.level for column in last for b in column), default=0)
        return Packing(tuple(self.rows), last, found.sites, levels, found.last)

    def add(self, chain: Chain) -> None:
        columns = [self._take(c, count) for c, count in enumerate(chain.columns, chain.start)]
        columns[0] = (*columns[0], *self._take(chain.start, chain.carry, free=True))
        width = _result_bits(chain, len(self.heap))
        level = 1 + max(bit.level for column in columns for bit in column)
        for i in range(width):
            self.heap[chain.start + i].append(HeapBit(level, True, len(self.rows), i))
        self.rows.append(Row(chain.start, tuple(columns), width, chain.atoms))

    def _take(self, column: int, count: int, free: bool = False) -> tuple[HeapBit, ...]:
        """``count`` bits of a column, those that need an inversion first; of six one needs none."""
        bits = sorted((b for b in self.heap[column] if b.free or not free), key=lambda b: (b.free, b))
        taken = bits[:count]
        if count == SIX[0] and not taken[-1].free:
            taken = [*bits[: count - 1], next(b for b in bits if b.free)]
        for bit in taken:
            self.heap[column].remove(bit)
        return tuple(taken)


def _fits(lower: int, upper: int) -> bool:
    """Whether an atom takes so many bits of its columns."""
    return (lower <= SIX[0] and not upper) or (lower <= FOUR[0] and upper <= FOUR[1])


def _digits(part: Counts) -> Atoms:
    """The atom, or single column, that takes so many bits."""
    if part[0] <= ALONE:
        return (ALONE,) if part[0] else part
    return FOUR if part[0] <= FOUR[0] else FIVE if part[0] == FIVE[0] else SIX


def _sites(chain: Chain, result: int) -> int:
    """LUT sites of a chain that gives ``result`` bits."""
    return 1 if chain.full else len(chain.columns) + (result > len(chain.columns)) * _CARRY_SITE


def _result_bits(chain: Chain, columns: int) -> int:
    """Bits of a chain's sum, modulo ``2**columns``."""
    most = chain.carry + sum(bits << i for i, bits in enumerate(chain.columns))
    return min(most.bit_length(), len(chain.columns) + 1, columns - chain.start)
