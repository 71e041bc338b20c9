"""Vectors on their way through an ONNX model: what its runtime answers, and the exact numbers behind it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Layer
from flow.extract.exact_numbers import Exact, Floats, accumulated, odd_float32, rectified
from flow.extract.onnx.program import Called, Summed
from flow.extract.readout import neurons_of

_ROUNDED = 2.0**-23  # of a product and of each partial sum in float32, of both factors' own rounding too


class Execution:
    """Vectors on their way through a program: float32 ``values``, and the ``exact`` numbers behind them."""

    def __init__(self, values: NDArray[np.float32], exact: Exact | None = None) -> None:
        self.values = values
        self._exact = exact
        self.off = np.zeros(len(values), bool)
        self.problem = ""
        self.room: Floats | float = 0.0  # what rounding may do to the last sums

    @property
    def exact(self) -> Exact:
        """The whole numbers of the last quantizer, or the last sums; inputs on a grid are those themselves."""
        return Exact.of(self.values) if self._exact is None else self._exact

    def add(self, item: Called | Summed) -> None:
        """One node, or a dense layer with its biases."""
        if isinstance(item, Summed):
            self._sum(item)
            return
        self.values = item.function(self.values)
        if item.made is not None:
            is_plain, self.room = item.made.plain() is not None, 0.0
            numbers = item.made.whole(self.values).astype(np.int64)
            self._exact = Exact.of(self.values) if is_plain else Exact(numbers, [0] * numbers.shape[1])
        elif item.is_relu:
            self._exact = rectified(self.exact)

    def _sum(self, item: Summed) -> None:
        numbers, count = self.exact, len(item.bare.weights)
        bare, full = (accumulated(Layer("sums", neurons_of(d)), numbers) for d in (item.bare, item.dense))
        asked, sums = item.function(self.values), bare.floats() * item.scale + item.added
        factors = np.ldexp(item.bare.weights.astype(np.float64), -item.bare.weight_frac) * item.scale
        largest = np.abs(numbers.floats()) @ np.abs(factors) + np.abs(self.values) @ np.abs(item.weights)
        self.room = _ROUNDED * (count + 4) * (largest + np.abs(item.added))
        wrong = np.abs(asked - sums) > self.room
        if wrong.any() and not self.problem:
            row, neuron = (int(i) for i in np.argwhere(wrong)[0])
            self.problem = (
                f"layer {item.bare.layer}, neuron {neuron}: onnxruntime's sum is {asked[row, neuron]:.9g}, "
                f"the integers' {sums[row, neuron]:.9g}"
            )
        self.off |= wrong.any(axis=1)
        scaled_sums = (full.floats() * item.scale).astype(np.float32)
        self.values = np.where(item.scale == 1, odd_float32(full.floats()), scaled_sums)
        self._exact = full
