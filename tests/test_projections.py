"""Dense layers of larger models built by themselves: equal to the Keras layer inside its model, bit for bit."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from flow.build.command import app
from flow.build.state import finish
from flow.core.errors import ModelError
from flow.core.evaluate import evaluate, quantize_inputs, to_float
from flow.core.passes.widths import widths
from flow.extract import choose, compare_with_keras, extract, float32_exactness, load_model
from keras_models import NMPActivation, NMPDense, TabSpec
from keras_models.methods.tabformer import METHODS

pytestmark = pytest.mark.filterwarnings("ignore")
RELU = ("row_embedding", "expand")
ROLES = ("columns_0_query", "columns_0_context", "columns_0_expand", "columns_0_contract", "row_embedding", "output")


def tabformer(seed: int, method: str = "nmp", **changes: object) -> keras.Model:
    """A small tabular transformer with random weights, widths, ranges and biases."""
    random = np.random.default_rng(seed)
    settings = {"inputs": 5, "hidden": (4, 6), "outputs": 3, "categories": (3,), "window": 2, "seed": seed,
                "calibration": random.normal(size=(50, 2, 5)), "bits": 4}  # fmt: skip
    model = METHODS[method].build(TabSpec(**{**settings, **changes}))
    for variable in model.trainable_variables:
        if variable.name.endswith("strength"):
            variable.assign(random.random(variable.shape))
        elif variable.name.endswith("log2_range"):
            variable.assign(np.asarray(variable) + random.integers(-2, 2, variable.shape))
        elif variable.name == "bias":
            variable.assign(random.normal(size=variable.shape))
    return model


def signals(model: keras.Model, names: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What each dense layer sees and what leaves it (behind its ReLU and quantizer), on random rows."""
    random = np.random.default_rng(9)
    known = {layer.name: layer for layer in model.layers}
    ends = [known.get(f"{name}_relu", known[name]).output for name in names]
    probe = keras.Model(model.inputs, [*(known[name].input for name in names), *ends])
    found = probe.predict(random.normal(scale=3, size=(100, *model.input_shape[1:])), verbose=0)
    flat = [x.reshape(-1, x.shape[-1]) for x in found]
    return dict(zip(names, zip(flat[: len(names)], flat[len(names) :], strict=True), strict=True))


@pytest.mark.parametrize(
    ("seed", "suffix", "method", "changes"),
    [
        (1, "keras", "nmp", {"window": 1}),
        (2, "h5", "nmp", {"mode": "paper"}),
        (3, "h5", "uniform", {"window": 1}),
    ],
)
def test_a_projection_equals_the_layer_inside_its_model(
    seed: int, suffix: str, method: str, changes: dict[str, object], tmp_path: Path
) -> None:
    model = tabformer(seed, method, **changes)
    path = tmp_path / f"m.{suffix}"
    model.save(path)
    assert len(choose(path, "all")) == (8 if "window" in changes else 14)
    names = {1: ROLES, 2: ("rows_0_value", "row_embedding", "output"), 3: ROLES[2:5]}[seed]
    for name, (seen, out) in signals(model, names).items():
        single = load_model(path, name)
        design = widths(extract(single))
        assert [layer.name for layer in design.layers] == [name] == [layer.name for layer in finish(design).layers]
        inputs = quantize_inputs(design, seen)
        np.testing.assert_array_equal(to_float(inputs, design.input_formats), seen, err_msg=f"{name} rounds its input")
        rounding = {neuron for _, neuron, _ in float32_exactness(design)}  # where Keras itself is not exact
        exact = [j for j in range(out.shape[1]) if j not in rounding]
        assert exact
        expected = to_float(evaluate(design, inputs), design.output_formats)
        np.testing.assert_array_equal(expected[:, exact], out[:, exact].astype(np.float64), err_msg=name)
        assert all((n.output is not None) == name.endswith(RELU) for n in design.layers[0].neurons)
        if name == "columns_0_contract" or rounding:
            assert compare_with_keras(single, design, 8 * seen).mismatches == 0


def test_weights_only_projections_need_an_input_format(tmp_path: Path) -> None:
    model = tabformer(5, weights_only=True, window=1)
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"no quantizer comes before.*state the inputs' format"):
        extract(load_model(tmp_path / "m.keras", "columns_0_expand"))
    design = widths(extract(load_model(tmp_path / "m.keras", "columns_0_contract"), input_format="s8.4"))
    assert design.layers[0].matrix.shape == (8, 4)
    assert {q.low for q in design.inputs} == {0}, "the ReLU before it comes along"


def test_layers_of_a_sequential_model_and_behind_dropout(tmp_path: Path) -> None:
    layers = [keras.Input((3,)), NMPActivation("linear", name="q"), keras.layers.Dropout(0.5), NMPDense(4, name="a"),
              keras.layers.ReLU(), NMPActivation("relu", activation_bits=(3,)), NMPDense(2, name="b")]  # fmt: skip
    model = keras.Sequential(layers)
    model.save(tmp_path / "m.h5")
    first, second = (extract(load_model(tmp_path / "m.h5", name)) for name in "ab")
    assert len(first.inputs) == 3 and {n.output.format.bits for n in first.layers[0].neurons} == {3}
    assert [q.format for q in second.inputs] == [n.output.format for n in first.layers[0].neurons]
    assert second.layers[0].neurons[0].output is None


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tab") / "tab.h5"
    tabformer(7, window=1).save(path)
    return path


def build(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.stderr.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), r"attention.*stays in software; build the 8 dense projections with --layer all, or one with --layer \w+"),
        (("--layer", "columns_0_qurey"), "did you mean columns_0_query"),
        (("--layer", "output,nothing_like_it"), "no dense layer 'nothing_like_it'; choose from columns_0_query"),
        (("--layer", ","), "no dense layer ','"),
        (("--layer", "columns_0_norm"), "no dense layer 'columns_0_norm'"),
        (("--layer", "all", "--data", "digits"), "--data gives inputs of the whole model"),
    ],
)
def test_one_line_says_what_to_do(saved: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    status, error = build("--model", saved, "--out", tmp_path / "b", *arguments)
    assert status in (1, 2) and not (tmp_path / "b").exists()
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in error
    assert re.search(message, lines[0]), lines[0]


def test_folder_names_stay_inside_the_output_folder(tmp_path: Path) -> None:
    x = keras.Input((2,))
    model = keras.Model(x, NMPDense(2, name="..")(NMPDense(2, name="a b")(x)))
    model.save(tmp_path / "m.h5")
    assert list(choose(tmp_path / "m.h5", "all").values()) == ["a_b", "__"]


def test_all_layers_are_built_and_checked_in_folders_of_their_own(tmp_path: Path) -> None:
    tight = {"weight_bits": (2,), "activation_bits": (2,)}
    layers = [NMPActivation("linear", activation_bits=(2,)), NMPDense(2, "relu", name="a", **tight)]
    model = keras.Sequential([keras.Input((2,)), *layers, NMPDense(2, name="b", **tight)])
    model.save(tmp_path / "m.h5")
    status, error = build("--model", tmp_path / "m.h5", "--layer", "all", "--out", tmp_path / "b", "--engines",
                          "integer,icarus", "--vectors", 100)  # fmt: skip
    assert status == 0, error
    for name in "ab":
        report = json.loads((tmp_path / "b" / name / "report.json").read_text())
        assert all(report["verification"][engine]["mismatches"] == 0 for engine in ("keras", "integer", "icarus"))
        assert [layer["name"] for layer in report["layers"]] == [name]
