"""Convolutions and pools of means as dense layers on all pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.fixed import Ints
from flow.core.nodes import Window
from flow.extract.arrays import layer_function
from flow.extract.chain import Applied
from flow.extract.dyadic import power_of_two
from flow.extract.folded_batchnorm import changed, require_finite
from flow.extract.layer_steps import Dense
from flow.extract.places import CARRIED_BITS
from flow.extract.quiet import quiet
from flow.extract.windows import is_depthwise, pooled, require_size, weights_met, window_of

Floats = NDArray[np.float64]


def window(applied: Applied) -> Window:
    """The layer's window. Raises ModelError naming the layer and the remedy."""
    if applied.single:
        return Window.whole(applied.input_shape)
    require_size(applied.name, math.prod(applied.input_shape), math.prod(applied.output_shape))
    return window_of(applied.name, applied.kind, applied.layer.get_config(), applied.input_shape)


def by_filter(kind: str, kernel: NDArray[Any]) -> NDArray[Any]:
    """A kernel as (weights, filters)."""
    return kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1] if is_depthwise(kind) else kernel.shape[-1])


def unrolled(applied: Applied, kernel: tuple[int, ...], weights: Ints, frac: Ints, bits: Floats) -> Dense:
    """The dense layer on all pixels: mantissas of the filters (weights x filters), fraction bits and labels of each.

    Its biases are zero.
    """
    met = weights_met(applied.name, window(applied), kernel, is_depthwise(applied.kind))
    matrix = np.where(met >= 0, weights.ravel()[met], 0)
    count = matrix.shape[1] // len(frac)
    zeros = np.zeros(matrix.shape[1], np.int64)
    return Dense(applied.name, matrix, np.tile(frac, count), np.tile(bits, count), zeros, zeros)


def folded_kernel(applied: Applied) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias (filters) that a QConv2DBatchnorm applies in predictions: its own answers, as of dense ones.

    Raises ModelError where one is no number.
    """
    layer, shape = applied.layer, applied.input_shape
    met = weights_met(applied.name, window(applied), tuple(layer.kernel.shape))
    ones = np.eye(math.prod(shape), dtype=np.float32)
    each = (1,) * (len(shape) - 1)
    alone = {"padding": "valid", "strides": each, "dilation_rate": each} if applied.single else {}
    with quiet(), changed(layer, activation=None, **alone):
        bias = layer_function(layer, shape)(ones[:1] * 0)[0]
        with changed(layer, bias_quantizer_internal=lambda folded: 0 * folded):
            answers = layer_function(layer, shape)(ones)
    kernel = np.zeros(math.prod(layer.kernel.shape), np.float32)
    kernel[met[met >= 0]] = answers[met >= 0]
    kernel = kernel.reshape(layer.kernel.shape)
    require_finite(applied.name, kernel=kernel, bias=bias)
    return kernel, bias[: kernel.shape[-1]]


def means(applied: Applied) -> list[Dense]:
    """A pool of means as sums. Raises ModelError where one divides by no power of two."""
    matrix = pooled(window(applied))
    counts = matrix.sum(axis=0).tolist()
    exponents = [power_of_two(count) for count in counts]
    for count, exponent in zip(counts, exponents, strict=True):
        if exponent is None:
            raise ModelError(
                f"layer {applied.name} takes the mean of {count} values, which binary fractions do not hold; choose "
                "pools of 2, 4, 8 ... values without padding, or sums and maxima"
            )
    zeros = np.zeros(len(exponents), np.int64)
    bits = np.full(len(exponents), CARRIED_BITS)
    return [Dense(applied.name, matrix, np.array(exponents, np.int64), bits, zeros, zeros)]
