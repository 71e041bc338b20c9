"""One Keras layer to its steps. NMP layers are known by ``export_integer``, all others by their class name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from flow.core.errors import DesignError, FlowError, ModelError, reason
from flow.core.evaluate import as_read
from flow.core.fixed import Fixed, Quantizer
from flow.extract.activations import activation_steps
from flow.extract.arrays import failing, layer_function, predicted, to_numpy
from flow.extract.batchnorm import normalization
from flow.extract.chain import Applied
from flow.extract.convolution import by_filter, folded_kernel, means, unrolled, window
from flow.extract.dyadic import exact_column, exact_matrix
from flow.extract.folded_batchnorm import folded_constants
from flow.extract.hgq_steps import hgq_activation, hgq_dense, quantizer_steps
from flow.extract.layer_steps import Dense, Elementwise, Quant, Softmax, Step
from flow.extract.needed import needed_bits
from flow.extract.plain_dense import on_grid, plain_dense
from flow.extract.remedies import IGNORED, refusal
from flow.extract.windows import AVERAGING, CONVOLUTIONS, is_depthwise

TERNARY_BITS = 1.58
MAX_PLAIN_BIAS_BITS = 16
BIAS = "bias"  # what a step is called that adds the float bias of a dense layer
_ALPHA = "set alpha=1 or alpha='auto_po2' in its kernel_quantizer"
_RETRAIN = "train again with a smaller learning rate"


def steps_of(applied: Applied) -> list[Step]:
    """The steps of one layer. Raises ModelError naming the layer, the neuron and the remedy."""
    layer, kind = applied.layer, applied.kind
    _check_finite(applied)
    dtype = getattr(layer, "compute_dtype", "float32")
    if dtype not in (None, "float32"):
        raise ModelError(f"layer {applied.name} computes in {dtype!r:.40}; build the model in float32")
    if kind in IGNORED:
        return []
    reader = _nmp if hasattr(layer, "export_integer") else _READERS.get(kind)
    if reader is None:
        raise ModelError(refusal(applied.name, kind))
    try:
        return list(reader(applied))
    except FlowError:
        raise
    except Exception as exc:  # a quantizer that fails on its own settings, in whatever way its backend does
        raise failing(applied.name, kind, exc) from None


def _check_finite(applied: Applied) -> None:
    for variable in applied.layer.weights:
        values = to_numpy(variable)
        if not np.issubdtype(values.dtype, np.floating) or np.isfinite(values).all():
            continue
        place = np.argwhere(~np.isfinite(values))[0]
        neuron = f", neuron {place[-1]}" if place.size else ""
        raise ModelError(
            f"layer {applied.name}{neuron}: {variable.name} holds {values[tuple(place)]}; {_RETRAIN}, or load an "
            "earlier checkpoint"
        )


def _units(applied: Applied) -> int:
    """Check that a dense layer sees a flat vector; its number of units."""
    if len(applied.input_shape) != 1:
        raise ModelError(
            f"layer {applied.name} sees inputs of shape {applied.input_shape}; put a Flatten layer before it"
        )
    return applied.output_shape[-1]


def _nmp(applied: Applied) -> list[Step]:
    layer = applied.layer
    for what in ("kernel", "bias"):
        quantizer = getattr(layer, f"{what}_quantizer_internal", None)
        if getattr(layer, f"{what}_quantizer", None) is not None and getattr(layer, what, None) is not None:
            quantized(applied.name, what, quantizer, getattr(layer, what))
    try:
        parts = layer.export_integer()
    except ValueError as exc:
        raise ModelError(f"layer {applied.name}: {reason(exc)}") from None
    return [_nmp_part(applied, part) for part in parts]


def _nmp_part(applied: Applied, part: dict[str, Any]) -> Step:
    kind = part.get("kind")
    if kind in ("dense", "convolution"):
        return _nmp_neurons(applied, part)
    if kind != "quantizer":
        raise ModelError(f"layer {applied.name} exports {kind!r}; dense, convolution and quantizer are known")
    if part["overflow"] != "SAT":
        raise ModelError(f"layer {applied.name}: overflow {part['overflow']} is not supported; use SAT")
    columns = [np.atleast_1d(part[k]) for k in ("signed", "bits", "frac")]
    try:
        own = [
            narrow(Quantizer.saturating(Fixed(bool(s), int(b), int(f)), part["rounding"], bool(part["relu"])))
            for s, b, f in zip(*columns, strict=True)
        ]
    except DesignError as exc:
        raise ModelError(f"layer {applied.name}: {reason(exc)}") from None
    count = math.prod(applied.output_shape)
    return Quant(applied.name, tuple(own) * (count // len(own)))


def _nmp_neurons(applied: Applied, part: dict[str, Any]) -> Dense:
    """Columns of weights, of a convolution at every position."""
    is_dense = part["kind"] == "dense"
    _units(applied) if is_dense else window(applied)  # what a layer cannot be comes before what its weights are
    columns = [np.asarray(part[k], np.int64) for k in ("weights", "weight_frac", "bias", "bias_frac")]
    weights, weight_frac, bias, bias_frac = columns
    bits = np.asarray(part["weight_bits"], np.float64)
    _check_predicted(applied, weights, weight_frac)
    if is_dense:
        return Dense(applied.name, weights, weight_frac, bits, bias, bias_frac)
    whole = unrolled(applied, tuple(applied.layer.kernel.shape), weights, weight_frac, bits)
    times = len(whole.bias) // len(bias)
    return replace(whole, bias=np.tile(bias, times), bias_frac=np.tile(bias_frac, times))


def _check_predicted(applied: Applied, weights: Any, weight_frac: Any) -> None:
    """Raise ModelError where a prediction's kernel is not the exported one (weights of a neuron x neurons)."""
    layer = applied.layer
    kernel = getattr(layer, "quantized_kernel", layer.kernel_quantizer_internal)
    found = predicted(kernel, layer.kernel).astype(np.float64).reshape(weights.shape)
    exported = np.ldexp(weights.astype(np.float64), -weight_frac)
    if not np.array_equal(found, exported):
        place = tuple(int(i) for i in np.argwhere(found != exported)[0])
        value = to_numpy(layer.kernel).reshape(weights.shape)[place]
        raise ModelError(
            f"layer {applied.name}, neuron {place[-1]}: the kernel value {value:g} is "
            f"{found[place]:g} in predictions, {exported[place]:g} as exported; {_RETRAIN}"
        )


