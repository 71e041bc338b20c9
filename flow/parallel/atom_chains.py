"""Chains of atoms as parts of a plan: the bits that they take of a heap, what they cost, and what is left of it.

A chain of ``w`` columns takes as many LUT sites, and one more where its carry leaves it beside the highest sum. It is
worth the bits that disappear in it less what its sites are to be worth, a price per site.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import NamedTuple

from flow.parallel.atoms import ALONE, CARRIED, CARRIED_PLACES, FIVE, FOUR, FULL_ADDER, NO_ATOMS, SIX, Atoms
from flow.parallel.bit_heap import PLACES

_WORTH = 1e-9
_CARRY_SITE = 1  # of a carry that leaves beside a sum
_CARRIED_BITS = CARRIED_PLACES  # a site takes at most where only the carry goes on

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

    Without atoms what is left needs no addition, or is added by a row of three bits per column. Of the last one's
    columns in ``carried``, which lie below its atoms, only the carry goes on.
    """

    chains: tuple[Chain, ...]
    last: Atoms
    sites: int
    carried: tuple[Counts, ...] = ()


_Rest = tuple[int, tuple[Counts, ...]]  # sites, and parts of a chain from some column on


class _Last(NamedTuple):
    """A way to add all that is left in one row."""

    sites: int
    carried: tuple[Counts, ...]
    atoms: Atoms


