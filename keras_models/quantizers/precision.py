"""From a trainable strength in [0, 1] to a width in bits: thresholds, the hard choice and its soft surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops

from keras_models.quantizers.exact import with_gradient

Tensor = Any

TERNARY = 1.58
MAX_BITS = 16
FULL_SURROGATE = 4  # widths up to which the surrogate sums over all of them


class BitLadder:
    """The widths a neuron may take, in rising order, and the thresholds that separate them.

    A strength below ``thresholds[0]`` selects ``bits[0]``, one at or above ``thresholds[k - 1]`` and below
    ``thresholds[k]`` selects ``bits[k]``. The surrogate replaces each step by ``sigmoid((s - t_k) / temperature)``:
    ``sum_b m_b(s) Q_b = Q_0 + sum_k sigmoid_k(s) (Q_k - Q_(k-1))``.

    Args:
        bits: rising widths; 0 is pruned, 1.58 is ternary (weights only), others are integers up to 16.
        thresholds: one fewer than ``bits``, rising within (0, 1); None spaces them evenly.
        temperature: of the sigmoids; None is half the mean distance of thresholds.
        start: the width a new neuron has; None is the widest.
    """

    def __init__(
        self,
        bits: Sequence[float],
        thresholds: Sequence[float] | None = None,
        temperature: float | None = None,
        start: float | None = None,
        ternary: bool = True,
    ) -> None:
        self.bits = tuple(int(b) if float(b).is_integer() else float(b) for b in bits)
        legal = all((isinstance(b, int) and 0 <= b <= MAX_BITS) or (ternary and b == TERNARY) for b in self.bits)
        if not self.bits or list(self.bits) != sorted(set(self.bits)) or not legal:
            choice = f"0..{MAX_BITS}{' or 1.58' if ternary else ''}"
            raise ValueError(f"bits must rise and be in {choice}, got {tuple(bits)}")
        count = len(self.bits)
        spaced = [k / count for k in range(1, count)]
        self.thresholds = tuple(float(t) for t in (spaced if thresholds is None else thresholds))
        edges = [0.0, *self.thresholds, 1.0]
        if len(self.thresholds) != count - 1 or any(a >= b for a, b in pairwise(edges)):
            raise ValueError(f"{count} widths need {count - 1} rising thresholds within (0, 1), got {self.thresholds}")
        self.temperature = float(temperature) if temperature is not None else 0.5 / count
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.start = self.bits[-1] if start is None else start
        if self.start not in self.bits:
            raise ValueError(f"start width {start} is not one of {self.bits}")

    @property
    def start_strength(self) -> float:
        """The strength in the middle of the start width's interval."""
        return self.strength_of(self.start)

    def strength_of(self, width: float) -> float:
        """The strength in the middle of a width's interval."""
        edges = [0.0, *self.thresholds, 1.0]
        index = self.bits.index(width)
        return 0.5 * (edges[index] + edges[index + 1])

    def index_numpy(self, strength: np.ndarray) -> np.ndarray:
        """Hard choice: (neurons,) positions in `bits`."""
        passed = np.asarray(strength, np.float32) >= np.asarray(self.thresholds, np.float32)[:, None]
        return np.asarray(passed.sum(axis=0))

    def choose(self, rows: Any, strength: Tensor) -> Tensor:
        """(rows, neurons): of (rows, widths) or (rows, widths, neurons) numbers those of the chosen widths."""
        rows = rows if len(rows.shape) == 3 else rows[:, :, None]
        chosen = rows[:, 0] + ops.zeros_like(strength)
        for position, threshold in enumerate(self.thresholds, start=1):
            chosen = ops.where(strength >= np.float32(threshold), rows[:, position], chosen)
        return chosen

    def hard_bits(self, strength: Tensor) -> Tensor:
        """(neurons,) float32 widths chosen."""
        return self.choose(np.asarray([self.bits], np.float32), strength)[0]

    def bumps(self, strength: Tensor, thresholds: Any = None) -> Tensor:
        """(transitions, neurons) slopes of ``sigmoid((s - t) / temperature)`` at (transitions, neurons) thresholds.

        None is all of the ladder's.
        """
        inverse = np.float32(1 / self.temperature)
        thresholds = np.asarray(self.thresholds, np.float32)[:, None] if thresholds is None else thresholds
        transition = ops.sigmoid((ops.expand_dims(strength, 0) - thresholds) * inverse)
        return transition * (1.0 - transition) * inverse

    @property
    def _long(self) -> bool:
        return len(self.bits) > FULL_SURROGATE

    @property
    def neighbours(self) -> list[list[int]]:
        """The other widths the surrogate's slope looks at: for each of them its position, by the chosen one's.

        All of them, or of a long ladder the next narrower and wider, which carry most of the slope.
        """
        positions = range(len(self.bits))
        if self._long:
            return [[max(k - 1, 0) for k in positions], [min(k + 1, len(self.bits) - 1) for k in positions]]
        return [[k] * len(self.bits) for k in positions]

    @property
    def transitions(self) -> list[list[float]]:
        """Of a long ladder, the thresholds below and above each width (at its ends any): where `slope` takes bumps."""
        if not self._long:
            return []
        first, last = self.thresholds[0], self.thresholds[-1]
        return [[first, *self.thresholds], [*self.thresholds, last]]

    def slope(self, bumps: Tensor, neighbours: Sequence[Tensor], chosen: Tensor) -> Tensor:
        """The slope of ``sum_b m_b(s) Q_b``, (..., neurons), from Q at the `neighbours` and at the chosen width.

        ``bumps`` are those at the `transitions`, or of a short ladder at all thresholds.
        """
        values = [neighbours[0], chosen, neighbours[1]] if self._long else neighbours
        rises = (bump * (b - a) for bump, (a, b) in zip(ops.unstack(bumps), pairwise(values), strict=True))
        return sum(rises, start=ops.zeros_like(chosen))  # a ladder of one width has no transition: it stays 0

    def soft_bits(self, strength: Tensor) -> Tensor:
        """(neurons,) widths: the hard ones, with the surrogate's gradient to the strength."""
        steps = np.diff(np.asarray(self.bits, np.float32))[:, None]

        def bits(strength: Tensor) -> tuple[Tensor, Any]:
            return self.hard_bits(strength), lambda upstream: upstream * ops.sum(self.bumps(strength) * steps, axis=0)

        return with_gradient(bits, strength)

    def config(self, prefix: str) -> dict[str, Any]:
        """Constructor arguments of a layer that owns this ladder, for ``get_config``."""
        return {
            f"{prefix}_bits": list(self.bits),
            f"{prefix}_thresholds": list(self.thresholds),
            f"{prefix}_temperature": self.temperature,
            f"{prefix}_start": self.start,
        }