def narrow(quantizer: Quantizer) -> Quantizer:
    """The same quantizer in the narrowest format that holds its range."""
    if quantizer.wraps:
        return quantizer
    fmt = Fixed.holding(quantizer.low, quantizer.high, quantizer.format.frac)
    return Quantizer(fmt, quantizer.rounding, quantizer.low, quantizer.high)


def _require_quantizer(applied: Applied) -> None:
    if not applied.layer.kernel_quantizer:
        raise ModelError(
            f"layer {applied.name} has no kernel_quantizer; give it one, such as quantized_bits(4,0,1,alpha=1)"
        )


def _qdense(applied: Applied) -> list[Step]:
    layer, name, units = applied.layer, applied.name, _units(applied)
    _require_quantizer(applied)
    kernel = quantized(name, "kernel", layer.kernel_quantizer_internal, layer.kernel)
    return _dense_steps(applied, kernel, *_qdense_bias(applied, units))


def _qdense_batchnorm(applied: Applied) -> list[Step]:
    """A QDense whose constants are folded with its statistics before they are quantized."""
    _units(applied)
    _require_quantizer(applied)
    kernel, bias = folded_constants(applied)
    return _dense_steps(applied, kernel.astype(np.float64), *_bias_steps(applied, bias.astype(np.float64)))


def _convolution(applied: Applied) -> list[Step]:
    """A convolution, plain or quantized: a row of weights per position and filter."""
    layer, name, kind = applied.layer, applied.name, applied.kind
    window(applied)  # what it cannot be comes before what its weights are
    if kind == "QConv2DBatchnorm":
        _require_quantizer(applied)
        folded, bias = folded_kernel(applied)
        return _quantized_convolution(
            applied, folded.astype(np.float64), bias.astype(np.float64), layer.kernel_quantizer_internal
        )
    if not kind.startswith("Q"):
        kernel = as_read(to_numpy(layer.kernel)).astype(np.float64)
        weights, frac = on_grid(name, "weights", by_filter(kind, kernel))
        own_bias = as_read(to_numpy(layer.bias)).astype(np.float64) if layer.use_bias else np.zeros(1)
        on_grid(name, "biases", own_bias[None, :])
        labels = np.array([needed_bits(column, 0.0) for column in weights.T], np.float64)
        return _convolved(applied, own_bias, unrolled(applied, kernel.shape, weights, frac, labels))
    which = "depthwise" if is_depthwise(kind) else "kernel"
    quantizer = getattr(layer, f"{which}_quantizer_internal")
    if not getattr(layer, f"{which}_quantizer"):
        raise ModelError(f"layer {name} has no {which}_quantizer; give it one, such as quantized_bits(4,0,1,alpha=1)")
    variable = layer.depthwise_kernel if is_depthwise(kind) else layer.kernel
    return _quantized_convolution(
        applied, quantized(name, "kernel", quantizer, variable), _plain_bias(applied), quantizer
    )


def _quantized_convolution(applied: Applied, kernel: Any, bias: Any, quantizer: Any) -> list[Step]:
    weights, frac = exact_matrix(by_filter(applied.kind, kernel), f"layer {applied.name}", _ALPHA)
    return _convolved(applied, bias, unrolled(applied, kernel.shape, weights, frac, _labels(quantizer, weights)))


