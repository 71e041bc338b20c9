"""The staircase of a scale, an offset and a quantizer in real numbers: exact, however many sums there are.

A level is reached where ``scale * s + offset`` passes a rational number, so its first sum is one division of integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from flow.core.fixed import Quantizer
from flow.extract.layer_steps import Affine, Elementwise, Quant, Relu, Step
from flow.extract.merge import behind_relu
from flow.extract.readout import parameters
from flow.extract.staircase import Steps
from flow.extract.sums import Reading, Sums

MAX_LEVELS = 256  # of a neuron: of more, thresholds are never the smaller hardware


def read_in_real_numbers(chain: Sequence[Step], sums: Sums) -> Reading | None:
    """The staircases of affine functions, perhaps a ReLU, and a quantizer that saturates.

    None where a neuron has more levels than ``MAX_LEVELS``.
    """
    last = chain[-1]
    assert isinstance(last, Quant)
    quantizers = last.quantizers
    if any(isinstance(step, Relu) for step in chain):
        quantizers = tuple(behind_relu(q) for q in quantizers)
    made = []
    for j, (quantizer, low, high, frac) in enumerate(
        zip(quantizers, sums.low.tolist(), sums.high.tolist(), sums.frac, strict=True)
    ):
        scale, offset = Fraction(2) ** -frac, Fraction(0)
        for step in chain:
            if isinstance(step, Affine | Elementwise):
                factors, constants = parameters(step)
                scale, offset = factors[j] * scale, factors[j] * offset + constants[j]
        own = _steps(quantizer, scale, offset, low, high)
        if own is None:
            return None
        made.append(own)
    return Reading(tuple(made), tuple(q.format.frac for q in quantizers), True)


def _steps(quantizer: Quantizer, scale: Fraction, offset: Fraction, low: int, high: int) -> Steps | None:
    """The levels of ``scale * s + offset`` over the sums ``low..high``; None where they are too many."""
    unit = Fraction(2) ** quantizer.format.frac
    slope, start = scale * unit, offset * unit

    def level(value: int) -> int:
        exact = scale * value + offset
        return int(quantizer.from_integer([exact.numerator], exact.denominator.bit_length() - 1)[0])

    ends = level(low), level(high)
    if abs(ends[1] - ends[0]) > MAX_LEVELS:
        return None
    first = [_first(quantizer.rounding, slope, start, k) for k in range(min(ends) + 1, max(ends) + 1)]
    places, rises = np.unique(np.array(first, np.int64), return_counts=True)
    return Steps(low, high, ends[0], places, rises if slope > 0 else -rises)


def _first(rounding: str, slope: Fraction, start: Fraction, level: int) -> int:
    """The first sum that reaches a level; where levels fall, the first that is below it."""
    edge = Fraction(level) - (0 if rounding == "TRN" else Fraction(1, 2))
    is_in = rounding != "RND_CONV" or level % 2 == 0  # a half goes to the even level
    place = (edge - start) / slope
    whole = place.numerator // place.denominator
    if place.denominator > 1:
        return whole + 1
    return whole if is_in == (slope > 0) else whole + 1
