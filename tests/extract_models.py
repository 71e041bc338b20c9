"""Random models of QKeras and NMP layers, and their comparison with the integer design; also a program of its own.

KERAS_BACKEND=tensorflow python tests/extract_models.py 20      compares 20 models on that backend
"""

from __future__ import annotations

import os
import sys
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

with warnings.catch_warnings():  # third-party imports warn about their own dependencies
    warnings.simplefilter("ignore")
    import keras
    import qkeras

from flow.api.trace import traced
from flow.bench.vectors import off_grid
from flow.core.design import Design
from flow.core.errors import FlowError
from flow.core.passes.widths import widths
from flow.extract import compare_with_keras, extract, float32_exactness, keras_outputs
from keras_models import NMPActivation, NMPDense, NMPInputQuantizer

VECTORS = 600


def random_model(seed: int) -> keras.Model:
    """A model of one to three dense layers with quantizers of all kinds; Sequential or functional by turns."""
    random = np.random.default_rng(seed)
    inputs = int(random.integers(1, 9))
    layers = [input_quantizer(random, inputs)]
    depth = int(random.integers(1, 4))
    for number in range(depth):
        layers += dense(random, f"dense-{number}", int(random.integers(1, 12)))
        if number < depth - 1:
            layers += activation(random, layers)
    if random.random() < 0.3:
        layers.append(keras.layers.Activation("softmax"))
    if seed % 2:
        tensor = first = keras.Input((inputs,))
        for layer in layers:
            tensor = layer(tensor)
        model = keras.Model(first, tensor)
    else:
        model = keras.Sequential([keras.Input((inputs,)), *layers])
    set_weights(random, model)
    return model


def input_quantizer(random, inputs):
    bits, integer = int(random.integers(2, 9)), int(random.integers(-1, 4))
    return [
        lambda: qkeras.QActivation(qkeras.quantized_bits(bits, integer, alpha=1)),
        lambda: qkeras.QActivation(qkeras.quantized_bits(bits, integer, symmetric=1, keep_negative=False)),
        lambda: qkeras.QActivation(qkeras.quantized_relu(bits, float(integer))),
        lambda: qkeras.QActivation(qkeras.quantized_linear(bits, integer, alpha=0.5)),
        lambda: qkeras.QActivation(qkeras.binary(alpha=1)),
        lambda: NMPInputQuantizer(input_bits=(0, 1, 2, 4, 8)),
    ][random.integers(6)]()


def dense(random, name, units):
    bits, integer = int(random.integers(2, 7)), int(random.integers(-1, 3))
    kernels = [
        lambda: qkeras.quantized_bits(bits, integer, 1, alpha=1),
        lambda: qkeras.quantized_bits(8, 0, alpha=1),
        lambda: qkeras.quantized_bits(bits, 0, alpha=float(random.choice([0.25, 2.0]))),
        lambda: qkeras.quantized_bits(bits, 0, 1, alpha="auto_po2"),
        lambda: qkeras.quantized_bits(bits, 0, keep_negative=False, alpha=1),
        lambda: qkeras.quantized_bits(1, 0, alpha=1),
        lambda: qkeras.quantized_linear(bits, integer, alpha=float(random.choice([0.5, 1.0]))),
        lambda: qkeras.quantized_linear(bits, 0, alpha="auto_po2"),
        lambda: qkeras.ternary(alpha=1),
        lambda: qkeras.ternary(),
        lambda: qkeras.binary(alpha=1),
        lambda: qkeras.binary(alpha="auto_po2"),
        lambda: qkeras.binary(use_01=True, alpha=1),
        lambda: qkeras.quantized_po2(3),
    ]
    if random.random() < 0.25:
        return [NMPDense(units, activation=random.choice(["relu", "linear"]), mode="hardware", name=name)]
    bias = qkeras.quantized_bits(6, 1, alpha=1) if random.random() < 0.7 else None
    use_bias = bias is not None or random.random() < 0.5
    own = [None, "quantized_relu(4,1)", "linear", qkeras.quantized_bits(5, 2, alpha=1)][random.integers(4)]
    layer = qkeras.QDense(
        units, kernel_quantizer=kernels[random.integers(len(kernels))](), bias_quantizer=bias, use_bias=use_bias,
        activation=own, name=name,
    )  # fmt: skip
    return (
        [layer, keras.layers.BatchNormalization(epsilon=2**-10)] if random.random() < 0.2 and own is None else [layer]
    )


def activation(random, layers):
    if getattr(layers[-1], "activation", None) not in (None, "linear", keras.activations.linear):
        return [keras.layers.Dropout(0.2)]
    bits, integer = int(random.integers(1, 8)), int(random.integers(-1, 4))
    relu = keras.layers.Activation("relu")
    return [
        lambda: [qkeras.QActivation(qkeras.quantized_relu(bits, float(integer)))],
        lambda: [relu, qkeras.QActivation(qkeras.quantized_bits(bits + 1, integer, alpha=1))],
        lambda: [qkeras.QActivation(qkeras.quantized_bits(bits + 1, integer, alpha=2.0))],
        lambda: [qkeras.QActivation(qkeras.quantized_linear(bits + 1, integer))],
        lambda: [qkeras.QActivation("binary(alpha=1)")],
        lambda: [qkeras.QActivation(f"quantized_relu({bits},{integer}.0)"), keras.layers.ReLU()],
        lambda: [relu],
        lambda: [NMPActivation("relu")],
        lambda: [NMPActivation("linear"), keras.layers.Dropout(0.5)],
    ][random.integers(9)]()


