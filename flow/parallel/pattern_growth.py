"""Finds patterns that occur in many rows of signed digits: the best pairs, grown operand by operand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    each (row, shift) whether it occurs there: 1, negated -1, or not 0.
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
        self.digits = digits.reshape(rows * span, operands)
        self.candidates = _shifted(digits)
        self.present = np.abs(self.candidates)
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
        base = self.digits[:, first].T
        self.where = np.where(self.candidates[:, second].T * signs[:, None] == base, base, 0).astype(np.float32)
        self.total_bits = self.bits[first] + self.bits[self.operand[second]]

    def _frequent_pairs(self) -> tuple[Indices, Indices, Indices, Floats]:
        """Operand, candidate, sign and count of the pairs that occur most often, weighed by how far they overlap."""
        difference = self.digits.T @ self.candidates
        total = np.abs(self.digits).T @ self.present
        overlap = self._overlap()
        found = []
        for sign in (1, -1):
            count = (total + sign * difference) / 2
            score = np.where(count > 1, count * overlap, 0)
            best = np.sort(score.max(axis=1, initial=0))[::-1][: 2 * self.settings.pairs]
            at = np.flatnonzero(score >= max(float(best[-1]) if len(best) else 0, 0.5))
            at = at[np.argsort(-score.flat[at], kind="stable")][: 4 * self.settings.pairs]
            a, b = np.divmod(at, max(score.shape[1], 1))
            found.append((a, b, np.full(len(at), sign), count.flat[at]))
        first, second, signs, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return first, second, signs, counts

    def _overlap(self) -> Floats:
        """Columns that an operand and a candidate after it share; 0 for candidates that do not come after it."""
        bits, place = self.bits.astype(np.float32), (self.deltas + self.shifts[self.operand]).astype(np.float32)
        start = place[None] - self.shifts.astype(np.float32)[:, None]
        end = np.minimum(start + bits[self.operand][None], bits[:, None])
        columns = end - np.maximum(start, 0)
        index = np.arange(len(bits))
        columns[self.operand[None] < index[:, None]] = 0
        columns[(self.operand[None] == index[:, None]) & (self.deltas[None] <= 0)] = 0
        return np.asarray(columns.clip(0), np.float32)

    def grow(self) -> bool:
        """Extend every pattern by its best candidate; False when none occurs twice any more."""
        difference, total = self.where @ self.candidates, np.abs(self.where) @ self.present
        saved, luts, high, low = self._merge(
            self.high[:, None], self.low[:, None], self.total_bits[:, None], np.arange(len(self.operand))[None]
        )
        best, chosen, signs = (
            np.full(len(self.patterns), NEVER),
            np.zeros(len(self.patterns), int),
            np.ones(len(self.patterns)),
        )
        used = np.zeros(total.shape, bool)
        for i, pattern in enumerate(self.patterns):
            used[i, [j * (2 * self.span - 1) + d + self.span - 1 for j, d, _ in pattern]] = True
        for sign in (1, -1):
            count = (total + sign * difference) / 2
            gain = np.where(~used & (count > 1), self.settings.luts_per_bit * saved * count - luts, NEVER)
            top = gain.argmax(axis=1)
            value = gain[np.arange(len(top)), top]
            chosen, signs = np.where(value > best, top, chosen), np.where(value > best, sign, signs)
            best = np.maximum(value, best)
        live = np.flatnonzero(best > NEVER)
        chosen, signs = chosen[live], signs[live]
        self.patterns = [
            [*self.patterns[i], (int(self.operand[c]), int(self.deltas[c]), int(s))]
            for i, c, s in zip(live, chosen, signs, strict=True)
        ]
        self.where = self.where[live] * (signs[:, None] * self.where[live] == self.candidates[:, chosen].T)
        self.where = self.where.astype(np.float32)
        self.gains = best[live]
        self.high, self.low = high[live, chosen], low[live, chosen]
        self.total_bits = self.total_bits[live] + self.bits[self.operand[chosen]]
        return bool(len(live))

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


def _shifted(digits: Digits) -> Floats:
    """For every (row, shift) the digit of every operand at every relative shift: (rows*span) x (operands*shifts)."""
    rows, span, operands = digits.shape
    result = np.zeros((rows, span, operands, 2 * span - 1), np.float32)
    for k, delta in enumerate(range(1 - span, span)):
        if delta >= 0:
            result[:, : span - delta, :, k] = digits[:, delta:]
        else:
            result[:, -delta:, :, k] = digits[:, :delta]
    return result.reshape(rows * span, operands * (2 * span - 1))
