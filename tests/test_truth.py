"""What a build says of a user's own model: the score in the model's own inputs, warnings, and a report never untrue."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from flow.build import outcome
from flow.build.command import app
from flow.build.state import Build, finish, record
from flow.core.compare import EngineResult
from flow.core.design import Design, Layer, Neuron, from_json
from flow.core.errors import DataError
from flow.core.fixed import Fixed, Quantizer
from flow.core.remarks import note
from flow.core.saturation import saturated
from flow.extract.test_data import Preparation, fit_test_part
from flow.extract.test_data import TestPart as Part
from flow.files import plan
from flow.files.steps import Steps
from flow.report.html import pages
from flow.tool_reports.open_json import UNFINISHED
from keras_models import NMPDense, NMPInputQuantizer
from keras_models.data.loaders import Dataset, Declaration
from keras_models.data.preprocess import Preprocessing, attach

pytestmark = pytest.mark.filterwarnings("ignore")
SPLIT = np.arange(360) % 3


def features() -> tuple[np.ndarray, np.ndarray]:
    """Two columns in units of their own, far from standardised, and whether a line lies below them."""
    random = np.random.default_rng(0)
    X = np.stack([random.normal(3.5, 1.5, 360), random.normal(-2, 1.5, 360)], axis=1).astype(np.float32)
    return X, (X.sum(axis=1) > 1.5).astype(int)


def save(path: Path, X: np.ndarray, y: np.ndarray, split: np.ndarray = SPLIT) -> Path:
    np.savez(path, X=X, y=y, split=split)
    return path


def network(outputs: int, *more: Any) -> keras.Model:
    layers = [NMPInputQuantizer(input_bits=(4,)), NMPDense(outputs, weight_bits=(2, 3))]
    return keras.Sequential([keras.Input((2,)), *layers, *more])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``m.keras``, trained by plain ``fit`` on the raw features of ``raw.npz``, ending in a softmax."""
    folder = tmp_path_factory.mktemp("own")
    X, y = features()
    save(folder / "raw.npz", X, y)
    keras.utils.set_random_seed(0)
    model = network(2, keras.layers.Softmax())
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(X[SPLIT == 0], y[SPLIT == 0], epochs=60, batch_size=40, verbose=0)
    model.save(folder / "m.keras")
    return folder


def accuracy(own: Path, X: np.ndarray, y: np.ndarray) -> float:
    """What the model's user measures."""
    predicted = keras.saving.load_model(own / "m.keras").predict(X[SPLIT == 2], verbose=0)
    return float((predicted.argmax(axis=1) == y[SPLIT == 2]).mean())


def build(model: Path, out: Path, *more: object) -> tuple[int, str, str]:
    """Exit status, standard output and error line of a build with the quickest engine."""
    arguments = ["--model", model, "--out", out, "--engines", "integer", "--vectors", "16", "--seed", "1", *more]
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "80"})
    return done.exit_code, done.stdout, done.stderr.strip()


def report_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    assert pages.page(found) == (out / "report.html").read_text()  # the pair belongs together
    return found


