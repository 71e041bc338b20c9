"""The lines of a staircase as neurons with quantizers of their own, which the next dense layer adds up."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from flow.core.design import Neuron
from flow.core.errors import DesignError
from flow.core.fixed import MAX_BITS, Fixed, Quantizer
from flow.extract.dyadic import exact_fraction
from flow.extract.layer_steps import Dense, Quant
from flow.extract.needed import needed_bits
from flow.extract.readout import MAX_MANTISSA, Readout, dense_of
from flow.extract.staircase import Line, add_up
from flow.extract.sums import Reading, Sums

Lines = tuple[int, tuple[Line, ...]]
"""A constant and the lines that add up to a neuron's staircase."""


def neurons_of_lines(
    dense: Dense, sums: Sums, reading: Reading, parts: Sequence[Lines]
) -> tuple[Dense, Quant, Readout]:
    """Dense layer and quantizers of all neurons' lines, and how the next layer puts them together.

    Raises DesignError where the lines are not what was read.
    """
    _check(reading, parts)
    made: list[tuple[Neuron, Quantizer]] = []
    elements, offsets = [], []
    for j, (base, own) in enumerate(parts):
        terms, frac, offset = [], reading.fracs[j], base
        for line in own or (Line(0, 0, 0, 0, 1),):
            inside = line.start
            if len(own) <= 1 and base % line.height == 0 and (base // line.height - line.start) % line.period == 0:
                inside, offset = base // line.height, 0  # the quantizer's own range holds the constant
            else:
                offset -= line.height * inside
            size = abs(line.height)
            exponent = size.bit_length() - 1 if len(own) <= 1 and size.bit_count() == 1 else 0
            terms.append((len(made), Fraction(line.height, 1 << exponent)))
            made.append(_clipped(dense, j, sums.frac[j], line, inside, frac - exponent))
        elements.append(tuple(terms))
        offsets.append(offset * Fraction(2) ** -frac)
    layer, quantizers = dense_of(dense.layer, [n for n, _ in made]), Quant(dense.layer, tuple(q for _, q in made))
    return layer, quantizers, Readout(tuple(elements), tuple(offsets))


def _clipped(dense: Dense, j: int, grid: int, line: Line, base: int, frac: int) -> tuple[Neuron, Quantizer]:
    """Neuron ``j``'s sum on its grid through a line that starts at ``base``, as a neuron of ``frac`` fraction bits."""
    weights = [line.multiplier * w for w in dense.weights[:, j].tolist()]
    lift = frac + line.shift - grid
    bias = line.multiplier * int(dense.bias[j]) * Fraction(2) ** (-int(dense.bias_frac[j]) - lift)
    bias += (line.offset + (base - line.start << line.shift)) * Fraction(2) ** -(frac + line.shift)
    mantissa, bias_frac = exact_fraction(bias)
    label = needed_bits(weights, float(dense.weight_bits[j])) if line.multiplier else 0.0
    neuron = Neuron(tuple(weights), int(dense.weight_frac[j]) + lift, label, mantissa, bias_frac)
    high = base + line.steps
    rounding = "RND_CONV" if line.is_even else "TRN"
    return neuron, Quantizer(Fixed.holding(base, high, frac), rounding, base, high)


def are_short(dense: Dense, reading: Reading, parts: Sequence[Lines]) -> bool:
    """Whether the lines' products with weights and sums are no wider than weights and sums may be."""
    widest = np.abs(dense.weights).max(axis=0, initial=0).tolist()
    return all(
        (weight * abs(line.multiplier)).bit_length() <= MAX_MANTISSA
        and (max(-steps.low, steps.high, 0) * abs(line.multiplier) + abs(line.offset)).bit_length() < MAX_BITS
        for weight, steps, (_, own) in zip(widest, reading.steps, parts, strict=True)
        for line in own
    )


def _check(reading: Reading, parts: Sequence[Lines]) -> None:
    """Raise DesignError unless the lines equal what Keras answered, at every step and on both of its sides."""
    for j, (steps, (base, own)) in enumerate(zip(reading.steps, parts, strict=True)):
        around = np.concatenate([[steps.low, steps.high], steps.places, steps.places - 1])
        if not np.array_equal(add_up(base, own, around), steps(around)):
            raise DesignError(f"neuron {j}: its lines are not what was read")
