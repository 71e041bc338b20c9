"""What a layer costs in hardware: canonical signed digits of weights times the width of what they multiply.

A constant multiplication is one shifted copy of the input per nonzero canonical signed digit, and a neuron adds its
copies. `counts.layer_luts` counts that on integers; `soft_digits` is the same count made differentiable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from keras_models.layers.counts import (
    LUT_PER_BIT,
    LUT_PER_SUM_BIT,
    luts_of_export,
)
from keras_models.layers.export import export_integer, precision_layers
from keras_models.quantizers.exact import column_sum, linear_log2, with_gradient
from keras_models.quantizers.learned import Format, WeightQuantizer

if TYPE_CHECKING:
    import keras

Tensor = Any


def _count_digits(integers: Tensor) -> Tensor:
    """`nonzero_digits` of int32 tensors from 0 to 2^15, as float32: bits counted by arithmetic, no table."""
    x = ops.bitwise_xor(integers, integers * 3)
    x = ops.bitwise_and(ops.bitwise_or(x, ops.right_shift(x, 1)), 0x15555)  # of two adjacent bits at most one is set
    x = ops.bitwise_and(x, 0x13333) + ops.bitwise_and(ops.right_shift(x, 2), 0x3333)
    return ops.cast(ops.bitwise_and(ops.right_shift(x * 0x11111, 16), 0xF), "float32")


def soft_digits(magnitude: Tensor) -> Tensor:
    """Digits of real-valued mantissas >= 0, as training counts them.

    Half is the number of the nearest integer. Half is ``log2(1 + m)``, linear between powers of two: it draws small
    weights to zero.
    """
    return 0.5 * _nearest_digits(magnitude) + 0.5 * linear_log2(1.0 + magnitude)


def _nearest_digits(magnitude: Tensor) -> Tensor:
    return _count_digits(ops.cast(magnitude + 0.5, "int32"))


def _rise(magnitude: Tensor) -> Tensor:
    """Digits of the integer above less those of the one below: draws a weight to the cheap integer nearby."""
    below = ops.cast(magnitude, "int32")
    return _count_digits(below + 1) - _count_digits(below)


def _magnitudes(form: Format) -> tuple[Tensor, Tensor]:
    """(units,) scale and limit of the size of weights in steps."""
    return form.scale, ops.maximum(form.high, -form.low)


def adder_cost(
    quantizer: WeightQuantizer, kernel: Tensor, input_bits: Tensor, exact: bool = True, weight: Tensor | None = None
) -> Tensor:
    """Scalar: LUTs of a layer's adders, with the gradient of `soft_digits`; ``input_bits`` are widths of what its
    weights multiply, (weights of a neuron,) or of each neuron (weights, neurons).

    The value is that of `layer_luts` or, if not ``exact``, what soft digits make of it: quicker. The gradient goes to
    the kernel (by `_rise` for the digits), to the strengths (by the surrogate), to the input widths, and to the log2
    ranges: only by the logarithm, since the table's slope is local to one weight. A ``weight`` of zero skips it all.
    """

    def cost(kernel: Tensor, strength: Tensor, log2_range: Tensor, input_bits: Tensor) -> tuple[Tensor, Any]:
        columns = quantizer.columns(strength, log2_range)
        (scale, limit), *others = (_magnitudes(form) for form in (columns.chosen, *columns.neighbours))
        magnitude = ops.minimum(ops.abs(kernel) * scale, limit)
        soft = soft_digits(magnitude)
        own = len(input_bits.shape) == 2  # widths of each neuron's own
        each_input = LUT_PER_BIT * (soft if own else ops.matmul(soft, ops.ones((kernel.shape[1], 1)))[:, 0])

        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            charge = upstream * LUT_PER_BIT * input_bits
            flat = 1.0 / (1.0 + magnitude)
            slope = 0.5 * _rise(magnitude) + np.float32(0.5 / np.log(2.0)) * flat
            slope = slope * scale * (charge if own else ops.expand_dims(charge, -1))
            free = ops.abs(kernel) * scale < limit
            by_kernel = ops.where(free, ops.where(kernel < 0, -slope, slope), 0.0)
            digits = [soft_digits(ops.minimum(ops.abs(kernel) * s, most)) for s, most in others]
            total = quantizer.ladder.slope(columns.bumps, digits, soft)
            by_range = 0.5 * (_weighted(flat, charge) - ops.sum(charge, axis=0))
            return by_kernel, _weighted(total, charge), by_range, upstream * each_input

        if not exact:
            return ops.sum(each_input * input_bits), gradient
        reach = ops.power(2.0, input_bits) * ops.cast(input_bits > 0, "float32")
        sums = _weighted(ops.floor(magnitude + 0.5), reach)
        sum_bits = ops.where(sums > 0, ops.log2(ops.maximum(sums, 1.0)) + 1.0, 0.0)
        digits = _weighted(_nearest_digits(magnitude), input_bits)
        return LUT_PER_BIT * ops.sum(digits) + LUT_PER_SUM_BIT * ops.sum(sum_bits), gradient

    return with_gradient(cost, kernel, quantizer.strength, quantizer.log2_range, input_bits, weight=weight)


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    """(columns,) sums of a matrix' columns, its rows or its elements times weights."""
    return column_sum(values, weights) if len(weights.shape) == 1 else column_sum(values * weights)


def hardware_cost(model: keras.Model) -> Tensor:
    """Differentiable LUT cost of all NMP layers of a model."""
    return sum((layer.hardware_cost() for layer in precision_layers(model)), start=0.0)


def set_beta(model: keras.Model, beta: float) -> None:
    """Assign the weight of the hardware cost in every NMP layer."""
    for layer in precision_layers(model):
        layer.beta.assign(beta)


def estimated_luts(model: keras.Model, input_bits: int = 8) -> float:
    """Estimated LUTs of a model's NMP layers, all neurons of a layer working in parallel, filters once or per position.

    See `keras_models.layers.counts`; ``input_bits`` stands for inputs whose width is unknown.
    """
    return luts_of_export(export_integer(model), input_bits)
