"""What ``import flow`` offers: hardware of a model in one call, its numbers, its silence, its errors."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest
from strategies import random_design

import flow
from flow.api.report import Report
from flow.api.rtl import RtlModel
from flow.build.state import finish
from flow.core.design import from_json
from flow.core.evaluate import quantize_inputs
from keras_models import NMPDense, NMPInputQuantizer, estimated_luts

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
ROOT = Path(__file__).resolve().parents[1]
INPUTS, ROWS = 6, 200


@contextlib.contextmanager
def nothing_printed():
    """All that is written to standard output and error meanwhile, also by programs, must be nothing."""
    with tempfile.TemporaryFile() as file:
        sys.stdout.flush(), sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os.dup2(saved[0], 1), os.dup2(saved[1], 2)
            for number in saved:
                os.close(number)
        file.seek(0)
        assert file.read() == b""


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [keras.Input((INPUTS,)), NMPInputQuantizer(), NMPDense(5, activation="relu", name="hidden"), NMPDense(3)]
    )


@pytest.fixture(scope="module")
def rows():
    X = np.random.default_rng(0).normal(0, 2, (ROWS, INPUTS)).astype(np.float32)
    X[0], X[1] = 1e30, -1e-40
    return X


@pytest.fixture(scope="module")
def hw(model, rows, tmp_path_factory):
    out = tmp_path_factory.mktemp("door") / "build"
    y = model.predict(rows, verbose=0).argmax(axis=1)
    with nothing_printed():
        return flow.hardware(
            model,
            data=(rows[2:], y[2:]),
            out=out,
            engines="integer,hls,icarus,verilator",
            vectors=20,
            clock_period_ns=5,
        )


def test_its_numbers_are_those_of_the_model(hw, model, rows):
    found = hw.predict(rows)
    assert found.dtype == np.float64 and np.array_equal(found, model.predict(rows, verbose=0).astype(np.float64))
    assert np.array_equal(found, flow.evaluate(hw.design, rows))
    assert hw.report.score.value == 1.0 and hw.report.keras_score.rows == ROWS - 2 and hw.classes == (0, 1, 2)
    assert hw.predict(rows[:0]).shape == (0, 3)


def test_its_report_is_the_file(hw):
    stored = json.loads((hw.folder / "report.json").read_text())
    assert hw.report.to_dict() == stored and hw.report["status"] == hw.report.status == "ok"
    assert hw.report.synthesis.lut == stored["synthesis"]["lut"] and hw.report.clock_period_ns == 5
    assert hw.report.layers[0].groups[0].neurons == stored["layers"][0]["groups"][0]["neurons"]
    assert pickle.loads(pickle.dumps(hw.report)) == hw.report and "status" in dir(hw.report)
    with pytest.raises(AttributeError, match="cannot be changed"):
        hw.report.status = "other"
    with pytest.raises(AttributeError, match="no 'lutt' here; it has"):
        _ = hw.report.synthesis.lutt
    assert isinstance(hw.report.seconds, Report) and str(hw.report.synthesis.lut) in repr(hw)


def test_the_verilog_predicts(hw, rows, tmp_path):
    """The Verilog itself: as it was built, whatever becomes of the folder; and other numbers where it is another."""
    expected = hw.predict(rows)
    assert np.array_equal(hw.predict(rows, engine="verilator"), expected)
    other = shutil.copytree(hw.folder, tmp_path / "other", symlinks=True)
    (other / "sim" / "verilator" / "model" / "model" / "simulate").unlink()
    file = next(p for p in (other / "rtl").iterdir() if "assign y[" in p.read_text() and "hidden" not in p.name)
    head, _, tail = file.read_text().rpartition("assign y[")
    file.write_text(f"{head}assign y[{tail.replace('= ', '= ~', 1)}")
    planted = RtlModel(other, tmp_path / "work").outputs([quantize_inputs(hw.design, rows)])
    assert (planted != np.rint(np.ldexp(expected, [f.frac for f in hw.design.output_formats]))).any()


def test_every_layer_stands_beside_keras(hw, model, rows):
    trace = hw.trace(rows)
    assert list(trace) == ["hidden", hw.design.layers[1].name] and trace["hidden"].keras_layer == "hidden"
    for layer in (trace.inputs, *trace.values()):
        assert layer.keras is not None and not layer.differs.any()
    inner = keras.Model(model.inputs, model.layers[-2].output).predict(rows, verbose=0)
    assert np.array_equal(trace["hidden"].values, inner) and inner.any()
    assert np.array_equal(trace[hw.design.layers[1].name].values, hw.predict(rows))


def test_designs_by_themselves(hw, model, rows):
    for source in (hw.folder, hw.folder / "design.json", str(hw.folder / "design.json")):
        assert flow.load_design(source) == hw.design
    found = flow.estimate(model)
    assert found == flow.estimate(hw.design) and found.architecture == "parallel" and found.fits
    assert abs(found.lut - estimated_luts(model)) <= 2 and sum(found.layers.values()) == found.lut
    folded = flow.estimate(hw.design, architecture="folded", initiation_interval=32)
    assert (
        folded.architecture == "folded" and folded.initiation_interval <= 32 and set(folded.layers) == set(found.layers)
    )


def test_a_design_without_keras_and_an_index(tmp_path):
    design = finish(random_design(5))
    with nothing_printed():
        hw = flow.hardware(design, out=tmp_path / "b", engines=["integer"], vectors=20)
    X = np.random.default_rng(1).normal(size=(50, len(design.inputs)))
    assert np.array_equal(hw.predict(X), flow.evaluate(design, X)) and hw.trace(X).inputs.keras is None
    if len(design.output_formats) > 1:
        with nothing_printed():
            index = flow.hardware(tmp_path / "b", engines="integer", vectors=20, head="argmax")
        found = index.predict(X)
        assert found.dtype == np.int64 and np.array_equal(found, hw.predict(X).argmax(axis=1))
        folder = index.folder
        assert folder.is_dir()
        del index
        assert not folder.exists(), "a temporary folder goes with its object"


WRONG = {
    "option": ({"enginess": "integer"}, flow.errors.UsageError, "option enginess is not known; there are architecture"),
    "choice": ({"head": "sigmoid"}, flow.errors.UsageError, "choose logits, argmax or probability"),
    "engine": ({"engines": "spice"}, flow.errors.UsageError, "spice"),
    "part": ({"part": "xc7z021"}, flow.errors.PartError, "xc7z020"),
    "data": ({"data": 5}, flow.errors.DataError, r"data is int; give \(X, y\)"),
    "rows": ({"data": (np.zeros((3, INPUTS)), [0, 1])}, flow.errors.DataError, "X has 3 rows, y 2"),
    "features": ({"data": (np.zeros((3, 2)), [0, 1, 2])}, flow.errors.DataError, "gives 2 inputs, the model takes 6"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_raised(hw, case, tmp_path):
    options, error, words = WRONG[case]
    with pytest.raises(error, match=words), nothing_printed():
        flow.hardware(hw.folder / "design.json", out=tmp_path / "b", **options)
    assert not (tmp_path / "b").exists()


def test_wrong_rows_are_told(hw, rows):
    for X, words in (
        (rows[:, :2], "takes 6 inputs"), (rows[0], "a row for every vector"), (rows.astype(str), "give numbers"),
        (np.full((2, INPUTS), np.nan), "vector 0, input 0"),
    ):  # fmt: skip
        for engine in ("integer", "verilator"):
            with pytest.raises(flow.errors.DataError, match=words):
                hw.predict(X, engine=engine)
    with pytest.raises(flow.errors.UsageError, match="integer or verilator"):
        hw.predict(rows, engine="spice")
    for nothing in (object(), 3, None):
        with pytest.raises(flow.errors.ModelError, match="is no model"):
            flow.hardware(nothing)
    with pytest.raises(flow.errors.ModelError, match=r"absent\.h5 does not exist"):
        flow.hardware("absent.h5")


def test_a_build_after_one_that_failed(hw, monkeypatch, tmp_path):
    """A failure ends all programs of the build; the next build of the process starts its own."""
    design = hw.folder / "design.json"
    with monkeypatch.context() as patch:
        patch.setattr("flow.tools.yosys.synthesis_script", lambda *a, **k: "no_such_command\n")
        with pytest.raises(flow.errors.ToolFailed), nothing_printed():
            flow.hardware(design, out=tmp_path / "b", engines="integer", vectors=20)
    assert flow.hardware(design, out=tmp_path / "b", engines="integer", vectors=20).report.status == "ok"


def test_a_mismatch_is_raised(hw, monkeypatch, tmp_path):
    from flow.emit.rtl.verilog import emit_parallel

    def planted(*arguments, **settings):
        rtl = emit_parallel(*arguments, **settings)
        name = next(n for n, text in rtl.files.items() if "assign y[" in text and "hidden" not in n)
        head, _, tail = rtl.files[name].rpartition("assign y[")
        rtl.files[name] = f"{head}assign y[{tail.replace('= ', '= ~', 1)}"
        return rtl

    monkeypatch.setattr("flow.build.architecture.emit_parallel", planted)
    with pytest.raises(flow.errors.Mismatch, match="neuron"), nothing_printed():
        flow.hardware(hw.folder / "design.json", out=tmp_path / "b", engines="icarus", vectors=20)


def test_what_training_stored_is_applied(rows, tmp_path):
    """Features are given as the data has them, by what the model stores; prepared ones are taken as they are."""
    from keras_models.data.loaders import Dataset, Declaration
    from keras_models.data.preprocess import Preprocessing, attach

    model = keras.Sequential([keras.Input((INPUTS,)), NMPInputQuantizer(), NMPDense(2)])
    model.save(tmp_path / "m.keras")
    y = (rows[:, 2] > 0).astype(np.int64)
    data = Dataset("d", 7 * rows[2:] + 3, y[2:], np.arange(ROWS - 2) % 3, Declaration())
    applied = Preprocessing.fit(data)
    attach(tmp_path / "m.keras", applied)
    hw = flow.hardware(tmp_path / "m.keras", data=(data.X, data.y), engines="integer", vectors=20)
    expected = model.predict(applied.apply(data.X), verbose=0)
    assert hw.preprocessing == applied and hw.report.preprocessing == "stored"
    assert np.array_equal(hw.predict(data.X), expected)
    assert np.array_equal(hw.predict(applied.apply(data.X), prepared=True), expected)
    assert not np.array_equal(hw.predict(data.X, prepared=True), expected)
    assert float((expected.argmax(axis=1) == data.y).mean()) == pytest.approx(hw.report.score.value, abs=1e-6)
    with pytest.raises(flow.errors.DataError, match="takes 6 inputs"):
        hw.predict(rows[:, :5])


def test_importing_flow_imports_nothing_else():
    code = (
        "import sys, flow; heavy = {'numpy', 'keras', 'jax', 'tensorflow', 'typer'} & set(sys.modules); "
        "assert not heavy, heavy; assert set(flow.__all__) <= set(dir(flow)); "
        "[getattr(flow, name) for name in flow.__all__]; "
        "assert not {'keras', 'jax', 'tensorflow'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'hardwear'"):
        _ = flow.hardwear


def test_a_design_file_is_the_same_design(hw):
    assert from_json((hw.folder / "design.json").read_text()) == hw.design
