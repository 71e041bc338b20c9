"""Two quantizers in a row as one, where that is exact."""

from __future__ import annotations

from fractions import Fraction

from flow.core.errors import ModelError
from flow.core.fixed import Fixed, Quantizer


class Unmergeable(ModelError):
    """Two quantizers in a row that only two layers can compute."""


def clamp(quantizer: Quantizer) -> Quantizer:
    """The quantizer with a ReLU before or after it, which is the same."""
    low, high = max(quantizer.low, 0), max(quantizer.high, 0)
    return Quantizer(Fixed.holding(low, high, quantizer.format.frac), quantizer.rounding, low, high)


def merge(first: Quantizer, second: Quantizer, layer: str) -> Quantizer:
    """One quantizer that equals ``second`` after ``first``. Raises Unmergeable where rounding twice differs."""
    if second.format.frac >= first.format.frac:
        scale = Fraction(2) ** (first.format.frac - second.format.frac)
        low, high = max(Fraction(first.low), second.low * scale), min(Fraction(first.high), second.high * scale)
        if low <= high and low.denominator == high.denominator == 1:
            fmt = Fixed.holding(int(low), int(high), first.format.frac)
            return Quantizer(fmt, first.rounding, int(low), int(high))
    raise Unmergeable(
        f"layer {layer}: rounds from {first.format} to {second.format}, a second rounding of the same signal; "
        "remove one of the two quantizers"
    )
