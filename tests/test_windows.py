"""Convolutions and pools: every window lies where Keras has it, and unrolled networks equal Keras bit for bit."""

from __future__ import annotations

import os
import random
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

with warnings.catch_warnings():  # third-party imports warn about their own dependencies
    warnings.simplefilter("ignore")
    import keras
    import qkeras

from flow.bench.vectors import off_grid
from flow.core.errors import ModelError
from flow.core.passes.widths import widths
from flow.extract import compare_with_keras, convolution, extract, load_model
from flow.extract.float_model import float_chain
from flow.extract.windows import MAX_WEIGHTS, members, require_size, weights_met, window_of
from keras_models import to_nmp

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning"),
]
L = keras.layers
KINDS = {
    1: {"conv": "Conv1D", "depth": "DepthwiseConv1D", "max": "MaxPooling1D", "mean": "AveragePooling1D"},
    2: {"conv": "Conv2D", "depth": "DepthwiseConv2D", "max": "MaxPooling2D", "mean": "AveragePooling2D"},
}


def random_window(rng):
    """A layer that fits its inputs, its kind, its inputs' shape, and whether it is a pool."""
    directions, which = rng.choice([1, 2]), rng.choice(["conv", "depth", "max", "mean"])
    shape = (*(rng.randint(1, 8) for _ in range(directions)), rng.choice([1, 2, 4]))
    kind, is_pool = KINDS[directions][which], which in ("max", "mean")
    dilation = 1 if is_pool else rng.choice([1, 1, 2])
    settings = {
        "pool_size" if is_pool else "kernel_size": tuple(rng.randint(1, 3) for _ in range(directions)),
        "strides": (rng.choice([1, 2, 3]) if dilation == 1 else 1,) * directions,
        "padding": rng.choice(["valid", "same", *(["causal"] if kind == "Conv1D" else [])]),
    }
    if not is_pool:
        settings["dilation_rate"] = (dilation,) * directions
    if which == "conv":
        groups = rng.choice([g for g in (1, 2, 4) if shape[-1] % g == 0])
        settings |= {"filters": groups * rng.choice([1, 2]), "groups": groups}
    elif which == "depth":
        settings["depth_multiplier"] = rng.choice([1, 2])
    if directions == 1:
        settings = {key: value[0] if isinstance(value, tuple) else value for key, value in settings.items()}
    return kind, settings, shape, is_pool


@pytest.mark.parametrize("seed", range(3))
def test_windows_lie_where_keras_has_them(seed):
    rng, found = random.Random(seed), 0
    while found < 20:
        kind, settings, shape, is_pool = random_window(rng)
        try:
            window = window_of("layer", kind, settings, shape)
        except ModelError as exc:
            assert "does not fit" in str(exc)
            continue
        layer, numbers = getattr(L, kind)(**settings), np.random.default_rng(found)
        layer.build((None, *shape))
        values = numbers.integers(-8, 9, (3, *shape)).astype(np.float32)
        flat = values.reshape(3, -1)
        if is_pool:
            rows = members(window)
            own = [flat[:, row].max(1) if "Max" in kind else flat[:, row].mean(1) for row in rows]
            seen = np.stack(own, axis=1)
        else:
            kernel = numbers.integers(-8, 9, layer.kernel.shape).astype(np.float32)
            layer.kernel.assign(kernel)
            met = weights_met("layer", window, kernel.shape, "Depthwise" in kind)
            seen = flat @ np.where(met >= 0, kernel.ravel()[met], 0)
        answers = np.asarray(layer(values)).reshape(3, -1)
        assert answers.shape == seen.shape, (kind, settings, shape)
        assert np.allclose(answers, seen, rtol=1e-6), (kind, settings, shape)
        found += 1


