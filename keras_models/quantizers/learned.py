"""Per-neuron quantizers with power-of-two ranges: hard forward values, straight-through and surrogate gradients.

The forward value is always the discrete one. Gradients:

- to the quantized tensor: straight-through inside the clip range;
- to the strength: the soft surrogate of `BitLadder` (the widths' quantized values weighted by sigmoids);
- to the range exponent: that of a quantizer's step on a logarithmic scale (Jain et al., *Trained quantization
  thresholds*, MLSys 2020): ``ln 2 * (Q(x) - x)`` inside the range and ``ln 2 * Q(x)`` outside.

All of a neuron's constants are worked out in one small table, so that a training step spends its time on the tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_models.quantizers.exact import (
    column_sum,
    kept,
    normal,
    power_of_two,
    round_half_up,
    round_half_up_numpy,
    to_int,
    to_numpy,
    with_gradient,
)
from keras_models.quantizers.precision import BitLadder

Tensor = Any
LN2 = np.float32(np.log(2.0))
ALMOST_HALF = np.float32(0.5 - 2.0**-25)  # added and floored, rounds all float32 above -0.5 half up; 0.5 does not
MAX_RANGE = 15.0  # |range exponent| stays below, so that every scale is a normal float32


def range_exponent(log2_range: Tensor) -> Tensor:
    """The integer exponent e of the clip range 2^e nearest to a trainable log2 range (int32)."""
    return to_int(ops.clip(log2_range, -MAX_RANGE, MAX_RANGE))


def range_exponent_numpy(log2_range: Any) -> np.ndarray:
    """`range_exponent` in NumPy (int64), for export."""
    clipped = np.clip(to_numpy(log2_range).astype(np.float64), -MAX_RANGE, MAX_RANGE)
    return np.floor(clipped + 0.5).astype(np.int64)


class Format(NamedTuple):
    """``clip(floor(x * scale + half), low, high) * step + offset``, one of each per column.

    Without ``low`` it is 0. ``half`` is 0.5, or 0 for 1-bit weights, which are ``clip(floor(x), -1, 0) * 2 + 1`` in
    units of their step.
    """

    scale: Tensor
    high: Tensor
    step: Tensor
    low: Tensor = None
    offset: Tensor = None
    half: Tensor = np.float32(0.5)

    def exact(self, x: Tensor) -> Tensor:
        """Quantized values."""
        scaled = x * self.scale
        if self.low is None:
            return self._value(ops.floor(scaled + ALMOST_HALF))
        return self._value(round_half_up(scaled, self.half))

    def near(self, x: Tensor) -> Tensor:
        """Quantized values for gradients: quicker, but a value just below a tie may round up."""
        return self._value(ops.floor(x * self.scale + self.half))

    def _value(self, integer: Tensor) -> Tensor:
        value = ops.clip(integer, 0.0 if self.low is None else self.low, self.high) * self.step
        return value if self.offset is None else value + self.offset


_POWERS = Format(scale=-1, high=0, step=1, low=0, offset=1, half=0)  # of the range that multiply a format's parts
_SYMMETRIC = 4  # parts that formats without 1-bit weights need


class Columns(NamedTuple):
    """What a training step needs of each column: formats, and what its gradients take beside them."""

    chosen: Format
    neighbours: list[Format]
    bumps: Sequence[Tensor]  # see `BitLadder.bumps`
    top: Tensor  # 2^e
    sloped: Tensor = None  # 1, or 0 where Q(x) does not rise with x inside the range; None is 1 for all


class Quantizer:
    """What weights and signals share: one width and one range 2^e per column.

    Subclasses give the formats of range 1 at each width, `_rows`: (parts, widths) or (parts, widths, columns) numbers,
    the first parts of `Format`; and `_inside`, where x lies within the range.
    """

    def __init__(self, ladder: BitLadder, strength: Any, log2_range: Any) -> None:
        self.ladder, self.strength, self.log2_range = ladder, strength, log2_range
        self._binary = [False] * len(ladder.bits)  # 1-bit weights

    def _rows(self) -> Any:
        raise NotImplementedError

    def _inside(self, x: Tensor, top: Tensor) -> Tensor:
        raise NotImplementedError

    def _format(self) -> Format:
        """The format chosen."""
        rows = self._rows()
        return Format(*ops.unstack(self._table(rows, _POWERS[: rows.shape[0]], self.strength, self.log2_range)))

    def columns(self, strength: Tensor, log2_range: Tensor) -> Columns:
        """All that gradients need, by one table."""
        rows, near = self._rows(), self.ladder.transitions
        parts, count = rows.shape[0], len(self.ladder.neighbours) + 1
        sloped = [float(b > 0 and not binary) for b, binary in zip(self.ladder.bits, self._binary, strict=True)]
        kinds = [[1.0] * len(sloped), *near, *([] if all(sloped) else [sloped])]
        more = np.asarray(kinds, np.float32).reshape(len(kinds), len(sloped), *[1] * (len(rows.shape) - 2))
        formats = [rows, *(ops.take(rows, np.asarray(p), axis=1) for p in self.ladder.neighbours)]
        table = ops.concatenate([*formats, more + ops.zeros_like(rows[:1])], axis=0)
        top = parts * count
        powers = [*_POWERS[:parts] * count, 1, *[0] * (table.shape[0] - top - 1)]
        found = self._table(table, powers, strength, log2_range)
        each = ops.unstack(found)
        chosen, *neighbours = (Format(*each[i : i + parts]) for i in range(0, top, parts))
        after = top + 1 + len(near)
        bumps = self.ladder.bumps(strength, found[top + 1 : after] if near else None)
        return Columns(chosen, neighbours, bumps, each[top], *each[after:])

    def _table(self, rows: Any, powers: Sequence[int], strength: Tensor, log2_range: Tensor) -> Tensor:
        """(rows, columns): rows at the chosen widths, times these powers of the ranges."""
        exponents = np.asarray(powers, np.int32)[:, None] * range_exponent(log2_range)
        return kept(self.ladder.choose(rows, ops.convert_to_tensor(strength)) * power_of_two(exponents))

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        """Quantized values of the shape of ``x`` (..., columns), with their gradients when training."""
        if training:
            return with_gradient(self._trained, x, self.strength, self.log2_range)
        return self._format().exact(ops.convert_to_tensor(x))

    def _trained(self, x: Tensor, strength: Tensor, log2_range: Tensor) -> tuple[Tensor, Any]:
        columns = self.columns(strength, log2_range)
        hard = columns.chosen.exact(x)

        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            slope = self.ladder.slope(columns.bumps, [form.near(x) for form in columns.neighbours], hard)
            inside = self._inside(x, columns.top)
            followed = ops.where(inside, x, 0.0)
            moved = hard - (followed if columns.sloped is None else followed * columns.sloped)
            by_range = column_sum(upstream * moved, LN2)
            return ops.where(inside, upstream, 0.0), column_sum(upstream * slope), by_range

        return hard, gradient

    def soft_bits(self) -> Tensor:
        """(columns,) widths: the hard ones, with the surrogate's gradient to the strength."""
        return self.ladder.soft_bits(self.strength)


