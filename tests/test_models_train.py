"""The training command: files, reproducibility, budgets, fronts, methods and errors."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_models import train
from keras_models.data.preprocess import read
from keras_models.training.pareto import ParetoSet, Snapshot
from keras_models.training.schedule import BudgetController, cosine_rate, rising_beta

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def regression(tmp_path: Path) -> str:
    """A small smooth regression problem with two targets."""
    random = np.random.default_rng(0)
    X = random.normal(size=(1500, 6)).astype(np.float32)
    y = np.stack([np.abs(X[:, 0]) + X[:, 1], X[:, 2] * 3 + 40], axis=1).astype(np.float32)
    path = tmp_path / "problem.npz"
    np.savez(path, X=X, y=y, split=np.arange(1500) % 3)
    return str(path)


def run(*arguments: object) -> int:
    return train.main([*map(str, arguments), "--quiet"])


def test_writes_all_files_and_repeats_exactly(regression: str, tmp_path: Path) -> None:
    from keras_models.methods.models import load_model

    options = ("--data", regression, "--hidden", "8", "--epochs", 6, "--seed", 3)
    for name in ("a.h5", "b.keras"):
        assert run(*options, "--out", tmp_path / name) == 0
    report = json.loads((tmp_path / "a.train.json").read_text())
    other = json.loads((tmp_path / "b.train.json").read_text())
    assert report["metric"] == "mse" and report["seed"] == 3 and report["test_raw"] > 0
    assert sum(report["weight_bits_histogram"].values()) == 10
    assert {k: v for k, v in report.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}
    assert (tmp_path / "a.history.csv").read_bytes() == (tmp_path / "b.history.csv").read_bytes()
    rows = list(csv.DictReader((tmp_path / "a.history.csv").read_text().splitlines()))
    assert len(rows) == 6 and float(rows[-1]["loss"]) < float(rows[0]["loss"])
    first, second = load_model(tmp_path / "a.h5"), load_model(tmp_path / "b.keras")
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert read(tmp_path / "a.h5") == read(tmp_path / "b.keras") is not None
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_an_interrupt_ends_with_status_130_and_says_what_is_left(
    regression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from keras_models.training import fit

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fit.RunState, "record", interrupted)
    options = ("--data", regression, "--hidden", "4", "--epochs", 2, "--out", tmp_path / "m.h5")
    assert run(*options) == 130
    assert capsys.readouterr().err == "error: interrupted; its files are not complete: run the same command again\n"
    assert not (tmp_path / "m.h5").exists()
    (tmp_path / "m.checkpoint.npz").touch()
    monkeypatch.setattr(train, "train", interrupted)
    assert run(*options, "--resume") == 130
    assert f"{tmp_path / 'm.checkpoint.npz'} is kept: the same command goes on" in capsys.readouterr().err


def test_saved_score_is_the_models_own(tmp_path: Path) -> None:
    from keras_models.data.loaders import load_dataset
    from keras_models.methods.models import load_model

    assert (
        run("--data", "digits", "--out", tmp_path / "d.h5", "--hidden", "16", "--epochs", 15, "--batch-size", 64) == 0
    )
    report = json.loads((tmp_path / "d.train.json").read_text())
    X, y = load_dataset("digits").part("test")
    predicted = load_model(tmp_path / "d.h5").predict(read(tmp_path / "d.h5").apply(X), verbose=0)
    assert report["metric"] == "accuracy" and report["test"] == float((predicted.argmax(axis=1) == y).mean()) > 0.6


def test_front_holds_models_that_do_not_beat_each_other(regression: str, tmp_path: Path) -> None:
    from keras_models.layers.cost import estimated_luts
    from keras_models.methods.models import load_model

    assert (
        run(
            "--data",
            regression,
            "--out",
            tmp_path / "m.h5",
            "--hidden",
            "8",
            "--epochs",
            40,
            "--batch-size",
            32,
            "--front",
        )
        == 0
    )
    entries = json.loads((tmp_path / "m.front" / "front.json").read_text())
    assert len(entries) >= 3
    costs, errors = [e["estimated_luts"] for e in entries], [e["val"] for e in entries]
    assert costs == sorted(costs) and errors == sorted(errors, reverse=True)
    assert estimated_luts(load_model(tmp_path / "m.front" / entries[0]["file"])) == pytest.approx(costs[0])


def test_budget_is_met(regression: str, tmp_path: Path) -> None:
    options = ("--data", regression, "--hidden", "12", "--epochs", 80, "--batch-size", 32)
    assert run(*options, "--out", tmp_path / "m.h5", "--lut-budget", 250, "--count-luts", "estimate") == 0
    assert 0.95 * 250 <= json.loads((tmp_path / "m.train.json").read_text())["estimated_luts"] <= 250


def test_paper_mode_and_float(regression: str, tmp_path: Path) -> None:
    for name, options in {
        "paper": ("--mode", "paper", "--learning-rate", 0.01),
        "float": ("--method", "float"),
    }.items():
        out = tmp_path / f"{name}.keras"
        assert run("--data", regression, "--out", out, "--hidden", "8", "--epochs", 3, *options) == 0
    bits = {p.name.split(".")[0]: json.loads(p.read_text()) for p in tmp_path.glob("*.train.json")}
    assert 1 <= bits["paper"]["mean_weight_bits"] < 2 and bits["paper"]["mean_activation_bits"] >= 4
    assert bits["float"]["mean_weight_bits"] == 32
    assert bits["float"]["estimated_luts"] is None and "floats" in bits["float"]["obstacle"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--out", "m.pt"),
        ("--hidden", "8-x"),
        ("--hidden", "0"),
        ("--epochs", "0"),
        ("--beta", "-1"),
        ("--beta", "nan"),
        ("--lut-budget", "nan"),
        ("--learning-rate", "-2"),
        ("--method", "float", "--front"),
        ("--front", "--lut-budget", "9"),
        ("--data", "no_such_set"),
        ("--split-key", "no_such_key"),
        ("--target-columns", "7"),
        ("--target-columns", "x"),
        ("--out", "/no/such/folder/m.h5"),
        ("--method", "uniform", "--bits", "2.5"),
        ("--method", "float", "--weight-bits", "0-4"),
        ("--weight-bits", "4-2"),
        ("--model", "tabformer", "--weight-bits", "0-4"),
        ("--activation-bits", "2-x"),
        ("--cost", "bits", "--front"),
        ("--mean-weight-bits", "2", "--front"),
        ("--mean-weight-bits", "2", "--lut-budget", "900"),
        ("--mean-weight-bits", "2", "--beta", "1e-4"),
        ("--mean-weight-bits", "0"),
        ("--mean-activation-bits", "nan"),
        ("--mean-activation-bits", "3", "--weights-only"),
        ("--method", "uniform", "--mean-weight-bits", "2"),
        ("--model", "tabformer", "--mean-weight-bits", "2"),
        ("--method", "uniform", "--cost", "bits"),
        ("--method", "uniform", "--settle", "0.5"),
        ("--settle", "1.2"),
        ("--strength-rate", "0"),
        ("--weights-only", "--method", "adq"),
        ("--weights-only", "--front"),
    ],
)
def test_one_error_line_and_the_status_of_its_kind(
    regression: str, tmp_path: Path, capsys: pytest.CaptureFixture, arguments: tuple[str, ...]
) -> None:
    of_files = ("no_such_set", "no_such_key", "7", "/no/such/folder/m.h5")  # the rest is wrong usage
    status = 1 if arguments[-1] in of_files else 2
    assert run("--data", regression, "--out", tmp_path / "m.h5", *arguments) == status
    error = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in error if line.startswith("error: ")]) == 1 and "Traceback" not in "".join(error)
    assert not list(tmp_path.glob("m.*"))


@pytest.mark.parametrize("method", [("--mode", "paper"), ("--method", "uniform", "--bits", 2)])
def test_weights_only_leaves_signals_float(regression: str, tmp_path: Path, method: tuple[object, ...]) -> None:
    from keras_models.methods.models import load_model

    out = tmp_path / "m.h5"
    options = ("--hidden", "8", "--epochs", 3, "--learning-rate", 0.01, "--weights-only")
    assert run("--data", regression, "--out", out, *options, *method) == 0
    report = json.loads((tmp_path / "m.train.json").read_text())
    assert report["mean_weight_bits"] <= 8 and report["mean_activation_bits"] == 32
    assert (report["deployable"], report["obstacle"]) == (False, "inputs and activations stay float")
    model = load_model(out)
    x = np.float32(np.linspace(0.001, 0.002, 7))[:, None] * np.ones((1, 6), np.float32)
    hidden = np.asarray(model.layers[0](x))
    assert len(np.unique(hidden[:, np.abs(hidden).max(axis=0) > 0][:, 0])) == 7, "inputs are quantized"


def test_neurons_take_only_the_widths_of_a_bit_set(regression: str, tmp_path: Path) -> None:
    sets = "--weight-bits", "0-1.58-4", "--activation-bits", "0-2-4"
    assert run("--data", regression, "--hidden", "8", "--epochs", 3, *sets, "--out", tmp_path / "m.h5") == 0
    report = json.loads((tmp_path / "m.train.json").read_text())
    assert set(report["weight_bits_histogram"]) <= {"0", "1.58", "4"} and report["weight_bits"] == "0-1.58-4"
    assert report["mean_activation_bits"] <= 4


def test_cost_in_bits_narrows_weights_and_settled_widths_stay(regression: str, tmp_path: Path) -> None:
    common = ("--data", regression, "--hidden", "8", "--epochs", 20, "--batch-size", 16)
    common = (*common, "--learning-rate", 0.02, "--cost", "bits", "--settle", 0.5)
    found = {}
    for beta in (0, 0.01):
        out = tmp_path / f"m{beta}.h5"
        assert run(*common, "--beta", beta, "--out", out) == 0
        found[beta] = json.loads(out.with_suffix(".train.json").read_text())["mean_weight_bits"]
        history = list(csv.DictReader(out.with_suffix(".history.csv").read_text().splitlines()))
        assert len({row["mean_weight_bits"] for row in history[10:]}) == 1
        assert beta == 0 or len({row["mean_weight_bits"] for row in history[:10]}) > 1
    assert found[0.01] < found[0] - 1


def test_schedules() -> None:
    assert cosine_rate(1.0, 0.0) == 1.0 and cosine_rate(1.0, 1.0) == pytest.approx(0.05)
    path = [rising_beta(1e-6, 1e-3, p / 100) for p in range(101)]
    assert path[0] == 1e-6 and path[-1] == pytest.approx(1e-3) and path == sorted(path)
    assert rising_beta(1e-6, 0.0, 0.5) == 0.0


def test_controller_steers_a_model_plant() -> None:
    """A plant whose cost follows beta with delay ends just below the budget."""
    controller, luts = BudgetController(1000.0, 1e-6), 8000.0
    for epoch in range(400):
        beta = controller.next(luts, epoch / 400)
        luts += 0.05 * (8000 * (1e-6 / beta) ** 0.5 - luts)
    assert 950 <= luts <= 1000


def test_pareto_set() -> None:
    front = ParetoSet()
    for merit, luts in [(1, 10), (2, 20), (1.5, 30), (3, 40), (2, 15), (3, 40)]:
        if front.admits(merit, luts):
            front.add(Snapshot(merit, luts, 1, [], {}))
    assert [(s.merit, s.luts) for s in front.sorted()] == [(1, 10), (2, 15), (3, 40)]
    assert [s.luts for s in front.spread(2)] == [10, 40]


def test_the_command_line_loads_no_keras_before_it_has_chosen_the_backend() -> None:
    code = (
        "import sys; from keras_models import train\n"
        "train.check(train.parser().parse_args(['--data', 'digits', '--out', 'm.h5', '--mean-weight-bits', '3']))\n"
        "assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
