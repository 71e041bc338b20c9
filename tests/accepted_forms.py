"""The layers and settings of docs/howto/accepted.md, each compared with Keras; also the program that writes it.

python tests/accepted_forms.py        prints the page's tables
"""

from __future__ import annotations

import re
import warnings
from functools import partial

import dense_family as family
import numpy as np
from dense_family import Norm, bits, dense, folded, relu

with warnings.catch_warnings():  # third-party imports warn about their own dependencies
    warnings.simplefilter("ignore")
    import keras
    from qkeras import (
        QActivation,
        QBatchNormalization,
        QConv1D,
        QConv2D,
        QConv2DBatchnorm,
        QDepthwiseConv2D,
        QSeparableConv2D,
        binary,
        binary_tanh,
    )

from flow.core.errors import FlowError
from flow.extract import compare_with_keras, extract
from keras_models import NMPConv2D, NMPDepthwiseConv1D

layers = keras.layers
VECTORS = 200


def kernel(quantizer, **settings):
    """A network whose first layer has this kernel quantizer."""
    return lambda: [bits(), dense(4, kernel_quantizer=quantizer, **settings), relu(), dense()]


def quantized(text):
    """The activation that ``text`` makes."""
    return [QActivation(text)]


def between(make):
    """A network with these layers between its first dense layer and its second."""
    return lambda: [bits(5), dense(4), *make(), dense()]


def ends(*make):
    """A network that ends in these layers."""
    return lambda: [bits(), dense(4), relu(), dense(), *(m() for m in make)]


def seen(make, shape=(8, 1), width=6, integer=2):
    """A network with these layers on pixels, and a quantizer behind them."""
    return lambda: [bits(4, 1), layers.Reshape(shape), *make(), relu(width, integer), layers.Flatten(), dense()]


