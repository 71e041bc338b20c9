"""Models of normalizations, curves and float biases around QDense layers, from seeds; also a program of its own.

KERAS_BACKEND=tensorflow python tests/dense_family.py norm "quantized norm"     compares these on that backend
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

with warnings.catch_warnings():  # third-party imports warn about their own dependencies
    warnings.simplefilter("ignore")
    import keras
    from qkeras import (
        QActivation,
        QBatchNormalization,
        QDense,
        QDenseBatchnorm,
        binary,
        quantized_bits,
        quantized_relu,
        ternary,
    )  # fmt: skip

from flow.extract import compare_with_keras, extract

INPUTS = 8
VECTORS = 400
Norm = keras.layers.BatchNormalization


def dense(units=3, **settings):
    quantizers = {"kernel_quantizer": quantized_bits(6, 0, alpha=1), "bias_quantizer": quantized_bits(6, 0, alpha=1)}
    return QDense(units, **{**quantizers, **settings})


def bits(width=8, integer=3, **settings):
    return QActivation(quantized_bits(width, integer, alpha=1, **settings))


def relu(width=6, integer=2, **settings):
    return QActivation(quantized_relu(width, integer, **settings))


def folded(units=4, **settings):
    quantizers = {"kernel_quantizer": quantized_bits(8, 1, alpha=1), "bias_quantizer": quantized_bits(8, 3, alpha=1)}
    return QDenseBatchnorm(units, **{**quantizers, **settings})


# name -> the layers behind the input; those of FORMATS need an input format, those of TENSORFLOW that backend
FAMILY = {
    "norm": lambda: [bits(), dense(4), Norm(), relu(), dense()],
    "norm of few levels": lambda: [bits(5), dense(4), Norm(), relu(2, 1), dense()],
    "norm, relu, bits": lambda: [bits(), dense(4), Norm(), keras.layers.Activation("relu"), bits(7, 2), dense()],
    "norm before a sign": lambda: [bits(), dense(4), Norm(), QActivation(binary(alpha=1)), dense()],
    "norm before a ternary": lambda: [bits(), dense(4), Norm(), QActivation(ternary(alpha=1, threshold=0.4)), dense()],
    "norm at the end": lambda: [bits(), dense(4), relu(), dense(), Norm(), keras.layers.Softmax()],
    "norm between quantizers": lambda: [bits(5), dense(4), relu(3, 2), Norm(), bits(5, 2), dense()],
    "norm at the inputs": lambda: [Norm(), bits(), dense(4), relu(), dense()],
    "quantized norm": lambda: [bits(), dense(4), QBatchNormalization(), relu(), dense()],
    "folded norm": lambda: [bits(), folded(), relu(10, 6), dense(1)],
    "folded norm by batches": lambda: [bits(), folded(folding_mode="batch_stats_folding", use_bias=False,
                                                      activation="quantized_relu(4,2)"), dense()],
    "folded norm, float bias": lambda: [bits(), folded(bias_quantizer=None), relu(10, 6), dense(1)],
    "float sigmoid": lambda: [bits(5), dense(4, activation="sigmoid"), bits(4, 0), dense()],
    "sigmoid at the end": lambda: [bits(), dense(1), keras.layers.Activation("sigmoid")],
    "tanh in the last layer": lambda: [bits(), dense(3, activation="tanh")],
    "wide sums": lambda: [dense(4), Norm(), relu(10, 5), dense()],
}  # fmt: skip
TENSORFLOW = ("quantized norm",)
FORMATS = {"norm at the inputs": "s8.4", "wide sums": "s24.16"}


def family_model(name: str, seed: int = 0) -> keras.Model:
    """Model ``name``, as `trained_model` makes it."""
    return trained_model(FAMILY[name], seed)


def trained_model(layers: Callable[[], list[Any]], seed: int = 0) -> keras.Model:
    """A model of these layers behind the inputs, with statistics, scales and biases as training leaves them."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((INPUTS,)), *layers()])
    random = np.random.default_rng(seed)
    for layer in model.layers:
        norm = getattr(layer, "batchnorm", layer if hasattr(layer, "moving_mean") else None)
        if norm is not None:
            shape = norm.moving_mean.shape
            norm.gamma.assign(random.uniform(0.5, 1.5, shape) * random.choice([1, 1, -1], shape))
            norm.beta.assign(random.normal(0, 0.3, shape))
            norm.moving_mean.assign(random.normal(0, 0.3, shape))
            norm.moving_variance.assign(random.uniform(0.3, 2, shape))
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.normal(0, 0.3, layer.bias.shape))
    return model


def family_inputs(count: int, seed: int = 1) -> np.ndarray:
    """Inputs, half of them on a grid that makes ties."""
    values = np.random.default_rng(seed).normal(0, 2, (count, INPUTS))
    values[::2] = np.round(values[::2] * 64) / 64
    return values.astype(np.float32)


def normalized(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """The family's first model in float64, by the definition of each layer: quantizer, dense, norm, relu, dense."""
    quantizer, first, norm, activation, last = model.layers
    del quantizer, activation
    x = np.clip(np.rint(inputs.astype(np.float64) * 16), -128, 127) / 16

    def linear(layer, values):
        kernel, bias = (np.clip(np.rint(np.asarray(w, np.float64) * 32), -32, 31) / 32 for w in layer.get_weights())
        return values @ kernel + bias

    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.get_weights())
    y = (linear(first, x) - mean) / np.sqrt(variance + norm.epsilon) * gamma + beta
    return linear(last, np.clip(np.rint(y * 16), 0, 63) / 16)


def family_mismatches(name: str) -> int:
    """Of how many vectors Keras and the integer design of model ``name`` differ."""
    model = family_model(name)
    design = extract(model, input_format=FORMATS.get(name))
    return int(compare_with_keras(model, design, family_inputs(VECTORS)).mismatches)


if __name__ == "__main__":
    found = {name: family_mismatches(name) for name in sys.argv[1:]}
    print(f"mismatches on {keras.backend.backend()}: {found}")
