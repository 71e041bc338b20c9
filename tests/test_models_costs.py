"""The hardware cost: its digits, its value, its gradients, and that training charges it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from keras import ops

from keras_models.digits import nonzero_digits
from keras_models.layers.cost import (
    _count_digits,
    estimated_luts,
    hardware_cost,
    set_beta,
    soft_digits,
)
from keras_models.layers.counts import layer_luts
from keras_models.layers.neurons import ACTIVATION_SHARE
from keras_models.loop.compiled import COST_STEPS, make_loop
from keras_models.loop.steps import OptimizerConfig
from keras_models.methods.models import build_mlp
from keras_models.quantizers.exact import to_numpy

BACKEND = keras.backend.backend()


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 4, (count, 12)).astype(np.float32)


def test_nonzero_digits() -> None:
    assert nonzero_digits(np.array([0, 1, -2, 3, 5, 7, 15, 85, 127, -128])).tolist() == [0, 1, 1, 2, 2, 2, 2, 4, 2, 1]
    soft = to_numpy(soft_digits(ops.convert_to_tensor(np.array([0.0, 1.0, 127.0], np.float32))))
    assert soft[0] == 0 and 0.5 < soft[1] <= 1.5 and soft[2] > soft[1]


def test_digits_in_training_are_those_of_integers() -> None:
    every = np.arange(2**15 + 1, dtype=np.int32)
    np.testing.assert_array_equal(to_numpy(_count_digits(ops.convert_to_tensor(every))), nonzero_digits(every))


def test_costs_fall_with_width_and_pruned_neurons_are_free() -> None:
    model = build_mlp(12, (8,), 2)
    full, soft = estimated_luts(model), float(hardware_cost(model))
    layer = model.layers[1]
    layer.kernel_quantizer_internal.strength.assign(np.full(8, layer.weight_ladder.strength_of(1.58)))
    assert estimated_luts(model) < full and float(hardware_cost(model)) < soft
    layer.activation_quantizer.strength.assign(np.zeros(8))
    model.layers[2].kernel_quantizer_internal.strength.assign(np.zeros(2))
    assert estimated_luts(model) == 0


def test_the_cost_in_the_loss_has_the_estimates_value() -> None:
    model = build_mlp(12, (8,), 2)
    layer = model.layers[1]
    layer.kernel_quantizer_internal.strength.assign(np.linspace(0.2, 1, 8))
    layer.activation_quantizer.strength.assign(np.linspace(0.2, 1, 8))
    assert float(hardware_cost(model)) == pytest.approx(estimated_luts(model), rel=1e-4)


def test_a_neuron_of_few_input_bits_costs_no_more_than_its_tables() -> None:
    weights, bits = np.array([[3], [5], [-3]]), np.array([2, 2, 2])
    assert layer_luts(weights, bits, np.array([1])) < 4 < layer_luts(weights, 3 * bits, np.array([1]))
    assert np.isfinite(layer_luts(np.ones((800, 1), int), np.full(800, 8), np.array([8])))  # 2^6400 tables, no warning


@pytest.mark.skipif(BACKEND != "jax", reason="gradients are taken with jax.grad")
def test_cost_in_bits_counts_stored_weights_and_pulls_only_at_widths() -> None:
    import jax

    model = build_mlp(12, (8,), 2, dense={"cost": "bits"})
    layer = model.layers[1]
    layer.kernel_quantizer_internal.strength.assign(np.full(8, layer.weight_ladder.strength_of(3)))
    activations = ACTIVATION_SHARE * 8
    assert float(layer.hardware_cost()) == pytest.approx(12 * 8 * (3 + activations))
    assert float(hardware_cost(model)) == pytest.approx(12 * 8 * (3 + activations) + 8 * 2 * 8)

    layer.activation_share, layer.activation_price = 0.5, 3.0
    assert float(layer.hardware_cost()) == pytest.approx(12 * 8 * 3 + 8 * 8 * (0.5 * 12 + 3))

    def cost(values: list) -> object:
        with keras.StatelessScope(state_mapping=list(zip(model.trainable_variables, values, strict=True))):
            return hardware_cost(model)

    gradients = jax.grad(cost)([v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        pulled = variable.name in ("weight_strength", "activation_strength")
        assert (np.asarray(gradient) > 0).all() if pulled else (np.asarray(gradient) == 0).all(), variable.path


def test_a_cost_without_weight_is_not_computed() -> None:
    model = build_mlp(12, (8,), 1)
    X = rows(256)
    loop = make_loop(model, X, np.abs(X[:, :1]), "regression", OptimizerConfig(), 64, 0)
    called = []
    cost = model.layers[1].hardware_cost
    model.layers[1].hardware_cost = lambda exact=True: called.append(exact) or cost(exact)
    free = loop.epoch(1e-3, 0.0)
    assert not called
    assert loop.epoch(1e-3, 1.0) > free + 100 and called  # that many LUTs
    traced = len(called)
    assert loop.epoch(1e-3, 0.0) < free + 100 and len(called) == traced  # nothing is compiled again


@pytest.mark.skipif(BACKEND != "jax", reason="gradients are taken with jax.grad; the other backend is compared")
def test_steps_share_the_gradient_of_the_cost_as_it_was_at_the_first() -> None:
    import jax

    steps, rate, beta = COST_STEPS + 2, 1e-3, 1e-2
    X = rows(64 * steps)
    model = build_mlp(12, (8,), 1)
    variables, start = model.trainable_variables, [to_numpy(v).copy() for v in model.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]
    set_beta(model, beta)

    def loss(values: list, x: np.ndarray) -> object:
        out = model.stateless_call(values, fixed, x, training=True)[0]
        return ops.mean(ops.square(out - 1.0))

    def cost(values: list) -> object:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return beta * hardware_cost(model)

    values, order = start, np.random.default_rng(0).permutation(len(X)).reshape(steps, 64)
    for step in range(steps):
        if step % COST_STEPS == 0:
            charge = jax.grad(cost)(values)
        found = jax.grad(loss)(values, X[order[step]])
        values = [v - rate * (a + b) for v, a, b in zip(values, found, charge, strict=True)]
        values = [v if p.constraint is None else p.constraint(v) for v, p in zip(values, variables, strict=True)]
    ones = np.ones((len(X), 1), np.float32)
    make_loop(model, X, ones, "regression", OptimizerConfig("sgd"), 64, 0).epoch(rate, beta)
    for variable, value, first in zip(variables, values, start, strict=True):
        np.testing.assert_allclose(to_numpy(variable), value, rtol=1e-3, atol=1e-4 * np.abs(value - first).max())
        assert (to_numpy(variable) != first).any()


def trained(how: str, beta: float, path: Path) -> None:
    """Save what one step with a cost makes of a model in this process' backend."""
    X = rows(64)
    model = build_mlp(12, (8, 6), 1, seed=1)
    for number, variable in enumerate(model.trainable_variables):
        variable.assign(np.random.default_rng(number).uniform(0.3, 0.9, variable.shape))
    if how == "fit":
        set_beta(model, beta)
        model.compile(keras.optimizers.SGD(1e-3), "mse")
        model.fit(X, np.ones((64, 1), np.float32), batch_size=64, verbose=0)
    else:
        loop = make_loop(model, X, np.ones((64, 1), np.float32), "regression", OptimizerConfig("sgd"), 64, 0)
        loop.charged = how == "charged"
        loop.epoch(1e-3, beta)
    np.savez(path, *(to_numpy(v) for v in model.trainable_variables))