def network(seed):
    """A small quantized convolutional network with random windows, pools and weights."""
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    flat = seed % 2 == 0
    x = inputs = keras.Input((8, 2) if flat else (6, 5, 1))
    x = qkeras.QActivation(qkeras.quantized_bits(4, 1, 1, alpha=1))(x)
    kernel = rng.choice([qkeras.quantized_bits(4, 0, 1, alpha=1), qkeras.ternary(alpha=1), qkeras.binary(alpha=1)])
    own = {"kernel_quantizer": kernel, "bias_quantizer": qkeras.quantized_bits(5, 1, 1, alpha=1)}
    padding, stride = rng.choice(["same", "valid"]), rng.choice([1, 2])
    x = (qkeras.QConv1D if flat else qkeras.QConv2D)(3, 3 if flat else (3, 2), strides=stride, padding=padding, **own)(
        x
    )
    if seed % 3 == 0:
        x = L.BatchNormalization()(x)
    x = qkeras.QActivation(qkeras.quantized_relu(3, 1) if seed % 4 else qkeras.quantized_bits(4, 1, 1, alpha=1))(x)
    pool = [L.MaxPooling1D, L.AveragePooling1D] if flat else [L.MaxPooling2D, L.AveragePooling2D]
    x = pool[0](2, strides=rng.choice([1, 2]))(x) if seed % 3 else pool[1](2)(x)
    if not flat:
        depth = {**own, "depthwise_quantizer": own["kernel_quantizer"]}
        del depth["kernel_quantizer"]
        x = qkeras.QActivation(qkeras.quantized_relu(3, 1))(qkeras.QDepthwiseConv2D((1, 2), padding="same", **depth)(x))
    ends = [L.GlobalMaxPooling1D if flat else L.GlobalMaxPooling2D, L.Flatten]
    x = qkeras.QDense(3, **own)(ends[seed % 2]()(x))
    model = keras.Model(inputs, x)
    for layer in model.layers:
        shapes = [w.shape for w in layer.get_weights()]
        if isinstance(layer, L.BatchNormalization):
            layer.set_weights([numbers.uniform(0.3, 1.5, shape) for shape in shapes])
        elif not isinstance(layer, qkeras.QActivation):
            layer.set_weights([numbers.normal(0, 0.7, shape) for shape in shapes])
    return model


@pytest.mark.parametrize("seed", range(6))
def test_random_networks_equal_their_designs(seed, tmp_path):
    network(seed).save(tmp_path / "m.keras")
    model = load_model(tmp_path / "m.keras")
    design = widths(extract(model))
    assert compare_with_keras(model, design, off_grid(design.inputs, 300, seed)).mismatches == 0


def test_a_window_one_pixel_off_is_found(monkeypatch):
    own = convolution.weights_met
    monkeypatch.setattr(convolution, "weights_met", lambda *given: np.roll(own(*given), 1, axis=0))
    design = widths(extract(model := network(4)))
    assert compare_with_keras(model, design, off_grid(design.inputs, 300, 4)).mismatches > 0


def test_the_largest_of_a_window_takes_no_wider_values():
    x = inputs = keras.Input((4, 1))
    x = qkeras.QActivation(qkeras.quantized_bits(5, 1, 1, alpha=1))(x)
    model = keras.Model(inputs, L.Flatten()(L.MaxPooling1D(4)(x)))
    design = widths(extract(model))
    assert [f.bits for f in design.output_formats] == [5]
    assert compare_with_keras(model, design, off_grid(design.inputs, 500, 0)).mismatches == 0


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("Conv2D", {"kernel_size": [3, 3], "data_format": "channels_first"}, "build the model with data_format"),
        ("Conv2D", {"kernel_size": [9, 3]}, "does not fit into (6, 5) pixels"),
        ("Conv2D", {"kernel_size": [0, 3]}, "has kernel_size [0, 3]; give 2 whole numbers"),
        ("Conv2D", {"kernel_size": "3"}, "give 2 whole numbers"),
        ("MaxPooling2D", {"padding": "half"}, "has padding 'half'; use valid or same"),
        ("Conv1D", {"kernel_size": [3]}, "2 axes are needed"),
    ],
)
def test_windows_that_are_none_are_refused(kind, settings, words):
    with pytest.raises(ModelError) as told:
        window_of("layer", kind, settings, (6, 5, 2))
    assert words in str(told.value)


