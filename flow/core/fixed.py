"""Fixed-point formats and quantizers: integer rounding, saturation and wrapping, defined once.

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
from flow.core.integers import SAFE_BITS, as_integers, clipped, magnitude, narrowed, shifted_left, wide, wrapped
from flow.core.integers import Ints as Ints

_TINY = 2.0**-60  # a scaled value that every rounding takes for next to nothing
ROUNDINGS = ("TRN", "RND", "RND_CONV")
OVERFLOWS = ("SAT", "WRAP", "RELU_WRAP")
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
    """Round to ``format.frac`` fraction bits by ``rounding``, then saturate mantissas to ``low..high`` or wrap them.

    ``rounding`` is TRN (floor), RND (half towards plus infinity) or RND_CONV (half to even). ReLU is ``low == 0``; a
    symmetric quantizer has ``low == -high``. With ``overflow`` WRAP a mantissa is taken modulo ``2**format.bits`` into
    the format, whose range ``low..high`` then is; RELU_WRAP makes negative ones 0 before that.
    """

    format: Fixed
    rounding: str
    low: int
    high: int
    overflow: str = "SAT"

    def __post_init__(self) -> None:
        if self.overflow not in OVERFLOWS:
            raise DesignError(f"unknown overflow {self.overflow!r}; known: {', '.join(OVERFLOWS)}")
        if self.wraps and (self.low, self.high) != (self.format.low, self.format.high):
            raise DesignError(f"a quantizer that wraps has its format's range, not {self.low}..{self.high}")
        if self.rounding not in ROUNDINGS:
            raise DesignError(f"unknown rounding {self.rounding!r}; known: {', '.join(ROUNDINGS)}")
        if not self.format.low <= self.low <= self.high <= self.format.high:
            raise DesignError(f"saturation range {self.low}..{self.high} does not fit format {self.format}")

    @classmethod
    def saturating(cls, fmt: Fixed, rounding: str = "RND", relu: bool = False) -> Quantizer:
        """A quantizer over the whole range of ``fmt``, or its non-negative part if ``relu``."""
        return cls(fmt, rounding, 0 if relu else fmt.low, fmt.high)

    @classmethod
    def wrapping(cls, fmt: Fixed, rounding: str = "TRN", relu: bool = False) -> Quantizer:
        """A quantizer that wraps into ``fmt``, after a ReLU if ``relu``."""
        return cls(fmt, rounding, fmt.low, fmt.high, "RELU_WRAP" if relu else "WRAP")

    @property
    def wraps(self) -> bool:
        """Whether it wraps instead of saturating."""
        return self.overflow != "SAT"

    def range_over(self, low: int, high: int, frac: int) -> tuple[int, int]:
        """Smallest and largest mantissa that it makes of the integers ``low..high`` with ``frac`` fraction bits."""
        ends = [rounded(v, frac - self.format.frac, self.rounding) for v in (low, high)]
        return bounded_range(self.overflow, self.low, self.high, *ends)

    def from_integer(self, mantissa: Ints | Sequence[int], frac: int) -> Ints:
        """Quantize integers of any size that have ``frac`` fraction bits; exact, as int64."""
        return bounded(self.overflow, rescale(mantissa, frac - self.format.frac, self.rounding), self.low, self.high)

    def from_float(self, value: NDArray[np.floating]) -> Ints:
        """Quantize floats exactly as the real number each float stands for; NaN raises ``DesignError``.

        Infinities saturate; where it wraps they raise ``DesignError``, too.
        """
        return from_floats(value, self.format.frac, self.low, self.high, self.rounding, self.overflow)


def bounded(overflow: str, values: Ints, low: int | Ints, high: int | Ints) -> Ints:
    """Rounded mantissas within ``low..high``, saturated or wrapped, as int64."""
    if overflow == "SAT":
        return clipped(values, low, high)
    return wrapped(np.maximum(values, 0) if overflow == "RELU_WRAP" else values, low, high)


def bounded_range(overflow: str, low: int, high: int, first: int, last: int) -> tuple[int, int]:
    """Smallest and largest of what ``bounded`` makes of all integers ``first..last``."""
    if overflow == "RELU_WRAP":
        first, last = max(first, 0), max(last, 0)
    size = high - low + 1
    if overflow != "SAT" and (first - low) // size != (last - low) // size:
        return low, high  # a place where it wraps lies between, and both ends of the range beside it
    ends = bounded(overflow, as_integers([first, last]), low, high)
    return int(ends[0]), int(ends[1])


def from_floats(
    value: NDArray[np.floating], frac: int | Ints, low: int | Ints, high: int | Ints, rounding: str,
    overflow: str = "SAT",
) -> Ints:  # fmt: skip
    """`Quantizer.from_float` for fraction bits and ranges that are broadcast against the values."""
    value = np.asarray(value, np.float64)
    if overflow != "SAT" and np.isinf(value).any():
        raise DesignError("an infinite value cannot be wrapped")
    if np.isnan(value).any():
        raise DesignError("NaN cannot be quantized")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        scaled = value * 2.0**frac
        if rounding == "TRN":  # what underflows to nothing still lies on its side of 0
            scaled = np.where((value != 0) & (np.abs(scaled) < _TINY), np.copysign(_TINY, value), scaled)
        whole = np.rint(scaled) if rounding == "RND_CONV" else np.floor(scaled)  # rint takes halves to even numbers
        if rounding == "RND":
            whole += scaled - whole >= 0.5
    if overflow != "SAT":
        with np.errstate(invalid="ignore"):  # beyond float64 only multiples of every format's size are left
            near = np.where(np.isinf(whole), 0.0, np.fmod(np.maximum(whole, 0) if overflow == "RELU_WRAP" else whole,
                                                          np.asarray(high, np.float64) - low + 1))  # fmt: skip
        return wrapped(near.astype(np.int64), low, high)
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
