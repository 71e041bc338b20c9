"""Scales and integers of a quantized ONNX model: of its weights, of biases inside a layer, and at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.fixed import Ints
from flow.extract.dyadic import exact_column, exact_fraction, power_of_two
from flow.extract.layer_steps import Affine, Dense, Elementwise
from flow.extract.onnx.constants import Constant, Floats
from flow.extract.onnx.walk import Place

MAX_SHORT = 16  # bits of floats that stand for a grid: weights without a quantizer, biases inside a dense layer
_MAX_OFFSET = 40
_MOST = 1 << 12  # by which the scales of values that meet in one layer may differ
Fractions = tuple[Fraction, ...]


@dataclass(frozen=True)
class Grid:
    """Values as whole numbers times ``unit`` times a whole factor, plus an offset, for every element."""

    unit: float
    factors: Ints
    offset: Floats

    def under(self, places: int) -> Grid:
        """The same for all elements under a window of so many places."""
        return replace(self, factors=np.tile(self.factors, places), offset=np.tile(self.offset, places))


def common_unit(scales: Sequence[Fraction]) -> tuple[Fraction, Ints]:
    """The smallest of several scales, and the whole numbers that make the others of it.

    Raises ValueError with what is wrong where there are none.
    """
    least = min(scales, key=abs)
    if not least:
        raise ValueError("a scale of 0")
    factors = [scale / least for scale in scales]
    for scale, factor in zip(scales, factors, strict=True):
        if factor.denominator != 1:
            raise ValueError(
                f"the scales {float(least):.9g} and {float(scale):.9g}, which are no multiples of each other"
            )
        if abs(factor) > _MOST:
            raise ValueError(f"the scales {float(least):.9g} and {float(scale):.9g}, more than {_MOST} times as much")
    return least, np.array([int(factor) for factor in factors], np.int64)


def weights_of(at: Place, weights: Constant) -> tuple[Ints, Floats, list[float]]:
    """Integers (inputs x units), a scale and a width for each unit. Raises ModelError where weights are floats."""
    mantissas, scale = weights.mantissas, weights.scale
    if not np.isfinite(weights.values).all():
        raise ModelError(f"node {at.name}: its weights are no finite numbers; export the model again")
    if weights.bits is not None:
        uneven = np.flatnonzero(np.ptp(scale, axis=0))
        if len(uneven):
            raise ModelError(
                f"node {at.name}, neuron {uneven[0]}: its weights have different scales; quantize them per tensor or "
                "per output channel"
            )
        return mantissas.astype(np.int64), scale[0], [float(weights.bits)] * mantissas.shape[1]
    columns = [exact_column(column) for column in weights.values.T]
    for j, (own, _) in enumerate(columns):
        bits = max((abs(m).bit_length() for m in own), default=0)
        if bits > MAX_SHORT:
            raise ModelError(
                f"node {at.name}, neuron {j}: its weights are floats (of {bits} bits); export it with a Quant node for "
                "them, or give --quantize a model without quantizers"
            )
    return np.array([m for m, _ in columns], np.int64).T, np.ldexp(1.0, [-f for _, f in columns]), [0.0] * len(columns)


def with_bias(dense: Dense, scale: Floats, bias: Constant) -> Dense | None:
    """The dense layer, whose sums are yet to be scaled, with a bias inside; None where a neuron's is not short there.

    A bias by the same scale as the sums, as Brevitas quantizes it, is just an integer of theirs.
    """
    if dense.bias.any():
        return None
    parts = []
    for own, mantissa, unit in zip(scale.tolist(), bias.mantissas.tolist(), bias.scale.tolist(), strict=True):
        if not mantissa:
            parts.append((0, 0))
        elif own == 1:
            (short,), frac = exact_column([mantissa * unit])
            parts.append((short, frac))
            if abs(short).bit_length() > MAX_SHORT and bias.bits is None:
                return None
        elif bias.bits is not None and np.float32(unit) == np.float32(own):
            parts.append((int(mantissa), 0))
        else:
            return None
    return replace(dense, bias=np.array([m for m, _ in parts], np.int64), bias_frac=np.array([f for _, f in parts]))


def totals(functions: Sequence[Elementwise]) -> tuple[Fractions, Fractions]:
    """Scale and offset of affine functions one after the other."""
    assert functions and functions[0].scale is not None
    scale, offset = (Fraction(1),) * len(functions[0].scale), (Fraction(0),) * len(functions[0].scale)
    for function in functions:
        assert function.scale is not None and function.offset is not None
        scale = tuple(f * s for f, s in zip(function.scale, scale, strict=True))
        offset = tuple(f * o + add for f, o, add in zip(function.scale, offset, function.offset, strict=True))
    return scale, offset


def side_by_side(name: str, kind: str, parts: Sequence[tuple[int, Sequence[Elementwise]]]) -> list[Elementwise]:
    """The affine functions of so many elements each as one of all elements; empty where there are none."""
    if not any(functions for _, functions in parts):
        return []
    scale: list[Fraction] = []
    offset: list[Fraction] = []
    for count, functions in parts:
        own = totals(functions) if functions else ((Fraction(1),) * count, (Fraction(0),) * count)
        scale += own[0]
        offset += own[1]
    ends = np.cumsum([count for count, _ in parts])[:-1]

    def function(values: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.split(values, ends, axis=1)
        for place, (_, functions) in enumerate(parts):
            for own in functions:
                found[place] = own.function(found[place])
        return np.concatenate(found, axis=1)

    return [Elementwise(name, kind, function, tuple(scale), tuple(offset), rises_or_falls=True)]


def ends_in(functions: Sequence[Elementwise]) -> tuple[Affine | Elementwise | None, float]:
    """What outputs get behind a model's last whole numbers, and the unit that they are multiples of then.

    Nothing where one unit is all; else signs and powers of two, or real numbers. Raises ModelError for none of them.
    """
    if not functions:
        return None, 1.0
    scale, offset = totals(functions)
    name, unit = functions[-1].layer, next((abs(s) for s in scale if s), Fraction(1))
    for own in (Fraction(1), unit):
        step = _short(name, [s / own for s in scale], [o / own for o in offset])
        if step is not None:
            is_nothing = (step.sign == 1).all() and not step.exponent.any() and not any(step.offset)
            return None if is_nothing else step, float(own)
    if any(part.denominator.bit_count() != 1 for part in (*scale, *offset)):
        raise ModelError(f"node {name}: outputs are divided by what no binary number is; multiply by the inverse")
    return Elementwise(name, "scale", functions[-1].function, scale, offset), 1.0


def _short(name: str, scale: Sequence[Fraction], offset: Sequence[Fraction]) -> Affine | None:
    """Signs and powers of two with short offsets; None where they are more than that."""
    exponents = [power_of_two(float(abs(s))) if s else 0 for s in scale]
    if any(e is None or (s and Fraction(2) ** e != abs(s)) for e, s in zip(exponents, scale, strict=True)):
        return None
    if any(o.denominator.bit_count() != 1 or exact_fraction(o)[0].bit_length() > _MAX_OFFSET for o in offset):
        return None
    signs = np.array([(s > 0) - (s < 0) for s in scale], np.int64)
    return Affine(name, signs, np.array(exponents, np.int64), tuple(offset))
