"""Fixed-point formats and quantizers: integer rounding and saturation, defined once.

A format gives every integer mantissa ``m`` the value ``m * 2**-frac``. Widths of zero, negative ``frac`` and
``frac`` larger than the width are ordinary. All functions work on int64 arrays and are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flow.errors import DesignError

Ints = NDArray[np.int64]

ROUNDINGS = ("TRN", "RND", "RND_CONV")
MAX_BITS = 62  # int64 arithmetic stays exact, one bit of headroom for the rounding constant


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
        if not -256 <= self.frac <= 256:
            raise DesignError(f"a format with {self.frac} fraction bits is outside -256..256")

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

    def from_integer(self, mantissa: Ints, frac: int) -> Ints:
        """Quantize integer mantissas that have ``frac`` fraction bits; exact."""
        rounded = rescale(mantissa, frac - self.format.frac, self.rounding)
        return np.asarray(np.clip(rounded, self.low, self.high), np.int64)

    def from_float(self, value: NDArray[np.floating]) -> Ints:
        """Quantize floats exactly as the real number each float stands for; NaN raises ``DesignError``."""
        value = np.asarray(value, np.float64)
        if np.isnan(value).any():
            raise DesignError("NaN cannot be quantized")
        # Saturating first keeps the scaled value small; two steps beyond either end round to beyond the end.
        lsb = 2.0**-self.format.frac
        scaled = np.clip(value, (self.low - 2) * lsb, (self.high + 2) * lsb) * 2.0**self.format.frac
        floor = np.floor(scaled)
        rounded = floor.astype(np.int64) + _round_up(floor, scaled - floor, self.rounding)
        return np.asarray(np.clip(rounded, self.low, self.high), np.int64)


def _round_up(floor: NDArray[np.float64], rest: NDArray[np.float64], rounding: str) -> Ints:
    if rounding == "TRN":
        return np.zeros(floor.shape, np.int64)
    if rounding == "RND":
        return (rest >= 0.5).astype(np.int64)
    return np.asarray((rest > 0.5) | ((rest == 0.5) & (floor % 2 == 1)), np.int64)


def rescale(mantissa: Ints, drop: int, rounding: str) -> Ints:
    """Divide integers by ``2**drop`` (multiply where negative) with the given rounding; exact.

    Raises DesignError when a left shift would leave int64.
    """
    mantissa = np.asarray(mantissa, np.int64)
    if drop <= 0:
        if mantissa.size and int(np.abs(mantissa).max()).bit_length() - drop > MAX_BITS:
            raise DesignError(f"shifting left by {-drop} bits leaves {MAX_BITS} bits")
        return np.asarray(mantissa << -drop, np.int64)
    if drop > MAX_BITS:  # |m| < 2**62, so the quotient lies in (-1/2, 1/2): floor gives -1 or 0, rounding gives 0
        return np.asarray(np.where(mantissa < 0, -1, 0) if rounding == "TRN" else np.zeros_like(mantissa), np.int64)
    if rounding == "TRN":
        return np.asarray(mantissa >> drop, np.int64)
    half = np.int64(1) << np.int64(drop - 1)
    up = (mantissa + half) >> drop
    if rounding == "RND":
        return np.asarray(up, np.int64)
    tie = (mantissa & ((np.int64(1) << np.int64(drop)) - 1)) == half
    return np.asarray(up - (tie & (up & 1 == 1)), np.int64)
