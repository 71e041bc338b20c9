"""Finds patterns that occur in many rows of signed digits: the best pairs, grown operand by operand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

Digits = NDArray[np.float32]  # rows x shifts x operands, of -1, 0, 1; float for fast exact matrix products
Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Indices = NDArray[np.int64]
Part = tuple[int, int, int]  # operand, shift, sign

NEVER = -1e9
_MOST_PAIRS = 1e7


@dataclass(frozen=True)
class Settings:
    """How hard to search: pairs grown and patterns tried per round, largest pattern, how much worse than the best is
    still taken.

    ``luts_per_bit`` is what a bit in a heap costs: one half, and a little for places left empty. ``atoms``: heaps are
    added by chains of atoms, which count in sites.
    """

    pairs: int = 128
    tried: int = 64
    size: int = 3
    accept: float = 0.85
    luts_per_bit: float = 0.52
    atoms: bool = False


class Growth:
    """The most promising patterns, all of the same size.

    A candidate is an operand at a shift relative to the pattern's first digit. ``where`` holds for each pattern and
    each (row, shift) whether it occurs there, or occurs negated. Most digits are zero, so all of these are sparse.
    """

    def __init__(self, digits: Digits, highs: Sequence[int], shifts: Sequence[int], settings: Settings) -> None:
        self.live = _busiest(np.abs(digits).sum(axis=(0, 1)), 2 * digits.shape[1] - 1)
        digits = digits[:, :, self.live]
        rows, span, operands = digits.shape
        self.settings, self.span = settings, span
        self.deltas = np.tile(np.arange(1 - span, span), operands)
        self.operand = np.repeat(np.arange(operands), 2 * span - 1)
        self.highs = np.array(highs, np.float64)[self.live]
        self.bits = _width(self.highs)
        self.shifts = np.array(shifts, np.int64)[self.live]
        self.digits = _signs(csr_array(digits.reshape(rows * span, operands)))
        self.candidates = _signs(_shifted(digits))
        self.patterns: list[list[Part]] = []
        self._pairs()

    def result(self) -> list[tuple[float, list[Part]]]:
        """The patterns of the current size with their estimated gains."""
        return [
            (float(g), [(int(self.live[j]), d, s) for j, d, s in p])
            for g, p in zip(self.gains, self.patterns, strict=True)
        ]

    def _pairs(self) -> None:
        """The best pairs: every operand with every candidate that comes after it."""
        first, second, signs, counts = self._frequent_pairs()
        high, low, bits = self.highs[first], self.shifts[first], self.bits[first]
        saved, luts, high, low = self._merge(high[:, None], low[:, None], bits[:, None], second[:, None])
        gains = self.settings.luts_per_bit * saved[:, 0] * counts - luts[:, 0]
        order = np.lexsort((signs, second, first, -gains))[: self.settings.pairs]
        first, second, signs = first[order], second[order], signs[order]
        self.gains, self.high, self.low = gains[order], high[order, 0], low[order, 0]
        self.patterns = [
            [(int(a), 0, 1), (int(self.operand[b]), int(self.deltas[b]), int(s))]
            for a, b, s in zip(first, second, signs, strict=True)
        ]
        self.where = self._with(_transposed(self.digits, first), second, signs)
        self.total_bits = self.bits[first] + self.bits[self.operand[second]]

    def _frequent_pairs(self) -> tuple[Indices, Indices, Indices, Floats]:
        """Operand, candidate, sign and count of the pairs that occur most often, weighed by how far they overlap."""
        digits = _transposed(self.digits, np.arange(len(self.live)))
        found = []
        for sign in (1, -1):
            first, second, count = _often(digits, self.candidates, sign)
            score = count * self._overlap(first, second)
            rows = np.zeros(len(self.live), score.dtype)
            np.maximum.at(rows, first, score)
            best = np.sort(rows)[::-1][: 2 * self.settings.pairs]
            at = np.flatnonzero(score >= max(float(best[-1]) if len(best) else 0, 0.5))
            at = at[np.argsort(-score[at], kind="stable")][: 4 * self.settings.pairs]
            found.append((first[at], second[at], np.full(len(at), sign), count[at]))
        first, second, signs, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return first, second, signs, counts

    def _overlap(self, first: Indices, second: Indices) -> Reals:
        """Columns that an operand and a candidate after it share; 0 for candidates that do not come after it."""
        operand = self.operand[second]
        start = self.deltas[second] + self.shifts[operand] - self.shifts[first]
        columns = np.minimum(start + self.bits[operand], self.bits[first]) - np.maximum(start, 0)
        after = (operand > first) | ((operand == first) & (self.deltas[second] > 0))
        return np.where(after, columns.clip(0), 0)

    def grow(self) -> bool:
        """Extend every pattern by its best candidate; False when none occurs twice any more."""
        best, chosen, signs = self._best()
        live = np.flatnonzero(best > NEVER)
        chosen, signs = chosen[live], signs[live]
        self.patterns = [
            [*self.patterns[i], (int(self.operand[c]), int(self.deltas[c]), int(s))]
            for i, c, s in zip(live, chosen, signs, strict=True)
        ]
        self.where = self._with(_Signs(self.where.plus[live], self.where.minus[live]), chosen, signs)
        self.gains = best[live]
        _, _, self.high, self.low = self._merge(self.high[live], self.low[live], self.total_bits[live], chosen)
        self.total_bits = self.total_bits[live] + self.bits[self.operand[chosen]]
        return bool(len(live))

    def _best(self) -> tuple[Reals, Indices, Indices]:
        """Of every pattern the gain with its best candidate (``NEVER`` where there is none), which, and its sign."""
        used = np.zeros((len(self.patterns), len(self.operand)), bool)
        for i, pattern in enumerate(self.patterns):
            used[i, [j * (2 * self.span - 1) + d + self.span - 1 for j, d, _ in pattern]] = True
        best = np.full(len(used), NEVER)
        chosen, signs = np.zeros(len(used), np.int64), np.ones(len(used), np.int64)
        for sign in (1, -1):
            at, candidate, count = _often(self.where, self.candidates, sign)
            saved, luts, _, _ = self._merge(self.high[at], self.low[at], self.total_bits[at], candidate)
            gain = np.where(used[at, candidate], NEVER, self.settings.luts_per_bit * saved * count - luts)
            most = np.full(len(used), NEVER)
            np.maximum.at(most, at, gain)
            tops = np.flatnonzero(gain == most[at])
            rows, first = np.unique(at[tops], return_index=True)
            top = tops[first]
            better = gain[top] > best[rows]
            best[rows[better]], chosen[rows[better]] = gain[top[better]], candidate[top[better]]
            signs[rows[better]] = sign
        return best, chosen, signs

    def _with(self, where: _Signs, candidates: Indices, signs: Indices) -> _Signs:
        """Where patterns occur together with a candidate each, of a sign relative to theirs."""
        there = _transposed(self.candidates, candidates)
        same = where.plus * there.plus, where.minus * there.minus
        opposite = where.plus * there.minus, where.minus * there.plus
        keep = diags_array((signs > 0).astype(np.float32)), diags_array((signs < 0).astype(np.float32))
        plus, minus = (csr_array(keep[0] @ s + keep[1] @ o) for s, o in zip(same, opposite, strict=True))
        return _Signs(plus, minus)

    def _merge(self, high: Reals, low: Indices, bits: Reals, candidate: Indices) -> tuple[Reals, Reals, Reals, Indices]:
        """Patterns (largest value ``high`` at power ``low``, of ``bits`` bits) with candidates; arrays broadcast.

        Gives bits saved, LUTs of the sum if the candidate is added last, its largest value and its power of two.
        """
        operand = self.operand[candidate]
        place = self.deltas[candidate] + self.shifts[operand]
        new_low = np.minimum(low, place)
        up, candidate_up = low - new_low, place - new_low
        new_high = np.ldexp(high, up) + np.ldexp(self.highs[operand], candidate_up)
        top = np.maximum(_width(high) + up, self.bits[operand] + candidate_up)
        saved = (bits + self.bits[operand] - _width(new_high)).clip(0)
        return saved, (top - np.maximum(up, candidate_up)).clip(0), new_high, new_low


def _busiest(uses: Floats, shifts: int) -> Indices:
    """The operands used at least twice; in very large layers only the most used ones, so that all pairs fit memory."""
    live = np.flatnonzero(uses > 1)
    most = int((_MOST_PAIRS / shifts) ** 0.5)
    return np.sort(live[np.argsort(-uses[live], kind="stable")[:most]])


def _width(high: Reals) -> Reals:
    """Bits of the unsigned number ``high``."""
    return np.asarray(np.frexp(high)[1], np.float64)


class _Signs(NamedTuple):
    """A sparse matrix of -1, 0 and 1 as where it is 1 and where it is -1."""

    plus: csr_array
    minus: csr_array


def _signs(matrix: csr_array) -> _Signs:
    return _Signs(*(csr_array((matrix == sign).astype(np.float32)) for sign in (1, -1)))


def _transposed(matrix: _Signs, columns: Indices) -> _Signs:
    """Some columns as rows."""
    return _Signs(csr_array(matrix.plus[:, columns].T), csr_array(matrix.minus[:, columns].T))


def _often(left: _Signs, right: _Signs, sign: int) -> tuple[Indices, Indices, Reals]:
    """Rows of ``left`` and columns of ``right`` that meet with this relative sign more than once, and how often."""
    plus, minus = (right.plus, right.minus) if sign > 0 else (right.minus, right.plus)
    product = csr_array(left.plus @ plus + left.minus @ minus)
    product.data[product.data < 2] = 0
    product.eliminate_zeros()
    product.sort_indices()
    rows = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
    return rows, product.indices.astype(np.int64), product.data.astype(np.float64)


def _shifted(digits: Digits) -> csr_array:
    """For every (row, shift) the digit of every operand at every relative shift: (rows*span) x (operands*shifts)."""
    rows, span, operands = digits.shape
    row, shift, operand = np.nonzero(digits)
    value = digits[row, shift, operand]
    places = [(row * span + at, operand * (2 * span - 1) + shift - at + span - 1) for at in range(span)]
    at, candidate = (np.concatenate(parts) for parts in zip(*places, strict=True))
    return csr_array((np.tile(value, span), (at, candidate)), shape=(rows * span, operands * (2 * span - 1)))
