"""Convolutions that learn a width per filter: exact integers and designs, gradients, growth, saving, cost, refusals."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

import flow.extract
from flow.bench.vectors import off_grid
from flow.core.errors import ModelError
from flow.core.passes.widths import widths
from flow.extract import compare_with_keras, extract
from keras_models import (
    NMPConv1D,
    NMPConv2D,
    NMPDense,
    NMPDepthwiseConv1D,
    NMPDepthwiseConv2D,
    NMPInputQuantizer,
    estimated_luts,
    export_integer,
    load_model,
    precision_summary,
    set_beta,
    to_nmp,
    train,
)
from keras_models.data.preprocess import read
from keras_models.layers.cost import adder_cost
from keras_models.layers.counts import layer_luts, luts_by_layer
from keras_models.loop.compiled import make_loop
from keras_models.loop.steps import OptimizerConfig
from keras_models.quantize.build import nmp_model
from keras_models.quantize.calibrate import Calibration, Signals
from keras_models.quantize.command import read_chain
from keras_models.quantizers.exact import to_numpy

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
L = keras.layers


def network(seed: int, flat: bool, **more: object) -> keras.Model:
    """A convolution (with groups, a stride, dilation or padding), a pool, a depthwise one and dense layers."""
    rng = random.Random(seed)
    conv, depthwise = (NMPConv1D, NMPDepthwiseConv1D) if flat else (NMPConv2D, NMPDepthwiseConv2D)
    step, spread = rng.choice([(1, 1), (2, 1), (1, 2)])
    window = {"strides": step, "dilation_rate": spread, "padding": rng.choice(["valid", "same"]), **more}
    pool = (L.MaxPooling1D if flat else L.MaxPooling2D)(2, padding="same")
    layers = [
        NMPInputQuantizer(input_bits=(0, 2, 4), name="start"),
        conv(4, 3 if flat else (3, 2), groups=rng.choice([1, 2]), activation="relu", name="filters", **window),
        pool,
        depthwise(2, padding="same", depth_multiplier=2, activation=rng.choice([None, "relu"]), name="depth"),
        L.Flatten(),
        NMPDense(3, name="out"),
    ]
    model = keras.Sequential([keras.Input((7, 2) if flat else (7, 5, 2)), *layers])
    numbers = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if variable.name.endswith("strength"):
            variable.assign(numbers.uniform(0, 1, variable.shape))
        elif variable.name.endswith("log2_range"):
            variable.assign(to_numpy(variable) + numbers.normal(0, 1, variable.shape))
        elif variable.name == "bias":
            variable.assign(numbers.normal(0, 1, variable.shape))
    return model


@pytest.mark.parametrize("seed", range(3))
def test_unrolled_designs_equal_keras(seed: int) -> None:
    model = network(seed, flat=seed % 2 == 1)
    design = widths(extract(model))
    assert compare_with_keras(model, design, off_grid(design.inputs, 60, seed)).mismatches == 0


class Quarters:
    """A quantizer of kernels as QKeras has them."""

    bits = 3

    def __call__(self, kernel: object) -> object:
        """Multiples of a quarter."""
        return keras.ops.clip(keras.ops.floor(kernel * 4), -3, 3) / 4

    def get_config(self) -> dict[str, object]:
        """Nothing to say."""
        return {}


def test_a_kernel_with_a_quantizer_of_its_own() -> None:
    kernel = {"kernel_quantizer": Quarters(), "activation": "relu", "activation_bits": (3,)}
    layers = [NMPConv2D(2, 2, **kernel), NMPDepthwiseConv2D(2, depth_multiplier=2, **kernel), L.Flatten(), NMPDense(2)]
    model = keras.Sequential([keras.Input((4, 4, 2)), NMPInputQuantizer(input_bits=(3,)), *layers])
    design = widths(extract(model))
    assert {n.weight_bits for n in design.layers[0].neurons} == {3.0}
    assert compare_with_keras(model, design, off_grid(design.inputs, 40, 0)).mismatches == 0


def test_saved_models_load_in_a_fresh_process(tmp_path: Path) -> None:
    model = network(2, flat=False, hardware="unrolled")
    X = np.random.default_rng(0).normal(0, 3, (20, 7, 5, 2)).astype(np.float32)
    model.save(tmp_path / "m.keras")
    model.save(tmp_path / "m.h5")
    np.save(tmp_path / "x.npy", X)
    program = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import numpy as np; from keras_models import load_model; d = sys.argv[1]\n"
        "np.save(d + '/y.npy', load_model(d + '/m.keras').predict(np.load(d + '/x.npy'), verbose=0))"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, env=environment, capture_output=True)
    expected = model.predict(X, verbose=0)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
    again = load_model(tmp_path / "m.h5")
    np.testing.assert_array_equal(again.predict(X, verbose=0), expected)
    assert again.get_layer("filters").get_config() == model.get_layer("filters").get_config()
    design = widths(extract(flow.extract.load_model(tmp_path / "m.keras")))
    assert design.layers == widths(extract(model)).layers


def test_upstream_widths_reach_through_pools_and_flatten() -> None:
    model = network(4, flat=False)
    out, depth = model.get_layer("out"), model.get_layer("depth")
    assert depth.upstream is model.get_layer("filters") and out.upstream in (depth, None)
    assert depth.channels.tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]] * 4
    grouped = NMPConv2D(4, 1, groups=2)
    grouped.build((None, 3, 3, 6))
    assert grouped.channels.tolist() == [[0, 0, 3, 3], [1, 1, 4, 4], [2, 2, 5, 5]]
    mixed = keras.Sequential([keras.Input((4, 4, 1)), NMPInputQuantizer(), L.AveragePooling2D(2), NMPConv2D(2, 1)])
    assert mixed.layers[-1].upstream is None  # a mean has other widths than what it is of


def test_cost_counts_filters_once_or_at_every_position() -> None:
    once, each = (network(6, flat=False, hardware=kind) for kind in ("streamed", "unrolled"))
    each.set_weights(once.get_weights())
    positions = int(np.prod(once.get_layer("filters").output.shape[1:-1]))
    low, high = (luts_by_layer(export_integer(model)) for model in (once, each))
    assert positions > 1 and high[0] == pytest.approx(positions * low[0]) and high[1:] == pytest.approx(low[1:])
    assert estimated_luts(once) == pytest.approx(sum(low))
    layer = each.get_layer("filters")
    assert float(layer.hardware_cost()) == pytest.approx(positions * float(once.get_layer("filters").hardware_cost()))
    assert "filters" in precision_summary(once, count="estimate")


def test_each_neurons_own_input_widths_cost_what_as_many_layers_do() -> None:
    layer = NMPDepthwiseConv2D(2, 1)
    layer.build((None, 4, 4, 2))
    kernel, bits = layer.columns(layer.kernel), np.array([[3.0, 7.0]] * 4, np.float32)
    integers = layer.kernel_quantizer_internal.integers(kernel)[0]
    assert float(adder_cost(layer.kernel_quantizer_internal, kernel, bits)) == pytest.approx(
        layer_luts(integers, bits, None), rel=1e-5
    )


def test_training_learns_widths_of_filters_in_both_modes() -> None:
    X = np.random.default_rng(1).normal(0, 1, (64, 6, 6, 1)).astype(np.float32)
    y = (X[:, :3].sum((1, 2, 3)) > X[:, 3:].sum((1, 2, 3))).astype(np.int32)
    for mode in ("paper", "hardware"):
        keras.utils.set_random_seed(1)
        own = {"mode": mode, "activation": "relu"}
        model = keras.Sequential([
            keras.Input((6, 6, 1)), NMPInputQuantizer(), NMPConv2D(4, 3, **own), L.MaxPooling2D(2),
            NMPDepthwiseConv2D(2, **own), L.Flatten(), NMPDense(2, mode=mode),
        ])  # fmt: skip
        layer = model.layers[1]
        before, kernel = layer.export_integer()[0]["weight_bits"], to_numpy(layer.kernel)
        loop = make_loop(model, X, y, "classification", OptimizerConfig(strength_rate=4.0), 32, 0)
        losses = [loop.epoch(1e-2, 0.0 if mode == "paper" else 1e-4) for _ in range(12)]
        after = layer.export_integer()[0]["weight_bits"]
        assert losses[-1] < losses[0] and (to_numpy(layer.kernel) != kernel).any(axis=(0, 1, 2)).all()
        assert (after > before).any() if mode == "paper" else (after < before).any()
        design = widths(extract(model))
        assert compare_with_keras(model, design, off_grid(design.inputs, 20, 1)).mismatches == 0


def test_in_keras_fit_the_cost_reaches_the_loss() -> None:
    model = network(8, flat=True)
    model.compile("adam", "mse")
    X = np.ones((8, 7, 2), np.float32)
    free = model.evaluate(X, np.zeros((8, 3)), verbose=0)
    set_beta(model, 1e-3)
    assert model.fit(X, np.zeros((8, 3)), verbose=0).history["loss"][0] > free


def images(rows: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of 8 bits, brighter above or below."""
    random = np.random.default_rng(3)
    y = random.integers(0, 2, rows)
    X = random.integers(0, 120, (rows, 6, 5)).astype(np.uint8)
    X[y == 1, :3] += 100
    return X, y


