"""A stored model's configuration as a list of layers that are known and safe to build; no Keras needed.

Nothing named in a file is ever looked up: class names select from the tables here, settings pass only as numbers, short
text and lists of numbers, and initializers, regularizers, constraints, custom objects and call arguments are left out,
since inference does not need them. So all generations of Keras and QKeras files come out the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flow.core.errors import ModelError
from flow.extract.remedies import DENSE, refusal
from flow.extract.stored_graph import LayerData, path_of
from flow.extract.windows import POOLS, SEPARABLE
from keras_models.layers.inactive import INACTIVE

MAX_UNITS = 1 << 16
MAX_KERNEL = 1 << 26
_LIMIT = 4096  # of any number among the settings
_WINDOW = ("kernel_size", "strides", "padding", "data_format", "dilation_rate")
_QUANTIZERS = ("kernel_quantizer", "bias_quantizer")
_TWO_KERNELS = ("depthwise_quantizer", "pointwise_quantizer", "bias_quantizer")
_NORM = ("axis", "epsilon", "center", "scale")
# class -> settings that inference needs; None: all plain ones
_SETTINGS: dict[str, tuple[str, ...] | None] = {
    "Flatten": (),
    "Reshape": ("target_shape",),
    "Activation": ("activation",),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "LeakyReLU": ("negative_slope",),
    "ELU": ("alpha",),
    "PReLU": ("shared_axes",),
    "Softmax": (),
    "BatchNormalization": ("axis", "epsilon", "center", "scale"),
    "QBatchNormalization": (
        "axis",
        "epsilon",
        "center",
        "scale",
        "beta_quantizer",
        "gamma_quantizer",
        "mean_quantizer",
        "variance_quantizer",
        "inverse_quantizer",
    ),
    "QDenseBatchnorm": (
        "units",
        "use_bias",
        "activation",
        "kernel_quantizer",
        "bias_quantizer",
        "axis",
        "epsilon",
        "center",
        "scale",
        "folding_mode",
    ),
    "Dense": ("units", "use_bias", "activation"),
    "QDense": ("units", "use_bias", "activation", "kernel_quantizer", "bias_quantizer"),
    "QActivation": ("activation",),
    "Add": (),
    "Subtract": (),
    "Average": (),
    "Multiply": (),
    "Concatenate": ("axis",),
    "Permute": ("dims",),
    "RepeatVector": ("n",),
    "Cropping1D": ("cropping",),
    "Rescaling": ("scale", "offset"),
    **{
        kind: (*_WINDOW, "filters", "groups", "use_bias", "activation", *(_QUANTIZERS if kind[0] == "Q" else ()))
        for kind in ("Conv1D", "Conv2D", "QConv1D", "QConv2D")
    },
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), (*_WINDOW, "depth_multiplier", "use_bias", "activation")),
    "QDepthwiseConv2D": (
        *_WINDOW,
        "depth_multiplier",
        "use_bias",
        "activation",
        "depthwise_quantizer",
        "bias_quantizer",
    ),
    **{
        kind: (*_WINDOW, "filters", "depth_multiplier", "use_bias", "activation", *(_TWO_KERNELS * (kind[0] == "Q")))
        for kind in sorted(SEPARABLE)
    },
    "QConv2DBatchnorm": (*_WINDOW, "filters", "use_bias", "activation", *_QUANTIZERS, *_NORM, "folding_mode"),
    **dict.fromkeys(sorted(POOLS), ("pool_size", "strides", "padding", "data_format")),
    "ZeroPadding1D": ("padding", "data_format"),
    "ZeroPadding2D": ("padding", "data_format"),
    "Cropping2D": ("cropping", "data_format"),
    "UpSampling1D": ("size",),
    "UpSampling2D": ("size", "data_format", "interpolation"),
    "HGQActivation": ("activation", "iq", "oq"),
    "HGQDense": ("units", "use_bias", "activation", "iq", "oq"),
    "HGQQuantizer": ("round_mode", "overflow_mode"),
    "NMPDense": None,
    **dict.fromkeys(("NMPConv1D", "NMPConv2D", "NMPDepthwiseConv1D", "NMPDepthwiseConv2D"), None),
    "NMPActivation": None,
    "NMPInputQuantizer": None,
}
KNOWN = frozenset(_SETTINGS)  # classes of layers that are read
QUANTIZERS = frozenset(
    "quantized_bits quantized_linear quantized_relu quantized_relu_po2 quantized_po2 quantized_tanh quantized_sigmoid "
    "quantized_ulaw quantized_hswish binary ternary stochastic_binary stochastic_ternary bernoulli".split()
)
_FUNCTIONS = frozenset(
    "linear relu softmax sigmoid tanh elu selu gelu silu softplus softsign hard_sigmoid exponential leaky_relu relu6 "
    "swish hard_tanh binary_tanh smooth_tanh smooth_sigmoid binary_sigmoid "
    "celu mish hard_silu hard_swish log_sigmoid squareplus soft_shrink hard_shrink tanh_shrink sparse_plus".split()
)
_CALL = re.compile(r"(\w+)\(([\w\s.,='\"+\-]*)\)\Z")


@dataclass(frozen=True)
class QuantizerSpec:
    """A QKeras quantizer by name and plain settings."""

    kind: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class LayerSpec:
    """A layer to build: class, name, plain settings (values may be `QuantizerSpec`)."""

    kind: str
    name: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class ModelSpec:
    """A chain of layers on an input of fixed shape (without the batch axis)."""

    name: str
    input_shape: tuple[int, ...]
    layers: tuple[LayerSpec, ...]

    @property
    def needs_qkeras(self) -> bool:
        """Whether QKeras, and with it TensorFlow, has to be imported."""
        return uses_qkeras(self.layers)


def uses_qkeras(layers: Iterable[LayerSpec]) -> bool:
    """Whether one of the layers is QKeras' own or holds one of its quantizers."""
    return any(
        layer.kind.startswith("Q") or any(isinstance(v, QuantizerSpec) for v in layer.settings.values())
        for layer in layers
    )


