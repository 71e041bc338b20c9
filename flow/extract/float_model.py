"""A stored Keras model of floats as a chain of dense layers and convolutions, from its JSON and arrays; without Keras.

Scales between dense layers (BatchNormalization, Normalization, Rescaling) are folded into the next or the last one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.nodes import Window
from flow.extract import stored_model
from flow.extract.config import KNOWN, reshaped
from flow.extract.remedies import IGNORED, refusal
from flow.extract.stored_calls import line_of
from flow.extract.stored_graph import LayerData
from flow.extract.stored_layout import Array
from flow.extract.stored_model import StoredModel
from flow.extract.windows import AVERAGING, MAXIMA, is_depthwise, pooled, require_size, weights_met, window_of
from keras_models.quantize.chain import FloatChain, FloatDense, Windows

Floats = NDArray[np.float64]
ENDINGS = ("softmax", "sigmoid", "tanh", "softsign", "softplus")  # rise with their input, so that a class stays one
_TAKES = "--quantize takes dense layers, convolutions and pools with ReLU or nothing between them"
_UNSUITED = f"{_TAKES}: train it with ReLU, or quantized, with QDense and a QActivation behind the function"
_CURVES = ("ELU", "LeakyReLU", "PReLU", "ThresholdedReLU")


def float_chain(path: Path | str | StoredModel) -> FloatChain:
    """The dense layers of a float model's file, of Keras or ONNX. Raises ModelError naming layer and remedy."""
    if not isinstance(path, StoredModel) and str(path).endswith(".onnx"):
        from flow.extract.onnx import floats  # needs more than the default installation

        return floats.onnx_chain(path)
    stored = path if isinstance(path, StoredModel) else stored_model.read(path)
    try:
        name, shape, calls = line_of(stored.config)
        builder = ChainBuilder(math.prod(shape), shape)
        for call in calls:
            _add(builder, call.layer, stored.weights.get(call.key, ()))
        return builder.chain(name)
    except ModelError as exc:
        raise ModelError(f"{stored.path}: {exc}") from None


