"""The tabular transformer (TabFormer, arXiv 2011.01843) with a quantized layer for every dense projection.

Fields of a row become tokens; an encoder over the columns relates them; each row becomes one vector, and with a window
of rows an encoder over the rows relates these. The newest row's vector gives the output. Layers are normalised before
each part of a block (pre-norm), which trains without warm-up. Every dense projection is a layer of the functional model
and is fed by a quantizer, so it can become hardware by itself; embeddings, layer norms and softmax stay in float.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_models.layers.activations import NMPActivation
from keras_models.layers.counts import luts_of_export
from keras_models.layers.dense import NMPDense
from keras_models.layers.export import precision_layers
from keras_models.layers.tokens import FieldEmbedding, PositionEmbedding, TokenAttention
from keras_models.methods.catalog import Method, ModelSpec, uniform_quantizers
from keras_models.quantizers.exact import to_numpy

Tensor = Any
UNIFORM_INTEGER = 2  # integer bits of uniform activations: layer norms leave few values beyond 4


@dataclass(frozen=True)
class TabSpec(ModelSpec):
    """`ModelSpec` of a tabular transformer; ``hidden`` is (token width, row width), ``inputs`` the features of a row.

    ``categories``: features of each categorical field, the last ones of a row. ``window``: rows of an input.
    ``calibration`` (..., features) gives the bins of the field embeddings.
    """

    categories: tuple[int, ...] = ()
    window: int = 1
    heads: int = 2
    blocks: int = 1


@dataclass(frozen=True)
class Parts:
    """How a method makes its layers.

    ``quantize(name)`` makes the layer that quantizes a signal, or None; ``dense(units, name, relu, seed)`` the list of
    layers of a projection, with its ReLU and that one's quantizer where asked for.
    """

    quantize: Callable[[str], keras.layers.Layer | None]
    dense: Callable[[int, str, bool, int], list[keras.layers.Layer]]


def build_tabformer(spec: TabSpec, parts: Parts) -> keras.Model:
    """The model: (batch, features) or (batch, window, features) to (batch, outputs).

    Raises ValueError for sizes that do not fit together.
    """
    if len(spec.hidden) != 2 or any(size % spec.heads for size in spec.hidden) or min(spec.window, spec.blocks) < 1:
        raise ValueError(f"a tabular transformer takes two sizes, token width and row width, both multiples of its "
                         f"{spec.heads} heads, and at least 1 block and row; got {list(spec.hidden)}")  # fmt: skip
    width, row_width = spec.hidden
    add = _Builder(spec, parts)
    rows = (spec.window,) if spec.window > 1 else ()
    first = keras.Input((*rows, spec.inputs), name="features")
    fields = FieldEmbedding(width, spec.inputs - sum(spec.categories), spec.categories, name="fields")
    tokens = fields(first)
    for number in range(spec.blocks):
        tokens = add.block(tokens, f"columns_{number}", width)
    tokens = keras.layers.LayerNormalization(name="columns_norm")(tokens)
    x = keras.layers.Reshape((*rows, -1), name="joined")(tokens)
    x = add.dense(add.quantized(x, "joined_quantize"), row_width, "row_embedding", relu=True)
    if spec.window > 1:
        x = PositionEmbedding(name="positions")(x)
        for number in range(spec.blocks):
            x = add.block(x, f"rows_{number}", row_width)
        x = keras.layers.Cropping1D((spec.window - 1, 0), name="newest")(x)
        x = keras.layers.Reshape((row_width,), name="row")(x)
        x = keras.layers.LayerNormalization(name="row_norm")(x)
        x = add.quantized(x, "row_quantize")
    model = keras.Model(first, add.dense(x, spec.outputs, "output"), name="tabformer")
    fields.adapt(spec.calibration)
    return model


class _Builder:
    """Adds layers, counting projections for their seeds."""

    def __init__(self, spec: TabSpec, parts: Parts) -> None:
        self.spec, self.parts, self.count = spec, parts, 0

    def quantized(self, x: Tensor, name: str) -> Tensor:
        layer = self.parts.quantize(name)
        return x if layer is None else layer(x)

    def dense(self, x: Tensor, units: int, name: str, relu: bool = False) -> Tensor:
        self.count += 1
        for layer in self.parts.dense(units, name, relu, 1000 * self.spec.seed + self.count):
            x = layer(x)
        return x

    def block(self, x: Tensor, name: str, width: int) -> Tensor:
        """Attention and feed-forward, each normalised before and added to what it saw."""
        seen = self.quantized(keras.layers.LayerNormalization(name=f"{name}_norm")(x), f"{name}_quantize")
        query, key, value = (self.dense(seen, width, f"{name}_{role}") for role in ("query", "key", "value"))
        context = TokenAttention(self.spec.heads, name=f"{name}_attention")([query, key, value])
        context = self.quantized(context, f"{name}_context_quantize")
        x = keras.layers.Add(name=f"{name}_add")([x, self.dense(context, width, f"{name}_context")])
        seen = keras.layers.LayerNormalization(name=f"{name}_feed_norm")(x)
        seen = self.quantized(seen, f"{name}_feed_quantize")
        inner = self.dense(seen, 2 * width, f"{name}_expand", relu=True)
        return keras.layers.Add(name=f"{name}_feed_add")([x, self.dense(inner, width, f"{name}_contract")])


def _kernel(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=seed)


def _build_nmp(spec: TabSpec) -> keras.Model:
    def dense(units: int, name: str, relu: bool, seed: int) -> list[keras.layers.Layer]:
        own = "relu" if relu and not spec.weights_only else None
        layer = NMPDense(units, activation=own, mode=spec.mode, kernel_initializer=_kernel(seed), name=name)
        return [layer, keras.layers.ReLU(name=f"{name}_relu")] if relu and spec.weights_only else [layer]

    def quantize(name: str) -> keras.layers.Layer | None:
        return None if spec.weights_only else NMPActivation("linear", mode=spec.mode, name=name)

    return build_tabformer(spec, Parts(quantize, dense))


def _describe_nmp(model: keras.Model) -> tuple[float | None, dict[str, Any]]:
    """LUTs with every projection built once (None when activations are float), and widths over all projections."""
    luts, kernels, labels, widths = 0.0, [], [], []
    quantized = False
    for layer in precision_layers(model):
        parts = layer.export_integer()
        if isinstance(layer, NMPDense):
            source = layer.upstream.export_integer()[-1:] if layer.upstream is not None else []
            luts += luts_of_export([*source, *parts])
            kernels.append(parts[0]["weights"])
            labels.append(parts[0]["weight_bits"])
        if parts[-1]["kind"] == "quantizer":
            quantized = True
            widths.append(parts[-1]["bits"])
    statistics = _widths(kernels, labels)
    statistics["mean_activation_bits"] = float(np.concatenate(widths).mean()) if quantized else 32.0
    statistics["zero_weights"] = float(sum((k == 0).sum() for k in kernels) / sum(k.size for k in kernels))
    return luts if quantized else None, statistics


def _widths(kernels: list[np.ndarray], labels: list[np.ndarray]) -> dict[str, Any]:
    """Mean width of all weights, and the number of neurons by width, from kernels and the widths of their columns."""
    total = sum(label.sum() * len(kernel) for kernel, label in zip(kernels, labels, strict=True))
    found, counts = np.unique(np.concatenate(labels), return_counts=True)
    return {
        "mean_weight_bits": float(total / sum(kernel.size for kernel in kernels)),
        "weight_bits_histogram": {f"{w:g}": int(c) for w, c in zip(found, counts, strict=True)},
    }


def _build_float(spec: TabSpec) -> keras.Model:
    def dense(units: int, name: str, relu: bool, seed: int) -> list[keras.layers.Layer]:
        own = "relu" if relu else None
        return [keras.layers.Dense(units, activation=own, kernel_initializer=_kernel(seed), name=name)]

    return build_tabformer(spec, Parts(lambda name: None, dense))


def _build_uniform(spec: TabSpec) -> keras.Model:
    uniform_quantizers(spec.bits)
    import qkeras

    signed = partial(qkeras.quantized_bits, max(4, int(np.ceil(spec.bits))), UNIFORM_INTEGER, 1, alpha=1)

    def dense(units: int, name: str, relu: bool, seed: int) -> list[keras.layers.Layer]:
        weights, activation = uniform_quantizers(spec.bits)
        bias = qkeras.quantized_bits(16, 7, 1, alpha=1)
        layer = qkeras.QDense(units, kernel_quantizer=weights, bias_quantizer=bias, kernel_initializer=_kernel(seed),
                              name=name)  # fmt: skip
        after = keras.layers.ReLU if spec.weights_only else partial(qkeras.QActivation, activation)
        return [layer, after(name=f"{name}_relu")] if relu else [layer]

    def quantize(name: str) -> keras.layers.Layer | None:
        return None if spec.weights_only else qkeras.QActivation(signed(), name=name)

    return build_tabformer(spec, Parts(quantize, dense))


def _describe_fixed(model: keras.Model) -> tuple[float | None, dict[str, Any]]:
    """Widths of a model that learns none: QKeras layers by their quantizers, plain ones at 32 bits."""
    from keras_models.layers.qkeras_bridge import width_label

    dense = [layer for layer in model.layers if type(layer).__name__ in ("QDense", "Dense")]
    widths = [width_label(la.kernel_quantizer_internal) if hasattr(la, "kernel_quantizer") else 32.0 for la in dense]
    labels = [np.full(layer.units, width) for layer, width in zip(dense, widths, strict=True)]
    statistics = _widths([to_numpy(layer.kernel) for layer in dense], labels)
    activations = [float(la.activation.bits) for la in model.layers if type(la).__name__ == "QActivation"]
    statistics["mean_activation_bits"] = float(np.mean(activations)) if activations else 32.0
    return None, statistics


METHODS: dict[str, Method] = {
    "nmp": Method(_build_nmp, _describe_nmp, learns_bits=True),
    "uniform": Method(_build_uniform, _describe_fixed),
    "float": Method(_build_float, _describe_fixed),
}
