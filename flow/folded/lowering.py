"""A design as a time-multiplexed machine computes it: constants folded away, elements on one grid, integer thresholds.

Every layer keeps only what reaches an output. Elements that enter a layer stand on its common grid (the finest fraction
any of them has), so one multiply-accumulate serves them all; every computed neuron is a sum ``s`` of weights times
elements followed by ``clip((s * 2**pre + bias) >> shift)``, which equals its quantizer exactly: the bias holds the
neuron's bias, what constant elements contribute, and the rounding constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from flow.core.design import Design, Layer, Neuron, layer_output_formats
from flow.core.errors import DesignError
from flow.core.fixed import MAX_BITS, Fixed, Ints, bits_for, bounded
from flow.core.integers import added, ends_in_zeros, matmul, shifted_left
from flow.core.ranges import accumulator_range

Range = tuple[int, int]


@dataclass(frozen=True, order=True)
class Coding:
    """How a weight is stored: ``binary`` (+1, -1), ``ternary`` or ``signed`` two's complement of ``bits`` bits."""

    bits: int
    kind: str

    @property
    def label(self) -> str:
        """Name in emitted files and reports."""
        return self.kind if self.kind != "signed" else f"signed{self.bits}"


BINARY, TERNARY = Coding(1, "binary"), Coding(2, "ternary")


@dataclass(frozen=True)
class Unit:
    """One computed neuron; its weights are column ``column`` of the layer's matrix.

    The output mantissa is ``clip((s << pre) + bias >> shift, low, high)``; where ``even`` and the dropped bits are all
    zero, its lowest bit is cleared first. It stands ``align`` bits above the next layer's grid. With ``overflow`` WRAP
    the result is wrapped into ``low..high`` instead, with RELU_WRAP after negative ones became 0.
    """

    neuron: int
    column: int
    coding: Coding
    learned_bits: float
    sum_range: Range
    pre: int
    bias: int
    shift: int
    even: bool
    low: int
    high: int
    align: int
    overflow: str = "SAT"

    @property
    def value_range(self) -> Range:
        """Range of the biased sum, on the grid that is ``pre`` bits finer than the sum's."""
        return tuple((v << self.pre) + self.bias for v in self.sum_range)  # type: ignore[return-value]

    @property
    def clips(self) -> tuple[bool, bool]:
        """Whether the lower and the upper limit can be reached at all; never where it wraps."""
        if self.overflow != "SAT":
            return False, False
        low, high = self.value_range
        return (low >> self.shift) - self.even < self.low, high >> self.shift > self.high


@dataclass(frozen=True, eq=False)
class LoweredLayer:
    """One layer: ``inputs`` are the indices of the elements it reads, ``shifts`` what lifts each onto the grid."""

    name: str
    lane: Fixed
    inputs: tuple[int, ...]
    shifts: tuple[int, ...]
    units: tuple[Unit, ...]
    weights: Ints  # inputs x units
    constants: dict[int, int]  # neuron -> output mantissa that never changes

    @cached_property
    def quantizes(self) -> bool:
        """Whether some neuron rounds or saturates: otherwise its sum, with the bias, is the output."""
        return any(u.shift or any(u.clips) or u.overflow != "SAT" for u in self.units)


@dataclass(frozen=True, eq=False)
class Lowered:
    """A whole design; without layers where the outputs are the ``constants`` whatever comes in."""

    design: Design
    layers: tuple[LoweredLayer, ...]
    constants: dict[int, int]


def lower(design: Design) -> Lowered:
    """Lower a design on which the prune and widths passes have run."""
    ranges: list[tuple[Range, ...]] = [design.ranges_into(0)]
    for index, layer in enumerate(design.layers):
        formats = design.formats_into(index)
        ranges.append(tuple(_output_range(n, formats, ranges[-1]) for n in layer.neurons))
    fixed = {j: low for j, (low, high) in enumerate(ranges[-1]) if low == high}
    if len(fixed) == len(ranges[-1]):
        return Lowered(design, (), fixed)
    needed = _needed(design, ranges)
    layers = []
    for index in range(len(design.layers)):
        grid = _grid(design, index + 1, needed) if index + 1 < len(design.layers) else None
        layers.append(_lower_layer(design, index, ranges, needed, grid))
    return Lowered(design, tuple(layers), fixed)


def evaluate_lowered(lowered: Lowered, mantissas: Ints) -> Ints:
    """Logit mantissas (vectors x outputs) by the lowered arithmetic; equals the golden model before any argmax."""
    last = lowered.design.layers[-1]
    out = np.zeros((len(mantissas), len(last.neurons)), np.int64)
    for neuron, value in lowered.constants.items():
        out[:, neuron] = value
    values = mantissas
    for layer in lowered.layers:
        elements = shifted_left(values[:, list(layer.inputs)], np.array(layer.shifts, np.int64))
        sums = matmul(elements, layer.weights)
        values = np.zeros((len(mantissas), 1 + max(u.neuron for u in layer.units)), np.int64)
        for unit in layer.units:
            values[:, unit.neuron] = _threshold(unit, sums[:, unit.column])
    for unit in lowered.layers[-1].units if lowered.layers else ():
        out[:, unit.neuron] = values[:, unit.neuron]
    return out


def _threshold(unit: Unit, sums: Ints) -> Ints:
    value = added(shifted_left(sums, unit.pre), unit.bias)
    result = value >> unit.shift
    if unit.even:
        result = np.where(ends_in_zeros(value, unit.shift), result & ~1, result)
    return bounded(unit.overflow, result, unit.low, unit.high)


