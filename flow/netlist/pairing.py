"""Pairs of functions that can share a LUT site: two outputs over at most five inputs together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

Function = frozenset[int]  # its inputs

MOST_INPUTS = 5  # of two functions in one site, together
_LOOKED_AT = 64  # partners of one input that are tried, so that a signal of many users costs no more


def pairs(functions: Sequence[Function], hosts: Sequence[Function] = ()) -> int:
    """How many sites ``functions`` save when they share sites with each other or, afterwards, with one of ``hosts``.

    What has fewest ways to go chooses first: the functions of most inputs, each taking the partner that shares most
    with it. This finds many pairs, not always the most that there are.
    """
    order = sorted(range(len(functions)), key=lambda i: (-len(functions[i]), sorted(functions[i])))
    pool = _Pool(functions, order)
    alone, found = list[int](), 0
    for i in order:
        if i in pool.left:
            pool.left.discard(i)
            partner = pool.partner(functions[i])
            if partner is None:
                alone.append(i)
            else:
                pool.left.discard(partner)
                found += 1
    places = _Pool(hosts, range(len(hosts)))
    for i in alone:
        place = places.partner(functions[i])
        if place is not None:
            places.left.discard(place)
            found += 1
    return found


class _Pool:
    """Functions that are still without a partner, by input and by how many inputs they have."""

    def __init__(self, functions: Sequence[Function], order: Iterable[int]) -> None:
        self.functions = functions
        self.left = set(order)
        self._by_input: dict[int, list[int]] = defaultdict(list)
        self._by_size: dict[int, list[int]] = defaultdict(list)
        for i in order:
            self._by_size[len(functions[i])].append(i)
            for bit in functions[i]:
                self._by_input[bit].append(i)

    def partner(self, inputs: Function) -> int | None:
        """The one that shares most inputs, of those most inputs in all; None where none fits."""
        near = {i for bit in inputs for i in self._alive(self._by_input.get(bit, []), _LOOKED_AT)}
        for size in range(MOST_INPUTS - len(inputs), -1, -1):
            near.update(self._alive(self._by_size.get(size, []), 1))
        fitting = [i for i in near if len(inputs | self.functions[i]) <= MOST_INPUTS]
        return max(fitting, key=lambda i: (len(inputs & self.functions[i]), len(self.functions[i]), -i), default=None)

    def _alive(self, bucket: list[int], most: int) -> list[int]:
        """Up to ``most`` of a bucket that are left; those that are gone are dropped on the way."""
        kept = list[int]()
        while bucket and len(kept) < most:
            i = bucket.pop()
            if i in self.left:
                kept.append(i)
        bucket.extend(reversed(kept))
        return kept
