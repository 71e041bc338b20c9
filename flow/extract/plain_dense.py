"""Plain Dense layers whose weights and biases already lie on short grids: exactness is a matter of the numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.evaluate import as_read
from flow.core.fixed import Ints
from flow.extract.activations import activation_steps
from flow.extract.arrays import to_numpy
from flow.extract.chain import Applied
from flow.extract.dyadic import exact_column
from flow.extract.layer_steps import Dense, Step
from flow.extract.needed import needed_bits
from flow.extract.remedies import FLOAT_REMEDY

Grid = tuple[Ints, Ints]
MAX_BITS = 16  # of a mantissa: floats that happen to be short have more


def plain_dense(applied: Applied, units: int) -> list[Step]:
    """The steps of a Dense layer with so many units. Raises ModelError where its weights are floats."""
    return dense_steps(applied, units, on_grid)


def dense_steps(applied: Applied, units: int, gridded: Callable[[str, str, NDArray[np.float64]], Grid]) -> list[Step]:
    """The steps of a layer that multiplies by its kernel and adds its bias as they are.

    ``gridded(layer, "weights" or "biases", values)`` gives mantissas and the fraction bits of every column.
    """
    layer, name = applied.layer, applied.name
    weights, frac = gridded(name, "weights", as_read(to_numpy(layer.kernel)).astype(np.float64))
    bias, bias_frac = np.zeros(units, np.int64), np.zeros(units, np.int64)
    if layer.use_bias:
        row, bias_frac = gridded(name, "biases", as_read(to_numpy(layer.bias)).astype(np.float64)[None, :])
        bias = row[0]
    bits = np.array([needed_bits(column, 0.0) for column in weights.T], np.float64)
    return [Dense(name, weights, frac, bits, bias, bias_frac), *activation_steps(name, layer.activation, units)]


def on_grid(name: str, what: str, values: NDArray[np.float64]) -> Grid:
    """Mantissas (inputs x units) and fraction bits of every column."""
    columns = [exact_column(column) for column in values.T]
    for j, (mantissas, _) in enumerate(columns):
        bits = max((abs(m).bit_length() for m in mantissas), default=0)
        if bits > MAX_BITS:
            raise ModelError(f"layer {name}, neuron {j}: its {what} are floats (of {bits} bits); {FLOAT_REMEDY}")
    return np.array([m for m, _ in columns], np.int64).T, np.array([f for _, f in columns], np.int64)