@dataclass
class ChainBuilder:
    """Takes dense layers, scales and activations in data-flow order and folds the scales. All raise ModelError."""

    width: int
    shape: tuple[int, ...] = ()  # of the signal: pixels, then channels
    layers: list[FloatDense] = field(default_factory=list)
    left_out: str = ""
    notes: list[str] = field(default_factory=list)
    _scale: tuple[Floats, Floats] | None = None  # waits for the next dense layer
    _ended: str = ""  # the layer whose activation can only be the last

    def dense(self, name: str, kernel: Floats, bias: Floats) -> None:
        """A dense layer (inputs, units)."""
        self._go_on()
        if kernel.ndim != 2 or len(kernel) != self.width or bias.shape != kernel.shape[1:]:
            raise ModelError(f"layer {name[:64]} has a kernel of shape {kernel.shape} for {self.width} inputs")
        if self._scale is not None:
            scale, offset = self._scale
            kernel, bias, self._scale = scale[:, None] * kernel, bias + offset @ kernel, None
        self._append(FloatDense(name, kernel, bias))
        self.width = kernel.shape[1]
        self.shape = (self.width,)

    def filters(
        self, name: str, seen: Window, padding: str, kernel: Floats, bias: Floats, depthwise: bool = False
    ) -> None:
        """A convolution, or a pool of means: kernel as Keras has it, a bias per filter.

        It is unrolled where its window, or the scale in front of it, is not the same at every position.
        """
        self._go_on()
        channels = seen.shape[-1]
        own = 1 if depthwise else int(kernel.shape[-2])
        columns = kernel.reshape(-1, math.prod(kernel.shape[-2:]) if depthwise else kernel.shape[-1])
        bias = np.broadcast_to(bias, columns.shape[1:])
        folded = self._folded(columns, bias, own, channels, bool((seen.pixels() < 0).any()))
        if padding not in ("valid", "same") or folded is None:
            met = weights_met(name, seen, tuple(kernel.shape), depthwise)
            require_size(name, *met.shape)
            self.dense(name, np.where(met >= 0, kernel.ravel()[met], 0.0), np.tile(bias, math.prod(seen.positions)))
        else:
            windows = Windows(seen.shape, seen.size, seen.strides, seen.dilation, padding, seen.pixels(),
                              channels // own)  # fmt: skip
            self._scale = None
            self._append(FloatDense(name, *folded, windows=windows))
        self.shape = (*seen.positions, columns.shape[1])
        self.width = math.prod(self.shape)

    def _append(self, layer: FloatDense) -> None:
        for what, values in (("kernel", layer.kernel), ("bias", layer.bias)):
            if not np.isfinite(values).all():
                raise ModelError(
                    f"layer {layer.name[:64]}: its {what} holds NaN or infinity; load an earlier checkpoint"
                )
        self.layers.append(layer)

    def _folded(
        self, columns: Floats, bias: Floats, own: int, channels: int, padded: bool
    ) -> tuple[Floats, Floats] | None:
        """Columns of a convolution behind the scale of each channel; None where that differs between positions."""
        if self._scale is None:
            return columns, bias
        scale, offset = (part.reshape(-1, channels) for part in self._scale)
        if (scale != scale[0]).any() or (offset != offset[0]).any() or (padded and offset.any()):
            return None
        groups = channels // own
        met = np.tile(np.arange(own), len(columns) // own)[:, None]
        met = met + own * (np.arange(columns.shape[1]) // (columns.shape[1] // groups))
        return scale[0][met] * columns, bias + (offset[0][met] * columns).sum(axis=0)

    def maxima(self, name: str, seen: Window, padding: str) -> None:
        """A pool of maxima behind a layer."""
        self._go_on()
        last = self.layers[-1] if self.layers else None
        if last is None or last.pool is not None or self._scale is not None or seen.shape[-1] != len(last.bias):
            raise ModelError(
                f"layer {name[:64]} takes maxima of what is not a convolution's, with ReLU or nothing behind it; put "
                "normalizations before the ReLU, and one pool behind a layer"
            )
        pool = Windows(seen.shape, seen.size, seen.strides, seen.dilation, padding, seen.pixels())
        self.layers[-1] = replace(last, pool=pool)
        self.shape = (*seen.positions, seen.shape[-1])
        self.width = math.prod(self.shape)

    def affine(self, name: str, scale: Floats, offset: Floats) -> None:
        """``x * scale + offset`` of every element or channel."""
        self._go_on()
        if self.width % max(scale.size, 1) or not (np.isfinite(scale).all() and np.isfinite(offset).all()):
            raise ModelError(
                f"layer {name[:64]} scales {scale.size} channels of {self.width} elements, or not finitely"
            )
        scale, offset = (part.ravel() for part in np.broadcast_arrays(scale, offset))
        last = self.layers[-1] if self.layers else None
        units = 0 if last is None else len(last.bias)
        by_unit = units > 0 and units % scale.size == 0
        own = tuple(np.tile(part, units // part.size) for part in (scale, offset)) if by_unit else None
        scale, offset = (np.tile(part, self.width // part.size) for part in (scale, offset))
        if last is not None and own is not None and not last.relu and (last.pool is None or (own[0] > 0).all()):
            self.layers[-1] = replace(last, kernel=last.kernel * own[0], bias=last.bias * own[0] + own[1])
        elif self._scale is not None:
            self._scale = self._scale[0] * scale, self._scale[1] * scale + offset
        else:
            self._scale = scale, offset

    def activation(self, name: str, kind: str) -> None:
        """A function of every element by its Keras name."""
        if kind in ("linear", ""):
            return
        self._go_on()
        if kind == "relu" and self.layers and self._scale is None:
            self.layers[-1] = replace(self.layers[-1], relu=True)
        elif kind in ENDINGS and self.layers and self._scale is None:
            self.left_out, self._ended = kind, name
        else:
            raise ModelError(f"layer {name[:64]}: activation {kind[:32]} is there; {_UNSUITED}")

    def _go_on(self) -> None:
        if self._ended:
            raise ModelError(f"layer {self._ended[:64]}: activation {self.left_out} is inside the model; {_UNSUITED}")

    def chain(self, name: str) -> FloatChain:
        """The finished chain."""
        if not self.layers:
            raise ModelError("the model has no dense layer, so there is nothing to quantize")
        if self._scale is not None or self.layers[-1].relu:  # one more layer, of the scale or of nothing
            scale, offset = self._scale or (np.ones(self.width), np.zeros(self.width))
            self._scale = None
            self.layers.append(FloatDense("scaled_outputs", np.diag(scale), offset))
        return FloatChain(name, tuple(self.layers), self.left_out, tuple(self.notes))


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
        return f"{what}; {_UNSUITED}"
    return f"{what}; {_TAKES}: train it quantized, with QKeras' layers" if kind in KNOWN else refusal(name, kind)


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
    **dict.fromkeys(AVERAGING, _means),
    **dict.fromkeys(MAXIMA, _maxima),
    "BatchNormalization": _batchnorm,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Activation": lambda b, la, w: b.activation(la.name, _function(la)),
    "ReLU": lambda b, la, w: b.activation(la.name, _relu_name(la.config)),
    "Softmax": lambda b, la, w: b.activation(la.name, "softmax"),
}
