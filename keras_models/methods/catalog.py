"""The training methods by name: how each builds its model and what it says about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_models.layers.counts import luts_of_export
from keras_models.layers.export import export_integer
from keras_models.loop.stage import Stage
from keras_models.methods import adq, cmpq, layerwise, mlp, releq, sigmaquant
from keras_models.methods.models import bit_statistics, build_mlp
from keras_models.quantizers.exact import to_numpy
from keras_models.quantizers.precision import TERNARY


@dataclass(frozen=True)
class ModelSpec:
    """What a method needs to know to build a model; ``dense`` are arguments of `NMPDense`, see `bit_sets`.

    ``weights_only``: inputs and activations stay float.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    mode: str = "hardware"
    bits: float = 8
    seed: int = 0
    calibration: np.ndarray = field(default_factory=lambda: np.zeros((1, 1), np.float32))
    dense: dict[str, Any] = field(default_factory=dict, kw_only=True)
    weights_only: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Method:
    """How a method makes and judges a model.

    ``build`` makes it of a `ModelSpec`, or of the model's own kind of one; ``describe`` returns estimated LUTs (or
    None) and statistics of widths and size.

    ``search`` runs before the training all methods share, ``finish`` after it, on the best model; both return what they
    found, for the report. ``obstacle`` is why the models cannot become hardware.
    """

    build: Callable[[Any], keras.Model]
    describe: Callable[[keras.Model], tuple[float | None, dict[str, Any]]]
    learns_bits: bool = False
    search: Callable[[Stage], dict[str, Any]] = lambda stage: {}
    finish: Callable[[Stage, dict[str, Any]], dict[str, Any]] = lambda stage, found: {}
    obstacle: str = ""


def bit_sets(weights: str | None, activations: str | None) -> dict[str, Any]:
    """``{"weight_bits": (0, 1.58, 4), ...}`` of texts like "0-1.58-4"; None leaves the mode's own widths.

    Raises ValueError, here for what is no list of numbers, in `BitLadder` for widths that do not exist.
    """
    found: dict[str, Any] = {}
    for name, text in (("weight_bits", weights), ("activation_bits", activations)):
        try:
            found.update({name: tuple(float(part) for part in text.split("-"))} if text is not None else {})
        except ValueError:
            raise ValueError(f"--{name.replace('_', '-')} {text!r}: give rising widths like 0-2-4") from None
    return found


def _build_nmp(spec: ModelSpec) -> keras.Model:
    sizes = (spec.inputs, spec.hidden, spec.outputs)
    model = build_mlp(*sizes, spec.mode, spec.seed, dense=spec.dense, weights_only=spec.weights_only)
    if not spec.weights_only:
        model.get_layer(mlp.QUANTIZER).adapt(spec.calibration)
    return model


def describe_nmp(model: keras.Model) -> tuple[float | None, dict[str, Any]]:
    """Estimated LUTs, None without quantized signals, and statistics of a model of NMP layers."""
    description = export_integer(model)
    statistics = {**bit_statistics(description), "model_bytes": _stored_bytes(description)}
    if all(item["kind"] != "quantizer" for item in description):  # weights only
        return None, {**statistics, "mean_activation_bits": 32.0}
    return luts_of_export(description), statistics


def _stored_bytes(description: list[dict[str, Any]]) -> int:
    """Packed weights, 16-bit biases, and a byte each for the width and the range of whatever has its own."""
    bits = 0.0
    for item in description:
        formats = {tuple(pair) for pair in zip(*(item[k] for k in _FORMATS[item["kind"] == "quantizer"]), strict=True)}
        bits += 16 * (len(item["frac" if item["kind"] == "quantizer" else "bias"]) if len(formats) > 1 else 1)
        if item["kind"] != "quantizer":
            bits += item["weight_bits"].sum() * len(item["weights"]) + 16 * len(item["bias"])
    return int(np.ceil(bits / 8))


_FORMATS = {False: ("weight_bits", "weight_frac"), True: ("bits", "frac")}  # of neurons, of a quantizer


def _build_float(spec: ModelSpec) -> keras.Model:
    layers: list[keras.layers.Layer] = [mlp.features(spec.inputs)]
    for place in mlp.places(spec.hidden, spec.outputs):
        layers.append(
            keras.layers.Dense(
                place.units,
                activation=None if place.is_last else "relu",
                name=place.name,
                kernel_initializer=mlp.initializer(spec.seed, place),
            )
        )
    return keras.Sequential(layers, name="float_mlp")


def describe_float(model: keras.Model) -> tuple[float | None, dict[str, Any]]:
    """No LUTs, and the statistics of a model of plain Keras layers."""
    neurons = sum(layer.output.shape[-1] for layer in model.layers if hasattr(layer, "kernel"))
    return None, {
        "mean_weight_bits": 32.0, "mean_activation_bits": 32.0, "weight_bits_histogram": {"32": neurons},
        "zero_weights": 0.0, "model_bytes": 4 * model.count_params(),
    }  # fmt: skip


def uniform_quantizers(bits: float) -> tuple[Any, Any]:
    """New QKeras weight and activation quantizers of one width: 1 is binary, 1.58 ternary.

    Activations have at least 4 bits. Raises ValueError for other fractions and widths beyond 16.
    """
    if bits not in (1, 1.58, *range(2, 17)):
        raise ValueError(f"--bits {bits:g}: uniform widths are 1, 1.58 and the integers 2 to 16")
    import qkeras

    activation = qkeras.quantized_relu(max(4, int(np.ceil(bits))), 2)
    if bits == 1:
        return qkeras.binary(alpha="auto_po2"), activation
    if bits == 1.58:
        return qkeras.ternary(alpha="auto_po2"), activation
    return qkeras.quantized_bits(int(bits), 0, 1, alpha="auto_po2"), activation


