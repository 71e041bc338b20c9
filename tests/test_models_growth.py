"""Widths in training: they grow where the surrogate's gradient asks and nowhere else, every step is discrete, and what
is kept is what was trained."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from test_models_layers import inputs, integer_model, random_model

from keras_models.layers.activations import NMPInputQuantizer
from keras_models.layers.dense import NMPDense
from keras_models.layers.export import export_integer
from keras_models.layers.widths import neuron_widths
from keras_models.loop.compiled import Loop, make_loop
from keras_models.loop.steps import OptimizerConfig
from keras_models.methods.models import load_model
from keras_models.quantizers.exact import to_numpy
from keras_models.quantizers.learned import WeightQuantizer
from keras_models.quantizers.precision import BitLadder

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def quantized_weights(kernel: np.ndarray, bits: float, exponent: np.ndarray) -> np.ndarray:
    """The published formats in float64: sign times half the range at 1 bit, else a symmetric grid of ``bits``."""
    if bits == 1:
        return np.where(kernel >= 0, 1.0, -1.0) * np.ldexp(1.0, exponent - 1)
    limit, step = 2.0 ** (bits - 1) - 1, np.ldexp(1.0, exponent - int(bits) + 1)
    return np.clip(np.floor(kernel / step + 0.5), -limit, limit) * step


def quantized_signals(x: np.ndarray, bits: float, exponent: np.ndarray) -> np.ndarray:
    step = np.ldexp(1.0, exponent - int(bits))
    return np.clip(np.floor(x / step + 0.5), 0, 2.0**bits - 1) * step


def slope(ladder: BitLadder, strength: np.ndarray, levels: list[np.ndarray]) -> np.ndarray:
    """d/ds of sum_b m_b(s) levels[b], by the definition of the sigmoid mixture."""
    total = np.zeros_like(levels[0])
    for threshold, (low, high) in zip(ladder.thresholds, pairwise(levels), strict=True):
        m = 1 / (1 + np.exp(-(strength - threshold) / ladder.temperature))
        total = total + m * (1 - m) / ladder.temperature * (high - low)
    return total


def surrogate_gradients(layer: NMPDense, signals: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the mean squared error to both strengths of a last layer with ReLU, in float64, from scratch."""
    kernel, bias = to_numpy(layer.kernel).astype(float), to_numpy(layer.bias).astype(float)
    weights, activation = layer.kernel_quantizer_internal, layer.activation_quantizer
    assert isinstance(weights, WeightQuantizer) and activation is not None
    w_range, a_range = (np.floor(to_numpy(q.log2_range) + 0.5).astype(int) for q in (weights, activation))
    w_levels = [quantized_weights(kernel, b, w_range) for b in weights.ladder.bits]
    w_index, a_index = (q.ladder.index_numpy(to_numpy(q.strength)) for q in (weights, activation))
    chosen = np.choose(w_index, w_levels)
    sums = signals @ chosen + np.ldexp(np.floor(np.ldexp(bias, layer.bias_frac) + 0.5), -layer.bias_frac)
    a_levels = [quantized_signals(sums, b, a_range) for b in activation.ladder.bits]
    upstream = 2 * (np.choose(a_index, a_levels) - targets) / targets.size
    top = np.ldexp(1.0, a_range)
    assert (sums != 0).all() and (sums != top).all()  # at the ends of the range the backends' gradients differ
    passing = upstream * ((sums > 0) & (sums < top))
    to_weights = ((signals.T @ passing) * slope(weights.ladder, to_numpy(weights.strength), w_levels)).sum(axis=0)
    to_activation = (upstream * slope(activation.ladder, to_numpy(activation.strength), a_levels)).sum(axis=0)
    return to_weights, to_activation


