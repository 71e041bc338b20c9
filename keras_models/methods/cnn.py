"""Convolutional networks of flat rows, as each method builds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_models.layers.activations import NMPInputQuantizer
from keras_models.layers.convolution import NMPConv1D, NMPConv2D, NMPDepthwiseConv1D, NMPDepthwiseConv2D
from keras_models.layers.counts import luts_of_export
from keras_models.layers.dense import NMPDense
from keras_models.loop.stage import Stage
from keras_models.methods import mlp
from keras_models.methods.catalog import (
    Method,
    ModelSpec,
    describe_float,
    describe_nmp,
    uniform_figures,
    uniform_quantizers,
)
from keras_models.methods.cnn_layers import Part
from keras_models.quantizers.exact import to_numpy


@dataclass(frozen=True)
class CnnSpec(ModelSpec):
    """`ModelSpec` of a convolutional network: ``image`` is the shape of a row, channels last, ``parts`` its layers."""

    image: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()


Maker = Callable[[Part, str, Any, bool], Sequence[keras.layers.Layer]]


def build(spec: CnnSpec, first: Sequence[keras.layers.Layer], make: Maker, name: str) -> keras.Model:
    """The network of flat rows. ``first`` follow the image; ``make`` gives the layers of a part, by name, initializer
    of its kernel, and whether it is the output. Raises ValueError where a window does not fit.
    """
    if math.prod(spec.image) != spec.inputs:
        raise ValueError(
            f"an image of {'x'.join(map(str, spec.image))} does not hold the {spec.inputs} inputs of a row"
        )
    model = keras.Sequential([mlp.features(spec.inputs), keras.layers.Reshape(spec.image, name="image"), *first])
    model.name = name
    pool = keras.layers.MaxPooling2D if len(spec.image) == 3 else keras.layers.MaxPooling1D
    places = [*enumerate(spec.parts), (len(spec.parts), Part("dense", spec.outputs))]
    for number, part in places:
        last = number == len(spec.parts)
        initializer = keras.initializers.HeNormal(seed=(1000 * spec.seed + number) % (1 << 32))
        if part.kind != "pool" and min((s for s in model.output_shape[1:-1]), default=part.size) < part.size:
            _refuse(part, number, model.output_shape)
        if part.kind == "dense" and len(model.output_shape) > 2:
            model.add(keras.layers.Flatten(name="flatten"))
        if part.kind == "pool":
            model.add(pool(part.size, name=f"pool_{number}", **part.window))
        else:
            for layer in make(part, "output" if last else f"{part.kind}_{number}", initializer, last):
                model.add(layer)
        if 0 in model.output_shape[1:]:
            _refuse(part, number, model.output_shape)
    return model


def _refuse(part: Part, number: int, shape: tuple[int | None, ...]) -> None:
    raise ValueError(f"layer {number} ({part.kind}) has a window of {part.size}, too large for the "
                     f"{'x'.join(map(str, shape[1:-1]))} pixels there; add :same or leave out a pool")  # fmt: skip


def _build_nmp(spec: CnnSpec) -> keras.Model:
    conv, depthwise = (NMPConv2D, NMPDepthwiseConv2D) if len(spec.image) == 3 else (NMPConv1D, NMPDepthwiseConv1D)

    def make(part: Part, name: str, initializer: Any, last: bool) -> list[keras.layers.Layer]:
        own = {"activation": None if last else "relu", "mode": spec.mode, "name": name,
               "kernel_initializer": initializer, **spec.dense}  # fmt: skip
        if part.kind == "dense":
            return [NMPDense(part.units, **own)]
        if part.kind == "depthwise":
            return [depthwise(part.size, **part.window, **own)]
        return [conv(part.units, part.size, **part.window, **own)]

    model = build(spec, [NMPInputQuantizer(name=mlp.QUANTIZER)], make, "nmp_cnn")
    model.get_layer(mlp.QUANTIZER).adapt(np.reshape(spec.calibration, (-1, *spec.image)))
    return model


def _build_float(spec: CnnSpec) -> keras.Model:
    names = ("Conv2D", "DepthwiseConv2D") if len(spec.image) == 3 else ("Conv1D", "DepthwiseConv1D")
    conv, depthwise = (getattr(keras.layers, name) for name in names)

    def make(part: Part, name: str, initializer: Any, last: bool) -> list[keras.layers.Layer]:
        own = {"activation": None if last else "relu", "name": name}
        if part.kind == "dense":
            return [keras.layers.Dense(part.units, kernel_initializer=initializer, **own)]
        if part.kind == "depthwise":
            return [depthwise(part.size, depthwise_initializer=initializer, **part.window, **own)]
        return [conv(part.units, part.size, kernel_initializer=initializer, **part.window, **own)]

    return build(spec, [], make, "float_cnn")


def _build_uniform(spec: CnnSpec) -> keras.Model:
    uniform_quantizers(spec.bits)
    import qkeras

    conv = qkeras.QConv2D if len(spec.image) == 3 else qkeras.QConv1D
    if len(spec.image) == 2 and any(part.kind == "depthwise" for part in spec.parts):
        raise ValueError("QKeras has no depthwise convolution of one direction; use conv, or --method nmp")

    def make(part: Part, name: str, initializer: Any, last: bool) -> list[keras.layers.Layer]:
        weights, activation = uniform_quantizers(spec.bits)
        own = {"bias_quantizer": qkeras.quantized_bits(16, 7, 1, alpha=1), "name": name}
        kernel = {"kernel_quantizer": weights, "kernel_initializer": initializer}
        if part.kind == "dense":
            layer = qkeras.QDense(part.units, **kernel, **own)
        elif part.kind == "depthwise":
            layer = qkeras.QDepthwiseConv2D(part.size, depthwise_quantizer=weights, depthwise_initializer=initializer,
                                            **part.window, **own)  # fmt: skip
        else:
            layer = conv(part.units, part.size, **kernel, **part.window, **own)
        return [layer] if last else [layer, qkeras.QActivation(activation, name=f"relu_{name}")]

    return build(
        spec, [qkeras.QActivation(qkeras.quantized_bits(9, 0, 1, alpha=1), name=mlp.QUANTIZER)], make, "uniform_cnn"
    )


def _quantized(model: keras.Model) -> list[tuple[Any, Any, Any]]:
    """The QKeras layers with weights: layer, its kernel's quantizer, its kernel."""
    found = []
    for layer in model.layers:
        if type(layer).__name__ in ("QDense", "QConv1D", "QConv2D"):
            found.append((layer, layer.kernel_quantizer_internal, layer.kernel))
        elif type(layer).__name__ == "QDepthwiseConv2D":
            found.append((layer, layer.depthwise_quantizer_internal, layer.depthwise_kernel))
    return found


