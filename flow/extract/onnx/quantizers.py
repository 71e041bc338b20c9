"""QONNX's quantizers of a signal: the whole numbers that each makes, and what a step of them is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.fixed import Quantizer
from flow.extract.activations import saturating
from flow.extract.dyadic import power_of_two
from flow.extract.onnx.constants import Floats, levels_of, whole
from flow.extract.onnx.walk import Place, per_element

MAX_BITS = 24
_ARGUMENTS = {"Quant": (3,), "IntQuant": (3,), "BipolarQuant": (1,), "MultiThreshold": (1,), "Trunc": (4, 5)}
_UNBOUNDED = 1 << (MAX_BITS - 1)  # more than float32 sums that can be asked about reach
_PLAIN = {"ROUND": "RND_CONV", "HALF_EVEN": "RND_CONV", "FLOOR": "TRN"}


@dataclass(frozen=True)
class Made:
    """Signals as ``scale * k + offset`` for whole ``k`` in ``low..high``, a scale and an offset for each element.

    ``rounding`` is that of fixed-point arithmetic where ``k`` is just the rounded quotient by the scale, else None.
    """

    scale: Floats
    offset: Floats
    low: int
    high: int
    rounding: str | None = None
    is_sign: bool = False  # of the signal itself: -1 or 1

    @property
    def fracs(self) -> list[int] | None:
        """The fraction bits of each element, where all scales are powers of two."""
        exponents = [power_of_two(float(s)) for s in self.scale]
        return None if None in exponents else [-e for e in exponents if e is not None]

    def plain(self) -> tuple[Quantizer, ...] | None:
        """Fixed-point quantizers that are the same; None where none are."""
        if self.rounding is None or self.fracs is None:
            return None
        return tuple(saturating(self.low, self.high, frac, self.rounding) for frac in self.fracs)

    def whole(self, values: NDArray[np.floating]) -> Floats:
        """``k`` of signals (rows x elements)."""
        return np.asarray(np.rint((values.astype(np.float64) - self.offset) / self.scale), np.float64)


def quantizer(at: Place) -> Made:
    """What a quantizing node makes. Raises ModelError, naming it, for what has no such form."""
    if len(at.constants) not in _ARGUMENTS[at.node.kind]:
        raise ModelError(f"node {at.name} ({at.node.kind}) has other constant inputs than QONNX says; export it again")
    if at.node.kind == "MultiThreshold":
        return _thresholds(at)
    if at.node.kind == "Trunc":
        return _truncated(at)
    scale = per_element(at.node, at.constants[0].values, at.shape)
    zeros = np.zeros_like(scale)
    _require_scale(at, scale)
    if at.node.kind == "BipolarQuant":
        return Made(scale, zeros, -1, 1, is_sign=True)
    levels = levels_of(at.node, list(at.constants))
    if levels.bits > MAX_BITS:
        raise ModelError(f"node {at.name}: {levels.bits} bits; activations of 1 to {MAX_BITS} are possible")
    low, high = levels.low - levels.zero, levels.high - levels.zero
    is_plain = not levels.zero and not levels.is_bipolar
    rounding = _PLAIN.get(levels.rounding) if is_plain else None
    return Made(scale, zeros, low, high, rounding, levels.is_bipolar and not levels.zero)


def _require_scale(at: Place, scale: Floats) -> None:
    if not (np.isfinite(scale) & (scale > np.finfo(np.float32).tiny)).all():
        raise ModelError(f"node {at.name}: its scale is not positive; export the model again")


def _truncated(at: Place) -> Made:
    """Of five inputs, its first version, which keeps the scale and saturates nothing; of six the second."""
    values = [constant.values for constant in at.constants]
    if whole(at.node, "zero point", values[1]):
        raise ModelError(f"node {at.name} truncates with a zero point, which is not read; quantize without one")
    for width in (values[2], values[-1]):
        if not 1 <= whole(at.node, "bit width", width) <= MAX_BITS:
            raise ModelError(f"node {at.name}: {width.ravel()[0]:g} bits; 1 to {MAX_BITS} are possible")
    scale = per_element(at.node, values[0] if len(values) == 4 else values[3], at.shape)
    _require_scale(at, scale)
    return Made(scale, np.zeros_like(scale), -_UNBOUNDED, _UNBOUNDED - 1)


def _thresholds(at: Place) -> Made:
    """How many thresholds of its channel a signal reaches, scaled."""
    scale, offset = (float(at.node.settings.get(key, start)) for key, start in (("out_scale", 1.0), ("out_bias", 0.0)))
    table = at.constants[0].values
    if table.ndim != 2 or not np.isfinite(table).all() or not scale > 0:
        raise ModelError(f"node {at.name}: its thresholds are no finite table, or its out_scale is not positive")
    if len(at.shape) != 1:
        raise ModelError(f"node {at.name} sees signals of shape {at.shape}; flatten them before it")
    ones = np.ones(at.shape[0])
    return Made(scale * ones, offset * ones, 0, table.shape[1])