def model_spec(config: dict[str, Any]) -> ModelSpec:
    """The chain a configuration describes. Raises ModelError with the layer's name and the remedy."""
    name, shape, path = path_of(config)
    layers = tuple(layer_spec(data) for data in path)
    _check_sizes(shape, layers)
    return ModelSpec(name, shape, layers)


def layer_spec(data: LayerData) -> LayerSpec:
    """A stored layer with the settings that inference needs. Raises ModelError for one that is not known."""
    kind, name, config = data.kind, data.name, data.config
    if kind in INACTIVE:
        return LayerSpec("Identity", name, {})
    if kind not in _SETTINGS:
        raise ModelError(refusal(name, kind))
    _check_dtype(name, config.get("dtype"))
    wanted = _SETTINGS[kind]
    if wanted is None:
        left_out = ("name", "trainable", "dtype", "batch_input_shape", "batch_shape")
        wanted = tuple(k for k in config if k not in left_out and not k.endswith("_initializer"))
    settings = {key: _value(name, key, config[key]) for key in wanted if config.get(key) is not None}
    if isinstance(settings.get("axis"), list) and len(settings["axis"]) == 1:
        settings["axis"] = settings["axis"][0]  # Keras 2 wrote a list
    return LayerSpec(kind, name, settings)


def _check_dtype(name: str, dtype: Any) -> None:
    if isinstance(dtype, dict):
        inner = dtype.get("config")
        dtype = inner.get("name") if isinstance(inner, dict) else None
    if dtype not in (None, "float32"):
        raise ModelError(f"layer {name} computes in {dtype!r:.40}; build the model in float32")


def _value(layer: str, key: str, value: Any) -> Any:
    if key == "activation" or key.endswith("_quantizer"):
        return _quantizer(layer, key, value)
    return _plain(layer, key, value)


def _plain(layer: str, key: str, value: Any, depth: int = 0) -> Any:
    limit = MAX_UNITS if key in ("units", "target_shape") else _LIMIT
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= limit:  # neither NaN nor infinity
        return value
    if isinstance(value, str) and len(value) <= 64:
        return value
    if isinstance(value, list) and len(value) <= MAX_UNITS and depth < 4:
        return [_plain(layer, key, item, depth + 1) for item in value]
    raise ModelError(f"layer {layer}: setting {key} = {value!r:.60} is not usable; rebuild and save the model")


def _quantizer(layer: str, key: str, value: Any) -> Any:
    """A function's name, a quantizer call as text, or a serialized quantizer."""
    if isinstance(value, str):
        match = _CALL.match(value)
        called = match[1] if match else value
        known = called in QUANTIZERS if match else called in QUANTIZERS | _FUNCTIONS
        if known and len(value) <= 256:
            return value
        raise ModelError(f"layer {layer}: {key} {value!r:.60} is unknown; use quantized_bits or quantized_relu")
    if isinstance(value, dict):
        kind = str(value.get("class_name", "")).rpartition(">")[2]
        settings = value.get("config")
        if kind in QUANTIZERS and isinstance(settings, dict):
            plain = {str(k): _plain(layer, f"{key}.{k}", v) for k, v in settings.items()}
            return QuantizerSpec(kind, plain)
        if kind == "function" and isinstance(settings, str):
            return _quantizer(layer, key, settings)
    raise ModelError(f"layer {layer}: {key} {value!r:.60} is unknown; use quantized_bits or quantized_relu")


def _check_sizes(shape: tuple[int, ...], layers: tuple[LayerSpec, ...]) -> None:
    """Refuse sizes no hardware has before anything of that size is made."""
    total = 0
    for layer in layers:
        if layer.kind == "Flatten":
            shape = (math.prod(shape),)
        elif layer.kind == "Reshape":
            shape = reshaped(layer.name, layer.settings.get("target_shape"), shape)
        elif layer.kind in (*DENSE, "Dense", "HGQDense"):
            units = layer.settings.get("units")
            if isinstance(units, bool) or not isinstance(units, int) or not 0 < units <= MAX_UNITS:
                raise ModelError(f"layer {layer.name} has {units!r:.40} units; 1 to {MAX_UNITS} are possible")
            total += units * (shape[-1] + 1)
            shape = (*shape[:-1], units)
            if total > MAX_KERNEL:
                raise ModelError(f"layer {layer.name} brings the model above {MAX_KERNEL} weights; make it smaller")


def reshaped(name: str, target: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape behind a Reshape to a stored target. Raises ModelError where it is none."""
    if not isinstance(target, list) or not all(isinstance(t, int) and (t > 0 or t == -1) for t in target):
        raise ModelError(f"layer {name[:64]} has target shape {target!r:.40}; use whole numbers")
    known = math.prod(t for t in target if t > 0)
    if target.count(-1) > 1 or math.prod(shape) % known or (-1 not in target and known != math.prod(shape)):
        raise ModelError(f"layer {name[:64]} cannot reshape {shape} to {target}; correct its target shape")
    return tuple(t if t > 0 else math.prod(shape) // known for t in target)