def _describe_uniform(model: keras.Model) -> tuple[float | None, dict[str, Any]]:
    from keras_models.layers.qkeras_bridge import width_label

    parts = [
        (width_label(quantizer), math.prod(kernel.shape), layer.output.shape[-1])
        for layer, quantizer, kernel in _quantized(model)
    ]
    after = [layer.activation.bits for layer in model.layers if layer.name.startswith("relu_")]
    return None, uniform_figures(parts, after)


def _finish_uniform(stage: Stage, found: dict[str, Any]) -> dict[str, Any]:
    """The estimated LUTs of the finished model, and the share of zero weights."""
    from keras_models.layers.qkeras_bridge import integers

    inputs = stage.model.get_layer(mlp.QUANTIZER)
    description: list[dict[str, Any]] = [{"kind": "quantizer", "bits": np.full(inputs.output.shape[-1], 8)}]
    for layer, quantizer, kernel in _quantized(stage.model):
        values = to_numpy(quantizer(ops.convert_to_tensor(kernel)))
        units, own = layer.output.shape[-1], values.shape[-2]
        weights = integers(values.reshape(-1, units), f"{layer.name}: kernel")[0]
        item = {"kind": "dense", "weights": weights}
        if values.ndim > 2:
            met = np.repeat(np.arange(own), units // own)[None, :] if len(weights) != own * math.prod(
                values.shape[:-2]) else np.arange(own)[:, None]  # fmt: skip
            places = len(weights) // len(met)
            item |= {"kind": "convolution", "channels": np.broadcast_to(np.tile(met, (places, 1)), weights.shape)}
        description.append(item)
        relu = next((la for la in stage.model.layers if la.name == f"relu_{layer.name}"), None)
        if relu is not None:
            description.append({"kind": "quantizer", "bits": np.full(units, relu.activation.bits)})
    used = [item["weights"] for item in description if "weights" in item]
    zero = sum((w == 0).sum() for w in used) / sum(w.size for w in used)
    return {"estimated_luts": luts_of_export(description), "zero_weights": float(zero)}


METHODS: dict[str, Method] = {
    "nmp": Method(_build_nmp, describe_nmp, learns_bits=True),
    "uniform": Method(_build_uniform, _describe_uniform, finish=_finish_uniform),
    "float": Method(_build_float, describe_float, obstacle="its weights are floats"),
}
