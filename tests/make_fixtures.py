"""Writes the model files of the old line in tests/fixtures: qkeras 0.9.0 on TensorFlow 2.15 (Keras 2), Python 3.11.

    python3.11 -m venv old && old/bin/pip install 'tensorflow-cpu==2.15.*' qkeras==0.9.0 'setuptools<81' 'pyparsing<3.2'
    old/bin/python tests/make_fixtures.py

Beside every model lie inputs and its own predictions of them (logits, where the model ends in a softmax).
"""

import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from qkeras import QActivation, QDense, binary, quantized_bits, quantized_po2, quantized_relu, ternary

keras = tf.keras
OUT = Path(__file__).parent / "fixtures"


def functional_with_batchnorm():
    inputs = x = keras.Input((6,), name="features")
    x = QActivation("quantized_bits(6,2,0,alpha=1)", name="quantize")(x)
    kernel, bias = quantized_bits(4, 0, 1, alpha=1), quantized_bits(6, 1, alpha=1)
    x = QDense(7, kernel_quantizer=kernel, bias_quantizer=bias, name="hidden")(x)
    x = keras.layers.BatchNormalization(epsilon=2**-10, name="norm")(x)
    x = QActivation(quantized_relu(4, 2), name="relu")(x)
    x = logits = QDense(3, kernel_quantizer=ternary(alpha=1), bias_quantizer=bias, name="scores")(x)
    x = keras.layers.Activation("softmax", name="softmax")(x)
    model = keras.Model(inputs, x, name="old_functional")
    scale, offset = [1, 2, -0.5, 1, 4, 0, 1], [0, 0.5, -1.25, 0, 3, 1, 0]
    mean, variance = [0, 1, 0.5, 0, 0, 0, -2], np.full(7, 1 - 2**-10)
    model.get_layer("norm").set_weights([np.array(v, np.float32) for v in (scale, offset, mean, variance)])
    return model, keras.Model(inputs, logits)


def sequential_with_defaults():
    model = keras.Sequential(
        [
            QActivation("quantized_bits(8,3,alpha=1)", input_shape=(2, 4)),
            keras.layers.Flatten(),
            QDense(9, kernel_quantizer="quantized_bits(4,0,1)", bias_quantizer="quantized_bits(6,1)"),
            keras.layers.Activation("relu"),
            QActivation("quantized_relu(3,1)"),
            keras.layers.Dropout(0.1),
            QDense(5, kernel_quantizer="ternary()", bias_quantizer=quantized_bits(5, 0, alpha=1)),
            QActivation(binary(alpha=1)),
            QDense(2, kernel_quantizer=quantized_po2(4), use_bias=False),
        ],
        name="old_sequential",
    )
    return model, model


def main():
    random = np.random.default_rng(5)
    for make in (functional_with_batchnorm, sequential_with_defaults):
        tf.keras.utils.set_random_seed(3)
        model, logits = make()
        for layer in model.layers:
            if isinstance(layer, QDense):
                layer.set_weights([random.normal(0, 0.6, w.shape) for w in layer.get_weights()])
        shape = (400, *model.input_shape[1:])
        inputs = random.normal(0, 3, shape).astype(np.float32)
        inputs[:200] = np.round(inputs[:200] * 32) / 32  # ties
        model.compile("adam", "mse")
        model.save(OUT / f"{model.name}.h5", include_optimizer=False)
        np.savez_compressed(OUT / f"{model.name}.npz", inputs=inputs, outputs=logits.predict(inputs, verbose=0))


if __name__ == "__main__":
    main()
