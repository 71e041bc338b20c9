"""Floats as exact integers times powers of two, with a bound on how many bits that may take."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.fixed import Ints

MAX_WEIGHT_BITS = 24  # beyond this a weight is an unquantized float32 in disguise


def exact_column(values: Iterable[float | Fraction | np.floating]) -> tuple[list[int], int]:
    """Mantissas and fraction bits with ``value == m * 2**-frac``, the coarsest grid that holds all values; exact.

    A column of zeros has 0 fraction bits. Values must be finite, and of Fractions dyadic.
    """
    parts = [(v if isinstance(v, Fraction) else float(v)).as_integer_ratio() for v in values]
    nonzero = [(n, d) for n, d in parts if n]
    if not nonzero:
        return [0] * len(parts), 0
    # Denominators are powers of two, numerators odd unless the denominator is 1.
    frac = max(d.bit_length() - 1 - (_trailing_zeros(n) if d == 1 else 0) for n, d in nonzero)
    return [_scaled(n, d, frac) for n, d in parts], frac


def exact_fraction(value: Fraction) -> tuple[int, int]:
    """Mantissa and fraction bits of a dyadic rational, the mantissa odd or 0."""
    if not value:
        return 0, 0
    zeros = _trailing_zeros(value.numerator)
    return value.numerator >> zeros, value.denominator.bit_length() - 1 - zeros


def power_of_two(value: float) -> int | None:
    """``k`` where ``value == 2**k`` exactly, else None."""
    mantissa, exponent = math.frexp(value)
    return exponent - 1 if mantissa == 0.5 else None


def exact_matrix(values: NDArray[np.floating], where: str, remedy: str) -> tuple[Ints, Ints]:
    """Mantissas (inputs x units) and fraction bits (units) of a quantized kernel; ModelError names the neuron."""
    mantissas = np.zeros(values.shape, np.int64)
    fracs = np.zeros(values.shape[1], np.int64)
    for j in range(values.shape[1]):
        column, fracs[j] = exact_column(values[:, j])
        if max((abs(m).bit_length() for m in column), default=0) > MAX_WEIGHT_BITS or abs(fracs[j]) > 128:
            raise ModelError(f"{where}, neuron {j}: the weights are not short multiples of one power of two; {remedy}")
        mantissas[:, j] = column
    return mantissas, fracs


def _trailing_zeros(value: int) -> int:
    return (value & -value).bit_length() - 1


def _scaled(numerator: int, denominator: int, frac: int) -> int:
    shift = frac - (denominator.bit_length() - 1)
    return numerator << shift if shift >= 0 else numerator >> -shift