def set_weights(random, model):
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.weights[0].shape
            scale, offset = random.choice([0.5, 1, 2, -1], shape), random.integers(-8, 9, shape) / 8
            layer.set_weights([scale, offset, random.integers(-4, 5, shape) / 4, np.full(shape, 1 - 2**-10)])
            continue
        for variable in layer.weights:
            if "strength" in variable.name:
                variable.assign(random.uniform(0, 1, variable.shape))
            elif "log2" in variable.name:
                variable.assign(random.uniform(-2, 2, variable.shape))
            elif variable.name in ("kernel", "bias") and (variable.name == "kernel" or has_bias_quantizer(layer)):
                values = random.normal(0, 0.7, variable.shape)
                ties = np.round(values * 32) / 32
                variable.assign(np.where(random.random(variable.shape) < 0.5, ties, values))


def has_bias_quantizer(layer) -> bool:
    return isinstance(layer, NMPDense) or bool(layer.bias_quantizer)


def random_inputs(seed: int, inputs: int) -> np.ndarray:
    """Random floats, exact ties on a fine grid, and values far outside any range."""
    random = np.random.default_rng(seed)
    values = random.normal(0, 2, (VECTORS, inputs)) * random.choice([1, 1, 1, 1e-3, 1e4], (VECTORS, 1))
    values[::2] = np.round(values[::2] * 64) / 64
    values[0] = 0
    return values.astype(np.float32)


def compare(seed: int) -> None:
    """Raise AssertionError unless Keras, layer by layer and whole, and integers agree on model ``seed``."""
    model = random_model(seed)
    design = widths(extract(model))
    inputs = np.concatenate([random_inputs(seed, len(design.inputs)), off_grid(design.inputs, 200, seed)])
    result = compare_with_keras(model, design, inputs)
    assert result.mismatches == 0, (seed, result)
    if not float32_exactness(design):
        whole = keras_outputs(model, inputs, design)
        assert np.array_equal(whole, keras_outputs(model, inputs, design, exact=True)), seed
        same_layers(model, design, inputs)


def same_layers(model: keras.Model, design: Design, inputs: np.ndarray) -> None:
    """Raise AssertionError unless every layer of the design has the values of a Keras layer."""
    trace = traced(design, inputs, model)
    for layer in (trace.inputs, *trace.values()):
        assert layer.keras is not None and not layer.differs.any(), (layer.name, layer.keras_layer)


KERNELS = {
    "huge": [[1e30, -1e30], [3e8, 0.3]],
    "denormal": [[1e-40, -1e-40], [0.7, -1e-39]],
    "signed zero": [[-0.0, 0.0], [0.5, -0.25]],
    "largest": [[3.4e38, -3.4e38], [1.0, 0.0]],
    "smallest": [[-1.2e-38, 1.2e-38], [-1e-20, 1.0]],
}
QUANTIZERS = {
    "binary": lambda: qkeras.binary(alpha=1),
    "binary auto_po2": lambda: qkeras.binary(alpha="auto_po2"),
    "ternary": lambda: qkeras.ternary(alpha=1),
    "ternary auto_po2": lambda: qkeras.ternary(alpha="auto_po2"),
    "bits": lambda: qkeras.quantized_bits(4, 0, 1, alpha=1),
    "bits auto_po2": lambda: qkeras.quantized_bits(4, 0, 1, alpha="auto_po2"),
    "po2": lambda: qkeras.quantized_po2(4),
    "stochastic": lambda: qkeras.stochastic_ternary(alpha=1),
    "learned": lambda: None,
    "learned signs": lambda: None,
}


def extreme_model(quantizer: str, kernel: str) -> keras.Model:
    """A layer ``extreme`` with a kernel of such values and a denormal bias, behind a sign or a 4-bit quantizer."""
    if quantizer.startswith("learned"):
        layer = NMPDense(2, name="extreme", weight_bits=(1,) if "signs" in quantizer else (0, 1.58, 3, 8))
    else:
        layer = qkeras.QDense(2, kernel_quantizer=QUANTIZERS[quantizer](), bias_quantizer=None, name="extreme")
    reading = qkeras.binary(alpha=1) if len(kernel) % 2 else qkeras.quantized_bits(4, 1, alpha=1)
    model = keras.Sequential([keras.Input((2,)), qkeras.QActivation(reading), layer])
    layer.kernel.assign(np.array(KERNELS[kernel], np.float32))
    layer.bias.assign(np.array([1e-40, 0.5], np.float32))
    if quantizer.startswith("learned"):
        layer.kernel_quantizer_internal.log2_range.assign([15, -15])
    return model


def compare_extremes(quantizers=QUANTIZERS) -> dict[tuple[str, str], str]:
    """What is refused, and how; all else must agree, or AssertionError is raised."""
    refused = {}
    for quantizer in quantizers:
        for kernel in KERNELS:
            model = extreme_model(quantizer, kernel)
            try:
                design = widths(extract(model))
            except FlowError as exc:
                assert str(exc).startswith("layer extreme, neuron "), exc
                refused[quantizer, kernel] = str(exc)
                continue
            result = compare_with_keras(model, design, off_grid(design.inputs, 100, 0))
            assert result.mismatches == 0, (quantizer, kernel, result)
    return refused


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        compare(1000 + number)
    told = compare_extremes()
    if keras.backend.backend() == "tensorflow":
        assert "1 in predictions, 0 in eager calls" in told["binary", "huge"], told
    print("agreed on", keras.backend.backend())