class CountedHeap:
    """Bits per column, of which ``free`` need no inversion, the chains that were taken from it and their sites.

    The sum's ``unread`` lowest bits go nowhere, or, if ``registered``, all of it into registers alone.
    """

    def __init__(self, counts: Counts, free: Counts, registered: bool, unread: int = 0) -> None:
        self.counts, self.free, self.width = list(counts), list(free), len(counts)
        self.registered, self.unread = registered, min(unread, self.width - 1)
        self.chains: tuple[Chain, ...] = ()
        self.sites = 0

    @property
    def bits(self) -> int:
        """Bits that are left."""
        return sum(self.counts)

    @property
    def least(self) -> int:
        """Sites that no plan comes below: one takes at most two bits out of a heap, and in unread columns five."""
        groups = (self.unread + 1) // 2
        left = self.bits - self.width + self.unread - (_CARRIED_BITS * groups + 1 if groups else 0)
        return self.sites + groups + (max(left, 0) + 1) // 2

    @property
    def key(self) -> tuple[Counts, Counts]:
        """What tells heaps apart, however they came about."""
        return tuple(self.counts), tuple(self.free)

    def less(self, chain: Chain) -> CountedHeap:
        """This heap after a chain: without the bits that it takes, those that need an inversion first, with its sum."""
        made = copy(self)
        made.counts, made.free = list(self.counts), list(self.free)
        made.counts[chain.start] -= chain.carry
        made.free[chain.start] -= chain.carry
        for c, count in enumerate(chain.columns, chain.start):
            inverted = min(count - (count == SIX[0]), made.counts[c] - made.free[c])
            made.counts[c] -= count
            made.free[c] -= count - inverted
        width = result_bits(chain, self.width)
        for c in range(chain.start, chain.start + width):
            made.counts[c] += 1
            made.free[c] += 1
        made.sites = self.sites + chain_sites(chain, width)
        made.chains = (*self.chains, chain)
        return made

    def best(self, prices: Sequence[float]) -> Chain:
        """The chain that is worth most at the first price at which one is worth it, else a full adder."""
        return next((chain for price in prices if (chain := self._best(price))), None) or self._full_adder()

    def plan(self) -> Plan | None:
        """The chains that were taken and a last one for all that is left; None where no chain adds it."""
        last = self._last()
        return Plan(self.chains, last.atoms, self.sites + last.sites, last.carried) if last else None

    def chains_at(self, prices: Sequence[float]) -> list[Chain]:
        """The chain from every column on that is worth most at each of these prices, and full adders."""
        found: dict[Chain, None] = {}
        for price in prices:
            worth, parts, begun = self._worth(price)
            for c in (c for c in range(self.width) if self.counts[c] > ALONE):
                if c + 1 < self.width:
                    found[Chain(c, 0, (FULL_ADDER,), True)] = None
                for carry in range(1 + bool(self.free[c])):
                    part = self._grown(c, 1, 1 + price, worth)[1] if carry else begun[c][1]
                    if part:
                        found[Chain(c, carry, tuple(_followed(c, part, parts)))] = None
        return list(found)

    def _full_adder(self) -> Chain:
        """A full adder for the lowest column of more than two bits."""
        return Chain(next(c for c, count in enumerate(self.counts) if count > ALONE), 0, (FULL_ADDER,), True)

    def _last(self) -> _Last | None:
        """The row of fewest sites that adds all that is left; None where there is none."""
        start = next((c for c, count in enumerate(self.counts) if count > 1), self.width)
        if start == self.width:
            return _Last(0, (), ())
        if max(self.counts) > SIX[0] + 1:
            return None
        top = max(c for c, count in enumerate(self.counts) if count)
        rest = self._rests(top)
        found: list[_Last] = []
        for carry in range(1 + bool(self.free[start])):
            for cost, parts in self._wholes(start, carry, rest):
                found.append(_Last(cost, (), Chain(start, carry, parts).atoms))
            found += self._carried(start, carry, rest)
        if self.registered and self._three_each(start, top):
            found.append(_Last(top + 1 - start + min(self.width - 1 - top, 2), (), ()))
        return min(found, default=None, key=lambda f: f.sites)

    def _carried(self, start: int, carry: int, rest: Sequence[_Rest | None]) -> list[_Last]:
        """The cheapest row that begins with groups of which only the carry goes on, ``carry`` bits entering below."""
        best: list[_Last | None] = [None] * self.width
        for c in range(self.unread - 1, start - 1, -1):
            found = []
            for group in CARRIED:
                end = c + len(group)
                counts = (self.counts[c] - (carry if c == start else 0), self.counts[c + 1])
                if end > self.unread or any(n > most for n, most in zip(counts, group, strict=False)):
                    continue
                above, groups = rest[end], best[end]
                if above:  # a carry that leaves alone needs no LUT of its own
                    atoms = Chain(end, 0, above[1]).atoms
                    found.append(_Last(1 + (above[0] if atoms else 0), (group,), atoms or NO_ATOMS))
                if groups:
                    found.append(groups._replace(sites=1 + groups.sites, carried=(group, *groups.carried)))
            best[c] = min(found, default=None, key=lambda f: f.sites)
        first = best[start]
        return [first] if first else []

    def _three_each(self, start: int, top: int) -> bool:
        """Whether a row of three bits per column, and one more in the lowest, adds what is left."""
        more = self.counts[start] - PLACES
        return max(self.counts[start + 1 : top + 1], default=0) <= PLACES and more <= min(1, self.free[start])

    def _rests(self, top: int) -> list[_Rest | None]:
        """From each column on, with a carry into it, the fewest sites that add all, and how; None where nothing can."""
        rest: list[_Rest | None] = [None] * (self.width + 2)
        rest[self.width] = (0, ())
        for c in range(self.width - 1, -1, -1):
            if c > top:
                rest[c] = (_CARRY_SITE, ())
            else:
                rest[c] = min(self._wholes(c, 0, rest), default=None)
        return rest

    def _wholes(self, c: int, carry: int, rest: Sequence[_Rest | None]) -> list[_Rest]:
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
        worth, parts, begun = self._worth(price)
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

    def _worth(self, price: float) -> tuple[list[float], list[Counts], list[tuple[float, Counts]]]:
        """What each column is worth to a chain that comes with a carry, by which part, and to one that begins there."""
        stop = -1 - price * _CARRY_SITE
        worth, parts = [0.0] * (self.width + 2), [NOTHING] * (self.width + 2)
        begun = [(0.0, NOTHING)] * self.width
        for c in range(self.width - 1, -1, -1):
            begun[c] = self._grown(c, 0, 1 + price, worth)
            worth[c], parts[c] = begun[c] if begun[c][0] > stop else (stop, NOTHING)
        return worth, parts, begun

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


def _fits(lower: int, upper: int) -> bool:
    """Whether an atom takes so many bits of its columns."""
    return (lower <= SIX[0] and not upper) or (lower <= FOUR[0] and upper <= FOUR[1])


def _digits(part: Counts) -> Atoms:
    """The atom, or single column, that takes so many bits."""
    if part[0] <= ALONE:
        return (ALONE,) if part[0] else part
    return FOUR if part[0] <= FOUR[0] else FIVE if part[0] == FIVE[0] else SIX


def chain_sites(chain: Chain, result: int) -> int:
    """LUT sites of a chain that gives ``result`` bits."""
    return 1 if chain.full else len(chain.columns) + (result > len(chain.columns)) * _CARRY_SITE


def result_bits(chain: Chain, columns: int) -> int:
    """Bits of a chain's sum, modulo ``2**columns``."""
    most = chain.carry + sum(bits << i for i, bits in enumerate(chain.columns))
    return min(most.bit_length(), len(chain.columns) + 1, columns - chain.start)
