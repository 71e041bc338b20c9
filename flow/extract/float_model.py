"""A stored Keras model of floats as a chain of dense layers and convolutions, from its JSON and arrays; without Keras.

Scales between dense layers (BatchNormalization, Normalization, Rescaling) are folded into the next or the last one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.nodes import Window
from flow.extract import stored_model
from flow.extract.chain_builder import TAKES, UNSUITED, ChainBuilder
from flow.extract.config import KNOWN, reshaped
from flow.extract.remedies import IGNORED, refusal
from flow.extract.stored_calls import line_of
from flow.extract.stored_graph import LayerData
from flow.extract.stored_layout import Array
from flow.extract.stored_model import StoredModel
from flow.extract.windows import (
    AVERAGING,
    MAXIMA,
    REPEATS,
    TooLarge,
    is_depthwise,
    pooled,
    repeating,
    require_size,
    window_of,
)
from keras_models.quantize.chain import FloatChain

Floats = NDArray[np.float64]
_CURVES = ("ELU", "LeakyReLU", "PReLU", "ThresholdedReLU")


def float_chain(path: Path | str | StoredModel, streams: bool = False) -> FloatChain:
    """The dense layers and convolutions of a float model's file, of Keras or ONNX.

    If it ``streams``, or is too large otherwise, convolutions stay convolutions behind any scale of their channels.
    Raises ModelError naming layer and remedy.
    """
    if not isinstance(path, StoredModel) and str(path).endswith(".onnx"):
        from flow.extract.onnx import floats  # needs more than the default installation

        return floats.onnx_chain(path, streams)
    stored = path if isinstance(path, StoredModel) else stored_model.read(path)
    try:
        try:
            return _chain(stored, streams)
        except TooLarge:
            if streams:
                raise
            return _chain(stored, True)
    except ModelError as exc:
        raise ModelError(f"{stored.path}: {exc}") from None


def _chain(stored: StoredModel, streams: bool) -> FloatChain:
    name, shape, calls = line_of(stored.config)
    builder = ChainBuilder(math.prod(shape), shape, streams=streams)
    for call in calls:
        _add(builder, call.layer, stored.weights.get(call.key, ()))
    return builder.chain(name)


def _add(builder: ChainBuilder, layer: LayerData, weights: tuple[Array, ...]) -> None:
    reader = _READERS.get(layer.kind)
    if layer.kind in IGNORED:
        if layer.kind == "Flatten":
            builder.shape = (builder.width,)
        elif layer.kind == "Reshape":
            builder.shape = reshaped(layer.name, layer.config.get("target_shape"), builder.shape)
        return
    if reader is None:
        raise ModelError(_unsuited(layer.name[:64], layer.kind[:64]))
    try:
        reader(builder, layer, tuple(np.asarray(w, np.float64) for w in weights))
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as exc:
        raise ModelError(
            f"layer {layer.name[:64]} ({layer.kind}) does not fit what is stored ({str(exc)[:80]}); save it again"
        ) from None


def _unsuited(name: str, kind: str) -> str:
    """The line that refuses a layer that no float chain has."""
    what = f"layer {name} is a {kind}"
    if kind.startswith(("Q", "NMP", "FixedPoint", "HQuantize", "HDense")):
        return f"{what}; the model is quantized already: build it without --quantize"
    if kind in _CURVES:
        return f"{what}; {UNSUITED}"
    return f"{what}; {TAKES}: train it quantized, with QKeras' layers" if kind in KNOWN else refusal(name, kind)


def _dense(builder: ChainBuilder, layer: LayerData, weights: tuple[Floats, ...]) -> None:
    kernel = weights[0]
    bias = weights[1] if layer.config.get("use_bias", True) else np.zeros(kernel.shape[-1])
    around = builder.shape[:-1] if kernel.ndim == 2 and builder.shape[-1:] == kernel.shape[:1] else ()
    if around:  # every place sees the same weights, as those of a convolution of size 1
        count = math.prod(around)
        require_size(layer.name, builder.width, count * bias.size)
        kernel, bias = np.asarray(np.kron(np.eye(count), kernel), np.float64), np.tile(bias, count)
    builder.dense(layer.name, kernel, bias)
    builder.shape = (*around, builder.width // math.prod(around))
    builder.activation(layer.name, _function(layer))


def _convolution(builder: ChainBuilder, layer: LayerData, weights: tuple[Floats, ...]) -> None:
    kernel, seen = weights[0], window_of(layer.name, layer.kind, layer.config, builder.shape)
    bias = weights[1] if layer.config.get("use_bias", True) else np.zeros(1)
    builder.filters(layer.name, seen, _padding(layer), kernel, bias, is_depthwise(layer.kind))
    builder.activation(layer.name, _function(layer))


def _separable(builder: ChainBuilder, layer: LayerData, weights: tuple[Floats, ...]) -> None:
    depthwise, pointwise = weights[:2]
    seen = window_of(layer.name, layer.kind, layer.config, builder.shape)
    builder.filters(f"{layer.name}_depthwise", seen, _padding(layer), depthwise, np.zeros(1), depthwise=True)
    bias = weights[2] if layer.config.get("use_bias", True) else np.zeros(1)
    builder.filters(layer.name, Window.pixel(builder.shape), "valid", pointwise, bias)
    builder.activation(layer.name, _function(layer))


def _means(builder: ChainBuilder, layer: LayerData, weights: tuple[Floats, ...]) -> None:
    seen = window_of(layer.name, layer.kind, layer.config, builder.shape)
    if not (seen.pixels() < 0).any():  # else there are fewer values at the borders
        kernel = np.full((*seen.size, seen.shape[-1], 1), 1 / math.prod(seen.size))
        builder.filters(layer.name, seen, "valid", kernel, np.zeros(1), depthwise=True)
        return
    require_size(layer.name, builder.width, math.prod(seen.positions) * seen.shape[-1])
    inside = pooled(seen)
    builder.dense(layer.name, inside / inside.sum(axis=0), np.zeros(inside.shape[1]))
    builder.shape = (*seen.positions, seen.shape[-1])


def _maxima(builder: ChainBuilder, layer: LayerData, weights: tuple[Floats, ...]) -> None:
    seen = window_of(layer.name, layer.kind, layer.config, builder.shape)
    builder.maxima(layer.name, seen, _padding(layer))


def _repeated(builder: ChainBuilder, layer: LayerData, weights: tuple[Floats, ...]) -> None:
    builder.repeat(layer.name, repeating(layer.name, layer.kind, layer.config, builder.shape))


def _padding(layer: LayerData) -> str:
    return str(layer.config.get("padding") or "valid").lower()


def _function(layer: LayerData) -> str:
    """The name of an activation, however it is stored."""
    found = layer.config.get("activation")
    if isinstance(found, dict):
        inner = found.get("config")
        kind = str(found.get("class_name", "")).rpartition(">")[2]
        if kind == "ReLU" and isinstance(inner, dict):
            return _relu_name(inner)
        found = inner if kind == "function" else kind
    return str(found or "linear")


def _relu_name(config: dict[str, Any]) -> str:
    unusual = config.get("max_value") is not None or config.get("negative_slope") or config.get("threshold")
    return "relu with a bound or slope" if unusual else "relu"


def _batchnorm(builder: ChainBuilder, layer: LayerData, weights: tuple[Floats, ...]) -> None:
    config, rest = layer.config, list(weights)
    gamma = rest.pop(0) if config.get("scale", True) else 1.0
    beta = rest.pop(0) if config.get("center", True) else 0.0
    mean, variance = rest
    scale = gamma / np.sqrt(variance + float(config.get("epsilon", 1e-3)))
    builder.affine(layer.name, scale, beta - mean * scale)


def _normalization(builder: ChainBuilder, layer: LayerData, weights: tuple[Floats, ...]) -> None:
    if len(weights) >= 2:
        mean, variance = (w.ravel() for w in weights[:2])
    else:
        mean, variance = (np.asarray(layer.config[key], np.float64).ravel() for key in ("mean", "variance"))
    scale = 1.0 / np.maximum(np.sqrt(variance), 1e-7)
    builder.affine(layer.name, scale, -mean * scale)


def _rescaling(builder: ChainBuilder, layer: LayerData, weights: tuple[Floats, ...]) -> None:
    scale, offset = (np.atleast_1d(np.asarray(layer.config[key], np.float64)) for key in ("scale", "offset"))
    builder.affine(layer.name, *np.broadcast_arrays(scale, offset))


_READERS: dict[str, Callable[[ChainBuilder, LayerData, tuple[Floats, ...]], None]] = {
    "Dense": _dense,
    **dict.fromkeys(("Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D"), _convolution),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
    **dict.fromkeys(AVERAGING, _means),
    **dict.fromkeys(MAXIMA, _maxima),
    **dict.fromkeys(REPEATS, _repeated),
    "BatchNormalization": _batchnorm,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Activation": lambda b, la, w: b.activation(la.name, _function(la)),
    "ReLU": lambda b, la, w: b.activation(la.name, _relu_name(la.config)),
    "Softmax": lambda b, la, w: b.activation(la.name, "softmax"),
}