KERNEL = {"kernel_quantizer": "quantized_bits(5,1,alpha=1)", "bias_quantizer": "quantized_bits(4,0,alpha=1)"}
WEIGHTS = (
    "quantized_bits(4, 0, alpha=1)",
    'quantized_bits(4, 0, alpha="auto_po2")',
    'quantized_bits(4, 0, alpha="auto")',
    "quantized_bits(4, 0, keep_negative=False)",
    "quantized_bits(3, 5)",
    "quantized_bits(1)",
    "quantized_linear(4, 1)",
    "quantized_po2(4)",
    "binary(alpha=1)",
    "binary(alpha=0.3)",
    "ternary(alpha=1, threshold=0.3)",
    'ternary(alpha="auto_po2")',
    "stochastic_binary(alpha=1)",
    "stochastic_ternary(alpha=1)",
)
ACTIVATIONS = (
    "quantized_relu(6, 2)",
    "quantized_relu(4, 1, use_sigmoid=1)",
    "quantized_relu(4, 1, use_stochastic_rounding=True)",
    "quantized_relu(6, 2, negative_slope=0.25)",
    "quantized_relu(6, 2, relu_upper_bound=1.5)",
    "quantized_relu_po2(4)",
    "quantized_bits(6, 2, alpha=1)",
    "quantized_bits(6, 2, symmetric=1)",
    "quantized_po2(3)",
    "quantized_tanh(6)",
    "quantized_tanh(4, use_real_tanh=True)",
    "quantized_sigmoid(5, symmetric=True)",
    "quantized_sigmoid(4, use_real_sigmoid=True)",
    "quantized_hswish(4, 2)",
    "quantized_ulaw(6, 1)",
    "binary(alpha=1)",
    "ternary(alpha=1, threshold=0.4)",
)
# section -> form -> the layers behind the input
FORMS = {
    "Weights": {
        **{f"`{text}`": kernel(text) for text in WEIGHTS},
        "no bias": kernel("quantized_bits(4, 0, alpha=1)", use_bias=False),
        "biases without a quantizer": lambda: [bits(), dense(4, bias_quantizer=None), relu(), dense()],
        "`Dense` whose weights are no grid": lambda: [bits(), layers.Dense(4), relu(), dense()],
    },
    "Activations": {
        **{f"`{text}`": between(partial(quantized, text)) for text in ACTIVATIONS},
        "`binary_tanh` in an `Activation`": between(lambda: [layers.Activation(binary_tanh)]),
        "`Activation(ReLU())`, then a quantizer": between(lambda: [layers.Activation(layers.ReLU()), bits(6, 1)]),
        "`ReLU(max_value=1.5)` without a quantizer": between(lambda: [layers.ReLU(max_value=1.5)]),
        "`LeakyReLU(0.25)` without a quantizer": between(lambda: [layers.LeakyReLU(negative_slope=0.25)]),
        "`PReLU` without a quantizer": between(
            lambda: [layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25))]),
        "`ELU`, then a quantizer": between(lambda: [layers.ELU(), bits(5, 1)]),
        "mish, then a quantizer": between(lambda: [layers.Activation("mish"), bits(5, 1)]),
        "sigmoid, then a quantizer": between(lambda: [layers.Activation("sigmoid"), bits(4, 0)]),
        "gelu, then a quantizer": between(lambda: [layers.Activation("gelu"), bits(5, 1)]),
        "softplus, then a quantizer": between(lambda: [layers.Activation("softplus"), relu(5, 1)]),
        "sigmoid without a quantizer": between(lambda: [layers.Activation("sigmoid", name="curve")]),
        "two quantizers in a row": between(lambda: [relu(8, 2), relu(4, 2)]),
    },
    "Normalizations": {
        "`BatchNormalization` before a quantizer": lambda: [bits(), dense(4), Norm(), relu(), dense()],
        "`BatchNormalization` behind a quantizer": lambda: [bits(), dense(4), relu(4), Norm(), dense()],
        "`BatchNormalization` of quantized inputs": lambda: [bits(4, 1), Norm(), dense(4), relu(), dense()],
        "`BatchNormalization` at the end": ends(Norm),
        "`BatchNormalization` of quantized inputs and before a quantizer": lambda: [
            bits(4, 1), Norm(), dense(4, name="twice"), Norm(), relu(), dense()],
        "`QBatchNormalization`": lambda: [bits(), dense(4), QBatchNormalization(), relu(), dense()],
        '`QDenseBatchnorm`, `"ema_stats_folding"`': lambda: [bits(), folded(), relu(10, 6), dense(1)],
        '`QDenseBatchnorm`, `"batch_stats_folding"`': lambda: [
            bits(), folded(folding_mode="batch_stats_folding", use_bias=False), relu(4, 2), dense()],
        "`LayerNormalization`": between(lambda: [layers.LayerNormalization(name="norm"), relu()]),
        "`Rescaling(0.5)` between layers": between(lambda: [relu(), layers.Rescaling(0.5, name="half")]),
    },
    "Inputs, ends, and what does nothing": {
        "inputs without a quantizer": lambda: [dense(4), relu(), dense()],
        "softmax at the end": ends(layers.Softmax),
        "sigmoid at the end": lambda: [bits(), dense(1), layers.Activation("sigmoid")],
        "tanh at the end": ends(lambda: layers.Activation("tanh")),
        "signs at the end": ends(lambda: QActivation(binary(alpha=1))),
        "softmax in the middle": between(lambda: [layers.Softmax(name="middle"), relu()]),
        "`Dropout`, `GaussianNoise`, `ActivityRegularization`": between(
            lambda: [layers.Dropout(0.2), relu(), layers.GaussianNoise(0.1), layers.ActivityRegularization(1e-3)]),
        "`Reshape` and `Flatten`": between(lambda: [relu(), layers.Reshape((2, 2)), layers.Flatten()]),
        "`Lambda`": between(lambda: [layers.Lambda(lambda x: x, name="code", output_shape=(4,)), relu()]),
        "`SimpleRNN`": lambda: [bits(), layers.Reshape((8, 1)), layers.SimpleRNN(2, name="loop"), relu(), dense()],
    },
    "Convolutions and pools": {
        "`QConv1D`, with a stride": seen(lambda: [QConv1D(2, 3, strides=2, **KERNEL)]),
        '`QConv1D`, `padding="same"`, dilated': seen(
            lambda: [QConv1D(2, 3, padding="same", dilation_rate=2, **KERNEL)]),
        '`QConv1D`, `padding="causal"`': seen(lambda: [QConv1D(2, 3, padding="causal", name="filters", **KERNEL)]),
        "`QConv2D`": seen(lambda: [QConv2D(2, (2, 2), **KERNEL)], (4, 2, 1)),
        "`QConv2DBatchnorm`": seen(lambda: [QConv2DBatchnorm(2, (2, 2), padding="same", **KERNEL)], (4, 2, 1), 12, 8),
        "`QDepthwiseConv2D`": seen(lambda: [QDepthwiseConv2D(
            (2, 1), depthwise_quantizer="quantized_bits(4,0,alpha=1)", bias_quantizer="quantized_bits(4,0,alpha=1)")],
            (2, 2, 2)),
        "`NMPConv2D`, with groups": seen(
            lambda: [NMPConv2D(2, (2, 1), groups=2, activation="relu", activation_bits=(2,))], (2, 2, 2)),
        "`NMPDepthwiseConv1D`": seen(lambda: [NMPDepthwiseConv1D(3, activation="relu", activation_bits=(2,))]),
        "`QConv1D`, then `BatchNormalization`": seen(lambda: [QConv1D(2, 3, **KERNEL), Norm()]),
        "`Conv1D` whose weights are no grid": seen(lambda: [layers.Conv1D(2, 3, name="filters")]),
        "channels first": seen(lambda: [layers.Conv2D(1, 2, data_format="channels_first", name="filters")], (1, 4, 2)),
        "`QSeparableConv2D`": seen(lambda: [QSeparableConv2D(
            2, (2, 1), depth_multiplier=2, depthwise_quantizer="quantized_bits(3,0,alpha=1)",
            pointwise_quantizer="quantized_bits(3,0,alpha=1)", bias_quantizer="quantized_bits(4,0,alpha=1)",
            activation="quantized_relu(4,2)")], (2, 2, 2)),
        "`SeparableConv1D` whose weights are no grid": seen(lambda: [layers.SeparableConv1D(2, 3, name="filters")]),
        "`Conv1DTranspose`": seen(lambda: [layers.Conv1DTranspose(2, 3, name="filters")]),
        "`MaxPooling1D`": seen(lambda: [relu(3, 1), layers.MaxPooling1D(2)]),
        "`MaxPooling2D`, windows that overlap": seen(
            lambda: [relu(3, 1), layers.MaxPooling2D(2, strides=1)], (4, 2, 1)),
        "`GlobalMaxPooling1D`": seen(lambda: [bits(3, 1), layers.GlobalMaxPooling1D()], (4, 2)),
        "`AveragePooling1D` of 2 or 4": seen(lambda: [relu(3, 1), layers.AveragePooling1D(4)]),
        "`AveragePooling1D` of 3": seen(lambda: [relu(3, 1), layers.AveragePooling1D(3, name="mean")]),
        "`GlobalAveragePooling2D`": seen(lambda: [relu(3, 1), layers.GlobalAveragePooling2D()], (2, 2, 2)),
        "`ZeroPadding1D`, `Cropping1D`, `UpSampling1D`": seen(lambda: [
            layers.ZeroPadding1D(1), QConv1D(1, 3, **KERNEL), relu(3, 1), layers.UpSampling1D(2),
            layers.Cropping1D(1)]),
        "`UpSampling2D`, bilinear": seen(
            lambda: [relu(3, 1), layers.UpSampling2D(2, interpolation="bilinear", name="wider")], (4, 2, 1)),
    },
}  # fmt: skip


