"""NMP networks as scikit-learn's estimators: ``fit``, ``predict``, pipelines and searches; ``build`` makes hardware.

    from keras_models import NMPClassifier

    model = NMPClassifier(hidden=(16,), epochs=50).fit(X, y)
    model.build(part="xc7z020", data=(X_test, y_test))

``X`` is an array of numbers (NaN where a value is missing) or a data frame, whose text columns become categories.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from keras_models.data.columns import MOST_LEVELS
from keras_models.data.loaders import Dataset, Declaration
from keras_models.data.preprocess import Preprocessing
from keras_models.data.schema import Schema, cells, named_columns, numbers
from keras_models.data.splits import random_split, stratified_split

_ROWS = 8192  # predicted at a time
_EVEN, _EVEN_FROM = 16, 256  # training rows are a multiple of the first, from the second on
_SMALL, _SMALL_BATCH = 1500, 32  # rows below which batches are smaller, so that an epoch has more than a few steps
_WEIGHTS = "batches are drawn from the rows: a row of weight 2 and a row that is there twice take other steps"
EXPECTED_FAILED_CHECKS = {  # of scikit-learn's check_estimator, with the reason
    "check_sample_weight_equivalence_on_dense_data": _WEIGHTS,
}


class NMPEstimator(BaseEstimator):
    """What classifier and regressor share.

    Args:
        hidden: sizes of the hidden layers.
        mode, epochs, batch_size, learning_rate, beta, lut_budget: as ``python -m keras_models.train`` has them, whose
            defaults None leaves, apart from ``epochs`` and, for less than 1,500 rows, batches of 32.
        weight_bits, activation_bits: widths a neuron may take, such as (0, 2, 4); None for the mode's own.
        mean_weight_bits, mean_activation_bits: budgets of mean widths, as ``--mean-weight-bits`` there.
        categorical: names or numbers of columns of numbers that are categories.
        missing_flags: an input more for every feature with missing values, which says where.
        validation_fraction: share of the rows that choose the best model of a run.
        random_state: seeds the split, the start and the order of rows.
        verbose: 1 shows progress.
    """

    def __init__(
        self, hidden: Any = (32, 32), *, mode: str = "hardware", epochs: int = 100, batch_size: int | None = None,
        learning_rate: float | None = None, beta: float | None = None, lut_budget: float | None = None,
        weight_bits: Any = None, activation_bits: Any = None, mean_weight_bits: float | None = None,
        mean_activation_bits: float | None = None, categorical: Any = (), missing_flags: bool = False,
        validation_fraction: float = 0.15, random_state: Any = None, verbose: int = 0,
    ) -> None:  # fmt: skip
        self.hidden, self.mode, self.epochs, self.batch_size = hidden, mode, epochs, batch_size
        self.learning_rate, self.beta, self.lut_budget = learning_rate, beta, lut_budget
        self.weight_bits, self.activation_bits = weight_bits, activation_bits
        self.mean_weight_bits, self.mean_activation_bits = mean_weight_bits, mean_activation_bits
        self.categorical, self.missing_flags = categorical, missing_flags
        self.validation_fraction, self.random_state, self.verbose = validation_fraction, random_state, verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.non_deterministic = False
        return tags

    def _train(self, X: np.ndarray, y: np.ndarray, schema: Schema, weights: np.ndarray | None) -> None:
        """Train on features and labels or targets (rows, targets) as numbers; sets the fitted attributes."""
        from keras_models.train import check, choose_backend, parser

        choose_backend()
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        split = self._split(y, seed)
        names = {name: i for i, name in enumerate(schema.features)}
        asked = [names[c] if isinstance(c, str) else int(c) for c in self.categorical]
        texts = [feature for feature, _ in schema.levels]
        flags = tuple(np.flatnonzero(np.isnan(X).any(axis=0)).tolist()) if self.missing_flags else ()
        declaration = Declaration(categorical=dict.fromkeys([*texts, *asked], MOST_LEVELS), flags=flags)
        dataset = Dataset(type(self).__name__, X, y, split, declaration, schema)
        words = ["--data", "rows", "--out", "m.h5", *self._arguments(seed)]
        if self.batch_size is None and (split == 0).sum() < _SMALL:
            words.append(f"--batch-size={_SMALL_BATCH}")
        command = parser()
        command.exit_on_error = False
        try:
            options = command.parse_args(words)
        except argparse.ArgumentError as exc:
            raise ValueError(f"{exc.argument_name}: {exc.message}") from None
        check(options)
        from keras_models.training.run import trained
        from keras_models.training.warm import warm_fit

        made = trained(options, dataset, weights, trainer=warm_fit)
        self.model_, self.preprocessing_ = made.model, made.preprocessing
        self.history_ = [dict(row) for row in made.result.history]
        assert made.result.best is not None
        self.statistics_ = dict(made.result.best.statistics)
        self.n_iter_ = len(self.history_)

    def _arguments(self, seed: int) -> list[str]:
        """The command line that says the same."""
        words = {"--mode": self.mode, "--epochs": self.epochs, "--batch-size": self.batch_size,
                 "--learning-rate": self.learning_rate, "--beta": self.beta, "--lut-budget": self.lut_budget,
                 "--hidden": _dashed(self.hidden), "--weight-bits": _dashed(self.weight_bits),
                 "--activation-bits": _dashed(self.activation_bits), "--mean-weight-bits": self.mean_weight_bits,
                 "--mean-activation-bits": self.mean_activation_bits, "--seed": seed}  # fmt: skip
        given = [f"{name}={value}" for name, value in words.items() if value is not None]
        return given if self.verbose else [*given, "--quiet"]

    def _split(self, y: np.ndarray, seed: int) -> np.ndarray:
        """(rows,) 0 for training and 1 for validation."""
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction is {self.validation_fraction}; give a share between 0 and 1")
        random = np.random.default_rng(seed)
        shares = (1 - self.validation_fraction, self.validation_fraction)
        split = stratified_split(y, seed, shares) if y.dtype.kind == "i" else random_split(len(y), seed, shares)
        train = np.flatnonzero(split == 0)
        if len(train) >= _EVEN_FROM:  # folds of nearly equal size then share what is compiled
            split[random.choice(train, len(train) % _EVEN, replace=False)] = 1
        return split

    def _features(self, X: Any) -> np.ndarray:
        """Features of rows to predict, as numbers."""
        check_is_fitted(self)
        columns, schema = _columns(X), self.preprocessing_.schema
        named = isinstance(X, Mapping | Sequence) or hasattr(self, "feature_names_in_") or (schema and schema.levels)
        if columns is None or not named:  # frames whose columns are numbers go by their order
            return np.asarray(validate_data(self, X, reset=False, ensure_all_finite="allow-nan"))
        if not isinstance(X, dict | list):
            _check_feature_names(self, X, reset=False)
        return np.asarray(self.preprocessing_.raw(columns))

    def _read(self, X: Any, y: Any) -> tuple[np.ndarray, Any, Schema]:
        """Features as numbers, y checked, and what the features are."""
        columns = _columns(X)
        texts = {} if columns is None else {n: c for n, c in columns.items() if numbers(c)[1]}
        if columns is None or not (
            texts or isinstance(X, Mapping | Sequence)
        ):  # scikit-learn knows frames, no mappings
            X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", multi_output=True, y_numeric=False)
            names = getattr(self, "feature_names_in_", None)
            found = [f"x{i}" for i in range(X.shape[1])] if names is None else [str(name) for name in names]
            return X, y, Schema(tuple(found))
        _check_feature_names(self, X, reset=True)
        self.n_features_in_ = len(columns)
        names = list(columns)
        levels = tuple(
            (i, tuple(sorted({*cells(columns[name])} - {""}))) for i, name in enumerate(names) if name in texts
        )
        schema = Schema(tuple(names), levels)
        rows = schema.rows(columns)
        check_consistent_length(rows, y)
        return rows, y, schema

    def _outputs(self, X: Any) -> np.ndarray:
        """What the model returns for rows: logits, or standardised targets."""
        features = self._features(X)
        inputs = self.preprocessing_.apply(features)
        parts = [
            np.asarray(self.model_(inputs[start : start + _ROWS], training=False))
            for start in range(0, max(len(inputs), 1), _ROWS)
        ]
        return np.concatenate(parts)

    def save(self, path: str | Path) -> Path:
        """Save the Keras model with all that was fitted, as training does; ``.h5`` or ``.keras``."""
        from keras_models.training.output import save_model

        check_is_fitted(self)
        save_model(Path(path), self.model_, self.preprocessing_)
        return Path(path)

    def build(self, part: str = "xc7z020", data: Any = None, out: str | Path | None = None, **options: Any) -> Any:
        """Verified hardware of the fitted model: `flow.hardware` with its options. ``data``: rows (X, y) to score."""
        from keras_models.training.output import write_history

        flow = importlib.import_module("flow")
        with tempfile.TemporaryDirectory() as folder:
            rows = None if data is None else (self._features(data[0]), self._coded(data[1]))
            model = self.save(Path(folder) / "nmp.h5")
            write_history(model, self.history_)
            return flow.hardware(model, part=part, data=rows, out=out, **options)

    def _coded(self, y: Any) -> np.ndarray:
        """Labels or targets as the model's data had them."""
        raise NotImplementedError

    def __getstate__(self) -> Any:
        state = dict(super().__getstate__())
        if "model_" in state:  # Keras models are files
            with tempfile.TemporaryDirectory() as folder:
                state["model_"] = self.save(Path(folder) / "nmp.keras").read_bytes()
            state["preprocessing_"] = self.preprocessing_.to_json()
        return state

    def __setstate__(self, state: Any) -> None:
        state = dict(state)
        if "model_" in state:
            from keras_models.train import choose_backend

            choose_backend()
            from keras_models.methods.models import load_model

            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "nmp.keras"
                path.write_bytes(state["model_"])
                state["model_"] = load_model(path)
            state["preprocessing_"] = Preprocessing.from_json(state["preprocessing_"])
        super().__setstate__(state)


