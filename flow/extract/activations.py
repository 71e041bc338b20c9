"""Activation quantizers as steps, exactly as QKeras computes them (qkeras 0.9 and qkeras-v3 agree on these formulas).

QKeras rounds half to even. Its 1-bit signed quantizers are a sign with ``sign(0) = +1``, which is
``2 * floor_to_{-1,0}(x) + 1``: a truncating quantizer onto {-1, 0} and an exact affine step.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from flow.core.errors import ModelError
from flow.core.fixed import MAX_BITS, Fixed, Quantizer
from flow.extract.arrays import predicted, to_numpy
from flow.extract.dyadic import power_of_two
from flow.extract.layer_steps import Affine, Quant, Relu, Softmax, Step

REMEDY = "use quantized_bits or quantized_relu with alpha=1"
_SIGN = Quantizer(Fixed(True, 1, 0), "TRN", -1, 0)


def activation_steps(layer: str, activation: Any, count: int) -> list[Step]:
    """Steps of an activation (a QKeras quantizer, a Keras function or a class name) on ``count`` elements."""
    name = getattr(activation, "__name__", None) or type(activation).__name__
    if activation is None or name == "linear":
        return []
    if name in ("relu", "ReLU"):
        return [Relu(layer)]
    if name in ("softmax", "Softmax"):
        return [Softmax(layer)]
    reader = _READERS.get(name)
    if reader is None:
        raise ModelError(f"layer {layer}: activation {name} has no exact integer form; {REMEDY}")
    if getattr(activation, "use_stochastic_rounding", False):
        raise ModelError(f"layer {layer}: {name} rounds stochastically; set use_stochastic_rounding=False")
    if float(to_numpy(getattr(activation, "qnoise_factor", 1.0))) != 1.0:
        raise ModelError(f"layer {layer}: {name} quantizes only in part (qnoise_factor below 1); set it to 1")
    steps = reader(layer, name, activation, count)
    _verify(layer, activation, steps)
    return steps


def _verify(layer: str, activation: Any, steps: list[Step]) -> None:
    """Ask the quantizer itself, on and between its steps: some settings make this or that QKeras version answer NaN."""
    quant = next(s for s in steps if isinstance(s, Quant)).quantizers[0]
    near = np.array([k + m for m in (quant.low, 0, quant.high) for k in np.arange(-8, 8) / 4])
    probes = np.ldexp(near, -quant.format.frac).astype(np.float32)
    expected = np.ldexp(quant.from_float(probes).astype(np.float64), -quant.format.frac)
    for step in steps:
        if isinstance(step, Affine):
            expected = np.ldexp(expected, int(step.exponent[0])) + float(step.offset[0])
    answers = predicted(activation, probes[:, None]).astype(np.float64)[:, 0]
    if not np.array_equal(answers, expected):
        at = int(np.argmax(answers != expected))
        raise ModelError(
            f"layer {layer}: {type(activation).__name__} answers {answers[at]:g} to {probes[at]:g}, not as defined "
            f"{expected[at]:g}; write negative integer bits as a float, such as -1.0, or choose other settings"
        )


def saturating(low: int, high: int, frac: int, rounding: str = "RND_CONV") -> Quantizer:
    """The quantizer onto mantissas ``low..high`` in the narrowest format that holds them."""
    return Quantizer(Fixed.holding(low, high, frac), rounding, low, high)


def _quantized_bits(layer: str, name: str, q: Any, count: int) -> list[Step]:
    bits, integer = _whole(layer, name, "bits", q.bits), _whole(layer, name, "integer", q.integer)
    signed = int(bool(q.keep_negative))
    exponent = _scale_exponent(layer, name, q.alpha)
    unsigned_bits = bits - signed
    if unsigned_bits <= 0:  # a sign function, whatever the integer bits
        values = _sign_values(layer, exponent, count) if signed else _heaviside(layer, exponent, count)
        return values
    high = (1 << unsigned_bits) - 1
    low = -signed * ((1 << unsigned_bits) - int(bool(q.symmetric)))
    quant = Quant(layer, (saturating(low, high, unsigned_bits - integer),) * count)
    return [quant] if exponent == 0 else [quant, Affine.uniform(layer, exponent, Fraction(0), count)]


def _quantized_linear(layer: str, name: str, q: Any, count: int) -> list[Step]:
    bits, integer = _whole(layer, name, "bits", q.bits), _whole(layer, name, "integer", q.integer)
    signed = int(bool(q.keep_negative))
    step = _scale_exponent(layer, name, q.alpha) + integer - bits + signed
    if bits == 1 and signed:
        return _sign_values(layer, step - 1, count)
    top = 1 << (bits - signed)
    low = -signed * (top - int(bool(q.symmetric)))
    return [Quant(layer, (saturating(low, top - 1, -step),) * count)]


def _quantized_relu(layer: str, name: str, q: Any, count: int) -> list[Step]:
    bits, integer = _whole(layer, name, "bits", q.bits), _whole(layer, name, "integer", q.integer)
    if q.use_sigmoid:
        raise ModelError(f"layer {layer}: quantized_relu with use_sigmoid has no exact integer form; set use_sigmoid=0")
    if q.negative_slope:
        raise ModelError(f"layer {layer}: quantized_relu with a negative_slope is not supported; set negative_slope=0")
    frac, high = bits - integer, (1 << bits) - 1
    if q.relu_upper_bound and not getattr(q, "is_quantized_clip", True):
        bound = Fraction(float(q.relu_upper_bound)) * Fraction(2) ** frac
        if bound < high and bound.denominator != 1:
            raise ModelError(
                f"layer {layer}: relu_upper_bound {q.relu_upper_bound} is not a value of "
                f"quantized_relu({bits},{integer}); "
                f"choose a multiple of 2**{-frac}"
            )
        high = min(high, int(bound))
    return [Quant(layer, (saturating(0, high, frac),) * count)]


def _binary(layer: str, name: str, q: Any, count: int) -> list[Step]:
    exponent = _scale_exponent(layer, name, q.alpha)
    return _heaviside(layer, exponent, count) if q.use_01 else _sign_values(layer, exponent, count)


def _ternary(layer: str, name: str, q: Any, count: int) -> list[Step]:
    raise ModelError(
        f"layer {layer}: {name} activations have thresholds off every power-of-two grid; "
        "use quantized_bits(2,1,1,alpha=1), whose values are also -1, 0 and 1"
    )


_READERS = {
    "quantized_bits": _quantized_bits,
    "quantized_linear": _quantized_linear,
    "quantized_relu": _quantized_relu,
    "binary": _binary,
    "ternary": _ternary,
}


def _sign_values(layer: str, exponent: int, count: int) -> list[Step]:
    """+-2**exponent."""
    return [
        Quant(layer, (_SIGN,) * count),
        Affine.uniform(layer, exponent + 1, Fraction(2) ** exponent, count),
    ]


def _heaviside(layer: str, exponent: int, count: int) -> list[Step]:
    """0 below zero, else 2**exponent."""
    return [
        Quant(layer, (_SIGN,) * count),
        Affine.uniform(layer, exponent, Fraction(2) ** exponent, count),
    ]


def _scale_exponent(layer: str, name: str, alpha: Any) -> int:
    if alpha is None:
        return 0
    if isinstance(alpha, str):
        raise ModelError(f"layer {layer}: {name} with alpha={alpha!r} scales by the data it sees; set alpha=1")
    values = np.asarray(alpha, np.float64)
    exponent = power_of_two(float(values)) if values.ndim == 0 else None
    if exponent is None:
        raise ModelError(f"layer {layer}: {name} has alpha={values}, which is not one power of two; set alpha=1")
    return exponent


def _whole(layer: str, name: str, what: str, value: Any) -> int:
    try:
        number = to_numpy(value).astype(np.float64)
    except (TypeError, ValueError):
        number = np.array(np.nan)
    if number.ndim or not number == np.floor(number) or not -64 <= number <= 64:
        raise ModelError(f"layer {layer}: {name} has {what}={value}, which is not one whole number of at most 64")
    if what == "bits" and not 0 < number < MAX_BITS // 2:
        raise ModelError(f"layer {layer}: {name} has bits={value}; use 1 to {MAX_BITS // 2 - 1} bits")
    return int(number)