def test_exactly_the_neurons_whose_surrogate_gradient_asks_gain_bits() -> None:
    """Steps of the training loop, in paper mode, against gradients worked out in NumPy from the definitions."""
    rate, units = 6.0, 24
    layer = NMPDense(units, activation="relu", mode="paper", name="dense", bias_frac=16, activation_range=4.0)
    quantizer = NMPInputQuantizer(name="quantize")
    model = keras.Sequential([keras.layers.Input((12,)), quantizer, layer])
    random = np.random.default_rng(3)
    layer.kernel.assign(random.normal(0, 0.4, (12, units)))
    layer.bias.assign(random.uniform(-0.4, 0.4, units))
    X = inputs(256)
    y = np.maximum(X @ random.normal(0, 0.3, (12, units)), 0).astype(np.float32)
    loop = make_loop(model, X, y, "regression", OptimizerConfig("sgd", strength_rate=rate / 0.01), 256, 0)
    strengths = [q.strength for q in (layer.kernel_quantizer_internal, layer.activation_quantizer)]
    for strength, ladder in zip(strengths, (layer.weight_ladder, layer.activation_ladder), strict=True):
        strength.assign(random.uniform(0.98, 1.0, units) * ladder.thresholds[0])  # 1 and 4 bits, not far from more
    some = [False, False]  # a step in which some neurons grew and others did not
    for _ in range(6):
        ladders = (layer.weight_ladder, layer.activation_ladder)
        before = neuron_widths(model)
        expected = [
            np.clip(to_numpy(s).astype(float) - rate * g, 0, 1)
            for s, g in zip(strengths, surrogate_gradients(layer, to_numpy(quantizer(X)).astype(float), y), strict=True)
        ]
        loop.epoch(0.01, 0.0)
        after = neuron_widths(model)
        for k, name in enumerate(("dense/weights", "dense/activations")):
            np.testing.assert_allclose(to_numpy(strengths[k]), expected[k], atol=2e-5)
            edges = np.abs(expected[k][:, None] - np.asarray(ladders[k].thresholds))
            assert edges.min() > 2e-5  # else float32 may choose either side
            np.testing.assert_array_equal(after[name], np.asarray(ladders[k].bits)[ladders[k].index_numpy(expected[k])])
            grown = after[name] > before[name]
            some[k] |= bool(grown.any() and not grown.all())
    assert all(some)


@pytest.mark.parametrize("mode", ["paper", "hardware"])
def test_every_step_is_discrete_and_the_frozen_model_is_the_trained_one(tmp_path: Path, mode: str) -> None:
    model = random_model(4, mode, hidden=(9,))
    narrow_activations(model)
    X = inputs(96)
    y = np.random.default_rng(1).normal(size=(96, 3)).astype(np.float32)
    loop = make_loop(model, X, y, "regression", OptimizerConfig("adam", strength_rate=3.0), 96, 0)
    outputs, seen = training_outputs(model), set()
    for _ in range(15):
        np.testing.assert_array_equal(outputs(X), integer_model(export_integer(model), X))
        seen.add(tuple(np.concatenate(list(neuron_widths(model).values())).tolist()))
        step(loop)
    assert len(seen) > 3  # widths moved on the way
    trained = outputs(X)
    for suffix in ("h5", "keras"):
        model.save(tmp_path / f"m.{suffix}")
        frozen = load_model(tmp_path / f"m.{suffix}")
        assert trained.tobytes() == frozen.predict(X, verbose=0).tobytes()
        assert trained.tobytes() == integer_model(export_integer(frozen), X).astype(np.float32).tobytes()


@pytest.mark.parametrize("learned", ["input_bits", "weight_bits", "activation_bits"])
def test_a_single_width_is_trained_at_and_kept(learned: str) -> None:
    own = {learned: (4,)}
    first = {k: v for k, v in own.items() if k == "input_bits"}
    more = {k: v for k, v in own.items() if k != "input_bits"}
    layers = [NMPInputQuantizer(**first), NMPDense(5, activation="relu", name="dense", **more), NMPDense(2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    X = inputs(64)[:, :4]
    y = np.random.default_rng(1).normal(size=(64, 2)).astype(np.float32)
    loop = make_loop(model, X, y, "regression", OptimizerConfig("adam", strength_rate=3.0), 64, 0)
    before = to_numpy(model.layers[1].kernel).copy()
    for _ in range(3):
        step(loop)
    assert (to_numpy(model.layers[1].kernel) != before).any()
    kept = {"input_bits": model.layers[0].name, "weight_bits": "dense/weights", "activation_bits": "dense/activations"}
    widths = neuron_widths(model)
    assert set(next(w for name, w in widths.items() if name.startswith(kept[learned])).tolist()) == {4}


def narrow_activations(model: keras.Model) -> None:
    """Start hidden activations at 4 bits: sums of wide ones would leave float32."""
    for layer in model.layers[1:]:
        if layer.activation_quantizer is not None:
            layer.activation_quantizer.strength.assign(np.full(layer.units, layer.activation_ladder.strength_of(4)))


def step(loop: Loop) -> None:
    assert loop.rows == loop.batch_size  # an epoch is one step
    assert np.isfinite(loop.epoch(0.01, 1e-5))


def training_outputs(model: keras.Model):
    """Compiled outputs in training mode, of the variables as they are at each call."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        call = tf.function(lambda x: model(x, training=True), jit_compile=True)
        return lambda X: call(tf.constant(X)).numpy()
    import jax

    forward = jax.jit(lambda t, n, x: model.stateless_call(t, n, x, training=True)[0])

    def outputs(X: np.ndarray) -> np.ndarray:
        values = ([v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables))
        return np.asarray(forward(*values, X))

    return outputs
