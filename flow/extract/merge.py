"""Two quantizers in a row as one, where that is exact."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from flow.core.errors import ModelError
from flow.core.fixed import Fixed, Quantizer


class Unmergeable(ModelError):
    """Two quantizers in a row that only two layers can compute."""


def clamp(quantizer: Quantizer) -> Quantizer:
    """The quantizer with a ReLU before or after it, which is the same. Raises Unmergeable where it wraps below 0."""
    if quantizer.wraps and quantizer.low >= 0:
        return quantizer
    if quantizer.wraps:
        raise Unmergeable(f"a ReLU follows a quantizer that wraps into {quantizer.format}")
    low, high = max(quantizer.low, 0), max(quantizer.high, 0)
    return Quantizer(Fixed.holding(low, high, quantizer.format.frac), quantizer.rounding, low, high)


def behind_relu(quantizer: Quantizer) -> Quantizer:
    """The quantizer after a ReLU."""
    return replace(quantizer, overflow="RELU_WRAP") if quantizer.wraps else clamp(quantizer)


def merge(first: Quantizer, second: Quantizer, layer: str) -> Quantizer:
    """One quantizer that equals ``second`` after ``first``. Raises Unmergeable where rounding twice differs."""
    if second.format.frac >= first.format.frac and not first.wraps and not second.wraps:
        scale = Fraction(2) ** (first.format.frac - second.format.frac)
        low, high = max(Fraction(first.low), second.low * scale), min(Fraction(first.high), second.high * scale)
        if low <= high and low.denominator == high.denominator == 1:
            fmt = Fixed.holding(int(low), int(high), first.format.frac)
            return Quantizer(fmt, first.rounding, int(low), int(high))
    raise Unmergeable(
        f"layer {layer}: rounds from {first.format} to {second.format}, a second rounding of the same signal; "
        "remove one of the two quantizers"
    )
