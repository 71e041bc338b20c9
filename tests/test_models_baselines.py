"""The compared systems: each trains, says what it is, and keeps the promises particular to it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from flow.core.errors import ModelError
from flow.extract.design import extract
from flow.extract.load import load_model as read_model
from flow.extract.reference import compare_with_keras
from keras_models import train
from keras_models.methods import adq, cmpq, releq, sigmaquant
from keras_models.methods.codebook import AdaptiveCodebookDense, ThresholdActivation, quantile_levels
from keras_models.methods.kmeans import kmeans
from keras_models.methods.layerwise import dense_layers
from keras_models.methods.models import load_model
from keras_models.methods.ppo import Agent
from keras_models.quantizers.exact import to_numpy

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> str:
    random = np.random.default_rng(0)
    X = random.normal(size=(900, 5)).astype(np.float32)
    y = (np.abs(X[:, 0]) + X[:, 1] > 0.6).astype(np.int64) + (X[:, 2] > 1)
    path = tmp_path_factory.mktemp("data") / "problem.npz"
    np.savez(path, X=X, y=y, split=np.arange(900) % 3)
    return str(path)


def trained(problem: str, out: Path, method: str, *options: object) -> dict:
    arguments = ("--data", problem, "--out", out, "--method", method, "--hidden", "8", "--epochs", 12,
                 "--batch-size", 32, "--quiet", *options)  # fmt: skip
    assert train.main([str(a) for a in arguments]) == 0
    return json.loads(out.with_suffix(".train.json").read_text())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("layerwise", ("--beta", "1e-3")),
        ("sigmaquant", ("--size-share", "0.6", "--max-loss", "0.2")),
        ("releq", ("--episodes", "5")),
    ],
)
def test_layer_widths_train_and_become_exact_hardware(
    problem: str, tmp_path: Path, method: str, options: tuple[str, ...]
) -> None:
    report = trained(problem, tmp_path / "m.h5", method, *options)
    assert report["test"] > 0.6 and report["deployable"] and report["obstacle"] is None
    assert report["estimated_luts"] > 0 and 0 < report["model_bytes"] < 200
    for layer in dense_layers(load_model(tmp_path / "m.h5")):
        exported = layer.export_integer()
        assert all(
            len(np.unique(item[key])) == 1 for item in exported for key in ("weight_bits", "bits") if key in item
        )
    model = read_model(tmp_path / "m.h5")
    X = np.random.default_rng(1).normal(0, 2, (400, 5)).astype(np.float32)
    compared = compare_with_keras(model, extract(model), X)
    assert compared.mismatches == 0 and compared.vectors == 400
    if method == "sigmaquant":
        assert report["budgets_met"] and report["size_share"] <= 0.6 and not report["budgets_note"]


@pytest.mark.parametrize(("method", "bits"), [("adq", 2.6), ("cmpq", 2.5)])
def test_codebooks_report_their_size_and_are_refused_as_hardware(
    problem: str, tmp_path: Path, method: str, bits: float
) -> None:
    report = trained(problem, tmp_path / "m.keras", method, "--bits", bits)
    assert report["test"] > 0.6 and not report["deployable"] and "codebook" in report["obstacle"]
    assert 2 <= report["mean_weight_bits"] <= bits and report["bits"] == bits
    with pytest.raises(ModelError, match=r"layer dense_0 has weights from a codebook"):
        read_model(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").predict(np.zeros((1, 5), np.float32), verbose=0).shape == (1, 3)


def test_cmpq_keeps_the_mean_and_each_channel_its_codebook(problem: str, tmp_path: Path) -> None:
    report = trained(problem, tmp_path / "m.keras", "cmpq", "--bits", 2)
    for layer in load_model(tmp_path / "m.keras").layers:
        kernel, keep = to_numpy(layer.kernel), to_numpy(layer.outliers) > 0
        bits = to_numpy(layer.code_bits)
        assert bits.mean() <= 2
        for row, outlier, width in zip(kernel, keep, bits, strict=True):
            assert len(np.unique(row[~outlier])) <= 2**width
    assert report["mean_weight_bits"] == 2
    norms = np.asarray([5.0, 1.0, 3.0, 4.0, 2.0])
    assert cmpq.channel_bits(norms, 2.4).tolist() == [3, 2, 2, 3, 2]
    assert cmpq.channel_bits(np.arange(20.0), 3.25).mean() == 3.25


def test_cmpq_protects_outliers() -> None:
    kernel = np.random.default_rng(0).normal(size=(20, 40)).astype(np.float32)
    kernel[3, 7] = 40.0
    quantized, _, keep = cmpq.quantize(kernel, np.ones(20), 2.0)
    assert keep[3, 7] and quantized[3, 7] == kernel[3, 7] and 2 <= keep.sum() <= 0.005 * kernel.size
    np.testing.assert_array_equal(quantized[keep], kernel[keep])


def test_releq_reward_prefers_accuracy() -> None:
    losing_accuracy = releq.reward(1.0, 0.5) - releq.reward(0.9, 0.5)
    spending_bits = releq.reward(1.0, 0.5) - releq.reward(1.0, 0.6)
    assert losing_accuracy > spending_bits > 0
    assert releq.reward(0.39, 0.25) == -1.0 < releq.reward(0.41, 1.0)


def test_policy_gradient_is_the_objectives_own_and_finds_the_better_action() -> None:
    agent, random = Agent(3, 4, 0), np.random.default_rng(1)
    states, actions = random.normal(size=(6, 3)), random.integers(0, 4, 6)
    data = (states, actions, random.uniform(0.2, 0.4, 6), random.normal(size=6), random.normal(size=6))
    for weight, gradient in zip(agent.weights, agent.gradients(*data), strict=True):
        place = (1, 0)
        weight[place] += 1e-6
        above = agent.objective(*data)
        weight[place] -= 2e-6
        assert (above - agent.objective(*data)) / 2e-6 == pytest.approx(gradient[place], abs=1e-7)
        weight[place] += 1e-6
    agent, state = Agent(3, 4, 0), np.ones(3)
    for _ in range(40):
        for _ in range(4):
            step = agent.act(state)
            agent.remember([step], float(step.action == 2))
        agent.update()
    assert agent.forward(state[None])[1][0, 2] > 0.8


def test_sigmaquant_says_whether_its_budgets_hold(problem: str, tmp_path: Path) -> None:
    tight = trained(problem, tmp_path / "b.keras", "sigmaquant", "--size-share", 0.25, "--max-loss", 0)
    assert tight["layer_bits"] == [2, 2] and tight["mean_weight_bits"] == 2
    assert tight["budgets_met"] == (tight["score_share"] >= 1) == (not tight["budgets_note"])


def test_sigmaquant_orders_widths_by_spread_and_divergence_by_width() -> None:
    sizes = np.asarray([100, 100, 100])
    assert sigmaquant.coarse_widths(np.asarray([0.1, 0.5, 0.3]), 1.0, sizes) == [4, 8, 6]
    assert sigmaquant.coarse_widths(np.asarray([0.1, 0.5, 0.3]), 0.5, sizes) == [2, 6, 4]
    values = np.random.default_rng(0).normal(size=4000)
    steps = [np.round(values * s) / s for s in (1, 2, 8)]
    found = [sigmaquant.divergence(values, s) for s in steps]
    assert found[0] > found[1] > found[2] >= 0 == sigmaquant.divergence(values, values)


def test_adq_codebook_starts_at_quantiles_and_follows_the_weights() -> None:
    layer = AdaptiveCodebookDense(30, decay=0.5)
    layer.build((None, 40))
    layer.set_width(3)
    kernel = to_numpy(layer.kernel)
    start = to_numpy(layer.codebook).copy()
    assert int(layer.levels) == 7 and len(np.unique(start)) == 7 and 0 in start
    np.testing.assert_allclose(start[4:7], np.quantile(kernel[kernel > 0], [1 / 6, 0.5, 5 / 6]), rtol=1e-6)
    layer(np.zeros((2, 40), np.float32), training=False)
    np.testing.assert_array_equal(to_numpy(layer.codebook), start)
    labels = np.abs(kernel[..., None] - start[:7]).argmin(axis=-1)
    layer(np.zeros((2, 40), np.float32), training=True)
    expected = [0.5 * start[k] + 0.5 * kernel[labels == k].mean() if start[k] else 0.0 for k in range(7)]
    np.testing.assert_allclose(to_numpy(layer.codebook)[:7], expected, rtol=1e-5)
    assert set(np.unique(to_numpy(layer(np.eye(40, dtype=np.float32))))) <= set(to_numpy(layer.codebook).tolist())


def test_adq_levels_of_one_sided_weights_and_allocation() -> None:
    assert quantile_levels(np.asarray([[1.0, 2.0, 3.0]]), 3)[0] == 0
    losses = np.asarray([[1.0, 0.2, 0.1, 0.1], [1.0, 0.9, 0.85, 0.8]])
    assert adq.allocate(losses, np.asarray([10, 10]), 3.0) == [4, 2]
    assert adq.allocate(losses, np.asarray([10, 90]), 2.1) == [3, 2]


def test_adq_thresholds_map_to_even_levels_and_learn() -> None:
    import keras

    layer = ThresholdActivation(bits=2, top=3.0)
    values = np.asarray([[-1.0, 0.49, 0.5, 1.6, 2.5, 9.0]], np.float32)
    np.testing.assert_allclose(to_numpy(layer(values)), [[0, 0, 1, 2, 3, 3]], rtol=1e-6)
    model = keras.Sequential([keras.layers.Input((6,)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = to_numpy(layer.thresholds()).copy()
    model.fit(values, np.zeros((1, 6), np.float32), epochs=1, verbose=0)
    after = to_numpy(layer.thresholds())
    assert (np.diff(after) > 0).all() and after[0] > before[0] and float(layer.log_step) < 0


def test_an_engine_used_again_trains_like_a_new_one() -> None:
    from keras_models.methods.catalog import METHODS, ModelSpec
    from keras_models.training.fit import FitConfig, fit, loop_for

    random = np.random.default_rng(0)
    X = random.normal(size=(64, 3)).astype(np.float32)
    parts = {part: (X, (X[:, 0] > 0).astype(np.int64)) for part in ("train", "val")}
    config = FitConfig(epochs=3, batch_size=16, beta=0.0, seed=2)
    method, spec = METHODS["float"], ModelSpec(3, (4,), 2, seed=2)
    fresh = method.build(spec)
    expected = fit(fresh, method, parts, "classification", config).history
    used = method.build(spec)
    start = used.get_weights()
    loop = loop_for(used, method, parts, "classification", config)
    for seed in (1, 2):
        used.set_weights(start)
        again = fit(used, method, parts, "classification", dataclasses.replace(config, seed=seed), loop=loop).history
        assert (again == expected) == (seed == 2)


def test_energy_is_that_of_the_bits_added() -> None:
    from flow.parallel.cost import ENERGY_PER_BIT_PJ, graph_energy_pj
    from flow.parallel.graph import LayerGraph, Node, Term

    nodes = (Node("input", 0, 15, element=0), Node("input", 0, 15, element=1))
    total = Node("sum", 0, 30, terms=(Term(0, 0), Term(1, 0)))
    assert graph_energy_pj(LayerGraph("wires", nodes, (0,), "")) == 0
    assert graph_energy_pj(LayerGraph("sum", (*nodes, total), (2,), "")) == pytest.approx(4 * ENERGY_PER_BIT_PJ)


def test_kmeans_of_one_dimension() -> None:
    centres, labels = kmeans(np.asarray([0.0, 0.1, 5.0, 5.2, 9.0]), 3)
    np.testing.assert_allclose(centres, [0.05, 5.1, 9.0])
    assert labels.tolist() == [0, 0, 1, 1, 2]
    assert kmeans(np.asarray([2.0, 2.0]), 4)[0].tolist() == [2.0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--method", "adq", "--bits", "7"),
        ("--method", "cmpq", "--bits", "nan"),
        ("--method", "sigmaquant", "--size-share", "0.1"),
        ("--method", "sigmaquant", "--max-loss", "1"),
        ("--method", "releq", "--episodes", "0"),
        ("--method", "adq", "--front"),
        ("--model", "tabformer", "--method", "releq"),
    ],
)
def test_impossible_settings_end_in_one_line(
    problem: str, tmp_path: Path, capsys: pytest.CaptureFixture, arguments: tuple[str, ...]
) -> None:
    assert train.main(["--data", problem, "--out", str(tmp_path / "m.h5"), "--quiet", *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ") and not list(tmp_path.glob("m.*"))