def _convolved(applied: Applied, bias: Any, dense: Dense) -> list[Step]:
    """An unrolled convolution with a bias of each filter, and its activation."""
    count = len(dense.bias)
    mantissas, bias_frac, added = _bias_steps(applied, np.tile(bias, count // len(bias)))
    whole = replace(dense, bias=mantissas, bias_frac=bias_frac)
    return [whole, *added, *activation_steps(applied.name, applied.layer.activation, count)]


def _dense_steps(applied: Applied, kernel: Any, bias: Any, bias_frac: Any, added: list[Step]) -> list[Step]:
    layer, name = applied.layer, applied.name
    weights, frac = exact_matrix(kernel, f"layer {name}", _ALPHA)
    bits = _labels(layer.kernel_quantizer_internal, weights)
    dense = Dense(name, weights, frac, bits, bias, bias_frac)
    return [dense, *added, *activation_steps(name, layer.activation, len(frac))]


def quantized(name: str, what: str, quantizer: Any, variable: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What predictions make of a kernel or bias. Raises ModelError naming neuron and value where nothing certain."""
    values, kind = to_numpy(variable), type(quantizer).__name__
    found = predicted(quantizer, variable)
    first, second = (to_numpy(quantizer(variable)) for _ in range(2))
    if not np.isfinite(found).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
        raise ModelError(
            f"layer {name}, neuron {place[-1]}: {kind} makes {found[place]:g} of the {what} value {values[place]:g}; "
            f"{_RETRAIN}, or set alpha=1 in its {what}_quantizer"
        )
    if not np.array_equal(first, second, equal_nan=True):
        raise ModelError(f"layer {name}: {kind} gives other weights at every call; set use_stochastic_rounding=False")
    if not np.array_equal(first, found):
        place = tuple(int(i) for i in np.argwhere(first != found)[0])
        raise ModelError(
            f"layer {name}, neuron {place[-1]}: the {what} value {values[place]:g} is beyond what {kind} computes in "
            f"float32: {found[place]:g} in predictions, {first[place]:g} in eager calls; {_RETRAIN}"
        )
    return as_read(found).astype(np.float64)


def _qdense_bias(applied: Applied, units: int) -> tuple[Any, Any, list[Step]]:
    if not applied.layer.use_bias:
        return np.zeros(units, np.int64), np.zeros(units, np.int64), []
    return _bias_steps(applied, _plain_bias(applied))


def _plain_bias(applied: Applied) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What predictions add, quantized where the layer quantizes it."""
    layer = applied.layer
    if not layer.use_bias:
        return np.zeros(1)
    if layer.bias_quantizer:
        return quantized(applied.name, "bias", layer.bias_quantizer_internal, layer.bias)
    return as_read(to_numpy(layer.bias)).astype(np.float64)


def _bias_steps(applied: Applied, values: Any) -> tuple[Any, Any, list[Step]]:
    """A dense layer's bias as mantissas and fraction bits; floats of many bits as a step behind it instead."""
    layer, zeros = applied.layer, np.zeros(len(values), np.int64)
    parts = [exact_column(values[j : j + 1]) for j in range(len(values))]
    widest = max((abs(m).bit_length() for (m,), _ in parts), default=0)
    if getattr(layer, "bias_quantizer", None) or widest <= MAX_PLAIN_BIAS_BITS:
        remedy = "give it a bias_quantizer, such as quantized_bits(8,2,alpha=1)"
        bias, frac = exact_matrix(values[None, :], f"layer {applied.name}, bias", remedy)
        return bias[0], frac, []
    floats, ones = values.astype(np.float32), (Fraction(1),) * len(values)
    offset = tuple(Fraction(float(v)) for v in floats)
    return zeros, zeros, [Elementwise(applied.name, BIAS, lambda x: x + floats, ones, offset)]


def _labels(quantizer: Any, weights: Any) -> Any:
    """Width label per neuron: the quantizer's bits, or more where its values need a wider two's complement."""
    kind = type(quantizer).__name__
    bits = 1.0 if "binary" in kind else TERNARY_BITS if "ternary" in kind else float(quantizer.bits)
    return np.array([max(bits, needed_bits(column, bits)) for column in weights.T], np.float64)


_READERS: dict[str, Callable[[Applied], Sequence[Step]]] = {
    "QDense": _qdense,
    "QDenseBatchnorm": _qdense_batchnorm,
    "Dense": lambda a: plain_dense(a, _units(a)),
    "QActivation": lambda a: activation_steps(a.name, a.layer.activation, math.prod(a.output_shape)),
    "Activation": lambda a: activation_steps(a.name, a.layer.activation, math.prod(a.output_shape)),
    "ReLU": lambda a: activation_steps(a.name, a.layer, math.prod(a.output_shape)),
    "LeakyReLU": lambda a: activation_steps(a.name, a.layer, math.prod(a.output_shape)),
    "ELU": lambda a: activation_steps(a.name, a.layer, math.prod(a.output_shape)),
    "PReLU": lambda a: [Elementwise(a.name, a.kind, layer_function(a.layer, a.output_shape))],
    "HGQActivation": hgq_activation,
    "HGQDense": lambda a: hgq_dense(a, _units(a)),
    "HGQQuantizer": quantizer_steps,
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(AVERAGING, means),
    "Softmax": lambda a: [Softmax(a.name)],
    "BatchNormalization": lambda a: [normalization(a)],
    "QBatchNormalization": lambda a: [normalization(a)],
}