@pytest.fixture(scope="module")
def built(own: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The build of the user's model on the user's data, and what it printed."""
    out = tmp_path_factory.mktemp("built") / "b"
    status, shown, error = build(own / "m.keras", out, "--data", own / "raw.npz")
    assert status == 0, error
    return out, shown


@pytest.fixture
def out(built: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that build's folder: what a build of the same design need not do again is there."""
    return Path(shutil.copytree(built[0], tmp_path / "b"))


def test_a_model_trained_by_plain_fit_scores_what_its_user_measured(own: Path, built: tuple[Path, str]) -> None:
    out, shown = built
    report = report_of(out)
    measured = accuracy(own, *features())
    assert measured > 0.8
    assert report["score"]["value"] == report["keras_score"]["value"] == pytest.approx(measured, abs=1e-6)
    assert report["score"]["rows"] == report["keras_score"]["rows"] == 120
    assert (report["preprocessing"], report["warnings"], report["classes"]) == ("none", [], [0, 1])
    for line in (f"of the integer design on 120 test rows of raw: {measured:.4f}",
                 f"of the Keras model on the same rows: {measured:.4f}", "without preprocessing"):  # fmt: skip
        assert line in shown
    assert [n for n in report["notes"] if "softmax" in n] and "note: the softmax of layer" in shown
    assert "warning" not in shown


def test_standardised_inputs_are_said_and_are_others(own: Path, built: tuple[Path, str], out: Path) -> None:
    status, shown, error = build(own / "m.keras", out, "--data", own / "raw.npz", "--preprocessing", "standard")
    assert status == 0, error
    report, (X, y) = report_of(out), features()
    train = X[SPLIT == 0].astype(np.float64)
    standard = accuracy(own, ((X - train.mean(axis=0)) / train.std(axis=0)).astype(np.float32), y)
    assert report["preprocessing"] == "standard" and "fitted on the training part" in shown
    assert report["score"]["value"] == report["keras_score"]["value"] == pytest.approx(standard, abs=1e-6)
    assert report["score"]["value"] != report_of(built[0])["score"]["value"]
    assert "--preprocessing standard" in " ".join(report["command"])
    # A design carries what its inputs were prepared by: built again, it scores the same.
    status, shown, error = build(out / "design.json", out, "--data", own / "raw.npz")
    assert status == 0, error
    again = report_of(out)
    assert (again["preprocessing"], again["score"]) == ("stored", report["score"])
    assert again["keras_score"] is None and "design.json" in again["skipped"]["keras_score"]
    assert "of the Keras model on the same rows: none" in shown


def test_features_in_other_units_are_warned_about(own: Path, out: Path, tmp_path: Path) -> None:
    X, y = features()
    data = save(tmp_path / "grams.npz", X * np.float32([1000, 1]), y + 1)
    status, shown, error = build(own / "m.keras", out, "--data", data)
    assert status == 0, error
    report = report_of(out)
    units, labels = report["warnings"]
    assert "column 0 (100%, range -8 to 7)" in units and "outside the input formats" in units
    assert "labels 1, 2 of grams are taken as outputs 0, 1" in labels and report["classes"] == [1, 2]
    for line in report["warnings"]:
        assert f"\nwarning: {line}\n" in shown  # a line of its own, however narrow the terminal
        assert line.replace("'", "&#39;") in (out / "report.html").read_text()


def test_an_asked_preprocessing_in_place_of_the_models_own_is_warned_about(
    own: Path, out: Path, tmp_path: Path
) -> None:
    X, y = features()
    (tmp_path / "m.keras").write_bytes((own / "m.keras").read_bytes())
    stored = Preprocessing(2, (0, 1), (False,) * 2, (0.0,) * 2, (1.0,) * 2, (False,) * 2, classes=(4, 9))
    attach(tmp_path / "m.keras", stored)
    data = save(tmp_path / "d.npz", X, np.array([4, 9])[y])
    status, _, error = build(tmp_path / "m.keras", out, "--data", data)
    assert status == 0, error
    report = report_of(out)
    assert (report["preprocessing"], report["classes"], report["warnings"]) == ("stored", [4, 9], [])
    assert report["score"]["value"] == pytest.approx(accuracy(own, X, y), abs=1e-6)
    status, shown, error = build(tmp_path / "m.keras", out, "--data", data, "--preprocessing", "none")
    assert status == 0, error
    again = report_of(out)
    assert again["preprocessing"] == "none" and again["score"] == report["score"] and again["classes"] == [4, 9]
    assert "warning: --preprocessing none replaces the preprocessing that the model stores" in shown


def test_a_class_index_scores_as_the_logits_do(own: Path, built: tuple[Path, str], tmp_path: Path) -> None:
    status, _, error = build(own / "m.keras", tmp_path, "--data", own / "raw.npz", "--head", "argmax")
    assert status == 0, error
    report = report_of(tmp_path)
    assert report["score"] == report["keras_score"] == report_of(built[0])["score"] and not report["warnings"]


def test_another_score_of_the_keras_model_cannot_be_missed(tmp_path: Path) -> None:
    """Inputs that the model takes as floats and the hardware in steps of 4: two different functions."""
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((2,)), NMPDense(1, weight_bits=(3,))])
    model.save(tmp_path / "m.keras")
    X, _ = features()
    data = save(tmp_path / "d.npz", X, X @ np.array([0.5, -0.25]))
    status, shown, error = build(tmp_path / "m.keras", tmp_path / "b", "--data", data, "--input-format", "s4.-2")
    assert status == 0, error
    report = report_of(tmp_path / "b")
    predicted = model.predict(X[SPLIT == 2], verbose=0)[:, 0].astype(np.float64)
    mse = np.mean((predicted - (X @ np.array([0.5, -0.25]))[SPLIT == 2]) ** 2)
    assert report["keras_score"]["value"] == pytest.approx(mse, rel=1e-8)
    assert report["score"]["value"] != report["keras_score"]["value"]
    (line,) = report["warnings"]
    assert "the hardware does not do what the model does" in line and f"warning: {line}\n" in shown
    assert "note: the model does not quantize its inputs: here they are rounded to s4.-2" in shown
    assert line in (tmp_path / "b" / "report.html").read_text()