class NMPClassifier(ClassifierMixin, NMPEstimator):
    """A classifier whose neurons learn their own widths; see `NMPEstimator`.

    ``class_weight`` is None, "balanced" or a mapping of labels to weights.
    """

    def __init__(
        self, hidden: Any = (32, 32), *, mode: str = "hardware", epochs: int = 100, batch_size: int | None = None,
        learning_rate: float | None = None, beta: float | None = None, lut_budget: float | None = None,
        weight_bits: Any = None, activation_bits: Any = None, mean_weight_bits: float | None = None,
        mean_activation_bits: float | None = None, categorical: Any = (), missing_flags: bool = False,
        validation_fraction: float = 0.15, class_weight: Any = None, random_state: Any = None, verbose: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(
            hidden, mode=mode, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, beta=beta,
            lut_budget=lut_budget, weight_bits=weight_bits, activation_bits=activation_bits,
            mean_weight_bits=mean_weight_bits, mean_activation_bits=mean_activation_bits, categorical=categorical,
            missing_flags=missing_flags, validation_fraction=validation_fraction, random_state=random_state,
            verbose=verbose,
        )  # fmt: skip
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NMPClassifier:
        """Train on rows and their labels, of any kind; returns self."""
        X, y, schema = self._read(X, y)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("NMPClassifier needs two classes or more; y has one class")
        weights = None
        if sample_weight is not None or self.class_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
            weights = weights * compute_sample_weight(self.class_weight, y)
        names = tuple(str(label) for label in self.classes_)
        described = Schema(schema.features, schema.levels, names, ("y",), True)
        self._train(X, labels.astype(np.int64), described, weights)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(rows, classes) probabilities, the softmax of the model's logits."""
        logits = self._outputs(X).astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def decision_function(self, X: Any) -> np.ndarray:
        """(rows, classes) logits; of two classes (rows,) the second's less the first's."""
        logits = self._outputs(X).astype(np.float64)
        return logits if logits.shape[1] > 2 else logits[:, 1] - logits[:, 0]

    def predict(self, X: Any) -> np.ndarray:
        """(rows,) labels, as ``y`` had them."""
        places = self._outputs(X).argmax(axis=1)
        return np.asarray(self.classes_[places])

    def _coded(self, y: Any) -> np.ndarray:
        places = {label: i for i, label in enumerate(self.classes_.tolist())}
        return np.array([places.get(label, len(places)) for label in np.asarray(y).tolist()], np.int64)


class NMPRegressor(RegressorMixin, NMPEstimator):
    """A regressor whose neurons learn their own widths, of one target or several; see `NMPEstimator`."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NMPRegressor:
        """Train on rows and their targets, (rows,) or (rows, targets); returns self."""
        names = [str(name) for name in getattr(y, "columns", [])] or [str(getattr(y, "name", None) or "y")]
        X, y, schema = self._read(X, y)
        y = np.asarray(y, np.float64)
        self._single = y.ndim == 1
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)
        targets = y.reshape(len(y), -1)
        if len(names) != targets.shape[1]:
            names = [f"y{i}" for i in range(targets.shape[1])]
        self._train(X, targets, Schema(schema.features, schema.levels, (), tuple(names)), weights)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Targets in their own units, in the shape that ``y`` had."""
        outputs = self._outputs(X)
        found = self.preprocessing_.restore_targets(outputs)
        return found[:, 0] if self._single else found

    def _coded(self, y: Any) -> np.ndarray:
        return np.asarray(y, np.float64)


def _columns(X: Any) -> Mapping[str, Any] | None:
    """Named columns; a sparse matrix has none, though some are mappings."""
    return None if isinstance(X, np.ndarray) or hasattr(X, "tocsr") else named_columns(X)


def _dashed(values: Sequence[Any] | None) -> str | None:
    """(64, 32) as the command line has it."""
    return None if values is None else "-".join(str(value) for value in np.atleast_1d(np.asarray(values, object)))
