"""Elements as exact sums of what neurons return: scales and parts of a function, on their way into the next layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from flow.core.design import Neuron
from flow.core.errors import ModelError
from flow.extract.dyadic import exact_fraction, power_of_two
from flow.extract.layer_steps import Affine, Dense, Elementwise
from flow.extract.needed import needed_bits

MAX_MANTISSA = 58  # bits of a weight; the design's check allows two more


@dataclass(frozen=True)
class Readout:
    """``elements[e]``: the columns that add up to element ``e`` with their factors; ``offset[e]`` comes on top."""

    elements: tuple[tuple[tuple[int, Fraction], ...], ...]
    offset: tuple[Fraction, ...]

    @classmethod
    def identity(cls, count: int) -> Readout:
        """Every element is its own column."""
        return cls(tuple(((e, Fraction(1)),) for e in range(count)), (Fraction(0),) * count)

    @property
    def columns(self) -> int:
        """How many columns are read."""
        return 1 + max((c for terms in self.elements for c, _ in terms), default=-1)

    def then(self, step: Affine | Elementwise) -> Readout:
        """This readout followed by an exact affine function."""
        scale, offset = parameters(step)
        elements = tuple(
            tuple((c, factor * s) for c, factor in terms) for terms, s in zip(self.elements, scale, strict=True)
        )
        return Readout(elements, tuple(s * o + add for s, o, add in zip(scale, self.offset, offset, strict=True)))

    def as_affine(self, layer: str) -> Affine | None:
        """The readout as a step of signs and powers of two; None where it is more than that."""
        if any(len(terms) != 1 or terms[0][0] != e for e, terms in enumerate(self.elements)):
            return None
        factors = [terms[0][1] for terms in self.elements]
        exponents = [power_of_two(abs(float(f))) if f else 0 for f in factors]
        if any(e is None or Fraction(2) ** e != abs(f) for e, f in zip(exponents, factors, strict=True) if f):
            return None
        signs = np.array([(f > 0) - (f < 0) for f in factors], np.int64)
        return Affine(layer, signs, np.array(exponents, np.int64), self.offset)


def parameters(step: Affine | Elementwise) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
    """Scale and offset of every element."""
    if isinstance(step, Affine):
        pairs = zip(step.sign.tolist(), step.exponent.tolist(), strict=True)
        return tuple(s * Fraction(2) ** e for s, e in pairs), step.offset
    assert step.scale is not None and step.offset is not None
    return step.scale, step.offset


def identity(layer: str, count: int) -> Dense:
    """A dense layer that changes nothing."""
    zeros = np.zeros(count, np.int64)
    return Dense(layer, np.eye(count, dtype=np.int64), zeros, np.ones(count), zeros, zeros)


def behind(dense: Dense, readout: Readout) -> Dense:
    """The dense layer fed by the readout's columns instead of its elements; exact."""
    columns: list[list[Fraction]] = []
    biases = []
    for j in range(dense.weights.shape[1]):
        unit = Fraction(2) ** -int(dense.weight_frac[j])
        taken = [Fraction(0)] * readout.columns
        bias = int(dense.bias[j]) * Fraction(2) ** -int(dense.bias_frac[j])
        for weight, terms, offset in zip(dense.weights[:, j].tolist(), readout.elements, readout.offset, strict=True):
            if weight:
                bias += weight * unit * offset
                for column, factor in terms:
                    taken[column] += weight * unit * factor
        columns.append(taken)
        biases.append(bias)
    return from_fractions(dense.layer, columns, biases, dense.weight_bits.tolist())


def scaled(dense: Dense, step: Affine | Elementwise) -> Dense:
    """The dense layer followed by an exact affine function."""
    scale, offset = parameters(step)
    columns, biases = [], []
    for j, (s, o) in enumerate(zip(scale, offset, strict=True)):
        unit = s * Fraction(2) ** -int(dense.weight_frac[j])
        columns.append([w * unit for w in dense.weights[:, j].tolist()])
        biases.append(s * int(dense.bias[j]) * Fraction(2) ** -int(dense.bias_frac[j]) + o)
    return from_fractions(dense.layer, columns, biases, dense.weight_bits.tolist())


def from_fractions(
    layer: str, columns: Sequence[Sequence[Fraction]], biases: Sequence[Fraction], labels: Sequence[float]
) -> Dense:
    """A dense layer of these weights (units x inputs) and biases; Raises ModelError where one does not fit."""
    made = [_neuron(layer, j, c, b, w) for j, (c, b, w) in enumerate(zip(columns, biases, labels, strict=True))]
    return dense_of(layer, made)


def dense_of(layer: str, neurons: Sequence[Neuron]) -> Dense:
    """A dense layer of these neurons, which have no quantizers yet."""
    return Dense(
        layer,
        np.array([n.weights for n in neurons], np.int64).T.reshape(-1, len(neurons)),
        np.array([n.weight_frac for n in neurons], np.int64),
        np.array([n.weight_bits for n in neurons], np.float64),
        np.array([n.bias for n in neurons], np.int64),
        np.array([n.bias_frac for n in neurons], np.int64),
    )


def neurons_of(dense: Dense) -> tuple[Neuron, ...]:
    """The neurons of a dense layer; the inverse of `dense_of`."""
    columns = (dense.weights.T, dense.weight_frac, dense.weight_bits, dense.bias, dense.bias_frac)
    parts = zip(*(column.tolist() for column in columns), strict=True)
    return tuple(Neuron(tuple(weights), frac, bits, bias, bias_frac) for weights, frac, bits, bias, bias_frac in parts)


def _neuron(layer: str, index: int, column: Sequence[Fraction], bias: Fraction, label: float) -> Neuron:
    parts = [exact_fraction(f) for f in column]
    frac = max((p for m, p in parts if m), default=0)
    weights = [m << frac - p if m else 0 for m, p in parts]
    mantissa, bias_frac = exact_fraction(bias)
    widest = max((abs(w).bit_length() for w in weights), default=0)
    if widest > MAX_MANTISSA or mantissa.bit_length() > 62:
        raise ModelError(
            f"layer {layer}, neuron {index}: with the float scales before or behind it its weights take {widest} bits, "
            f"its bias {mantissa.bit_length()}; put a quantizer between dense layer and scale"
        )
    return Neuron(tuple(weights), frac, needed_bits(weights, label), mantissa, bias_frac)