def test_what_is_too_large_unrolled_is_refused_before_it_is_made():
    window = window_of("layer", "Conv2D", {"kernel_size": [5, 5], "padding": "same"}, (32, 32, 8))
    with pytest.raises(ModelError, match="a larger stride"):
        weights_met("layer", window, (5, 5, 8, 16))
    with pytest.raises(ModelError, match="a larger stride"):
        require_size("layer", 4096, 4096)
    assert MAX_WEIGHTS < 32 * 32 * 25 * 8 * 16


def test_a_float_convolution_becomes_a_chain(tmp_path):
    model = keras.Sequential([
        keras.Input((6, 5, 2)), L.Conv2D(3, 3, strides=2, padding="same", activation="relu"), L.BatchNormalization(),
        L.AveragePooling2D((3, 1)), L.DepthwiseConv2D((1, 2)), L.Flatten(), L.Dense(4), L.Softmax(),
    ])  # fmt: skip
    model.save(tmp_path / "m.keras")
    values = np.random.default_rng(0).normal(0, 1, (20, 6, 5, 2)).astype(np.float32)
    chain = float_chain(tmp_path / "m.keras")
    found = chain.logits(values.reshape(20, -1).astype(np.float64))
    answers = np.asarray(keras.Model(model.inputs[0], model.layers[-2].output)(values))
    assert np.allclose(found, answers, rtol=1e-4, atol=1e-5) and chain.left_out == "softmax"
    assert [layer.kernel.shape for layer in chain.layers] == [(18, 3), (3, 3), (2, 3), (6, 4)]


@pytest.mark.parametrize("kind", ["convolution", "dense", "last", "pool", "scaled"])
def test_repeated_pixels_are_seen_by_what_comes_behind(kind, tmp_path):
    ends = {
        "convolution": [L.UpSampling2D((2, 3)), L.Conv2D(2, (3, 2), strides=(1, 2), padding="same", activation="relu")],
        "dense": [L.UpSampling2D((1, 2)), L.UpSampling2D(2), L.Flatten(), L.Dense(4)],
        "last": [L.ReLU(), L.UpSampling2D((3, 1))],
        "pool": [L.UpSampling2D(2), L.MaxPooling2D(3), L.Conv2D(2, 1)],
        "scaled": [L.ReLU(), L.UpSampling2D(2), L.BatchNormalization(), L.Conv2D(2, 3)],
    }
    model = keras.Sequential([keras.Input((4, 3, 2)), L.Conv2D(3, 2, padding="same"), *ends[kind]])
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.set_weights([np.array(w, np.float32) for w in ([1, 2, 3], [1, 0, -1], [0, 1, 2], [1, 1, 4])])
    model.save(tmp_path / "m.keras")
    values = np.random.default_rng(0).normal(0, 1, (200, 4, 3, 2)).astype(np.float32)
    rows, answers = values.reshape(200, -1), model.predict(values, verbose=0).reshape(200, -1)
    assert np.allclose(float_chain(tmp_path / "m.keras").logits(rows.astype(np.float64)), answers, rtol=1e-4, atol=1e-5)
    quantized = to_nmp(model, rows)
    for form in ("streamed", "unrolled"):
        design = widths(extract(quantized, form=form))
        assert compare_with_keras(quantized, design, off_grid(design.inputs, 100, 1)).agrees
    noise = np.abs(quantized.predict(rows, verbose=0).reshape(200, -1) - answers)
    assert noise.mean() < 0.1 * np.abs(answers).mean()


def test_repeated_pixels_that_are_reshaped_are_refused(tmp_path):
    model = keras.Sequential(
        [keras.Input((2, 2, 2)), L.Conv2D(2, 1), L.UpSampling2D(2), L.Reshape((8, 2, 2)), L.Conv2D(2, 1)]
    )
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="put the Reshape before UpSampling"):
        float_chain(tmp_path / "m.keras")
