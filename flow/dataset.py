"""A data set as a build uses it: the test part as model inputs, and the score of predictions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow import modelfile
from flow.errors import DataError, ModelError
from flow.ir import Design
from flow.untrusted import read_json, refused
from keras_models import data as loaders
from keras_models.preprocess import Preprocessing


@dataclass(frozen=True)
class TestPart:
    """Model inputs (rows x features, float32), targets, and how to score outputs."""

    name: str
    inputs: NDArray[np.float32]
    targets: NDArray[Any]
    task: str

    def score(self, outputs: NDArray[np.float64], head: str) -> dict[str, Any]:
        """``{"metric", "value"}`` of real-valued outputs (rows x outputs) against the targets."""
        if self.task == "classification":
            if head == "argmax":
                classes = outputs[:, 0]
            elif outputs.shape[1] == 1:
                classes = (outputs[:, 0] > 0).astype(float)
            else:
                classes = outputs.argmax(axis=1).astype(float)
            return {"metric": "accuracy", "value": round(float((classes == self.targets).mean()), 6)}
        error = float(np.mean((outputs - self.targets.reshape(len(self.targets), -1)) ** 2))
        return {"metric": "mse", "value": round(error, 6)}


def training_record(model: Path) -> dict[str, Any]:
    """What training wrote beside the model (``m.train.json``), or nothing where there is no such file.

    Raises ModelError for a damaged one: it says which data the model was trained on.
    """
    path = model.with_suffix(".train.json")
    if not os.path.lexists(path):
        return {}
    with refused(ModelError, str(path), "train the model again, or delete the file"):
        record = read_json(path, finite=False)
        words = {key: record.get(key) for key in ("data", "split_key")}
        columns = record.get("target_columns")
        if not all(value is None or isinstance(value, str) for value in words.values()) or not (
            columns is None or isinstance(columns, str | list)
        ):
            raise ValueError("data, split_key or target_columns is not what training writes")
        return dict(record)


def open_dataset(model: Path, name: str, split_key: str | None, columns: str | None) -> loaders.Dataset:
    """Data set ``name`` with the split and target columns training used, unless others are given.

    Raises DataError where it cannot be found or read.
    """
    record = training_record(model)
    if record.get("data") != name:
        record = {}
    chosen = columns or record.get("target_columns")
    try:
        targets = [int(c) for c in str(chosen).strip("[]").split(",")] if chosen else None
    except ValueError:
        raise DataError(f"--target-columns {chosen}: give column numbers like 0,1") from None
    try:
        return loaders.load_dataset(name, split_key or record.get("split_key") or "split", targets)
    except (loaders.DataError, ValueError, OSError) as exc:
        raise DataError(_without_prefix(str(exc), name)) from None


def _without_prefix(message: str, name: str) -> str:
    return message if name in message else f"data {name}: {message}"


def stored_preprocessing(model: Path) -> Preprocessing | None:
    """The preprocessing that training saved with a model file; None for a design or a model without one.

    Raises ModelError for a damaged file.
    """
    if model.suffix not in (".h5", ".keras"):
        return None
    text = modelfile.read(model).preprocessing
    try:
        return None if text is None else Preprocessing.from_json(text)
    except ValueError as exc:
        raise ModelError(f"{model}: {exc}; save or train the model again") from None


def fit_test_part(dataset: loaders.Dataset, model: Path, design: Design) -> TestPart:
    """The test part of a data set, preprocessed as the model was trained.

    Raises DataError where the data does not fit the model.
    """
    name = dataset.name
    try:
        X, y = dataset.part("test")
        preprocessing = stored_preprocessing(model) or Preprocessing.fit(dataset)
        inputs = preprocessing.apply(X)
        targets = preprocessing.apply_targets(y)
    except (ValueError, OSError) as exc:
        raise DataError(f"data {name}: {exc}") from None
    if inputs.shape[1] != len(design.inputs):
        raise DataError(f"data {name} gives {inputs.shape[1]} inputs, the model takes {len(design.inputs)}")
    outputs = len(design.layers[-1].neurons)
    if dataset.task == "regression" and targets.reshape(len(targets), -1).shape[1] != outputs:
        raise DataError(
            f"data {name} has {targets.reshape(len(targets), -1).shape[1]} targets, the model {outputs} outputs; "
            "choose them with --target-columns"
        )
    return TestPart(name, inputs, targets, dataset.task)
