"""A function of a few bits as a small network of look-up tables.

A function of more than six bits is split (Ashenhurst, 1957): the values of six of its bits fall into classes that the
function cannot tell apart; tables of those six bits number the class, and what is left is a function of the number and
of the other bits. A saturated weighted sum has few classes, so the numbers are short. Every choice of six bits is
tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from flow.core.fixed import Ints, bits_for
from flow.parts.family import LUT_INPUTS

DIRECT_INPUTS = 8  # up to here LUTs are joined by the slice's own multiplexers (MUXF7, MUXF8), which cost nothing
_BEST = 3  # splits that are followed further


@dataclass(frozen=True)
class Lookup:
    """``table[index]`` with ``inputs[i]`` as bit ``i`` of the index; signals are the function's bits, then results.

    A signal is (-1, bit) for a bit of the function's argument and (k, bit) for a bit of the ``k``-th look-up.
    """

    inputs: tuple[tuple[int, int], ...]
    table: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """Look-ups in order, the last one gives the function; and what they cost in LUTs."""

    lookups: tuple[Lookup, ...]
    luts: int


def network(function: Ints, limit: int) -> Network | None:
    """The cheapest network found for ``function`` (values of all ``2**n`` arguments); None from ``limit`` LUTs on."""
    count = len(function).bit_length() - 1
    signals = [(-1, bit) for bit in range(count)]
    return _solve(np.asarray(function, np.int64), signals, (), 0, limit)


def table_luts(table: Sequence[int]) -> int:
    """LUTs of a table of up to eight bits, each result bit for itself."""
    luts = 0
    for bit in _result_bits(table):
        support = len(_support(bit))
        luts += 1 << max(support - LUT_INPUTS, 0) if support > 1 else 0
    return luts


def bit_functions(table: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Of each result bit of a table the bits of the index that it depends on, and its values by these."""
    found = ((bit, _support(bit)) for bit in _result_bits(table))
    return [(support, _restricted(bit, support).tolist()) for bit, support in found]


def _result_bits(table: Sequence[int]) -> list[Ints]:
    values = np.array(table, np.int64)
    return [(values >> bit) & 1 for bit in range(bits_for(min(table), max(table))[1])]


def _solve(
    function: Ints, signals: list[tuple[int, int]], done: tuple[Lookup, ...], spent: int, limit: int
) -> Network | None:
    support = _support(function)
    function, signals = _restricted(function, support), [signals[i] for i in support]
    best: Network | None = None
    if len(signals) <= DIRECT_INPUTS:
        direct = Network(
            (*done, Lookup(tuple(signals), tuple(function.tolist()))), spent + table_luts(function.tolist())
        )
        best, limit = (direct, direct.luts) if direct.luts < limit else (None, limit)
    if len(signals) <= LUT_INPUTS:
        return best
    for classes, chosen in _splits(function, len(signals))[:_BEST]:
        if (classes - 1).bit_length() >= LUT_INPUTS or spent + (classes - 1).bit_length() >= limit:
            continue
        numbers, rest, bits = _split(function, len(signals), chosen)
        lookup = Lookup(tuple(signals[i] for i in chosen), tuple(numbers.tolist()))
        others = [s for i, s in enumerate(signals) if i not in chosen]
        coded = [(len(done), b) for b in range(bits)]
        found = _solve(rest, coded + others, (*done, lookup), spent + table_luts(lookup.table), limit)
        if found:
            best, limit = found, found.luts
    return best


def _support(function: Ints) -> list[int]:
    """The argument bits a function depends on."""
    count = len(function).bit_length() - 1
    cube = function.reshape((2,) * count) if count else function
    return [b for b in range(count) if not np.array_equal(*np.moveaxis(cube, count - 1 - b, 0))]


def _restricted(function: Ints, support: list[int]) -> Ints:
    """The function of the bits of ``support`` alone; the other bits are 0."""
    index = np.arange(1 << len(support))
    return np.asarray(function[sum(((index >> i) & 1) << b for i, b in enumerate(support)) + 0 * index])


def _arranged(function: Ints, count: int, chosen: tuple[int, ...]) -> Ints:
    """Rows for the values of the chosen bits, columns for the other bits."""
    axes = [count - 1 - b for b in reversed(chosen)] + [
        count - 1 - b for b in reversed(range(count)) if b not in chosen
    ]
    return function.reshape((2,) * count).transpose(axes).reshape(1 << len(chosen), -1)


def _splits(function: Ints, count: int) -> list[tuple[int, tuple[int, ...]]]:
    """All choices of six bits with their number of classes, fewest first."""
    mixer = np.random.default_rng(0).integers(1, 1 << 62, 1 << (count - LUT_INPUTS))
    found = []
    for chosen in combinations(range(count), LUT_INPUTS):
        rows = _arranged(function, count, chosen)
        found.append((len(np.unique(rows @ mixer)), chosen))  # equal rows have equal products; others hardly ever
    return sorted(found)


def _split(function: Ints, count: int, chosen: tuple[int, ...]) -> tuple[Ints, Ints, int]:
    """The class number of every value of the chosen bits, the function of number and other bits, the number's bits."""
    rows = _arranged(function, count, chosen)
    classes, numbers = np.unique(rows, axis=0, return_inverse=True)
    bits = (len(classes) - 1).bit_length()
    padded = np.concatenate([classes, np.repeat(classes[-1:], (1 << bits) - len(classes), axis=0)])
    return np.asarray(numbers.reshape(-1), np.int64), padded.T.reshape(-1), bits
