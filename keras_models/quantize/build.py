"""A chain with formats as a Keras model of NMP layers."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np

from keras_models.layers.activations import NMPActivation, NMPInputQuantizer
from keras_models.layers.base import PrecisionLayer
from keras_models.layers.convolution import NMPConv1D, NMPConv2D
from keras_models.layers.dense import NMPDense
from keras_models.quantize.calibrate import Layer, Quantized, Signals
from keras_models.quantize.chain import Windows
from keras_models.quantize.formats import SIGNAL_BITS, WEIGHT_BITS


def nmp_model(quantized: Quantized) -> keras.Model:
    """The model whose predictions are `Quantized.logits`; its weights are the float ones, so that it can be trained."""
    taken = {"features", "quantize_inputs"}
    windows = quantized.layers[0].source.windows
    image = [] if windows is None else [keras.layers.Reshape(windows.shape, name=_name("image", taken))]
    entry = keras.layers.Input((quantized.chain.inputs,), name="features")
    inputs = NMPInputQuantizer(name="quantize_inputs", input_bits=_with(SIGNAL_BITS, quantized.inputs.bits))
    model = keras.Sequential([entry, *image, inputs], name=_name(quantized.chain.name, set()))
    for layer in quantized.layers:
        _shape(model, layer, taken)
        name = _name(layer.source.name, taken)
        model.add(_neurons(layer, name))
        if layer.output is not None and not layer.source.relu:
            model.add(NMPActivation("linear", name=_name(f"{name}_signal", taken), activation_bits=SIGNAL_BITS))
        if layer.source.pool is not None:
            seen = layer.source.pool
            _repeat(model, seen, taken)
            pool = keras.layers.MaxPooling1D if len(seen.size) == 1 else keras.layers.MaxPooling2D
            model.add(pool(seen.size, seen.strides, seen.padding, name=_name(f"{name}_pool", taken)))
    if len(model.output_shape) > 2:
        model.add(keras.layers.Flatten(name=_name("flatten", taken)))
    _fill(model, quantized)
    return model


def _shape(model: keras.Sequential, layer: Layer, taken: set[str]) -> None:
    """Give the signal the shape that a layer takes."""
    windows = layer.source.windows
    if windows is None and len(model.output_shape) > 2:
        model.add(keras.layers.Flatten(name=_name("flatten", taken)))
    elif windows is not None and model.output_shape[1:] != windows.shape:
        model.add(keras.layers.Reshape(windows.shape, name=_name("image", taken)))
    if windows is not None:
        _repeat(model, windows, taken)
        if windows.padded:
            name = _name("padded", taken)
            one = len(windows.padded) == 1
            model.add(
                keras.layers.ZeroPadding1D(windows.padded[0], name=name) if one
                else keras.layers.ZeroPadding2D(windows.padded, name=name)
            )  # fmt: skip


def _repeat(model: keras.Sequential, windows: Windows, taken: set[str]) -> None:
    if windows.repeats:
        name = _name("repeated", taken)
        one = len(windows.repeats) == 1
        model.add(
            keras.layers.UpSampling1D(*windows.repeats, name=name) if one
            else keras.layers.UpSampling2D(windows.repeats, name=name)
        )  # fmt: skip


def _neurons(layer: Layer, name: str) -> keras.layers.Layer:
    """A dense layer or a convolution, which is to be filled."""
    windows, units = layer.source.windows, len(layer.bias)
    own: dict[str, Any] = {
        "activation": "relu" if layer.source.relu else None, "name": name, "weight_bits": WEIGHT_BITS,
        "activation_bits": SIGNAL_BITS, "bias_frac": layer.bias_frac, "kernel_initializer": "zeros",
    }  # fmt: skip
    if windows is None:
        return NMPDense(units, **own)
    conv = NMPConv1D if len(windows.size) == 1 else NMPConv2D
    return conv(units, windows.size, groups=windows.groups, strides=windows.strides, padding=windows.padding,
                dilation_rate=windows.dilation, **own)  # fmt: skip


def _fill(model: keras.Model, quantized: Quantized) -> None:
    """Give every layer its values and formats."""
    first, *others = (layer for layer in model.layers if isinstance(layer, PrecisionLayer))
    first.signed.assign(quantized.inputs.signed.astype(np.float32))
    _assign(first.quantizer, quantized.inputs)
    rest = iter(others)
    for layer in quantized.layers:
        dense = next(rest)
        dense.kernel.assign(layer.kernel.astype(np.float32).reshape(dense.kernel.shape))
        dense.bias.assign(layer.bias.astype(np.float32))
        _assign_widths(dense.kernel_quantizer_internal, layer.weight_bits, layer.weight_range)
        if layer.output is not None:
            _assign(dense.activation_quantizer if layer.source.relu else next(rest).quantizer, layer.output)


def _assign(quantizer: Any, signals: Signals) -> None:
    _assign_widths(quantizer, signals.bits, signals.log2_range)


def _assign_widths(quantizer: Any, bits: Any, log2_range: Any) -> None:
    quantizer.strength.assign(np.array([quantizer.ladder.strength_of(b) for b in bits.tolist()], np.float32))
    quantizer.log2_range.assign(log2_range.astype(np.float32))


def _with(ladder: tuple[int, ...], bits: Any) -> tuple[int, ...]:
    """The ladder with the widths that are given beside it."""
    return tuple(sorted({*ladder, *(int(b) for b in bits)}))


def _name(wanted: str, taken: set[str]) -> str:
    """The name, with all that Keras does not take in one replaced, different from the others."""
    base = re.sub(r"[^A-Za-z0-9_]", "_", wanted)[:60].lstrip("_") or "layer"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name
