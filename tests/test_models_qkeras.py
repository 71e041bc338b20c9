"""NMP layers beside and inside QKeras: its quantizers as arguments, its loader, the uniform baseline."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the optimization toolkit warns about its own imports
    qkeras = pytest.importorskip("qkeras")
    from qkeras.utils import load_qmodel

from keras_models import train
from keras_models.layers.activations import NMPInputQuantizer
from keras_models.layers.dense import NMPDense
from keras_models.methods.models import build_mlp
from keras_models.quantizers.exact import to_numpy

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pyparsing.warnings.PyparsingDeprecationWarning"),
]

X = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("quantizer", "label"),
    [
        ("quantized_bits(4,0,1,alpha=1)", 4),
        ("binary(alpha=1)", 1),
        ("ternary(alpha=1)", 1.58),
        ("quantized_bits(3,0,1,alpha='auto_po2')", 3),
    ],
)
def test_qkeras_quantizers_in_place_of_learned_ones(quantizer: str, label: float, tmp_path: Path) -> None:
    start = NMPInputQuantizer(name="start")
    layer = NMPDense(5, kernel_quantizer=quantizer, bias_quantizer=qkeras.quantized_bits(8, 2, 1, alpha=1))
    model = keras.Sequential([keras.layers.Input((6,)), start, layer])
    layer.bias.assign(np.linspace(-1, 1, 5))
    expected = model.predict(X, verbose=0)
    dense = layer.export_integer()[0]
    assert (dense["weight_bits"] == label).all()
    inputs = to_numpy(start(X)).astype(np.float64)
    kernel = np.ldexp(dense["weights"].astype(np.float64), -dense["weight_frac"])
    bias = np.ldexp(dense["bias"].astype(np.float64), -dense["bias_frac"])
    np.testing.assert_array_equal(inputs @ kernel + bias, expected)
    assert layer.get_quantizers()[0] is layer.kernel_quantizer_internal
    assert set(layer.get_quantization_config()) == {"kernel_quantizer", "bias_quantizer", "activation"}
    for suffix in ("h5", "keras"):
        model.save(tmp_path / f"m.{suffix}")
        again = load_qmodel(tmp_path / f"m.{suffix}", compile=False)
        np.testing.assert_array_equal(again.predict(X, verbose=0), expected)


def test_scales_that_are_no_power_of_two_are_refused() -> None:
    layer = NMPDense(5, kernel_quantizer="quantized_bits(4,0,1,alpha='auto')")
    layer.build((None, 6))
    with pytest.raises(ValueError, match="power of two"):
        layer.export_integer()


def test_learned_layers_under_load_qmodel_beside_qkeras_layers(tmp_path: Path) -> None:
    model = keras.Sequential(
        [
            keras.layers.Input((6,)),
            NMPInputQuantizer(),
            NMPDense(5, activation="relu"),
            qkeras.QDense(4, kernel_quantizer=qkeras.quantized_bits(4, 0, 1, alpha=1)),
            qkeras.QActivation(qkeras.quantized_relu(4)),
            NMPDense(3),
        ]
    )
    expected = model.predict(X, verbose=0)
    for suffix in ("h5", "keras"):
        model.save(tmp_path / f"m.{suffix}")
        again = load_qmodel(tmp_path / f"m.{suffix}", compile=False)
        np.testing.assert_array_equal(again.predict(X, verbose=0), expected)
    assert model.layers[-1].upstream is None
    assert build_mlp(6, (5,), 3).layers[1].get_quantizers()[1] is None


@pytest.mark.parametrize("bits", [1, 1.58, 4])
def test_uniform_method_saves_a_plain_qkeras_model(bits: float, tmp_path: Path) -> None:
    out = tmp_path / "u.h5"
    options = ("--data", "digits", "--method", "uniform", "--hidden", "8", "--epochs", "2", "--quiet")
    assert train.main([*options, "--bits", str(bits), "--out", str(out)]) == 0
    record = json.loads(out.with_suffix(".train.json").read_text())
    assert record["mean_weight_bits"] == bits
    least = {1: 0.43 * 8 * 8 * 64, 1.58: 300, 4: 600}[bits]  # at 1 bit no weight is zero, all inputs have 8 bits
    assert least < record["estimated_luts"] < 10 * least
    model = load_qmodel(out, compile=False)
    assert model.predict(np.zeros((2, 64), np.float32), verbose=0).shape == (2, 10)