def _output_range(neuron: Neuron, formats: Sequence[Fixed], ranges: Sequence[Range]) -> Range:
    low, high, frac = accumulator_range(neuron, tuple(formats), tuple(ranges))
    if neuron.output is None:
        assert neuron.accumulator is not None
        up = neuron.accumulator.frac - frac
        return (low << up, high << up) if up >= 0 else (low >> -up, high >> -up)  # finer only where it is 0
    return neuron.output.range_over(low, high, frac)


def _needed(design: Design, ranges: Sequence[Sequence[Range]]) -> list[list[int]]:
    """For every layer boundary, the varying elements that reach a varying output."""
    count = len(design.layers)
    needed: list[list[int]] = [[] for _ in range(count + 1)]
    needed[count] = [j for j, (low, high) in enumerate(ranges[count]) if low < high]
    for index in range(count - 1, -1, -1):
        used = (design.layers[index].matrix[:, needed[index + 1]] != 0).any(axis=1)
        needed[index] = [i for i, (low, high) in enumerate(ranges[index]) if used[i] and low < high]
    return needed


def _grid(design: Design, index: int, needed: Sequence[Sequence[int]]) -> int:
    """Fraction bits of the common grid on which elements enter layer ``index``."""
    formats = design.formats_into(index)
    return max(formats[i].frac for i in needed[index])


def _lower_layer(
    design: Design,
    index: int,
    ranges: Sequence[Sequence[Range]],
    needed: Sequence[Sequence[int]],
    next_grid: int | None,
) -> LoweredLayer:
    layer, formats = design.layers[index], design.formats_into(index)
    grid, live = _grid(design, index, needed), list(needed[index])
    shifts = [grid - formats[i].frac for i in live]
    ends = [(ranges[index][i][0] << s, ranges[index][i][1] << s) for i, s in zip(live, shifts, strict=True)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    lane = _lane(layer.name, low, max(high, 1), grid)  # at least two bits where signed
    stuck = {i: (ranges[index][i][0], formats[i].frac) for i in range(layer.inputs) if i not in set(live)}
    matrix = layer.matrix[live][:, needed[index + 1]].copy()
    units = []
    for column, neuron in enumerate(needed[index + 1]):
        drop = _common_shift(matrix[:, column])
        matrix[:, column] >>= drop
        sum_grid = grid + layer.neurons[neuron].weight_frac - drop
        sums = _sum_range(matrix[:, column], ends)
        offset = _offset(layer.neurons[neuron], stuck)
        units.append(_unit(layer, neuron, column, matrix[:, column], sums, sum_grid, offset, next_grid))
    fixed = {j: low for j, (low, high) in enumerate(ranges[index + 1]) if low == high}
    return LoweredLayer(layer.name, lane, tuple(live), tuple(shifts), tuple(units), matrix, fixed)


def _lane(layer: str, low: int, high: int, grid: int) -> Fixed:
    bits = bits_for(low, high)[1]
    if bits > MAX_BITS:
        raise DesignError(
            f"layer {layer}: its inputs take {bits} bits on one common grid, which folded hardware needs, more than "
            f"{MAX_BITS}; build with --architecture parallel, or give the inputs closer ranges"
        )
    return Fixed.holding(low, high, grid)


def _common_shift(weights: Ints) -> int:
    """The power of two that divides every weight of a neuron."""
    mixed = int(np.bitwise_or.reduce(weights))
    return (mixed & -mixed).bit_length() - 1


def _sum_range(weights: Ints, ends: Sequence[Range]) -> Range:
    low = high = 0
    for weight, (x_low, x_high) in zip(weights.tolist(), ends, strict=True):
        low += min(weight * x_low, weight * x_high)
        high += max(weight * x_low, weight * x_high)
    return low, high


def _offset(neuron: Neuron, stuck: dict[int, tuple[int, int]]) -> Fraction:
    """What the bias and the elements that never change add to the sum."""
    total = neuron.bias * _power(-neuron.bias_frac)
    for i, (value, frac) in stuck.items():
        if value and neuron.weights[i]:
            total += neuron.weights[i] * value * _power(-frac - neuron.weight_frac)
    return total


def _power(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def _unit(
    layer: Layer,
    neuron: int,
    column: int,
    weights: Ints,
    sums: Range,
    sum_grid: int,
    offset: Fraction,
    grid: int | None,
) -> Unit:
    spec = layer.neurons[neuron]
    out = layer_output_formats(layer)[neuron]
    rounding = spec.output.rounding if spec.output else "TRN"
    constant = offset * _power(out.frac) + (Fraction(1, 2) if rounding != "TRN" else 0)
    shift, pre = max(sum_grid - out.frac, 0), max(out.frac - sum_grid, 0)
    exact = constant * _power(shift)
    bias = exact.numerator // exact.denominator
    even = rounding == "RND_CONV" and exact.denominator == 1
    width = max(bits_for(min(v, 0), max(v, 0))[1] for v in ((s << pre) + bias for s in sums)) + 1
    limits = (spec.output.low, spec.output.high) if spec.output else (out.low, out.high)
    return Unit(
        neuron, column, _coding(weights), spec.weight_bits, sums, pre, bias, min(shift, width), even, *limits,
        align=0 if grid is None else grid - out.frac, overflow=spec.output.overflow if spec.output else "SAT",
    )  # fmt: skip


def _coding(weights: Ints) -> Coding:
    values = np.unique(weights)
    low, high = int(values[0]), int(values[-1])
    if low >= -1 and high <= 1:
        return TERNARY if 0 in values else BINARY
    return Coding(bits_for(min(low, -1), high)[1], "signed")
