"""What plain Keras users find: callbacks for budget and cost, tables and pictures of widths, float models made NMP."""

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

from keras_models import (
    BetaSchedule,
    LutBudget,
    NMPDense,
    NMPInputQuantizer,
    estimated_luts,
    plot_widths,
    precision_summary,
    to_nmp,
)
from keras_models.layers.export import precision_layers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).normal(size=(512, 6)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input((6,)), NMPInputQuantizer(), NMPDense(8, activation="relu"), NMPDense(2)])
    made.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


def test_callbacks_steer_the_cost(data, model):
    X, y = data
    before, betas = estimated_luts(model), []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: betas.append(float(model.layers[1].beta)))
    rise = BetaSchedule(1e-3, start=1e-6, settled=0.5)
    model.fit(X, y, validation_data=(X, y), epochs=8, batch_size=64, verbose=0, callbacks=[rise, note])
    assert betas == sorted(betas) and betas[0] == pytest.approx(1e-6) and betas[-1] == pytest.approx(1e-3)
    assert all(float(layer.beta) == pytest.approx(1e-3) for layer in precision_layers(model))
    budget = LutBudget(0.6 * before, count="estimate")
    model.fit(X, y, validation_data=(X, y), epochs=40, batch_size=64, verbose=0, callbacks=[budget])
    assert budget.chosen is not None and budget.chosen.luts <= 0.6 * before
    assert budget.chosen.luts == pytest.approx(estimated_luts(model))
    with pytest.raises(ValueError, match="no model came under 1 LUTs"):
        model.fit(X, y, validation_data=(X, y), epochs=1, verbose=0, batch_size=64,
                  callbacks=[LutBudget(1, count="estimate")])  # fmt: skip
    for wrong in (lambda: LutBudget(0), lambda: LutBudget(5, count="guess"), lambda: BetaSchedule(-1)):
        with pytest.raises(ValueError, match=r"BetaSchedule|LutBudget|guess"):
            wrong()


def test_summary_and_picture_say_what_the_model_has(model, tmp_path: Path):
    lines = precision_summary(model, count="estimate").splitlines()
    assert len(lines) == 5 and lines[-1].split()[-1] == f"{estimated_luts(model):,.0f}"
    assert "LUT sites" in precision_summary(model, count="adders").splitlines()[0]
    assert plot_widths(model, tmp_path / "w.png").axes and (tmp_path / "w.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="no NMP layers"):
        precision_summary(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))


def test_a_float_model_becomes_one_of_nmp_layers(data):
    X, y = data
    keras.utils.set_random_seed(0)
    float_model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6, activation="relu"), keras.layers.Dense(2)])
    made = to_nmp(float_model, X, y)
    agree = made.predict(X, verbose=0).argmax(axis=1) == float_model.predict(X, verbose=0).argmax(axis=1)
    assert agree.mean() > 0.97 and precision_layers(made)
    assert precision_layers(to_nmp(float_model, X))
    with pytest.raises(ValueError, match="option 'rate' is not known"):
        to_nmp(float_model, X, rate=1)


def test_a_saved_model_loads_in_a_fresh_process_by_one_import(model, data, tmp_path: Path):
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", data[0][:4])
    np.save(tmp_path / "y.npy", model.predict(data[0][:4], verbose=0))
    code = ("from keras_models import load_model; import numpy as np; m = load_model('m.keras'); "
            "assert np.array_equal(m.predict(np.load('x.npy'), verbose=0), np.load('y.npy'))")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