def model_of(section: str, form: str) -> keras.Model:
    """The model of one form."""
    return family.trained_model(FORMS[section][form])


def outcome(section: str, form: str) -> str:
    """``exact`` with what is said of it, or the refusal; a design that differs from Keras is told as ``WRONG``."""
    model = model_of(section, form)
    try:
        design = extract(model)
    except FlowError as exc:
        return f"refused: {unnumbered(str(exc))}"
    inputs = family.family_inputs(VECTORS)
    found = compare_with_keras(model, design, inputs)
    if found.mismatches:
        return f"WRONG: {found.mismatches} of {VECTORS}"
    return "; ".join(["exact", *map(plain, design.source["notes"])])


def plain(text: str) -> str:
    """What is said of a form, without what is the same in every row."""
    text = re.sub(r"^layer \w+: ", "", text)
    return unnumbered(re.sub(r", equal to what Keras's float32 answers to .* sums of layer \w+", "", text))


def unnumbered(text: str) -> str:
    """Without the numbers that Keras gives to layers, and what follows them in a text that is cut."""
    return re.sub(r"<Variable [^)]*", "...", re.sub(r"(layer \w+?)_\d+", r"\1", text))


def page() -> str:
    """The tables of the page, a section each."""
    parts = []
    for section, forms in FORMS.items():
        keras.backend.clear_session()
        rows = [f"| {form} | {outcome(section, form)} |".replace("\n", " ") for form in forms]
        parts.append("\n".join([f"## {section}", "", "| form | what becomes of it |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    np.set_printoptions(precision=6)
    print(page(), end="")