class WeightQuantizer(Quantizer):
    """Symmetric signed weights, one width and one range 2^e per column.

    Width b >= 2: integers in [-(2^(b-1)-1), 2^(b-1)-1] times 2^(e-b+1). 1.58: {-1, 0, 1} times 2^(e-1). 1: {-1, 1}
    times 2^(e-1). 0: all zero.
    """

    def __init__(self, ladder: BitLadder, strength: Any, log2_range: Any) -> None:
        super().__init__(ladder, strength, log2_range)
        self._shift = np.asarray([max(1, int(np.ceil(b)) - 1) for b in ladder.bits], np.int64)
        self._limit = np.asarray([0 if b == 0 else 1 if b < 2 else 2 ** (int(b) - 1) - 1 for b in ladder.bits], float)
        self._binary = [b == 1 for b in ladder.bits]

    def _rows(self) -> np.ndarray:
        step = np.ldexp(1.0, -self._shift)
        as_symmetric = [1 / step, self._limit, step, -self._limit, 0 * step, 0 * step + 0.5]
        as_binary = [1 / step, 0 * step, 2 * step, 0 * step - 1, step, 0 * step]
        rows = np.where(self._binary, as_binary, as_symmetric).astype(np.float32)
        return rows if any(self._binary) else rows[:_SYMMETRIC]

    def _inside(self, x: Tensor, top: Tensor) -> Tensor:
        return ops.abs(x) < top

    def integers(self, kernel: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mantissas int64 (inputs, units), fraction bits int (units,) and width labels float (units,)."""
        index, exponent = self.ladder.index_numpy(to_numpy(self.strength)), range_exponent_numpy(self.log2_range)
        frac = self._shift[index] - exponent
        with np.errstate(over="ignore", under="ignore"):
            scaled = np.ldexp(normal(to_numpy(kernel)), frac.astype(np.int32))
        limit = self._limit[index]
        mantissa = np.clip(np.floor(scaled.astype(np.float64) + 0.5), -limit, limit).astype(np.int64)
        positive = round_half_up_numpy(scaled, 0.0) >= 0  # as predictions take it: next to nothing below 0 is 0
        mantissa = np.where(np.asarray(self._binary)[index], np.where(positive, 1, -1), mantissa)
        return mantissa, frac, np.asarray(self.ladder.bits, np.float64)[index]

    def __str__(self) -> str:
        return f"nmp_weights(bits={self.ladder.bits})"


class ActivationQuantizer(Quantizer):
    """Signals of one width and one range 2^e per feature, rounded half up and saturated.

    Unsigned: m * 2^(e-b), m in 0..2^b-1. Signed: m * 2^(e-b+1), m in -2^(b-1)..2^(b-1)-1. Width 0 is constant zero.
    ``signed`` is None (all unsigned) or a (features,) 0/1 tensor.
    """

    def __init__(self, ladder: BitLadder, strength: Any, log2_range: Any, signed: Any = None) -> None:
        super().__init__(ladder, strength, log2_range)
        self.signed = signed

    def _rows(self) -> Any:
        bits = np.asarray(self.ladder.bits, int)
        levels = np.ldexp(1.0, bits)
        step, alive = np.ldexp(1.0, -bits), (bits > 0).astype(float)
        unsigned = np.asarray([1 / step, levels - 1, step, 0 * levels], np.float32)
        if self.signed is None:
            return unsigned[:-1]
        half = 0.5 * levels * alive
        doubled = step * (1 + alive)
        signed = np.asarray([1 / doubled, half - alive, doubled, -half], np.float32)
        return unsigned[:, :, None] + ops.cast(self.signed, "float32") * (signed - unsigned)[:, :, None]

    def _inside(self, x: Tensor, top: Tensor) -> Tensor:
        bottom = 0.0 if self.signed is None else -top * ops.cast(self.signed, "float32")
        return ops.logical_and(x > bottom, x < top)

    def export(self, relu: bool) -> dict[str, Any]:
        """The integer description of this quantizer."""
        bits = np.asarray([int(b) for b in self.ladder.bits], np.int64)
        bits = bits[self.ladder.index_numpy(to_numpy(self.strength))]
        signed = np.zeros(len(bits), bool) if self.signed is None else to_numpy(self.signed) > 0.5
        frac = bits - range_exponent_numpy(self.log2_range) - (signed & (bits > 0))
        return {
            "kind": "quantizer", "relu": relu, "signed": signed, "bits": bits, "frac": frac,
            "rounding": "RND", "overflow": "SAT",
        }  # fmt: skip

    def __str__(self) -> str:
        return f"nmp_activation(bits={self.ladder.bits})"
