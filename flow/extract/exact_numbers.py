"""Exact numbers of any size, and how float32 sees them: *rounded to odd*, so that rounding again rounds once.

The last bit of a float32 that is rounded to odd stands for everything below it: rounding it to a coarser grid is the
same as rounding the exact number once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Layer
from flow.core.evaluate import accumulate
from flow.core.fixed import Fixed
from flow.core.integers import Ints, narrowed, shifted_left, wide
from flow.extract.dyadic import exact_fraction
from flow.extract.layer_steps import Affine, Elementwise
from flow.extract.readout import parameters

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Exact:
    """Numbers (vectors x elements) as mantissas and the fraction bits of each column."""

    mantissas: Ints
    fracs: list[int]

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Exact:
        """The finite floats that they are, each column on the coarsest grid that holds it."""
        values = np.asarray(values, np.float64).reshape(len(values), -1)
        parts, exponents = np.frexp(values)
        whole = np.ldexp(parts, 53).astype(np.int64)
        zeros = np.log2(np.maximum(whole & -whole, 1).astype(np.float64)).astype(np.int64)
        steps = np.where(whole == 0, np.iinfo(np.int64).max, exponents + zeros - 53).min(axis=0, initial=1 << 40)
        fracs = [-int(s) if s < 1 << 40 else 0 for s in steps]
        scaled = np.ldexp(values, fracs)
        small = np.abs(scaled).max(initial=0) < 2.0**62
        return cls(scaled.astype(np.int64) if small else np.vectorize(int, otypes=[object])(scaled), fracs)

    def floats(self) -> Floats:
        """The numbers, rounded to odd where float64 does not hold them."""
        return np.asarray(np.ldexp(odd_float64(self.mantissas), [-f for f in self.fracs]), np.float64)


def accumulated(layer: Layer, values: Exact) -> Exact:
    """The sums of a dense layer."""
    return Exact(*accumulate(layer, values.mantissas, tuple(Fixed(True, 1, f) for f in values.fracs)))


def rectified(values: Exact) -> Exact:
    """The larger of each number and 0."""
    return Exact(np.maximum(values.mantissas, 0), values.fracs)


def scaled(step: Affine | Elementwise, values: Exact) -> Exact:
    """An affine function in real numbers."""
    columns, fracs = [], []
    for j, (scale, offset) in enumerate(zip(*parameters(step), strict=True)):
        (factor, down), (mantissa, own) = exact_fraction(scale), exact_fraction(offset)
        frac = values.fracs[j] + down
        fracs.append(max(frac, own if mantissa else frac))
        column = shifted_left(wide(values.mantissas[:, j]) * factor, fracs[-1] - frac)
        columns.append(wide(column) + (mantissa << fracs[-1] - own if mantissa else 0))
    return Exact(narrowed(np.stack(columns, axis=1)), fracs)


def different(found: Exact, expected: Exact) -> NDArray[np.bool_]:
    """Where two arrays of numbers differ, however many bits they take."""
    grids = np.maximum(found.fracs, expected.fracs)
    first, second = (shifted_left(e.mantissas, grids - np.array(e.fracs, np.int64)) for e in (found, expected))
    return np.asarray(first != second, bool)


def odd_float64(values: Ints) -> Floats:
    """Integers to float64, rounded to odd."""
    nearest = values.astype(np.float64)
    if values.dtype == np.int64 and np.abs(nearest).max(initial=0) < 2.0**53:
        return nearest
    back = np.vectorize(int, otypes=[object])(nearest) if nearest.size else wide(values)
    over = (back - wide(values)) * np.sign(wide(values))  # by how much too large in magnitude
    return _odd(nearest, np.asarray(over > 0, bool), np.asarray(over != 0, bool), np.int64)


def odd_float32(values: Floats) -> NDArray[np.float32]:
    """float64 to float32, rounded to odd."""
    values = np.asarray(values, np.float64)
    nearest = values.astype(np.float32)
    exact = nearest.astype(np.float64)
    return np.asarray(_odd(nearest, np.abs(exact) > np.abs(values), exact != values, np.int32), np.float32)


def _odd(nearest: NDArray[Any], beyond: NDArray[np.bool_], inexact: NDArray[np.bool_], bits: Any) -> NDArray[Any]:
    """Rounded to odd: towards zero, with the last bit set where something was cut off."""
    cut = np.where(beyond, np.nextafter(nearest, nearest.dtype.type(0)), nearest).astype(nearest.dtype)
    return np.asarray((cut.view(bits) | inexact.astype(bits)).view(nearest.dtype))
