"""A layer's sums as rows of signed digits, before anything is shared.

Neurons whose weights are multiples of one column, as those of a scale and of the parts of a function are, take their
multiples of its sum, which is made once (``_multiples``). Weights of +-1 everywhere are rewritten as a shared total and
half as many doubled terms (``_totals``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flow.core.design import Design
from flow.core.fixed import Ints
from flow.parallel.pattern_growth import Digits
from flow.parallel.subexpressions import signed_digits
from keras_models.digits import nonzero_digits

_TOTALS = (0, 1, -1, 2, -2, 3, -3)  # multiples of the total that a row may be written with
_LARGE = 20_000  # weights; beyond, one search must do


@dataclass(frozen=True)
class Sums:
    """A layer's sums as digit rows over its live inputs: the live neurons' rows, then the total's if there is one.

    Row ``r`` counts in ``2**bases[r]`` of its neuron's grid; beside it the neuron takes the total ``totals[r]`` times,
    in units of ``2**total_bases[r]``.
    ``shifts`` are the inputs' own powers of two, from their formats.
    """

    digits: Digits
    inputs: list[int]
    neurons: list[int]
    shifts: list[int]
    bases: list[int]
    total_bases: list[int]
    totals: list[int]
    multiples: list[tuple[int, int]]  # (row, factor): a neuron's sum is so many times that of a further row; (0, 0)

    @property
    def large(self) -> bool:
        """Whether one search for what to share must do."""
        return self.digits.size >= _LARGE


def layer_sums(design: Design, index: int, without: frozenset[int], factored: bool = True) -> Sums:
    """The sums of a layer's live neurons, those of ``without`` left out; ``factored``: common factors taken out."""
    layer, formats, ranges = design.layers[index], design.formats_into(index), design.ranges_into(index)
    matrix = layer.matrix * np.array([r != (0, 0) for r in ranges])[:, None]
    matrix[:, sorted(without)] = 0
    inputs = np.flatnonzero(matrix.any(axis=1)).tolist()
    neurons = np.flatnonzero(matrix.any(axis=0)).tolist()
    finest = max((formats[i].frac for i in inputs), default=0)
    shifts = [finest - formats[i].frac for i in inputs]
    weights = matrix[np.ix_(inputs, neurons)]
    bits = np.array([unsigned_bits(ranges[i]) for i in inputs], np.int64)
    bases = []
    for j in neurons:
        accumulator = layer.neurons[j].accumulator
        assert accumulator is not None
        bases.append(accumulator.frac - layer.neurons[j].weight_frac - finest)
    shared, multiples = _multiples(weights, bases) if factored else ([], [(0, 0)] * len(neurons))
    weights = weights * np.array([not factor for _, factor in multiples], np.int64)
    totals = _totals(weights, bits, bases)
    rows = weights - np.array(totals, np.int64)[None]
    units = [_trailing_zeros(rows[:, r]) for r in range(len(neurons))]
    rows = rows >> np.array(units, np.int64)[None]
    if any(totals):
        rows = np.concatenate([rows, np.ones((len(inputs), 1), np.int64)], axis=1)
    first = rows.shape[1]
    rows = np.concatenate([rows, *(column[:, None] for column in shared)], axis=1)
    multiples = [(first + row if factor else 0, factor) for row, factor in multiples]
    both = [base + unit for base, unit in zip(bases, units, strict=True)]
    return Sums(signed_digits(rows), inputs, neurons, shifts, both, bases, totals, multiples)


def _multiples(weights: Ints, bases: list[int]) -> tuple[list[Ints], list[tuple[int, int]]]:
    """Columns that others are multiples of, and for each column of ``weights`` which and how many times; 0 for none.

    Those of one use and a factor of a power of two are left as they are: a shift costs nothing. So are those of a grid
    coarser than the inputs', on which the shared sum would not be whole.
    """
    primitive: dict[bytes, list[tuple[int, int]]] = {}
    for r, column in enumerate(weights.T):
        if column.any() and bases[r] >= 0:
            factor = int(np.gcd.reduce(column)) * (1 if column[np.flatnonzero(column)[0]] > 0 else -1)
            primitive.setdefault((column // factor).tobytes(), []).append((r, factor))
    shared: list[Ints] = []
    found = [(0, 0)] * weights.shape[1]
    for key, uses in primitive.items():
        if len(uses) > 1 or abs(uses[0][1]).bit_count() > 1:
            for r, factor in uses:
                found[r] = (len(shared), factor)
            shared.append(np.frombuffer(key, np.int64))
    return shared, found


def unsigned_bits(limits: tuple[int, int]) -> int:
    """Bits of a value within limits, in two's complement if it can be negative."""
    low, high = limits
    return max(high.bit_length(), (-low - 1).bit_length() + 1 if low < 0 else 0)


def _totals(weights: Ints, bits: Ints, bases: list[int]) -> list[int]:
    """For each column the multiple of the total of all inputs to take out of it.

    Costs are bits in heaps; the total is taken only if it saves more over all columns than it costs itself.
    """
    wide = int(bits.max(initial=0)) + len(weights).bit_length()
    columns = range(weights.shape[1])
    costs = np.zeros((len(columns), len(_TOTALS)), np.int64)
    for k, t in enumerate(_TOTALS):
        costs[:, k] = (nonzero_digits(weights - t) * bits[:, None]).sum(axis=0) + wide * int(nonzero_digits(t))
    costs[np.array(bases) < 0, 1:] = np.iinfo(np.int64).max  # the total is finer than the column's grid
    saved = int((costs[:, 0] - costs.min(axis=1, initial=np.iinfo(np.int64).max)).sum())
    return [_TOTALS[k] if saved > int(bits.sum()) else 0 for k in costs.argmin(axis=1)]


def _trailing_zeros(values: Ints) -> int:
    union = int(np.bitwise_or.reduce(values)) if len(values) else 0
    return (union & -union).bit_length() - 1 if union else 0
