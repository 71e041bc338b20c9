"""Keras layers that compute as those of HGQ do at inference, for stored models that `hgq` has read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from flow.core.fixed import Fixed, Quantizer
from flow.core.integers import Ints

_TINY = 2.0**-60
_MANTISSA_BITS = 24  # of a float32


class _Format:
    """Formats of a signal's elements and the float32 constants that quantize it; exact below 2**24 steps."""

    def __init__(self, layer: Any, name: str, modes: Sequence[str], shape: Sequence[int]) -> None:
        self.rounding, self.overflow = modes
        self.shape = tuple(shape)
        self.signed = self.bits = self.frac = np.zeros(self.shape, np.int64)
        names = ("scale", "step", "low", "high", "size", "far")
        self.values = [layer.add_weight(name=f"{name}_{n}", shape=self.shape, trainable=False) for n in names]

    def assign(self, arrays: Sequence[Any]) -> None:
        """Take sign, width and fraction bits, of each element or of all."""
        signed, bits, frac = (_spread(a, self.shape) for a in arrays)
        self.signed, self.bits, self.frac = signed, bits, frac
        high = np.where(bits > 0, (1 << np.maximum(bits - signed, 0)) - 1, 0)
        low = np.where((signed > 0) & (bits > 0), -high - (self.overflow != "SAT_SYM"), 0)
        far = np.minimum(np.ldexp(1.0, bits - frac + _MANTISSA_BITS), float(np.finfo(np.float32).max))
        sizes = np.ldexp(1.0, frac), np.ldexp(1.0, -frac), low, high, np.ldexp(1.0, bits), far
        for variable, value in zip(self.values, sizes, strict=True):
            variable.assign(np.asarray(value, np.float32))

    def __call__(self, inputs: Any) -> Any:
        scale, step, low, high, size, far = self.values
        if self.overflow == "WRAP":  # beyond, float32 has only multiples of what wraps to 0; they could overflow
            inputs = ops.where(ops.abs(inputs) >= far, ops.zeros_like(inputs), inputs)
        value = inputs * scale
        underflown = ops.logical_and(value == 0, inputs < 0)  # still on its side of 0, where floor sees it
        value = ops.where(underflown, ops.full_like(value, -_TINY), value)
        whole = ops.round(value) if self.rounding == "RND_CONV" else ops.floor(value)
        if self.rounding == "RND":
            whole = whole + ops.cast(value - whole >= 0.5, "float32")
        if self.overflow != "WRAP":
            return ops.minimum(ops.maximum(whole, low), high) * step
        turned = whole - ops.floor(whole / size) * size
        turned = ops.where(turned > high, turned - size, turned)
        return ops.where(ops.logical_and(whole >= low, whole <= high), whole, turned) * step

    def quantizers(self) -> tuple[Quantizer, ...]:
        """One for each element."""
        fields: list[Ints] = [self.signed, self.bits, self.frac]
        return tuple(self._quantizer(*(int(v) for v in e)) for e in zip(*(f.reshape(-1) for f in fields), strict=True))

    def _quantizer(self, signed: int, bits: int, frac: int) -> Quantizer:
        form = Fixed(bool(signed), bits, frac)
        if self.overflow == "WRAP":
            return Quantizer.wrapping(form, self.rounding)
        return Quantizer(
            form, self.rounding, -form.high if self.overflow == "SAT_SYM" and signed else form.low, form.high
        )


def _spread(array: Any, shape: tuple[int, ...]) -> Ints:
    found = np.asarray(array, np.int64)
    return np.broadcast_to(found[0] if found.ndim > len(shape) else found, shape).copy()


class HGQQuantizer(keras.layers.Layer):  # type: ignore[misc]
    """A quantizer of every element: `FixedPointQuantizer` of HGQ 1, `Quantizer` of HGQ 2."""

    def __init__(self, round_mode: str = "TRN", overflow_mode: str = "WRAP", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.modes = (round_mode, overflow_mode)

    def build(self, input_shape: Any) -> None:
        """Make the constants, one of each per element."""
        self.format = _Format(self, "format", self.modes, input_shape[1:])
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The quantized elements."""
        return self.format(inputs)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take the arrays that `hgq.as_plain` gives."""
        self.format.assign(weights)


class _Between:
    """What HGQ's layers have beside Keras's: quantizers of the inputs and of what the layer returns."""

    def __init__(
        self, *args: Any, iq: Sequence[str] | None = None, oq: Sequence[str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.modes = (iq, oq)

    def build(self, input_shape: Any) -> None:
        """Make the layer's own variables and the constants of both quantizers."""
        super().build(input_shape)  # type: ignore[misc]
        (iq, oq), units = self.modes, getattr(self, "units", input_shape[-1])
        self.iq = _Format(self, "iq", iq, input_shape[1:]) if iq else None
        self.oq = _Format(self, "oq", oq, (*input_shape[1:-1], units)) if oq else None

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Quantized inputs, what the layer makes of them, quantized outputs."""
        outputs = super().call(inputs if self.iq is None else self.iq(inputs))  # type: ignore[misc]
        return outputs if self.oq is None else self.oq(outputs)

    def assign_signals(self, arrays: list[Any]) -> None:
        """Take the formats of both quantizers, three arrays of each that is there."""
        for signal in (self.iq, self.oq):
            if signal is not None:
                signal.assign([arrays.pop(0) for _ in range(3)])


class HGQActivation(_Between, keras.layers.Activation):  # type: ignore[misc]
    """An activation, with quantizers of its inputs and of what it returns: `QUnaryFunctionLUT` of HGQ 2."""

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take the arrays that `hgq.as_plain` gives."""
        self.assign_signals(list(weights))


class HGQDense(_Between, keras.layers.Dense):  # type: ignore[misc]
    """A dense layer of finished weights, with quantizers of its inputs and of what its activation returns."""

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take the arrays that `hgq.as_plain` gives."""
        arrays = list(weights)
        for variable in [self.kernel, self.bias][: 1 + self.use_bias]:
            values = arrays.pop(0)
            if values.shape != tuple(variable.shape):
                raise ValueError(f"it stores an array of shape {values.shape}")
            variable.assign(values)
        self.assign_signals(arrays)
