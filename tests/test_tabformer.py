"""The tabular transformer: layers, masks, shapes, files, training and what it says about its widths."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from keras_models import (
    FieldEmbedding,
    NMPActivation,
    NMPDense,
    TabSpec,
    TokenAttention,
    load_dataset,
    load_model,
    train,
)
from keras_models.data.loaders import DataError, Dataset, Declaration
from keras_models.methods.tabformer import METHODS

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def spec(**changes: object) -> TabSpec:
    """Two numeric fields and one of three levels, in windows of two rows."""
    random = np.random.default_rng(0)
    settings = {"inputs": 5, "hidden": (4, 6), "outputs": 3, "categories": (3,), "window": 2,
                "calibration": random.normal(size=(50, 2, 5))}  # fmt: skip
    return TabSpec(**{**settings, **changes})


def inputs(count: int, *shape: int) -> np.ndarray:
    random = np.random.default_rng(1)
    X = random.normal(size=(count, *shape, 5)).astype(np.float32)
    X[..., 2:] = np.eye(3)[random.integers(3, size=(count, *shape))]
    return X


def test_attention_equals_its_formula_and_hides_masked_keys() -> None:
    random = np.random.default_rng(2)
    query, key, value = random.normal(size=(3, 2, 7, 5, 6)).astype(np.float32)
    mask = np.ones((2, 7, 5), bool)
    mask[..., 3:] = False
    layer = TokenAttention(heads=3)

    def expected(k: np.ndarray, v: np.ndarray) -> np.ndarray:
        out = []
        for h in range(3):
            part = slice(2 * h, 2 * h + 2)
            scores = np.exp(query[..., part] @ np.swapaxes(k[..., part], -1, -2) / np.sqrt(2))
            out.append(scores / scores.sum(axis=-1, keepdims=True) @ v[..., part])
        return np.concatenate(out, axis=-1)

    free = np.asarray(layer([query, key, value]))
    np.testing.assert_allclose(free, expected(key, value), atol=2e-6)
    masked = np.asarray(layer([query, key, value], mask=[None, mask, None]))
    np.testing.assert_allclose(masked, expected(key[..., :3, :], value[..., :3, :]), atol=2e-6)
    assert np.abs(masked - free).max() > 0.01


def test_field_embedding_interpolates_between_quantiles_and_looks_levels_up() -> None:
    layer = FieldEmbedding(4, numeric=2, categories=(3,), bins=4)
    X = inputs(200)
    X[:, 1] = X[:, 1] > 0  # repeated quantiles
    layer.build(X.shape)
    layer.adapt(X)
    out = np.asarray(layer(X))
    assert out.shape == (200, 3, 4) == layer.compute_output_shape(X.shape) and np.isfinite(out).all()
    table, levels, offset = (np.asarray(v) for v in (layer.table, layer.levels, layer.offset))
    np.testing.assert_allclose(out[:, 2], levels[X[:, 2:].argmax(axis=1)] + offset[2], atol=1e-6)
    edges = np.quantile(X[:, 0], np.linspace(0, 1, 5))
    sums = np.concatenate([np.zeros((1, 4)), table[0].cumsum(axis=0)]) + offset[0]
    curves = [np.interp(X[:, 0], edges, sums[:, d]) for d in range(4)]
    np.testing.assert_allclose(out[:, 0], np.stack(curves, axis=1), atol=1e-4)


@pytest.mark.parametrize("change", [{"hidden": (5, 6)}, {"hidden": (4,)}, {"window": 0}, {"blocks": 0}])
def test_impossible_sizes_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="token width and row width"):
        METHODS["float"].build(spec(**change))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="no multiple of 4 heads"):
        TokenAttention(4).build([(None, 3, 6)] * 3)
    with pytest.raises(ValueError, match="one shape"):
        TokenAttention(2).build([(None, 3, 6), (None, 4, 6), (None, 3, 6)])
    with pytest.raises(ValueError, match="do not make 9 features"):
        FieldEmbedding(4, 2, (3,)).build((None, 9))
    with pytest.raises(ValueError, match="at least one field"):
        FieldEmbedding(4, 0)


@pytest.mark.parametrize(
    ("changes", "suffix"),
    [
        ({}, "h5"),
        ({"window": 1, "mode": "paper"}, "keras"),
        ({"weights_only": True}, "keras"),
        ({"method": "uniform"}, "h5"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_saved_models_predict_the_same(changes: dict[str, object], suffix: str, tmp_path: Path) -> None:
    changes = dict(changes)
    method = METHODS[changes.pop("method", "nmp")]
    chosen = spec(**changes)
    model = method.build(chosen)
    random = np.random.default_rng(3)
    for variable in model.trainable_variables:
        if variable.name.endswith("strength"):
            variable.assign(random.random(variable.shape))
    X = inputs(20, 2) if chosen.window > 1 else inputs(20)
    before = model.predict(X, verbose=0)
    assert before.shape == (20, 3) and np.isfinite(before).all()
    model.save(tmp_path / f"m.{suffix}")
    again = load_model(tmp_path / f"m.{suffix}")
    np.testing.assert_array_equal(again.predict(X, verbose=0), before)
    assert method.describe(again) == method.describe(model)
    for ours, theirs in zip(model.layers, again.layers, strict=True):
        assert type(ours) is type(theirs)
        if "keras_models" in type(ours).__module__:
            assert ours.get_config() == theirs.get_config()


def test_widths_and_luts_are_those_of_the_projections() -> None:
    model = METHODS["nmp"].build(spec(mode="paper"))
    luts, found = METHODS["nmp"].describe(model)
    dense = [la for la in model.layers if isinstance(la, NMPDense)]
    assert len(dense) == 14 and all(la.upstream is not None for la in dense)
    assert (found["mean_weight_bits"], found["mean_activation_bits"]) == (1, 4) and luts > 0
    assert found["weight_bits_histogram"] == {"1": sum(la.units for la in dense)}
    chosen = model.get_layer("columns_0_query")
    before = luts
    chosen.kernel_quantizer_internal.strength.assign(np.ones(4))
    luts, found = METHODS["nmp"].describe(model)
    share = 16 / sum(int(np.prod(la.kernel.shape)) for la in dense)
    assert found["mean_weight_bits"] == pytest.approx(1 + 7 * share) and luts > before
    only = METHODS["nmp"].build(spec(weights_only=True))
    assert not [la for la in only.layers if isinstance(la, NMPActivation)]
    assert METHODS["nmp"].describe(only)[0] is None and METHODS["nmp"].describe(only)[1]["mean_activation_bits"] == 32
    assert METHODS["float"].describe(METHODS["float"].build(spec()))[1]["mean_weight_bits"] == 32


def test_windows_end_in_the_parts_own_row() -> None:
    X = np.arange(12, dtype=np.float32).reshape(6, 2)
    data = Dataset("own", X, np.zeros(6, np.int64), np.array([0, 2, 0, 1, 2, 2]), Declaration())
    np.testing.assert_array_equal(data.windows("test", 3), X[[[0, 0, 1], [2, 3, 4], [3, 4, 5]]])
    np.testing.assert_array_equal(data.windows("train", 2)[:, -1], data.part("train")[0])
    with pytest.raises(DataError, match="leave out --window"):
        load_dataset("digits").windows("test", 2)


@pytest.fixture
def problem(tmp_path: Path) -> str:
    """A target that needs the row before: its first field, and the sign of the present second."""
    random = np.random.default_rng(0)
    X = random.normal(size=(900, 3)).astype(np.float32)
    y = np.roll(X[:, 0], 1) + np.abs(X[:, 1])
    path = tmp_path / "problem.npz"
    np.savez(path, X=X, y=y.astype(np.float32), split=np.arange(900) % 3)
    return str(path)


def run(*arguments: object) -> int:
    return train.main([*map(str, arguments), "--quiet", "--model", "tabformer"])


def test_training_learns_across_rows(problem: str, tmp_path: Path) -> None:
    out = tmp_path / "m.h5"
    sizes = ("--hidden", "4-8", "--window", 2, "--batch-size", 32, "--learning-rate", 0.01)
    assert run("--data", problem, "--out", out, *sizes, "--epochs", 30, "--method", "float") == 0
    report = json.loads(out.with_suffix(".train.json").read_text())
    assert report["model"] == "tabformer" and report["window"] == 2 and report["hidden"] == [4, 8]
    assert report["test"] < 0.4, "a single row explains a quarter of the variance only"


def test_training_learns_widths(problem: str, tmp_path: Path) -> None:
    out = tmp_path / "m.keras"
    sizes = ("--hidden", "2-4", "--batch-size", 30, "--learning-rate", 0.05)
    assert run("--data", problem, "--out", out, *sizes, "--epochs", 4, "--beta", 1e-2, "--weights-only") == 0
    report = json.loads(out.with_suffix(".train.json").read_text())
    assert 0 < report["mean_weight_bits"] < 8 and report["mean_activation_bits"] == 32 and report["weights_only"]
    assert isinstance(load_model(out), keras.Model)


@pytest.mark.parametrize(
    "status, arguments",
    [
        (2, ("--heads", 3)),
        (2, ("--hidden", "16")),
        (2, ("--window", 0)),
        (2, ("--blocks", 0)),
        (2, ("--weights-only", "--lut-budget", 99)),
        (1, ("--data", "digits", "--window", 2)),
    ],
)
def test_one_error_line(
    problem: str, tmp_path: Path, capsys: pytest.CaptureFixture, status: int, arguments: tuple[object, ...]
) -> None:
    assert run("--data", problem, "--out", tmp_path / "m.h5", *arguments) == status
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ") and not list(tmp_path.glob("m.*"))
