"""The layers: discrete forward pass, gradients, exact integers on both backends, saving, QKeras compatibility."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras import ops

from keras_models.layers.activations import NMPActivation, NMPInputQuantizer
from keras_models.layers.dense import NMPDense
from keras_models.layers.export import export_integer
from keras_models.loop.compiled import make_loop
from keras_models.loop.steps import OptimizerConfig
from keras_models.methods.models import bit_statistics, build_mlp, load_model
from keras_models.quantizers.exact import to_numpy
from keras_models.quantizers.precision import BitLadder

BACKEND = keras.backend.backend()

# Keras' own convert_to_numpy(Variable) and its advice against .h5
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def integer_model(description: list[dict], X: np.ndarray) -> np.ndarray:
    """An independent integer evaluation: int64 mantissas, one common grid per layer."""
    signals, fracs = X.astype(np.float64), None
    for item in description:
        if item["kind"] == "quantizer":
            scaled = np.ldexp(signals, item["frac"] if fracs is None else item["frac"] - fracs)
            mantissa = np.floor(scaled + 0.5)
            high = np.ldexp(1.0, item["bits"] - item["signed"]) - 1
            low = np.where(item["signed"], -np.ldexp(1.0, item["bits"] - 1), 0.0)
            signals = np.where(item["bits"] > 0, np.clip(mantissa, low, high), 0).astype(np.int64)
            fracs = item["frac"]
        else:
            finest = int(fracs.max())
            aligned = signals << (finest - fracs)
            total = aligned @ item["weights"]
            grid = np.maximum(finest + item["weight_frac"], item["bias_frac"])
            signals = (total << (grid - finest - item["weight_frac"])) + (item["bias"] << (grid - item["bias_frac"]))
            fracs = grid
    return np.ldexp(signals.astype(np.float64), -fracs)


def random_model(seed: int, mode: str = "hardware", hidden: tuple[int, ...] = (17, 9)) -> keras.Model:
    """An MLP whose strengths, ranges and biases are drawn at random (every width occurs)."""
    model = build_mlp(12, hidden, 3, mode=mode, seed=seed)
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if variable.name.endswith("strength"):
            variable.assign(random.uniform(0, 1, variable.shape))
        elif variable.name.endswith("log2_range"):
            variable.assign(to_numpy(variable) + random.normal(0, 1, variable.shape))
        elif variable.name == "bias":
            variable.assign(random.normal(0, 1, variable.shape))
    model.get_layer("quantize_inputs").signed.assign(random.integers(0, 2, 12).astype(np.float32))
    return model


def inputs(rows: int = 500, seed: int = 5) -> np.ndarray:
    random = np.random.default_rng(seed)
    X = random.normal(0, 4, (rows, 12)).astype(np.float32)
    X[: rows // 2] = np.round(X[: rows // 2] * 8) / 16  # exact ties of the rounding
    return X


@pytest.mark.parametrize("seed", range(2))
def test_integers_equal_keras(seed: int) -> None:
    model = random_model(seed)
    X = inputs()
    np.testing.assert_array_equal(integer_model(export_integer(model), X), model.predict(X, verbose=0))


def test_paper_mode_integers_equal_keras() -> None:
    model = random_model(1, mode="paper")
    for layer in model.layers[1:-1]:
        layer.activation_quantizer.strength.assign(np.zeros(layer.units))  # 16-bit sums would leave float32
    assert all(layer.float32_exact() for layer in model.layers[1:])
    X = inputs()
    np.testing.assert_array_equal(integer_model(export_integer(model), X), model.predict(X, verbose=0))


def test_inexact_accumulators_are_told() -> None:
    layer = NMPDense(4, weight_bits=(8,), weight_start=8, kernel_initializer="ones")
    quantizer = NMPInputQuantizer(input_bits=(16,))
    keras.Sequential([keras.layers.Input((64,)), quantizer, layer])
    assert not layer.float32_exact()
    assert (layer.export_integer()[0]["accumulator_bits"] > 25).all()


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_saved_model_predicts_the_same(tmp_path: Path, suffix: str) -> None:
    model = random_model(7)
    X = inputs()
    before = model.predict(X, verbose=0)
    path = tmp_path / f"m.{suffix}"
    model.save(path)
    again = load_model(path)
    np.testing.assert_array_equal(again.predict(X, verbose=0), before)
    np.testing.assert_array_equal(integer_model(export_integer(again), X), before)
    assert again.layers[2].upstream is again.layers[1]


def test_other_backend_agrees(tmp_path: Path) -> None:
    """The same saved model, in graph mode on the other backend, gives the same bits."""
    model = random_model(11)
    X = inputs()
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", X)
    other = "tensorflow" if BACKEND == "jax" else "jax"
    program = (
        "import sys, numpy as np; from keras_models.methods.models import load_model; d = sys.argv[1]; "
        "m = load_model(d + '/m.keras'); np.save(d + '/y.npy', m.predict(np.load(d + '/x.npy'), verbose=0)); "
        "m.save(d + '/again.h5'); "
        "np.save(d + '/z.npy', load_model(d + '/again.h5').predict(np.load(d + '/x.npy'), verbose=0))"
    )
    root = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "KERAS_BACKEND": other, "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, env=environment, capture_output=True)
    expected = integer_model(export_integer(model), X)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), expected)


@pytest.mark.skipif(BACKEND != "jax", reason="written for JAX")
def test_training_forward_pass_is_the_discrete_one() -> None:
    import jax

    model = random_model(3)
    X = inputs()
    variables = ([v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables))
    outputs = jax.jit(lambda t, n, x: model.stateless_call(t, n, x, training=True)[0])(*variables, X)
    np.testing.assert_array_equal(np.asarray(outputs), integer_model(export_integer(model), X))


def test_rounding_half_up_without_the_float_trap() -> None:
    layer = NMPInputQuantizer(input_bits=(4,), input_range=3.0)
    layer.build((None, 1))
    layer.signed.assign([1.0])
    values = np.array(
        [[np.nextafter(np.float32(0.5), np.float32(0))], [0.5], [-0.5], [-1.5], [100], [-100]], np.float32
    )
    np.testing.assert_array_equal(to_numpy(layer(values))[:, 0], [0, 1, 0, -1, 7, -8])


def test_rounding_of_unsigned_signals_half_up_at_every_tie() -> None:
    layer = NMPActivation(activation_bits=(8,), activation_range=8.0)
    layer.build((None, 1))
    ties = np.arange(-3, 260, dtype=np.float32) + np.float32(0.5)
    values = np.concatenate([ties, np.nextafter(ties, np.float32(-1e9)), np.nextafter(ties, np.float32(1e9))])
    expected = np.clip(np.floor(values.astype(np.float64) + 0.5), 0, 255)
    np.testing.assert_array_equal(to_numpy(layer(values[:, None]))[:, 0], expected)


def test_weight_formats() -> None:
    layer = NMPDense(5, weight_bits=(0, 1, 1.58, 2, 4), weight_start=4, weight_range=0.0, use_bias=False)
    layer.build((None, 3))
    kernel = np.array([[0.9], [-0.3], [0.2]], np.float32)
    layer.kernel.assign(np.repeat(kernel, 5, axis=1))
    strength = layer.kernel_quantizer_internal.strength
    strength.assign([layer.weight_ladder.strength_of(b) for b in (0, 1, 1.58, 2, 4)])
    dense = layer.export_integer()[0]
    assert dense["weights"].T.tolist() == [[0, 0, 0], [1, -1, 1], [1, -1, 0], [1, -1, 0], [7, -2, 2]]
    assert dense["weight_frac"].tolist() == [1, 1, 1, 1, 3]
    assert dense["weight_bits"].tolist() == [0, 1, 1.58, 2, 4]


def test_ladder_thresholds_and_surrogate() -> None:
    ladder = BitLadder((1, 2, 4, 8), thresholds=(0.25, 0.5, 0.75), temperature=0.01, start=1)
    strength = ops.convert_to_tensor(np.array([0.0, 0.2499, 0.25, 0.6, 0.75, 1.0], np.float32))
    assert to_numpy(ladder.hard_bits(strength)).tolist() == [1, 1, 2, 4, 8, 8]


@pytest.mark.parametrize("bits", [(1, 2), (1, 2, 4, 8), (0, 1.58, 3, 4, 5, 6, 8), (0, 1, 2, 3, 4, 5, 6, 7, 8)])
def test_slope_is_the_surrogates(bits: tuple[float, ...]) -> None:
    """Of a long ladder the transitions just below and above the chosen width; of a short one all."""
    ladder, random = BitLadder(bits), np.random.default_rng(0)
    strength = random.uniform(0, 1, 50).astype(np.float32).astype(float)
    values = np.sort(random.normal(size=(len(bits), 50)), axis=0)
    chosen = ladder.index_numpy(strength)
    near = np.arange(len(bits) - 1)[:, None] - chosen + np.zeros((len(bits) - 1, 50))
    counted = (near == 0) | (near == -1) | (len(bits) <= 4)

    def surrogate(at: np.ndarray) -> np.ndarray:
        distance = (at - np.asarray(ladder.thresholds)[:, None]) / ladder.temperature
        return (counted * np.diff(values, axis=0) / (1 + np.exp(-distance))).sum(axis=0)

    slope = (surrogate(strength + 1e-6) - surrogate(strength - 1e-6)) / 2e-6
    column = np.arange(50)
    bumps = ladder.bumps(ops.convert_to_tensor(strength.astype(np.float32)),
                         np.asarray(ladder.transitions)[:, chosen] if ladder.transitions else None)  # fmt: skip
    neighbours = [values[np.asarray(other)[chosen], column] for other in ladder.neighbours]
    found = np.asarray(ladder.slope(bumps, neighbours, values[chosen, column]))
    np.testing.assert_allclose(found, slope, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("arguments", [
    {"bits": (4, 2)}, {"bits": ()}, {"bits": (1, 17)}, {"bits": (1, 2), "thresholds": (0.2, 0.4)},
    {"bits": (1, 2), "thresholds": (1.5,)}, {"bits": (1, 2), "start": 3}, {"bits": (1, 2), "temperature": 0.0},
    {"bits": (0, 1.58), "ternary": False},
])  # fmt: skip
def test_ladder_refuses(arguments: dict) -> None:
    with pytest.raises(ValueError):
        BitLadder(**arguments)


@pytest.mark.skipif(BACKEND != "jax", reason="gradients are taken with jax.grad")
def test_gradients() -> None:
    """Straight-through inside the range only; strengths and ranges get a gradient; the cost pulls all of them down."""
    import jax

    layer = NMPDense(2, weight_range=0.0, use_bias=False)
    layer.build((None, 3))
    layer.kernel.assign(np.array([[0.4, 3.0], [0.3, 0.2], [-0.6, 0.1]], np.float32))

    def loss(values: list, cost: bool) -> object:
        mapping = list(zip(layer.trainable_variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return layer.hardware_cost() if cost else ops.sum(layer(np.ones((1, 3), np.float32), training=True))

    values = [v.value for v in layer.trainable_variables]
    names = [v.name for v in layer.trainable_variables]
    task = dict(zip(names, jax.jit(jax.grad(lambda v: loss(v, False)))(values), strict=True))
    assert np.asarray(task["kernel"]).tolist() == [[1, 0], [1, 1], [1, 1]]
    assert np.any(np.asarray(task["weight_strength"]) != 0)
    cost = dict(zip(names, jax.jit(jax.grad(lambda v: loss(v, True)))(values), strict=True))
    assert (np.asarray(cost["weight_strength"]) > 0).all()
    assert (np.asarray(cost["weight_log2_range"]) < 0).all()
    assert cost["kernel"][1, 0] != 0


@pytest.mark.skipif(BACKEND != "jax", reason="gradients are taken with jax.grad")
def test_paper_mode_bits_grow_only_where_the_surrogate_asks() -> None:
    """One SGD step moves exactly those neurons up a width whose strength gradient is negative enough."""
    import jax

    model = build_mlp(12, (16,), 3, mode="paper", seed=2)
    layer = model.layers[1]
    strength = layer.kernel_quantizer_internal.strength
    X, y = inputs(64), np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    values, fixed = ([v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables))

    def loss(v: list) -> object:
        return ops.mean(ops.square(model.stateless_call(v, fixed, X, training=True)[0] - y))

    gradients = jax.jit(jax.grad(loss))(values)
    position = next(i for i, v in enumerate(model.trainable_variables) if v is strength)
    gradient = np.asarray(gradients[position])
    before = layer.export_integer()[0]["weight_bits"]
    assert (before == 1).all()
    room = layer.weight_ladder.thresholds[0] - to_numpy(strength)
    rate = float(room[0] / np.median(-gradient[gradient < 0]))
    strength.assign(np.clip(to_numpy(strength) - rate * gradient, 0, 1))
    grew = layer.export_integer()[0]["weight_bits"] > before
    np.testing.assert_array_equal(grew, to_numpy(strength) >= np.float32(layer.weight_ladder.thresholds[0]))
    assert grew.any() and not grew.all() and (gradient[grew] < 0).all()


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="one backend's loop is enough, the other's is compared")
def test_formats_can_be_kept_while_weights_train() -> None:
    model = build_mlp(12, (8,), 1)
    X = inputs(256)
    y = np.abs(X[:, :1])
    loop = make_loop(model, X, y, "regression", OptimizerConfig(), 64, 0)
    for formats, moves in ((0.0, False), (1.0, True)):
        before = {v.path: to_numpy(v).copy() for v in model.trainable_variables}
        loop.epoch(0.01, 1e-3, formats)
        moved = {v.path for v in model.trainable_variables if (to_numpy(v) != before[v.path]).any()}
        assert any(path.endswith("kernel") for path in moved)
        assert any(path.endswith(("strength", "log2_range")) for path in moved) is moves


def test_bit_statistics() -> None:
    model = build_mlp(4, (2,), 1)
    model.layers[1].kernel_quantizer_internal.strength.assign([0.0, 1.0])
    statistics = bit_statistics(export_integer(model))
    assert statistics["weight_bits_histogram"] == {"0": 1, "8": 2}
    assert statistics["mean_weight_bits"] == pytest.approx((4 * 0 + 4 * 8 + 2 * 8) / 10)


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.quantize = NMPInputQuantizer()
        self.hidden = NMPDense(6)
        self.relu = NMPActivation()
        self.out = NMPDense(2)
        self.hidden.set_upstream(self.quantize)
        self.out.set_upstream(self.relu)

    def call(self, x: object) -> object:
        return self.out(self.relu(self.hidden(self.quantize(x))))


def test_subclassed_and_functional_models(tmp_path: Path) -> None:
    model = Subclassed()
    X = inputs()
    p = model.predict(X, verbose=0)
    np.testing.assert_array_equal(integer_model(export_integer(model), X), p)
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(load_model(tmp_path / "m.keras").predict(X, verbose=0), p)

    start = keras.layers.Input((12,))
    x = NMPInputQuantizer()(start)
    hidden = keras.layers.Dropout(0.1)(NMPDense(5, activation="relu")(x))
    out = NMPDense(2)(hidden)
    functional = keras.Model(start, keras.layers.BatchNormalization()(keras.layers.Dense(3)(out)))
    assert functional.layers[-3].upstream is functional.layers[2]
    functional.save(tmp_path / "f.h5")
    again = load_model(tmp_path / "f.h5")
    np.testing.assert_array_equal(again.predict(X, verbose=0), functional.predict(X, verbose=0))


def test_signed_activation_and_projection_of_sequences() -> None:
    start = keras.layers.Input((4, 12))
    model = keras.Model(start, NMPActivation("linear")(NMPDense(6)(start)))
    X = np.random.default_rng(0).normal(size=(8, 4, 12)).astype(np.float32)
    y = model.predict(X, verbose=0)
    assert y.shape == (8, 4, 6) and (y < 0).any()
    assert export_integer(model)[-1]["signed"].all()


def test_layers_refuse_bad_arguments() -> None:
    for make in (lambda: NMPDense(0), lambda: NMPDense(3, activation="tanh"), lambda: NMPDense(3, mode="x"),
                 lambda: NMPActivation("gelu")):  # fmt: skip
        with pytest.raises(ValueError):
            make()


def test_config_round_trip() -> None:
    for layer in (
        NMPDense(3, activation="relu", weight_bits=(0, 2, 4), weight_thresholds=(0.2, 0.7), weight_start=2, beta=1e-3),
        NMPActivation("linear", activation_bits=(4, 8)),
        NMPInputQuantizer(input_bits=(0, 4), input_temperature=0.1),
    ):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