def test_a_float_network_becomes_one_of_learned_widths(tmp_path: Path) -> None:
    X, y = images()
    X = (X / 256).astype(np.float32)
    model = keras.Sequential([
        keras.Input((6, 5, 1)), L.Conv2D(3, 3, strides=2, padding="same"), L.BatchNormalization(), L.ReLU(),
        L.MaxPooling2D(2, padding="same"), L.DepthwiseConv2D(2, padding="same", depth_multiplier=2),
        L.AveragePooling2D((2, 1)), L.Flatten(), L.Dense(3, activation="relu"), L.Dense(2),
    ])  # fmt: skip
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, y, epochs=2, verbose=0)
    model.save(tmp_path / "float.keras")
    chain, rows = read_chain(tmp_path / "float.keras"), X.reshape(len(X), -1)
    answers = model.predict(X[..., None], verbose=0)
    np.testing.assert_allclose(chain.logits(rows), answers, rtol=1e-4, atol=1e-5)
    given = Signals(np.array([9.0]), np.array([1.0]), np.array([True]))
    for calibration in (Calibration(chain, rows), Calibration(chain, rows, given, exact=True)):
        quantized = calibration.at(2.0**-6)
        found = nmp_model(quantized)
        np.testing.assert_array_equal(found.predict(rows, verbose=0), quantized.logits(rows))
        assert np.square(quantized.logits(rows) - answers).mean() < 0.02 * answers.var()
    kinds = [type(layer).__name__ for layer in to_nmp(model, X[..., None], y).layers]
    assert kinds.count("NMPConv2D") == 3 and kinds.count("MaxPooling2D") == 1 and "Flatten" in kinds