def _build_uniform(spec: ModelSpec) -> keras.Model:
    uniform_quantizers(spec.bits)
    import qkeras

    layers: list[keras.layers.Layer] = [mlp.features(spec.inputs)]
    if not spec.weights_only:
        layers.append(qkeras.QActivation(qkeras.quantized_bits(8, 3, 1, alpha=1), name=mlp.QUANTIZER))
    for place in mlp.places(spec.hidden, spec.outputs):
        weights, activation = uniform_quantizers(spec.bits)
        layers.append(
            qkeras.QDense(
                place.units,
                kernel_quantizer=weights,
                bias_quantizer=qkeras.quantized_bits(16, 7, 1, alpha=1),
                name=place.name,
                kernel_initializer=mlp.initializer(spec.seed, place),
            )
        )
        if not place.is_last and spec.weights_only:
            layers.append(keras.layers.ReLU(name=place.relu))
        elif not place.is_last:
            layers.append(qkeras.QActivation(activation, name=place.relu))
    return keras.Sequential(layers, name="uniform_mlp")


def _describe_uniform(model: keras.Model) -> tuple[float | None, dict[str, Any]]:
    from keras_models.layers.qkeras_bridge import width_label

    dense = [layer for layer in model.layers if type(layer).__name__ == "QDense"]
    parts = [(width_label(la.kernel_quantizer_internal), int(np.prod(la.kernel.shape)), la.units) for la in dense]
    relus = [layer for layer in model.layers if layer.name.startswith("relu_")]
    widths_after = [32.0 if isinstance(layer, keras.layers.ReLU) else layer.activation.bits for layer in relus]
    return None, uniform_figures(parts, widths_after)


def uniform_figures(parts: Sequence[tuple[float, int, int]], after: Sequence[float]) -> dict[str, Any]:
    """A model of one width per layer: ``parts`` are width, weights and units of each, ``after`` activations' widths."""
    widths, sizes = [width for width, _, _ in parts], [size for _, size, _ in parts]
    counts: dict[str, int] = {}
    for width, _, units in parts:
        counts[f"{width:g}"] = counts.get(f"{width:g}", 0) + units
    return {
        "mean_weight_bits": float(np.average(widths, weights=sizes)),
        "mean_activation_bits": float(np.mean(after)) if len(after) else None,
        "weight_bits_histogram": counts,
        "model_bytes": int(np.ceil(np.dot(widths, sizes) / 8)) + 2 * sum(units + 1 for _, _, units in parts),
    }


def _finish_uniform(stage: Stage, found: dict[str, Any]) -> dict[str, Any]:
    """The estimated LUTs of the finished model: quantizing every epoch for them would slow training down."""
    from keras_models.layers.qkeras_bridge import integers

    if any(isinstance(layer, keras.layers.ReLU) for layer in stage.model.layers):
        return {}  # weights only: no hardware
    description: list[dict[str, Any]] = [{"kind": "quantizer", "bits": np.full(stage.model.input_shape[-1], 8)}]
    for layer in stage.model.layers:
        if type(layer).__name__ == "QDense":
            values = to_numpy(layer.kernel_quantizer_internal(ops.convert_to_tensor(layer.kernel)))
            description.append({"kind": "dense", "weights": integers(values, f"{layer.name}: kernel")[0]})
        elif layer.name.startswith("relu_"):
            units = len(description[-1]["weights"].T)
            description.append({"kind": "quantizer", "bits": np.full(units, layer.activation.bits)})
    return {"estimated_luts": luts_of_export(description)}


def _tied(**dense: Any) -> Callable[[ModelSpec], keras.Model]:
    """A builder of models with one width per layer; ``dense`` are arguments of `NMPDense`."""
    return lambda spec: layerwise.build_tied(
        spec.inputs, spec.hidden, spec.outputs, spec.seed, spec.calibration, **{**dense, **spec.dense}
    )


def _build_adq(spec: ModelSpec) -> keras.Model:
    return adq.build(spec.inputs, spec.hidden, spec.outputs, spec.calibration, spec.seed)


def _build_cmpq(spec: ModelSpec) -> keras.Model:
    return cmpq.build(spec.inputs, spec.hidden, spec.outputs, spec.seed)


_CODEBOOK = "its weights are codebook entries of free values, which have no integer form"
METHODS: dict[str, Method] = {
    "nmp": Method(_build_nmp, describe_nmp, learns_bits=True),
    "uniform": Method(_build_uniform, _describe_uniform, finish=_finish_uniform),
    "float": Method(_build_float, describe_float, obstacle="its weights are floats"),
    "layerwise": Method(
        _tied(weight_bits=(TERNARY, 2, 3, 4, 5, 6, 8), activation_bits=(2, 3, 4, 5, 6, 8)),
        describe_nmp,
        learns_bits=True,
    ),
    "adq": Method(_build_adq, lambda model: (None, adq.describe(model)), search=adq.search, obstacle=_CODEBOOK),
    "sigmaquant": Method(
        _tied(weight_bits=sigmaquant.WIDTHS, activation_bits=(8,)),
        describe_nmp,
        search=sigmaquant.search,
        finish=sigmaquant.verdict,
    ),
    "releq": Method(_tied(weight_bits=releq.WIDTHS, activation_bits=(8,)), describe_nmp, search=releq.search),
    "cmpq": Method(_build_cmpq, lambda model: (None, cmpq.describe(model)), finish=cmpq.finish, obstacle=_CODEBOOK),
}