@pytest.mark.parametrize("beta", [pytest.param(0.0, marks=pytest.mark.long), 1e-2])
def test_both_backends_and_plain_fit_take_the_same_step(tmp_path: Path, beta: float) -> None:
    other = "tensorflow" if BACKEND == "jax" else "jax"
    program = (
        f"import sys, pathlib; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_models_costs as t; "
        f"[t.trained(h, {beta}, pathlib.Path({str(tmp_path)!r}) / f'other_{{h}}.npz') for h in ('fit', 'charged')]"
    )
    environment = {**os.environ, "KERAS_BACKEND": other, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, capture_output=True)
    for how in ("fit", "charged", "free"):
        trained(how, beta, tmp_path / f"{how}.npz")
    expected = np.load(tmp_path / "charged.npz")
    for name in ("fit", "other_fit", "other_charged", *(["free"] if beta == 0 else [])):
        found = np.load(tmp_path / f"{name}.npz")
        for key in expected:
            np.testing.assert_allclose(found[key], expected[key], rtol=1e-4, atol=1e-5, err_msg=f"{name} {key}")


def test_plain_fit_with_a_cost() -> None:
    model = build_mlp(12, (8,), 1)
    model.compile("adam", "mse")
    X, y = rows(256), np.zeros((256, 1), np.float32)
    free = model.evaluate(X, y, verbose=0)
    set_beta(model, 1e-2)
    history = model.fit(X, y, epochs=3, batch_size=64, verbose=0).history["loss"]
    assert history[0] > free and history[-1] < history[0]
