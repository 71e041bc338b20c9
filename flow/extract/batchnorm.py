"""BatchNormalization as a scale and an offset per channel, read off what the layer itself predicts in float32.

Where both are short, float32 is exact and the layer is an exact step. Else it is a function that rounds, with Keras's
constants beside it.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.extract.arrays import layer_function
from flow.extract.chain import Applied
from flow.extract.dyadic import exact_fraction, power_of_two
from flow.extract.layer_steps import Affine, Elementwise
from flow.extract.quiet import quiet

MAX_OFFSET_BITS = 20
_PROBES = 64
_LARGE = 2.0**60  # times a scale it leaves nothing of the offset
_ROUNDED = 2.0**-22  # twice what a product and a sum in float32 may round


def normalization(applied: Applied) -> Affine | Elementwise:
    """The layer as a step. Raises ModelError naming layer, channel and remedy where it is no scale and offset."""
    channels = applied.output_shape[-1]
    axis = applied.layer.axis
    if axis not in (-1, len(applied.output_shape)):
        raise ModelError(f"layer {applied.name} normalizes axis {axis}; only the last axis is supported")
    function = layer_function(applied.layer, applied.output_shape)
    probes = np.round(np.random.default_rng(0).uniform(-128, 128, (_PROBES, channels)))
    probes[:3] = np.array([0.0, _LARGE, -_LARGE])[:, None]
    rows = np.tile(probes.astype(np.float32), math.prod(applied.output_shape) // channels)
    with quiet():
        answers = function(rows).astype(np.float64)
    offset, scale = answers[0], (answers[1] - answers[2]) / (2 * _LARGE)
    _require_affine(applied, rows.astype(np.float64), answers, scale, offset)
    exact = _exact(applied.name, rows, answers, scale, offset)
    if exact is not None:
        return exact
    fractions = [tuple(Fraction(float(v)) for v in values) for values in (scale, offset)]
    return Elementwise(applied.name, applied.kind, function, fractions[0], fractions[1])


def _require_affine(
    applied: Applied,
    rows: NDArray[np.float64],
    answers: NDArray[np.float64],
    scale: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> None:
    finite = np.isfinite(answers).all(axis=0)
    with np.errstate(invalid="ignore"):
        expected = scale * rows + offset
        close = np.abs(answers - expected) <= _ROUNDED * (np.abs(scale * rows) + np.abs(offset))
    wrong = np.flatnonzero(~(finite & close.all(axis=0)))
    if len(wrong):
        first = int(wrong[0])
        channel = first % applied.output_shape[-1]
        raise ModelError(
            f"layer {applied.name}, channel {channel}: scale {scale[first]:.6g} and offset {offset[first]:.6g} are "
            "not all that it does; train again with a smaller learning rate"
        )


def _exact(
    name: str, rows: NDArray[np.float32], answers: NDArray[np.float64], scale: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> Affine | None:  # fmt: skip
    """Powers of two as scales and short offsets, which float32 does not round; None otherwise."""
    exponents = [power_of_two(abs(float(s))) if s else 0 for s in scale]
    short = all(abs(exact_fraction(Fraction(float(o)))[0]).bit_length() <= MAX_OFFSET_BITS for o in offset)
    near = [0, *range(3, _PROBES)]  # the large probes leave nothing of the offset
    if not short or None in exponents or not np.array_equal(answers[near], scale * rows[near] + offset):
        return None
    signs = np.sign(scale).astype(np.int64)
    return Affine(name, signs, np.array(exponents, np.int64), tuple(Fraction(float(o)) for o in offset))
