"""Per-neuron quantizers with power-of-two ranges: hard forward values, straight-through and surrogate gradients.

The forward value is always the discrete one. Gradients:

- to the quantized tensor: straight-through inside the clip range;
- to the strength: the soft surrogate of `BitLadder` (the widths' quantized values weighted by sigmoids);
- to the range exponent: that of a quantizer's step on a logarithmic scale (Jain et al., *Trained quantization
  thresholds*, MLSys 2020): ``ln 2 * (Q(x) - x)`` inside the range and ``ln 2 * Q(x)`` outside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from .exact import only_gradient, power_of_two, round_half_up, to_int, to_numpy
from .precision import BitLadder

Tensor = Any
LN2 = np.float32(np.log(2.0))
MAX_RANGE = 15.0  # |range exponent| stays below, so that every scale is a normal float32


def range_exponent(log2_range: Tensor) -> Tensor:
    """The integer exponent e of the clip range 2^e nearest to a trainable log2 range (int32)."""
    return to_int(ops.clip(log2_range, -MAX_RANGE, MAX_RANGE))


def range_exponent_numpy(log2_range: Any) -> np.ndarray:
    """`range_exponent` in NumPy (int64), for export."""
    clipped = np.clip(to_numpy(log2_range).astype(np.float64), -MAX_RANGE, MAX_RANGE)
    return np.floor(clipped + 0.5).astype(np.int64)


class WeightQuantizer:
    """Symmetric signed weights, one width and one range 2^e per column.

    Width b >= 2: integers in [-(2^(b-1)-1), 2^(b-1)-1] times 2^(e-b+1). 1.58: {-1, 0, 1} times 2^(e-1). 1: {-1, 1}
    times 2^(e-1). 0: all zero.
    """

    def __init__(self, ladder: BitLadder, strength: Any, log2_range: Any) -> None:
        self.ladder, self.strength, self.log2_range = ladder, strength, log2_range
        self._shift = [max(1, int(np.ceil(b)) - 1) for b in ladder.bits]
        self._limit = [0.0 if b == 0 else 1.0 if b < 2 else float(2 ** (int(b) - 1) - 1) for b in ladder.bits]
        self._binary = [b == 1 for b in ladder.bits]

    def _at(self, kernel: Tensor, index: Tensor, exponent: Tensor) -> tuple[Tensor, Tensor]:
        """Quantized kernel and mantissas (float) with width number ``index`` (int or per column)."""
        shift = self.ladder.select(self._shift, index, "int32")
        limit = self.ladder.select(self._limit, index)
        scaled = kernel * power_of_two(shift - exponent)
        mantissa = ops.clip(round_half_up(scaled), -limit, limit)
        if any(self._binary):
            sign = ops.where(kernel >= 0, 1.0, -1.0)
            mantissa = ops.where(self.ladder.select(self._binary, index, "bool"), sign, mantissa)
        return mantissa * power_of_two(exponent - shift), mantissa

    def __call__(self, kernel: Tensor, training: bool = False) -> Tensor:
        """The quantized (inputs, units) kernel; surrogate gradients only when training."""
        index, exponent = self.ladder.index(self.strength), range_exponent(self.log2_range)
        hard = ops.stop_gradient(self._at(kernel, index, exponent)[0])
        limit = power_of_two(exponent)
        out = hard + only_gradient(ops.clip(kernel, -limit, limit))
        if not training:
            return out
        inside = ops.stop_gradient(ops.cast(ops.abs(kernel) < limit, "float32"))
        sloped = ops.where(self.ladder.select([b >= 1.5 for b in self.ladder.bits], index, "bool"), inside, 0.0)
        alive = self.ladder.select([float(b > 0) for b in self.ladder.bits], index)
        step = ops.stop_gradient((hard - sloped * kernel) * alive) * LN2
        out = out + only_gradient(ops.clip(self.log2_range, -MAX_RANGE, MAX_RANGE)) * step
        slope = self.ladder.slope(self.strength, self._levels(kernel, exponent)) * limit
        return out + only_gradient(self.strength) * slope

    def _levels(self, kernel: Tensor, exponent: Tensor) -> list[Tensor]:
        """The kernel at each width in units of the range, for gradients (a tie's neighbour may round the other way)."""
        relative, levels = ops.stop_gradient(kernel) * power_of_two(-exponent), []
        for shift, limit, binary in zip(self._shift, self._limit, self._binary, strict=True):
            step = np.float32(2.0**shift)
            mantissa = ops.clip(ops.floor(relative * step + 0.5), -limit, limit)
            if binary:
                mantissa = ops.where(relative >= 0, 1.0, -1.0)
            levels.append(mantissa * np.float32(1 / step) if limit else ops.zeros_like(relative))
        return levels

    def scaled(self, kernel: Tensor, index: Tensor) -> Tensor:
        """|kernel| in steps of width number ``index`` (the real-valued mantissas), for the hardware cost."""
        shift = self.ladder.select(self._shift, index, "int32")
        magnitude = ops.abs(kernel) * power_of_two(shift - range_exponent(self.log2_range))
        return ops.minimum(magnitude, self.ladder.select(self._limit, index))

    def soft_bits(self) -> Tensor:
        """(units,) widths: the hard ones, with the surrogate's gradient to the strength."""
        return self.ladder.soft_bits(self.strength)

    def scaled_levels(self, kernel: Tensor) -> list[Tensor]:
        """`scaled` for each width, without gradients."""
        relative = ops.abs(ops.stop_gradient(kernel)) * power_of_two(-range_exponent(self.log2_range))
        limits = zip(self._shift, self._limit, strict=True)
        return [ops.minimum(relative * np.float32(2.0**shift), np.float32(limit)) for shift, limit in limits]

    def integers(self, kernel: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mantissas int64 (inputs, units), fraction bits int (units,) and width labels float (units,)."""
        index, exponent = self.ladder.index_numpy(to_numpy(self.strength)), range_exponent_numpy(self.log2_range)
        frac = np.asarray(self._shift, np.int64)[index] - exponent
        values = to_numpy(kernel)
        scaled = np.ldexp(values, frac.astype(np.int32))
        limit = np.asarray(self._limit)[index]
        mantissa = np.clip(np.floor(scaled.astype(np.float64) + 0.5), -limit, limit).astype(np.int64)
        mantissa = np.where(np.asarray(self._binary)[index], np.where(values >= 0, 1, -1), mantissa)
        return mantissa, frac, np.asarray(self.ladder.bits, np.float64)[index]

    def __str__(self) -> str:
        return f"nmp_weights(bits={self.ladder.bits})"


class ActivationQuantizer:
    """Signals of one width and one range 2^e per feature, rounded half up and saturated.

    Unsigned: m * 2^(e-b), m in 0..2^b-1. Signed: m * 2^(e-b+1), m in -2^(b-1)..2^(b-1)-1. Width 0 is constant zero.
    ``signed`` is None (all unsigned) or a (features,) 0/1 tensor.
    """

    def __init__(self, ladder: BitLadder, strength: Any, log2_range: Any, signed: Any = None) -> None:
        self.ladder, self.strength, self.log2_range, self.signed = ladder, strength, log2_range, signed
        self._levels = [float(2 ** int(b)) for b in ladder.bits]

    def _bounds(self, index: Tensor, exponent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fraction bits (int32), lowest and highest mantissa (float) for width number ``index``."""
        bits = self.ladder.select([int(b) for b in self.ladder.bits], index, "int32")
        levels = self.ladder.select(self._levels, index)
        frac, low, high = bits - exponent, ops.zeros_like(levels), levels - 1.0
        if self.signed is not None:
            signed = ops.cast(self.signed, "float32")
            half = 0.5 * levels * signed
            alive = ops.cast(bits > 0, "float32")
            frac = frac - ops.cast(signed, "int32") * ops.cast(bits > 0, "int32")
            low, high = -half * alive, high - half * alive
        return frac, low, high

    def _at(self, x: Tensor, index: Tensor, exponent: Tensor) -> Tensor:
        frac, low, high = self._bounds(index, exponent)
        return ops.clip(round_half_up(x * power_of_two(frac)), low, high) * power_of_two(-frac)

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        """Quantized signals of the shape of ``x`` (..., features)."""
        index, exponent = self.ladder.index(self.strength), range_exponent(self.log2_range)
        hard = ops.stop_gradient(self._at(x, index, exponent))
        top = power_of_two(exponent)
        bottom = -top * ops.cast(self.signed, "float32") if self.signed is not None else ops.zeros_like(top)
        out = hard + only_gradient(ops.clip(x, bottom, top))
        if not training:
            return out
        inside = ops.logical_and(x > bottom, x < top)
        step = ops.stop_gradient(hard - ops.where(inside, x, 0.0)) * LN2
        alive = self.ladder.select([float(b > 0) for b in self.ladder.bits], index)
        out = out + only_gradient(ops.clip(self.log2_range, -MAX_RANGE, MAX_RANGE)) * step * alive
        return out + only_gradient(self.strength) * self._slope(ops.stop_gradient(x), hard, index, exponent)

    def _slope(self, x: Tensor, hard: Tensor, index: Tensor, exponent: Tensor) -> Tensor:
        """The surrogate's; long ladders keep its two transitions next to the current width, which carry most of it."""
        count = len(self.ladder.bits)
        if count <= 3:
            return self.ladder.slope(self.strength, [self._at(x, np.int32(k), exponent) for k in range(count)])
        below, above = self.ladder.slopes(self.strength, index)
        lower = self._at(x, ops.maximum(index - 1, 0), exponent)
        upper = self._at(x, ops.minimum(index + 1, count - 1), exponent)
        return ops.stop_gradient(below * (hard - lower) + above * (upper - hard))

    def soft_bits(self) -> Tensor:
        """(features,) widths: the hard ones, with the surrogate's gradient to the strength."""
        return self.ladder.soft_bits(self.strength)

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
