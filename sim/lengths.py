"""Which lengths of a pause (idle cycles, stalled cycles, cycles of reset, vectors of a packet) a bench tries.

A fault that shows after exactly so many cycles sits where a counter turns over, or anywhere; one that shows after at
least so many is found by the longest length. So: powers of two and their neighbours, every short length, and a
geometric series between them.
"""

from __future__ import annotations

from collections.abc import Iterator

_EVERY = 80  # each length up to here
_GROWTH = 1.09  # of the series beyond it


def lengths(budget: int, longest: int = 5000, overhead: int = 0) -> list[int]:
    """Ascending lengths within 1..``longest`` whose sum is at most ``budget``; the most telling are taken first.

    Each costs ``overhead`` cycles beside its own. None takes more than a quarter of the budget.
    """
    taken: set[int] = set()
    left = budget
    for length in _candidates(min(longest, budget // 4)):
        if length + overhead <= left and length not in taken:
            taken.add(length)
            left -= length + overhead
    return sorted(taken)


def _candidates(longest: int) -> Iterator[int]:
    powers = [1 << k for k in range(longest.bit_length()) if 1 << k <= longest]
    yield from reversed(powers)
    yield from range(1, min(_EVERY, longest) + 1)
    yield from (power + step for power in powers[2:] for step in (1, -1) if power + step <= longest)
    yield longest
    length = float(_EVERY)
    while length <= longest:
        yield int(length)
        length *= _GROWTH
    yield from range(_EVERY, longest + 1)
