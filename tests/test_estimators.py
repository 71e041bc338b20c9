"""scikit-learn's door: its own checks, pipelines and searches, tables with text, and hardware at the end."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_models import NMPClassifier, NMPRegressor
from keras_models.estimators import EXPECTED_FAILED_CHECKS
from keras_models.training import warm

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

# Those of scikit-learn's checks that need no training; docs/howto/sklearn.md says how to run all of them.
QUICK = """
check_no_attributes_set_in_init check_parameters_default_constructible check_estimator_cloneable check_estimator_repr
check_get_params_invariance check_set_params check_estimators_unfitted check_estimator_sparse_matrix
check_estimator_sparse_array check_complex_data check_estimators_empty_data_messages check_requires_y_none
check_do_not_raise_errors_in_init_or_set_params check_mixin_order
""".split()


def quick_checks(estimator):
    for made, check in estimator_checks_generator(estimator):
        if getattr(check, "func", check).__name__ in QUICK:
            yield made, check


@pytest.mark.parametrize("kind", [NMPClassifier, NMPRegressor])
def test_scikit_learns_checks_that_need_no_training(kind):
    done = 0
    for estimator, check in quick_checks(kind(hidden=(2,), epochs=2)):
        check(estimator)
        done += 1
    assert done >= 12
    assert not {*EXPECTED_FAILED_CHECKS} & {*QUICK}


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return X[:480], np.array(["bad", "fine"])[y[:480]]  # three folds, whose shape the other tests have too


def test_pipelines_searches_and_scores_compile_once(cancer):
    X, y = cancer
    warm._loops.clear()
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    )
    scores = cross_val_score(NMPClassifier((6,), epochs=20, random_state=0), X, y, cv=3)
    assert min(scores) > 0.85 and len(warm._loops) == 1 and compiled
    compiled.clear()
    pipe = make_pipeline(StandardScaler(), NMPClassifier((6,), epochs=20, random_state=0))
    found = GridSearchCV(pipe, {"nmpclassifier__beta": [1e-6, 1e-4]}, cv=3, refit=False).fit(X, y)
    assert found.best_score_ > 0.85 and len(warm._loops) == 1  # beta is no part of what is compiled
    assert not compiled


def test_a_fit_repeats_is_kept_by_pickle_and_left_alone_by_later_ones(cancer):
    X, y = (part[:320] for part in cancer)
    first = NMPClassifier((6,), epochs=5, random_state=0).fit(X, y)
    expected = first.predict_proba(X)
    second = clone(first).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(second.predict_proba(X), expected)
    assert np.array_equal(clone(first).fit(X, y).predict_proba(X), expected)
    assert np.array_equal(first.predict_proba(X), expected)
    again = pickle.loads(pickle.dumps(first))
    assert np.array_equal(again.predict_proba(X), expected) and again.score(X, y) == first.score(X, y)
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    assert ((first.decision_function(X) > 0) == (first.predict(X) == "fine")).all()


def test_weights_of_classes_and_rows_move_the_model(cancer):
    X, y = cancer
    rare = np.flatnonzero((y == "fine") | (np.arange(len(y)) % 12 == 0))[:200]
    expected = []
    for settings, weights in (({"class_weight": {"bad": 30.0, "fine": 1.0}}, None),
                              ({}, np.where(y[rare] == "bad", 30.0, 1.0))):  # fmt: skip
        made = NMPClassifier((6,), epochs=6, random_state=0, **settings).fit(X[rare], y[rare], sample_weight=weights)
        expected.append(made.predict(X))
    assert np.array_equal(*expected)
    assert (expected[0][y == "bad"] == "bad").mean() > 0.9 > (expected[0][y == "fine"] == "fine").mean()


def test_tables_with_text_and_missing_values_become_hardware(tmp_path: Path):
    random = np.random.default_rng(0)
    x, kind = random.normal(size=300), random.choice(["a", "b", ""], 300, p=[0.5, 0.4, 0.1])
    target = np.where(x + (kind == "a") > 0.5, "high", "low")
    table = {"x": np.where(random.random(300) < 0.05, np.nan, x), "kind": kind.tolist()}
    made = NMPClassifier((4,), epochs=40, random_state=0).fit(table, target)
    assert made.score(table, target) > 0.85
    assert made.preprocessing_.input_names == ("x", "kind=a", "kind=b")
    hw = made.build(data=(table, target), out=tmp_path / "build", engines="integer", vectors=20)
    assert hw.report.score.value == round(made.score(table, target), 6) and hw.class_names == ("high", "low")
    row = [{"x": 2.0, "kind": "a"}, {"x": -2.0, "kind": None}]
    assert [hw.class_names[i] for i in hw.predict(row).argmax(axis=1)] == list(made.predict(row)) == ["high", "low"]
    assert "is kind=a" in (tmp_path / "build" / "rtl" / "nmp_mlp.v").read_text()


def test_regressors_give_targets_in_their_own_units():
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 3))
    y = 100 + 40 * X[:, 0] - 20 * X[:, 1]
    made = NMPRegressor((8,), epochs=60, random_state=0).fit(X, y)
    assert made.score(X, y) > 0.8 and made.predict(X).shape == y.shape
    with pytest.raises(ValueError, match="validation_fraction"):
        NMPRegressor(validation_fraction=2).fit(X, y)


def test_a_parameter_of_another_type_is_a_value_error_not_the_end_of_the_process() -> None:
    X, y = np.zeros((20, 2), np.float32), np.arange(20) % 2
    with pytest.raises(ValueError, match=r"--mean-weight-bits.*invalid float value: 'x'"):
        NMPClassifier(mean_weight_bits="x").fit(X, y)  # type: ignore[arg-type]
