"""Constant tensors of a graph: numbers, and where they are quantized their integers and scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.extract.onnx.stored import Node

MAX_BITS = 32  # of a constant
Floats = NDArray[np.float64]
_ROUND: dict[str, Callable[[Any], Any]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.fix,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + x.dtype.type(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - x.dtype.type(0.5)),
}


@dataclass(frozen=True)
class Constant:
    """``mantissas * scale`` in real numbers, both of the tensor's shape, in float64.

    A quantized tensor has whole ``mantissas`` of ``bits`` bits; of another one they are float32 numbers, the scale 1.
    """

    mantissas: Floats
    scale: Floats
    bits: int | None = None

    @classmethod
    def of(cls, array: NDArray[Any]) -> Constant:
        """A tensor that is not quantized."""
        values = np.asarray(array, np.float64)
        return cls(values, np.ones_like(values))

    @property
    def values(self) -> Floats:
        """The numbers."""
        return self.mantissas * self.scale

    def shaped(self, change: Any) -> Constant:
        """With another shape, which ``change`` gives an array."""
        return Constant(change(self.mantissas), change(self.scale), self.bits)


@dataclass(frozen=True)
class Levels:
    """What a Quant node does: round ``x / scale + zero`` by ``rounding``, saturate to ``low..high``, scale back.

    A signed one of one bit gives -1 and 1 instead, by the sign (``is_bipolar``).
    """

    scale: Floats
    zero: int
    low: int
    high: int
    rounding: str
    bits: int
    is_bipolar: bool = False

    def mantissas(self, values: Floats) -> Floats:
        """Whole numbers, zero point taken off again, as float32 computes them."""
        scaled = values.astype(np.float32) / self.scale.astype(np.float32) + np.float32(self.zero)
        if self.is_bipolar:
            return np.where(scaled >= 0, 1.0, -1.0) - self.zero
        return np.asarray(np.clip(_ROUND[self.rounding](scaled), self.low, self.high) - self.zero, np.float64)


def levels_of(node: Node, arguments: list[Constant]) -> Levels:
    """The levels of a Quant node with these constants: scale, zero point, bit width. Raises ModelError."""
    scale, zero, bits = (argument.values for argument in arguments)
    rounding = str(node.settings.get("rounding_mode", "ROUND")).upper()
    signed, narrow = bool(node.settings.get("signed", 1)), bool(node.settings.get("narrow", 1))
    if rounding not in _ROUND:
        raise ModelError(f"node {node.name[:64]}: rounding mode {rounding[:32]} is not known; use ROUND, FLOOR or CEIL")
    width, offset = whole(node, "bit width", bits), whole(node, "zero point", zero)
    if not 1 <= width <= MAX_BITS:
        raise ModelError(f"node {node.name[:64]}: {width} bits; 1 to {MAX_BITS} are possible")
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ModelError(f"node {node.name[:64]}: its scale is not positive; export the model again")
    if signed and width == 1:
        return Levels(scale, offset, -1, 1, rounding, width, is_bipolar=True)
    high = 2 ** (width - signed) - 1 - (narrow and not signed)
    low = narrow - 2 ** (width - 1) if signed else 0
    return Levels(scale, offset, low, high, rounding, width)


def whole(node: Node, what: str, values: Floats) -> int:
    """The one whole number in an array. Raises ModelError."""
    if values.size != 1 or float(values.ravel()[0]) != np.floor(values.ravel()[0]):
        raise ModelError(f"node {node.name[:64]}: its {what} is not one whole number; quantize it per tensor")
    return int(values.ravel()[0])


def quantized(node: Node, value: Constant, arguments: list[Constant]) -> Constant:
    """A Quant node of a constant."""
    levels = levels_of(node, arguments)
    return Constant(levels.mantissas(value.values), np.broadcast_to(levels.scale, value.values.shape), levels.bits)


def bipolar(value: Constant, scale: Constant) -> Constant:
    """A BipolarQuant node of a constant."""
    return Constant(np.where(value.values >= 0, 1.0, -1.0), np.broadcast_to(scale.values, value.values.shape), 1)
