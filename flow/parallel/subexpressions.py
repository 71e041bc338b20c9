"""Common sub-sums of many sums: which ones to compute once, chosen by the LUTs they save.

Every sum is a row of signed digits (-1, 0, 1) over operands and shifts. A pattern is a set of operands with relative
shifts and signs; where it occurs in several rows, possibly shifted or negated, a new operand takes its place. Its worth
is the bits that disappear from the rows' heaps, each worth half a LUT (``flow.parallel.bit_heap``), less the LUTs of
adding the pattern once. The best pattern is found by growing the best pairs, again and again until none is worth it. A
new operand's own row takes part in the search like every other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flow.core.fixed import Ints
from flow.parallel.atom_heap import estimate_atoms
from flow.parallel.bit_heap import estimate
from flow.parallel.pattern_growth import NEVER, Digits, Growth, Part, Settings

_LEAST_GAIN = 0.01
_SHORT = 3  # operands of which sharing a part would save little or nothing: one row of three bits adds them


@dataclass(frozen=True, slots=True)
class Use:
    """``±(operand << shift)`` in a sum; operands beyond the given ones are shared sums, in order of their making."""

    operand: int
    shift: int
    negative: bool


def signed_digits(matrix: Ints) -> Digits:
    """Canonical signed digits of an integer matrix (operands x rows): fewest non-zero digits."""
    rest, planes = matrix.T.astype(np.int64), []
    while rest.any():
        digit = np.where(rest & 1, 2 - (rest & 3), 0)
        planes.append(digit)
        rest = (rest - digit) >> 1
    shape = (matrix.shape[1], matrix.shape[0])
    return np.stack(planes or [np.zeros(shape, np.int64)], axis=1).astype(np.float32)


def share(digits: Digits, highs: Sequence[int], shifts: Sequence[int], settings: Settings) -> list[list[Use]]:
    """The given rows, then the shared ones, each as its uses; operand ``len(highs) + k`` is shared row ``k``.

    ``highs`` is each operand's largest value as an unsigned number, ``shifts`` its own power of two on top of the
    digits' shifts.
    """
    search = _Search(digits, list(highs), list(shifts), settings)
    while search.round():
        pass
    return search.uses()


class _Search:
    """The rows that still take part, ``numbers`` of them, and the short shared rows, which nothing can improve."""

    def __init__(self, digits: Digits, highs: list[int], shifts: list[int], settings: Settings) -> None:
        self.digits, self.highs, self.shifts, self.settings = digits, highs, shifts, settings
        self.span = digits.shape[1]
        self.sums, self.given = digits.shape[0], len(highs)
        self.numbers = list(range(self.sums))
        self.short: dict[int, list[Part]] = {}
        self.rejected: set[tuple[Part, ...]] = set()
        self.known_luts: dict[tuple[int, ...], int] = {}

    def uses(self) -> list[list[Use]]:
        """All rows as uses; a shared row relative to its own power of two."""
        parts = dict(self.short)
        for number, row in zip(self.numbers, self.digits, strict=True):
            parts[number] = [(int(j), int(s), int(row[s, j])) for s, j in zip(*np.nonzero(row), strict=True)]
        rows = []
        for number in range(len(parts)):
            base = self.shifts[self.given + number - self.sums] if number >= self.sums else 0
            rows.append([Use(j, s + self.shifts[j] - base, sign < 0) for j, s, sign in parts[number]])
        return rows

    def round(self) -> bool:
        """Extract the best patterns; False when none is worth it."""
        tried = sorted(((self._gain(p), p) for p in self._patterns()), key=lambda f: -f[0])
        self.rejected.update(tuple(p) for gain, p in tried if gain <= _LEAST_GAIN)
        if not tried:
            return False
        need = max(self.settings.accept * tried[0][0], _LEAST_GAIN)
        for gain, pattern in tried:
            if gain >= need and self._gain(pattern) >= need:
                self._extract(pattern)
        return True

    def _patterns(self) -> list[list[Part]]:
        """The most promising patterns by estimated gain."""
        growth = Growth(self.digits, self.highs, self.shifts, self.settings)
        found = growth.result()
        while len(growth.patterns) and len(growth.patterns[0]) < self.settings.size and growth.grow():
            found += growth.result()
        worth = [(g, p) for g, p in found if g > _LEAST_GAIN - 2 and tuple(p) not in self.rejected]
        return [p for _, p in sorted(worth, key=lambda f: -f[0])[: self.settings.tried]]

    def _weights(self, parts: list[Part]) -> tuple[int, int, int, int]:
        """Of a pattern: its power of two, largest value above it, the bits it has before, the LUTs it costs."""
        low = min(d + self.shifts[j] for j, d, _ in parts)
        places = [(self.highs[j], d + self.shifts[j] - low) for j, d, _ in parts]
        high = sum(h << shift for h, shift in places)
        heights = [0] * high.bit_length()
        for h, shift in places:
            for c in range(shift, shift + h.bit_length()):
                heights[c] += 1
        key = tuple(heights)
        if key not in self.known_luts:
            self.known_luts[key] = estimate_atoms(key) if self.settings.atoms else estimate(key)
        return low, high, sum(h.bit_length() for h, _ in places), self.known_luts[key]

    def _gain(self, pattern: list[Part]) -> float:
        """LUTs saved by making a pattern once."""
        parts = _normal(pattern)
        _, high, bits, luts = self._weights(parts)
        count = len(self._occurrences(parts))
        return self.settings.luts_per_bit * (bits - high.bit_length()) * count - luts if count > 1 else NEVER

    def _extract(self, pattern: list[Part]) -> None:
        parts = _normal(pattern)
        low, high, _, _ = self._weights(parts)
        column = np.zeros((*self.digits.shape[:2], 1), np.float32)
        for row, shift, sign in self._occurrences(parts):
            for j, d, _ in parts:
                self.digits[row, shift + d, j] = 0
            column[row, shift, 0] = sign
        self.digits = np.concatenate([self.digits, column], axis=2)
        number = len(self.numbers) + len(self.short)
        if len(parts) <= _SHORT:
            self.short[number] = parts
        else:
            row_digits = np.zeros((1, *self.digits.shape[1:]), np.float32)
            for j, d, s in parts:
                row_digits[0, d, j] = s
            self.digits = np.concatenate([self.digits, row_digits])
            self.numbers.append(number)
        self.highs.append(high)
        self.shifts.append(low)

    def _occurrences(self, parts: list[Part]) -> list[tuple[int, int, int]]:
        """Where a pattern occurs, as (row, shift, sign); occurrences do not overlap."""
        width = self.span - max(d for _, d, _ in parts)
        total = np.stack([s * self.digits[:, d : d + width, j] for j, d, s in parts]).sum(axis=0)
        found = [
            (int(r), int(s), int(np.sign(total[r, s])))
            for r, s in zip(*np.nonzero(np.abs(total) == len(parts)), strict=True)
        ]
        if len({j for j, _, _ in parts}) == len(parts):
            return found
        taken: set[tuple[int, int, int]] = set()
        kept = []
        for row, shift, sign in found:
            cells = {(row, shift + d, j) for j, d, _ in parts}
            if not cells & taken:
                taken |= cells
                kept.append((row, shift, sign))
        return kept


def _normal(pattern: list[Part]) -> list[Part]:
    """The pattern shifted so that its lowest digit is at shift 0."""
    base = min(d for _, d, _ in pattern)
    return [(j, d - base, s) for j, d, s in pattern]
