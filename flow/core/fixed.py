"""Fixed-point formats and quantizers: integer rounding and saturation, defined once.

A format gives every integer mantissa ``m`` the value ``m * 2**-frac``. Widths of zero, negative ``frac`` and
``frac`` larger than the width are ordinary. All functions are exact; they take and give int64 arrays, and where these
would wrap, Python integers (see `flow.core.integers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import DesignError
from flow.core.integers import SAFE_BITS, as_integers, clipped, magnitude, narrowed, shifted_left, wide
from flow.core.integers import Ints as Ints

_TINY = 2.0**-60  # a scaled value that every rounding takes for next to nothing
ROUNDINGS = ("TRN", "RND", "RND_CONV")
MAX_BITS = SAFE_BITS  # of every format, so that a value and a rounding constant together fit int64
MAX_FRAC = 256  # fraction bits of every format, either way


def bits_for(low: int, high: int) -> tuple[bool, int]:
    """Smallest (signed, bits) that holds every integer in ``low..high``; (False, 0) for the single value 0.

    Raises DesignError if ``low > high``.
    """
    if low > high:
        raise DesignError(f"empty range {low}..{high}")
    if low >= 0:
        return False, high.bit_length()
    return True, max((-low - 1).bit_length(), high.bit_length() if high > 0 else 0) + 1


@dataclass(frozen=True, slots=True)
class Fixed:
    """A fixed-point format: ``bits`` wide mantissa, two's complement if ``signed``, value ``m * 2**-frac``."""

    signed: bool
    bits: int
    frac: int

    def __post_init__(self) -> None:
        if not 0 <= self.bits <= MAX_BITS:
            raise DesignError(f"a format of {self.bits} bits is outside 0..{MAX_BITS}")
        if abs(self.frac) > MAX_FRAC:
            raise DesignError(f"a format with {self.frac} fraction bits is outside -{MAX_FRAC}..{MAX_FRAC}")

    @property
    def low(self) -> int:
        """Smallest mantissa."""
        return -(1 << (self.bits - 1)) if self.signed and self.bits else 0

    @property
    def high(self) -> int:
        """Largest mantissa."""
        if not self.bits:
            return 0
        return (1 << (self.bits - self.signed)) - 1

    @classmethod
    def holding(cls, low: int, high: int, frac: int) -> Fixed:
        """The narrowest format with ``frac`` fraction bits whose mantissas include ``low..high``."""
        signed, bits = bits_for(low, high)
        return cls(signed, bits, frac)

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}.{self.frac}"


@dataclass(frozen=True, slots=True)
class Quantizer:
    """Round to ``format.frac`` fraction bits by ``rounding``, then saturate mantissas to ``low..high``.

    ``rounding`` is TRN (floor), RND (half towards plus infinity) or RND_CONV (half to even). ReLU is ``low == 0``; a
    symmetric quantizer has ``low == -high``.
    """

    format: Fixed
    rounding: str
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.rounding not in ROUNDINGS:
            raise DesignError(f"unknown rounding {self.rounding!r}; known: {', '.join(ROUNDINGS)}")
        if not self.format.low <= self.low <= self.high <= self.format.high:
            raise DesignError(f"saturation range {self.low}..{self.high} does not fit format {self.format}")

    @classmethod
    def saturating(cls, fmt: Fixed, rounding: str = "RND", relu: bool = False) -> Quantizer:
        """A quantizer over the whole range of ``fmt``, or its non-negative part if ``relu``."""
        return cls(fmt, rounding, 0 if relu else fmt.low, fmt.high)

    def from_integer(self, mantissa: Ints | Sequence[int], frac: int) -> Ints:
        """Quantize integers of any size that have ``frac`` fraction bits; exact, as int64."""
        return clipped(rescale(mantissa, frac - self.format.frac, self.rounding), self.low, self.high)

    def from_float(self, value: NDArray[np.floating]) -> Ints:
        """Quantize floats exactly as the real number each float stands for; NaN raises ``DesignError``."""
        return from_floats(value, self.format.frac, self.low, self.high, self.rounding)


def from_floats(
    value: NDArray[np.floating], frac: int | Ints, low: int | Ints, high: int | Ints, rounding: str
) -> Ints:
    """`Quantizer.from_float` for fraction bits and ranges that are broadcast against the values."""
    value = np.asarray(value, np.float64)
    if np.isnan(value).any():
        raise DesignError("NaN cannot be quantized")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        scaled = value * 2.0**frac
        if rounding == "TRN":  # what underflows to nothing still lies on its side of 0
            scaled = np.where((value != 0) & (np.abs(scaled) < _TINY), np.copysign(_TINY, value), scaled)
        whole = np.rint(scaled) if rounding == "RND_CONV" else np.floor(scaled)  # rint takes halves to even numbers
        if rounding == "RND":
            whole += scaled - whole >= 0.5
    if max(np.abs(low).max(initial=0), np.abs(high).max(initial=0)) < 1 << 53:  # limits that floats hold exactly
        return np.asarray(np.clip(whole, low, high)).astype(np.int64)
    # Beyond every format, and still exact as a float and as int64; float limits of a wide format would be rounded.
    rounded = np.clip(whole, -(2.0**MAX_BITS), 2.0**MAX_BITS).astype(np.int64)
    return np.asarray(np.clip(rounded, low, high), np.int64)


def rounded(mantissa: int, drop: int, rounding: str) -> int:
    """`rescale` of one integer."""
    return int(rescale([mantissa], drop, rounding)[0])


def rescale(mantissa: Ints | Sequence[int], drop: int, rounding: str) -> Ints:
    """Divide integers by ``2**drop`` (multiply where negative) with the given rounding; exact.

    Gives int64, or Python integers where int64 does not hold the result.
    """
    values = as_integers(mantissa)
    if drop <= 0:
        return shifted_left(values, -drop)
    if rounding != "TRN" and values.dtype != object and magnitude(values) >> MAX_BITS:
        values = wide(values)  # the rounding constant could wrap
    if values.dtype != object and drop > MAX_BITS:  # the quotient lies in (-1/2, 1/2): floor gives -1 or 0
        return np.asarray(np.where(values < 0, -1, 0) if rounding == "TRN" else np.zeros_like(values), np.int64)
    half = 1 << (drop - 1)
    if rounding == "TRN":
        return narrowed(values >> drop)
    up = (values + half) >> drop
    if rounding == "RND_CONV":
        tie = (values & ((1 << drop) - 1)) == half
        up = up - (tie & (up & 1 == 1))
    return narrowed(up)
