"""Activation quantizers as steps, exactly as QKeras computes them (qkeras 0.9 and qkeras-v3 agree on these formulas).

What has no formula here is a function that Keras is asked about.

QKeras rounds half to even. Its 1-bit signed quantizers are a sign with ``sign(0) = +1``, which is
``2 * floor_to_{-1,0}(x) + 1``: a truncating quantizer onto {-1, 0} and an exact affine step.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np

from flow.core.errors import ModelError
from flow.core.fixed import MAX_BITS, Fixed, Quantizer
from flow.extract.arrays import predicted, to_numpy
from flow.extract.dyadic import power_of_two
from flow.extract.layer_steps import Affine, Elementwise, Quant, Relu, Softmax, Step

REMEDY = "use quantized_bits or quantized_relu with alpha=1"
_ASKED_TWICE = 256
_SIGN = Quantizer(Fixed(True, 1, 0), "TRN", -1, 0)


def activation_steps(layer: str, activation: Any, count: int) -> list[Step]:
    """Steps of an activation (a QKeras quantizer, a Keras function or a class name) on ``count`` elements."""
    name = getattr(activation, "__name__", None) or type(activation).__name__
    if activation is None or name == "linear":
        return []
    if name in ("softmax", "Softmax"):
        return [Softmax(layer)]
    if name == "relu" or (name == "ReLU" and _is_plain_relu(activation)):
        return [Relu(layer)]
    reader = _READERS.get(name)
    if reader is None:
        return [_asked(layer, name, activation)]
    _check_certain(layer, name, activation)
    steps = reader(layer, name, activation, count)
    if not isinstance(steps[0], Elementwise):
        _verify(layer, activation, steps)
    return steps


def _is_plain_relu(layer: Any) -> bool:
    return layer.max_value is None and not layer.negative_slope and not layer.threshold


def _check_certain(layer: str, name: str, quantizer: Any) -> None:
    """Raise ModelError where a quantizer answers by chance or quantizes only in part."""
    if float(to_numpy(getattr(quantizer, "qnoise_factor", 1.0))) != 1.0:
        raise ModelError(f"layer {layer}: {name} quantizes only in part (qnoise_factor below 1); set it to 1")
    if name in ("stochastic_binary", "stochastic_ternary", "bernoulli") or is_stochastic(quantizer):
        probes = np.random.default_rng(0).normal(0, 1, (_ASKED_TWICE, 1)).astype(np.float32)
        if not np.array_equal(predicted(quantizer, probes), predicted(quantizer, probes), equal_nan=True):
            raise ModelError(f"layer {layer}: {name} answers by chance; set use_stochastic_rounding=False")


def is_stochastic(quantizer: Any) -> bool:
    """Whether a quantizer has chance in it, in training at least."""
    named = type(quantizer).__name__ in ("stochastic_ternary", "stochastic_binary")
    return named or bool(getattr(quantizer, "use_stochastic_rounding", False))


def _asked(layer: str, name: str, activation: Any) -> Elementwise:
    """A function without a formula here. Raises ModelError for what is none of each element alone."""
    if isinstance(getattr(activation, "alpha", None), str):
        _refuse_alpha(layer, name, activation.alpha)
    _check_certain(layer, name, activation)
    probes = np.random.default_rng(0).normal(0, 2, (_ASKED_TWICE, 1)).astype(np.float32)
    few = predicted(activation, probes[:8])
    if few.shape != (8, 1) or not np.array_equal(predicted(activation, probes)[:8], few, equal_nan=True):
        raise ModelError(f"layer {layer}: {name} is no function of each value by itself; {REMEDY}")
    frac = _grid_of_monotone(name, activation)
    return Elementwise(
        layer, name, lambda x: predicted(activation, x), left_out=name in ("sigmoid", "tanh"),
        rises_or_falls=frac is not None, frac=frac,
    )  # fmt: skip


def _grid_of_monotone(name: str, q: Any) -> int | None:
    """Fraction bits of what a quantizer returns that is clips, roundings and products alone, so monotone in float32."""
    sigmoid = getattr(sys.modules.get(type(q).__module__), "_sigmoid", None)  # hard, smooth or the real one
    is_straight = getattr(sigmoid, "__name__", None) in ("hard_sigmoid", "smooth_sigmoid")
    if name == "quantized_tanh" and is_straight and not q.use_real_tanh:
        return int(q.bits) - 1
    if name == "quantized_sigmoid" and is_straight and not q.use_real_sigmoid:
        return int(q.bits)
    if name in ("binary_tanh", "binary_sigmoid"):
        return 0
    is_bounded = name == "quantized_relu" and q.relu_upper_bound and not getattr(q, "is_quantized_clip", True)
    if name != "quantized_relu" or is_bounded or (q.use_sigmoid and (q.negative_slope or not is_straight)):
        return None
    if q.negative_slope and (q.negative_slope < 0 or power_of_two(float(q.negative_slope)) is None):
        return None
    return int(q.bits) - int(q.integer) - (1 if q.negative_slope else 0)


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
        values = sign_values(layer, exponent, count) if signed else _heaviside(layer, exponent, count)
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
        return sign_values(layer, step - 1, count)
    top = 1 << (bits - signed)
    low = -signed * (top - int(bool(q.symmetric)))
    return [Quant(layer, (saturating(low, top - 1, -step),) * count)]


def _quantized_relu(layer: str, name: str, q: Any, count: int) -> list[Step]:
    bits, integer = _whole(layer, name, "bits", q.bits), _whole(layer, name, "integer", q.integer)
    if q.use_sigmoid or q.negative_slope:
        return [_asked(layer, name, q)]
    frac, high = bits - integer, (1 << bits) - 1
    if q.relu_upper_bound and not getattr(q, "is_quantized_clip", True):
        bound = Fraction(float(q.relu_upper_bound)) * Fraction(2) ** frac
        if bound < high and bound.denominator != 1:
            return [_asked(layer, name, q)]
        high = min(high, int(bound))
    return [Quant(layer, (saturating(0, high, frac),) * count)]


def _binary(layer: str, name: str, q: Any, count: int) -> list[Step]:
    exponent = _scale_exponent(layer, name, q.alpha)
    return _heaviside(layer, exponent, count) if q.use_01 else sign_values(layer, exponent, count)


_READERS = {
    "quantized_bits": _quantized_bits,
    "quantized_linear": _quantized_linear,
    "quantized_relu": _quantized_relu,
    "binary": _binary,
}


def sign_values(layer: str, exponent: int, count: int) -> list[Step]:
    """Steps of a sign, 1 of 0, times 2**exponent."""
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


def _refuse_alpha(layer: str, name: str, alpha: str) -> NoReturn:
    raise ModelError(f"layer {layer}: {name} with alpha={alpha!r} scales by the data it sees; set alpha=1")


def _scale_exponent(layer: str, name: str, alpha: Any) -> int:
    if alpha is None:
        return 0
    if isinstance(alpha, str):
        _refuse_alpha(layer, name, alpha)
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
