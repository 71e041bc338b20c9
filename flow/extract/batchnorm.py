"""BatchNormalization as an exact scale and offset per channel, read off what the layer itself predicts in float32."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.extract.arrays import layer_predicted
from flow.extract.chain import Applied
from flow.extract.dyadic import exact_fraction, power_of_two
from flow.extract.layer_steps import Affine
from flow.extract.quiet import quiet

MAX_OFFSET_BITS = 20
_PROBES = 64


def affine_of(applied: Applied) -> Affine:
    """The layer as a power-of-two scale and a short dyadic offset per channel.

    Scale and offset come from what the layer answers to 0 and 1, and are believed only if it answers a block of probes
    with exactly ``scale * x + offset``. Raises ModelError naming layer, channel and remedy otherwise.
    """
    channels = applied.output_shape[-1]
    axis = applied.layer.axis
    if axis not in (-1, len(applied.output_shape)):
        raise ModelError(f"layer {applied.name} normalizes axis {axis}; only the last axis is supported")
    probes = np.round(np.random.default_rng(0).uniform(-128, 128, (_PROBES, channels)))
    probes[:3] = np.array([0.0, 1.0, -1.0])[:, None]
    answers = _apply(applied, probes)
    offset, scale = answers[0], (answers[1] - answers[2]) / 2
    signs, exponents = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    for channel in range(channels):
        if not np.isfinite(answers[:, channel]).all():
            _refuse(applied, channel, float(scale[channel]), float(offset[channel]))
        exponent = power_of_two(abs(float(scale[channel])))
        linear = np.array_equal(answers[:, channel], scale[channel] * probes[:, channel] + offset[channel])
        bits = abs(exact_fraction(Fraction(float(offset[channel])))[0]).bit_length()
        if (scale[channel] and exponent is None) or not linear or bits > MAX_OFFSET_BITS:
            _refuse(applied, channel, float(scale[channel]), float(offset[channel]))
        signs[channel], exponents[channel] = int(np.sign(scale[channel])), exponent or 0
    repeat = math.prod(applied.output_shape) // channels
    offsets = tuple(Fraction(float(o)) for o in offset) * repeat
    return Affine(applied.name, np.tile(signs, repeat), np.tile(exponents, repeat), offsets)


def _apply(applied: Applied, probes: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = probes.astype(np.float32).reshape(len(probes), *(1,) * (len(applied.output_shape) - 1), -1)
    shaped = np.broadcast_to(rows, (len(probes), *applied.output_shape))
    with quiet():
        answers = layer_predicted(applied.layer, shaped).astype(np.float64)
    return np.asarray(answers.reshape(len(probes), -1, applied.output_shape[-1])[:, 0])


def _refuse(applied: Applied, channel: int, scale: float, offset: float) -> None:
    raise ModelError(
        f"layer {applied.name}, channel {channel}: scale {scale:.6g} and offset {offset:.6g} are not exact in fixed "
        "point; train without BatchNormalization, or fold it into the layer before and quantize that layer again"
    )
