"""From a trainable strength in [0, 1] to a width in bits: thresholds, the hard choice and its soft surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops

from .exact import only_gradient

Tensor = Any

TERNARY = 1.58
MAX_BITS = 16


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
        self._thresholds = np.asarray(self.thresholds, np.float32)[:, None]
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

    def index(self, strength: Tensor) -> Tensor:
        """Hard choice: (neurons,) int32 positions in `bits`."""
        return ops.sum(ops.cast(ops.expand_dims(strength, 0) >= self._thresholds, "int32"), axis=0)

    def index_numpy(self, strength: np.ndarray) -> np.ndarray:
        """`index` in NumPy, for export."""
        return (np.asarray(strength, np.float32) >= self._thresholds).sum(axis=0)

    def select(self, values: Sequence[float], index: Tensor, dtype: str = "float32") -> Tensor:
        """``values[index]`` for one value per width."""
        return ops.take(ops.convert_to_tensor(np.asarray(values, dtype)), index, axis=0)

    def hard_bits(self, strength: Tensor) -> Tensor:
        """(neurons,) float32 widths chosen."""
        return self.select([float(b) for b in self.bits], self.index(strength))

    def surrogate(self, strength: Tensor, values: Tensor) -> Tensor:
        """``sum_b m_b(s) values[b]`` with the gradient of ``s`` only; ``values`` is (widths, ..., neurons)."""
        values = ops.stop_gradient(values)
        transitions = ops.sigmoid((ops.expand_dims(strength, 0) - self._thresholds) * np.float32(1 / self.temperature))
        middle = [1] * (len(values.shape) - 2)
        transitions = ops.reshape(transitions, (len(self.thresholds), *middle, strength.shape[0]))
        return values[0] + ops.sum(transitions * (values[1:] - values[:-1]), axis=0)

    def soft_bits(self, strength: Tensor) -> Tensor:
        """(neurons,) widths: the hard ones, with the surrogate's gradient to the strength."""
        widths = ops.convert_to_tensor(np.asarray(self.bits, np.float32)[:, None])
        return ops.stop_gradient(self.hard_bits(strength)) + only_gradient(self.surrogate(strength, widths))

    def slope(self, strength: Tensor, values: Sequence[Tensor]) -> Tensor:
        """The surrogate's slope to ``s``, one value per width, each broadcasting with (..., neurons); itself constant.

        ``only_gradient(s) * slope`` has the gradient of `surrogate` in one pass: no array of all widths is made.
        """
        total, inverse = ops.zeros(strength.shape), np.float32(1 / self.temperature)
        for threshold, (low, high) in zip(self.thresholds, pairwise(values), strict=True):
            total = total + self._bump((strength - np.float32(threshold)) * inverse) * (high - low)
        return ops.stop_gradient(total)

    def _bump(self, distance: Tensor) -> Tensor:
        """Slope of a transition at so many temperatures from its threshold."""
        transition = ops.sigmoid(distance)
        return transition * (1.0 - transition) * np.float32(1 / self.temperature)

    def slopes(self, strength: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """The slopes of the transitions just below and just above the current width (zero where there is none)."""
        count = len(self.bits)
        padded = np.asarray([-1e3, *self.thresholds, 1e3], np.float32)  # far away: sigmoid is flat there
        table = ops.convert_to_tensor(padded)
        inverse = np.float32(1.0 / self.temperature)
        below = self._bump((strength - ops.take(table, index, axis=0)) * inverse)
        above = self._bump((strength - ops.take(table, ops.minimum(index + 1, count), axis=0)) * inverse)
        return below, above

    def config(self, prefix: str) -> dict[str, Any]:
        """Constructor arguments of a layer that owns this ladder, for ``get_config``."""
        return {
            f"{prefix}_bits": list(self.bits),
            f"{prefix}_thresholds": list(self.thresholds),
            f"{prefix}_temperature": self.temperature,
            f"{prefix}_start": self.start,
        }
