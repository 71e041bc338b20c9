"""Finds patterns that occur in many rows of signed digits: the best pairs, grown operand by operand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Digits = NDArray[np.float32]  # rows x shifts x operands, of -1, 0, 1; float for fast exact matrix products
Floats = NDArray[np.float32]
Part = tuple[int, int, int]  # operand, shift, sign

NEVER = -1e9


@dataclass(frozen=True)
class Settings:
    """How hard to search: pairs grown per round, largest pattern, how much worse than the best is still taken.

    ``luts_per_bit`` is what a bit in a heap costs: one half, and a little for places left empty.
    """

    pairs: int = 128
    size: int = 3
    accept: float = 0.85
    luts_per_bit: float = 0.52


class Growth:
    """The most promising patterns, all of the same size.

    A candidate is an operand at a shift relative to the pattern's first digit. ``where`` holds for each pattern and
    each (row, shift) whether it occurs there: 1, negated -1, or not 0.
    """

    def __init__(self, digits: Digits, highs: Sequence[int], shifts: Sequence[int], settings: Settings) -> None:
        rows, span, operands = digits.shape
        self.settings, self.span = settings, span
        self.deltas = np.tile(np.arange(1 - span, span), operands)
        self.operand = np.repeat(np.arange(operands), 2 * span - 1)
        self.bits = np.array([h.bit_length() for h in highs], np.float32)
        self.highs = np.array([float(h) for h in highs])
        self.shifts = np.array(shifts)
        self.digits = digits.reshape(rows * span, operands)
        self.candidates = _shifted(digits)
        self.present = np.abs(self.candidates)
        self.patterns: list[list[Part]] = []
        self._pairs()

    def result(self) -> list[tuple[float, list[Part]]]:
        """The patterns of the current size with their estimated gains."""
        return [(float(g), p) for g, p in zip(self.gains, self.patterns, strict=True)]

    def _pairs(self) -> None:
        """The best pairs: every operand with every candidate that comes after it."""
        live = np.flatnonzero(np.abs(self.digits).sum(axis=0) > 1)
        difference = self.digits[:, live].T @ self.candidates
        total = np.abs(self.digits[:, live]).T @ self.present
        after = (self.operand[None] > live[:, None]) | ((self.operand[None] == live[:, None]) & (self.deltas[None] > 0))
        saved, luts, high, low = self._merge(self.highs[live], self.shifts[live], self.bits[live])
        found: list[tuple[float, int, int, int]] = []
        for sign in (1, -1):
            count = (total + sign * difference) / 2
            gain = np.where(after & (count > 1), self.settings.luts_per_bit * saved * count - luts, NEVER)
            best = np.argpartition(gain.ravel(), -min(self.settings.pairs, gain.size))[-self.settings.pairs :]
            found += [(float(gain.flat[k]), int(k) // gain.shape[1], int(k) % gain.shape[1], sign) for k in best]
        found = sorted((f for f in found if f[0] > NEVER), key=lambda f: (-f[0], f[1:]))[: self.settings.pairs]
        self.gains = np.array([f[0] for f in found])
        first, second = [f[1] for f in found], [f[2] for f in found]
        signs = np.array([f[3] for f in found], np.float32)
        self.patterns = [[(int(live[a]), 0, 1), (int(self.operand[b]), int(self.deltas[b]), s)] for _, a, b, s in found]
        base = self.digits[:, live[first]].T
        self.where = np.where(self.candidates[:, second].T * signs[:, None] == base, base, 0).astype(np.float32)
        self.high, self.low = high[first, second], low[first, second]
        self.total_bits = self.bits[live[first]] + self.bits[self.operand[second]]

    def grow(self) -> bool:
        """Extend every pattern by its best candidate; False when none occurs twice any more."""
        difference, total = self.where @ self.candidates, np.abs(self.where) @ self.present
        saved, luts, high, low = self._merge(self.high, self.low, self.total_bits)
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

    def _merge(
        self, high: NDArray[np.float64], low: NDArray[np.int64], bits: Floats
    ) -> tuple[Floats, Floats, NDArray[np.float64], NDArray[np.int64]]:
        """Each pattern (largest value ``high`` at power ``low``, of ``bits`` bits) with each candidate.

        Gives bits saved, LUTs of the sum if it is added last, its largest value and its power of two.
        """
        place = (self.deltas + self.shifts[self.operand])[None]
        new_low = np.minimum(low[:, None], place)
        up, candidate_up = low[:, None] - new_low, place - new_low
        new_high = high[:, None] * 2.0**up + self.highs[self.operand][None] * 2.0**candidate_up
        width = np.floor(np.log2(np.maximum(new_high, 1))) + 1
        before = bits[:, None] + self.bits[self.operand][None]
        top = np.maximum(_width(high)[:, None] + up, self.bits[self.operand][None] + candidate_up)
        return (before - width).clip(0), (top - np.maximum(up, candidate_up)).clip(0), new_high, new_low


def _width(high: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.floor(np.log2(np.maximum(high, 1))) + 1)


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