def test_a_network_is_trained_by_its_layers_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    X, y = images()
    np.savez(tmp_path / "d.npz", X=X, y=y, split=np.arange(len(X)) % 3)
    words = ["--data", str(tmp_path / "d.npz"), "--model", "cnn", "--epochs", "3", "--out", str(tmp_path / "m.keras")]
    layers = "conv:2x3:same:stride2,pool:2:same,depthwise:2,dense:3"
    assert train.main([*words, "--layers", layers, "--front", "--quiet"]) == 0
    report = json.loads((tmp_path / "m.train.json").read_text())
    model = load_model(tmp_path / "m.keras")
    assert report["layers"] == layers and report["deployable"] and list((tmp_path / "m.front").glob("*.keras"))
    assert [layer.name for layer in model.layers] == [
        "image", "quantize_inputs", "conv_0", "pool_1", "depthwise_2", "flatten", "dense_3", "output"
    ]  # fmt: skip
    preprocessing = read(tmp_path / "m.keras")
    assert preprocessing is not None and set(preprocessing.scale) == {1 / 256}
    for wrong, told in (
        (["--layers", "conv:8"], "write conv:FILTERSxSIZE"), (["--layers", "dense:4,pool:2"], "behind all others"),
        (["--layers", "conv:2x9"], "too large for the 6x5 pixels"), (["--image", "5x5x1"], "not the 30 features"),
        (["--hidden", "4"], "--hidden and --weights-only are not"), (["--method", "adq"], "trains by nmp, uniform"),
    ):  # fmt: skip
        assert train.main([*words, "--quiet", *wrong]) in (1, 2)
        assert told in capsys.readouterr().err


def test_what_cannot_be_is_refused_in_a_line() -> None:
    for settings, remedy in (
        ({"data_format": "channels_first"}, "Permute"), ({"padding": "causal"}, "valid or same"),
        ({"groups": 3}, "divisor of its 4 filters"), ({"kernel_size": (1, 2, 3)}, "give 2 positive whole numbers"),
        ({"strides": 2, "dilation_rate": 2}, "exclude each other"), ({"hardware": "folded"}, "streamed or unrolled"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=remedy):
            NMPConv2D(**{"filters": 4, "kernel_size": 3, **settings})
    with pytest.raises(ValueError, match="does not fit into"):
        NMPConv2D(4, 5)(keras.Input((4, 4, 1)))
    with pytest.raises(ValueError, match="no multiple of its 2 groups"):
        NMPConv2D(4, 1, groups=2)(keras.Input((4, 4, 3)))
    large = keras.Sequential(
        [keras.Input((64, 64, 3)), NMPInputQuantizer(), NMPConv2D(32, 3), L.Flatten(), NMPDense(2)]
    )
    with pytest.raises(ModelError, match="unrolled"):
        extract(large, form="unrolled")
