"""Integer arrays that cannot wrap: int64 wherever a bound shows that it suffices, else Python integers (dtype object).

The bounds are worked out from the values at hand, exactly or in floats with a margin for their rounding, never taken
for granted. Python integers are slow; a design whose formats are checked needs them only where its elements' steps lie
very far apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import DesignError

Ints = NDArray[np.int64]  # or Python integers of dtype object, where a function says so

SAFE_BITS = 62  # of a magnitude: int64 then holds the sum of two of them
_FLOAT64_BITS = 52  # below this a float64 matrix product is exact and several times faster than int64
_MARGIN = 1 + 2.0**-20  # more than what rounding takes from a float sum of up to 2**26 terms


def as_integers(values: Ints | Sequence[int]) -> Ints:
    """The values as int64, or as Python integers where some of them do not fit."""
    array = np.asarray(values)
    if array.dtype == np.int64 or array.dtype == object:
        return array
    if array.dtype.kind not in "biu" and array.size:
        raise DesignError(f"integers expected, found {array.dtype}")
    return array.astype(object) if array.dtype == np.uint64 else array.astype(np.int64)


def magnitude(values: Ints) -> int:
    """The largest magnitude among the values, exactly; 0 where there are none."""
    return max(int(values.max()), -int(values.min())) if values.size else 0


def wide(values: Ints) -> Ints:
    """The values as Python integers."""
    return values if values.dtype == object else values.astype(object)


def narrowed(values: Ints) -> Ints:
    """The values as int64 where they fit, else as they are."""
    return values.astype(np.int64) if values.dtype == object and magnitude(values) >> 63 == 0 else values


def as_int64(values: Ints) -> Ints:
    """The values as int64; raises DesignError where they do not fit."""
    result = narrowed(values)
    if result.dtype == object:
        raise DesignError(f"a value of {magnitude(values).bit_length()} bits was computed, more than int64 holds")
    return result


def shifted_left(values: Ints, by: Ints | int) -> Ints:
    """``values << by`` exactly; ``by`` is not negative and may be an array."""
    most = by if isinstance(by, int) else int(by.max(initial=0))
    if not most:
        return values
    if values.dtype != object and magnitude(values).bit_length() + most <= SAFE_BITS:
        return np.asarray(values << by, np.int64)
    return narrowed(np.asarray(wide(values) << (by if isinstance(by, int) else by.astype(object)), object))


def added(values: Ints, constants: Sequence[int] | int) -> Ints:
    """``values + constants`` exactly: a constant for all, or one for each column."""
    most = max((abs(c) for c in constants), default=0) if isinstance(constants, Sequence) else abs(constants)
    if not most:
        return values
    if values.dtype != object and max(magnitude(values), most).bit_length() <= SAFE_BITS:
        return np.asarray(values + np.array(constants, np.int64), np.int64)
    return narrowed(np.asarray(wide(values) + np.array(constants, object), object))


def ends_in_zeros(values: Ints, count: int) -> NDArray[np.bool_]:
    """Where the lowest ``count`` bits are all 0."""
    if values.dtype != object and count > SAFE_BITS:
        return np.asarray(values == 0)
    return np.asarray((values & ((1 << count) - 1)) == 0, bool)


def clipped(values: Ints, low: int | Ints, high: int | Ints) -> Ints:
    """The values within ``low..high``, which fit int64, as int64."""
    if values.dtype == object:
        values = np.asarray(np.minimum(np.maximum(values, low), high), object)
    return np.asarray(np.clip(values.astype(np.int64, copy=False), low, high), np.int64)


def wrapped(values: Ints, low: int | Ints, high: int | Ints) -> Ints:
    """The values modulo the size of ``low..high``, a power of two of at most 62 bits, into it; as int64."""
    mask = np.asarray(high, np.int64) - low
    if values.dtype == object:
        kept = np.asarray(values & mask.astype(object), object).astype(np.int64)
    else:
        kept = values.astype(np.int64, copy=False) & mask
    return np.asarray(kept - np.where(kept > high, mask + 1, 0), np.int64)


def matmul(left: Ints, right: Ints) -> Ints:
    """Exact matrix product (rows x inputs) @ (inputs x columns), in the quickest arithmetic that holds every sum."""
    if not left.size or not right.size:
        return np.zeros((left.shape[0], right.shape[1]), np.int64)
    if left.dtype != object and right.dtype != object:
        # Bounds of the sums of magnitudes, and so of all that is added up on the way, in whatever order.
        bounds = _magnitudes(left.max(axis=0), left.min(axis=0)) @ np.abs(right.astype(np.float64)) * _MARGIN
        if bounds.max() < 2.0**_FLOAT64_BITS:
            return (left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)
        fits = bounds < 2.0**SAFE_BITS
        if fits.all():
            return np.asarray(left @ right, np.int64)
    else:
        fits = np.zeros(right.shape[1], bool)
    product = np.empty((left.shape[0], right.shape[1]), object)
    product[:, fits] = left @ right[:, fits]
    product[:, ~fits] = wide(left) @ wide(right[:, ~fits])
    return narrowed(product)


def _magnitudes(highs: Ints, lows: Ints) -> NDArray[np.float64]:
    return np.maximum(highs.astype(np.float64), -lows.astype(np.float64))


def sufficient(bounds: Iterable[int]) -> Any:
    """The dtype for integers up to these magnitudes and small multiples of them: int64, or object."""
    return np.int64 if max(bounds, default=0).bit_length() <= SAFE_BITS - 8 else object