def content(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file below a folder with its time and digest."""
    return {str(p): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "")
            for p in sorted(folder.rglob("*"))}  # fmt: skip


def wrong_inputs(own: Path, tmp_path: Path) -> dict[str, tuple[tuple[object, ...], str]]:
    """Arguments of builds that cannot start, with what is said."""
    X, y = features()
    keras_file, raw = own / "m.keras", own / "raw.npz"
    (tmp_path / "cut.keras").write_bytes(keras_file.read_bytes()[:900])
    (tmp_path / "text.json").write_text("{")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="plain")]).save(tmp_path / "plain.keras")
    network(1).save(tmp_path / "one.keras")
    data = {
        "wide": save(tmp_path / "wide.npz", np.tile(X, 2), y),
        "classes": save(tmp_path / "classes.npz", X, y * 7 + np.arange(360) % 4),
        "strange": save(tmp_path / "strange.npz", X, np.where(SPLIT == 2, 8, y)),
        "floats": save(tmp_path / "floats.npz", X, X),
    }
    return {
        "no model": ((tmp_path / "nosuch.h5",), "nosuch.h5"),
        "a cut model": ((tmp_path / "cut.keras",), "cut.keras"),
        "no design": ((tmp_path / "text.json",), "text.json"),
        "no integer form": ((tmp_path / "plain.keras",), "layer plain"),
        "no data": ((keras_file, "--data", "nosuch"), "nosuch"),
        "no split": ((keras_file, "--data", raw, "--split-key", "fold"), "fold"),
        "nothing to fit on": ((keras_file, "--preprocessing", "standard"), "name it with --data"),
        "a format twice": ((keras_file, "--input-format", "s8.4"), "leave the input format out"),
        "other features": ((keras_file, "--data", data["wide"]), "gives 4 inputs, the model takes 2; no preprocessing"),
        "other classes": ((keras_file, "--data", data["classes"]), "the model tells 2 classes and stores no labels"),
        "labels all unknown": ((keras_file, "--data", data["strange"]), "no test row has a label that the model knows"),
        "an index of floats": ((keras_file, "--data", data["floats"], "--head", "argmax"), "drop --head argmax"),
        "an index of one": ((tmp_path / "one.keras", "--head", "argmax"), "single output is always 0"),
    }


def test_inputs_are_checked_before_the_folder_is_touched(own: Path, built: tuple[Path, str], tmp_path: Path) -> None:
    out, fresh = built[0], tmp_path / "deep" / "fresh"
    before = content(out)
    for case, (arguments, words) in wrong_inputs(own, tmp_path).items():
        for folder in (out, fresh):
            status, _, error = build(Path(str(arguments[0])), folder, *arguments[1:])
            assert status in (1, 2), case
            assert error.startswith("error: ") and len(error.splitlines()) == 1 and words in error, (case, error)
        assert content(out) == before, case
        assert not fresh.parent.exists(), case


def test_a_build_that_fails_midway_loses_no_report(
    own: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, fresh = ("--data", own / "raw.npz"), tmp_path / "fresh"
    monkeypatch.setenv("NMP_IVERILOG", str(tmp_path / "no_iverilog"))
    missing = (*arguments, "--engines", "integer,icarus")
    for _ in range(2):
        status, shown, error = build(own / "m.keras", fresh, *missing)
        assert status == 1 and "NMP_IVERILOG" in error and "the build before" not in shown
        assert report_of(fresh)["status"] == "failed" and not (fresh / UNFINISHED).exists()
    good = (out / "report.json").read_bytes()
    status, shown, error = build(own / "m.keras", out, *missing)
    assert status == 1 and len(error.splitlines()) == 1
    assert (out / "report.json").read_bytes() == good and report_of(out)
    assert "report.json is still that of the build before" in "".join(shown.splitlines())
    told = json.loads((out / UNFINISHED).read_text())
    assert told["status"] == "failed" and told["error"] in error
    (out / "report.html").unlink()  # as a kill between the two leaves them
    assert build(own / "m.keras", out, *missing)[0] == 1
    assert report_of(out)["status"] == "ok"
    assert build(own / "m.keras", out, *arguments)[0] == 0
    assert report_of(out)["status"] == "ok" and not (out / UNFINISHED).exists()


class Killed(BaseException):
    """The end of the process, at a moment of the test's choice."""


@pytest.mark.parametrize("moment", range(4))
def test_a_kill_never_leaves_a_new_file_beside_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    data, page = tmp_path / "report.json", tmp_path / "report.html"
    plan.write_together({data: "old", page: "old"})
    calls = []

    def counted(real: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            calls.append(real)
            if len(calls) > moment:
                raise Killed
            return real(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        with pytest.raises(Killed):
            plan.write_together({data: "new", page: "new"})
    found = {path.read_text() if path.exists() else None for path in (data, page)}
    assert found in ({"old"}, {"old", None}, {"new", None}, {"new"})
    assert data.exists()  # from which the page can be made again


def test_a_page_that_cannot_be_made_leaves_the_old_pair(tmp_path: Path, built: tuple[Path, str]) -> None:
    report = report_of(built[0])
    outcome.write(tmp_path, report)
    with pytest.raises(pages.ReportError):
        outcome.write(tmp_path, {**report, "layers": 3})
    assert report_of(tmp_path) == report
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    with pytest.raises(plan.FlowError, match=r"report\.html"):
        outcome.write(tmp_path, {**report, "status": "mismatch"})
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_labels_travel_from_training_to_the_score(tmp_path: Path) -> None:
    from keras_models import train

    X, y = features()
    labels = np.array([3, 70])[y]
    labels[[2, 5]] = -4  # rows of the test part, of a class that training never sees
    data = save(tmp_path / "d.npz", X, labels[:, None])
    arguments = ["--data", data, "--hidden", "2", "--epochs", "3", "--weight-bits", "2-3", "--activation-bits", "2-3",
                 "--quiet", "--out", tmp_path / "m.h5"]  # fmt: skip
    assert train.main([str(a) for a in arguments]) == 0
    trained = json.loads((tmp_path / "m.train.json").read_text())
    assert trained["classes"] == [3, 70] and "2 of 120 rows of the test part" in trained["notes"][1]
    status, shown, error = build(tmp_path / "m.h5", tmp_path / "b", "--data", data)
    assert status == 0, error
    report = report_of(tmp_path / "b")
    assert report["score"]["value"] == report["keras_score"]["value"] == pytest.approx(trained["test"], abs=1e-6)
    assert (report["preprocessing"], report["classes"]) == ("stored", [3, 70])
    (line,) = report["warnings"]
    assert "2 of 120 test rows of d have labels that the model has no output for (-4" in line and line in shown
    assert "0 is 3, 1 is 70" in (tmp_path / "b" / "report.html").read_text()


@pytest.mark.parametrize(
    ("y", "outputs", "source", "found"),
    [
        ([0.0, 1.0, 2.0], 3, {}, "labels"), ([5.0, 7.0, 9.0], 3, {}, "labels"),
        ([0.5, 1.0, 2.0], 3, {}, "y has to hold"),
        ([0.0, 1.0, 1.0], 1, {"left_out": "sigmoid"}, "labels"), ([0.0, 1.0, 1.0], 1, {}, "targets"),
        ([[0.0, 1.0]], 3, {}, "a target for every output"), ([[0.0, 1.0]], 1, {}, "choose them with --target-columns"),
    ],
)  # fmt: skip
def test_labels_saved_as_floats_are_understood_or_told(
    y: list[Any], outputs: int, source: dict[str, Any], found: str
) -> None:
    inputs = (Quantizer.saturating(Fixed(True, 4, 2)),) * 2
    neurons = tuple(Neuron((j - 1, 1), 0, 4) for j in range(outputs))
    design = finish(Design("net", inputs, (Layer("dense", neurons),), source=source))
    targets = np.array(y * (9 // len(y)))
    X, split = np.zeros((len(targets), 2), np.float32), np.arange(len(targets)) // 3
    data = Dataset("mine", X, targets.reshape(len(targets), -1), split, Declaration())
    if found not in ("labels", "targets"):
        with pytest.raises(DataError, match=found):
            fit_test_part(data, Preparation(), design)
        return
    part = fit_test_part(data, Preparation(), design)
    assert part.task == {"labels": "classification", "targets": "regression"}[found]
    notes = [remark.text for remark in part.remarks]
    assert any("mine holds whole numbers as floats" in text for text in notes) == (found == "labels")


def test_the_notes_of_engines_reach_the_user(built: tuple[Path, str], tmp_path: Path) -> None:
    design = from_json((built[0] / "design.json").read_text())
    made = Build(None, Steps(tmp_path, lambda *_: None), design, None, None)  # type: ignore[arg-type]
    for _ in range(2):
        record(made, EngineResult("keras", 1, 0, 0.0, note="sums in float64"))
    assert made.remarks == [note("engine keras: sums in float64")]


def test_saturation_counts_what_lies_a_step_or_more_outside(built: tuple[Path, str]) -> None:
    design = from_json((built[0] / "design.json").read_text())
    first = design.inputs[0]
    lsb = 2.0**-first.format.frac
    edge = np.array([first.low - 1, first.low, 0, first.high, first.high + 0.5, first.high + 1, 1e9, -1e9]) * lsb
    inputs = np.stack([edge, np.zeros(8)], axis=1)
    assert saturated(design, inputs).tolist() == [0.5, 0.0]


def test_scores_keep_their_digits() -> None:
    part = Part("d", np.zeros((2, 1), np.float32), np.array([[1e-5], [0.0]]), "regression")
    assert part.score(np.zeros((2, 1)), "logits") == {"metric": "mse", "value": 5e-11}


def test_the_help_names_every_exit_status() -> None:
    shown = " ".join(CliRunner().invoke(app, ["--help"]).stdout.split())
    assert "130 when interrupted" in shown
