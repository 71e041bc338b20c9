"""A data set as a build uses it: the test part as model inputs, and the score of predictions.

What training stored with a model is applied. A model that stores nothing gets the features as they are: nothing here
guesses what its inputs were.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design
from flow.core.errors import DataError, ModelError, reason
from flow.core.ports import ports
from flow.core.remarks import Remark, warning
from flow.core.saturation import saturation_text
from flow.core.untrusted import read_json, refused
from flow.extract import labels, stored_model
from keras_models.data import loaders
from keras_models.data.own import known_data
from keras_models.data.preprocess import Preprocessing
from keras_models.optional import remedy


@dataclass(frozen=True)
class Preparation:
    """How features become model inputs: ``kind`` is "stored", "none" or "standard", ``applied`` None for as they are.

    ``classes`` are the labels of the outputs that training stored with the model, in whatever way inputs are prepared.
    """

    kind: str = "none"
    applied: Preprocessing | None = None
    classes: tuple[int, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def text(self) -> str:
        """What is applied, as JSON text; empty where features stay as they are."""
        return "" if self.applied is None else str(self.applied.to_json())


@dataclass(frozen=True)
class TestPart:
    """Model inputs (rows x features, float32), targets (of labels the class indices), and how to score outputs."""

    name: str
    inputs: NDArray[np.float32]
    targets: NDArray[Any]
    task: str
    classes: tuple[int, ...] = ()  # the label of each class index
    remarks: tuple[Remark, ...] = ()

    def score(self, outputs: NDArray[np.float64], head: str) -> dict[str, Any]:
        """``{"metric", "value"}`` of real-valued outputs (rows x outputs) against the targets."""
        return score(self.task, outputs, self.targets, head)


def score(task: str, outputs: NDArray[np.float64], targets: NDArray[Any], head: str) -> dict[str, Any]:
    """``{"metric", "value"}`` of outputs (rows x outputs): ``logits``, ``probability`` or the class by ``argmax``."""
    if task == "classification":
        if head == "argmax":
            classes = outputs[:, 0]
        elif outputs.shape[1] == 1:
            classes = (outputs[:, 0] > (0.5 if head == "probability" else 0)).astype(float)
        else:
            classes = outputs.argmax(axis=1).astype(float)
        return {"metric": "accuracy", "value": round(float((classes == targets).mean()), 6)}
    error = float(np.mean((outputs - targets.reshape(len(targets), -1)) ** 2))
    return {"metric": "mse", "value": float(f"{error:.9g}")}


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


def is_table(name: str) -> bool:
    """Whether a data set's name is that of a table, whose columns are what a model's preprocessing says."""
    return Path(name).suffix.lower() in loaders.TABLE_SUFFIXES


def open_table(name: str, stored: Preprocessing | None) -> tuple[loaders.Dataset, tuple[Remark, ...]]:
    """The table in a file, read as the model was trained, and what is to be said about it.

    Raises DataError where it cannot be read, or the model says nothing about a table's columns.
    """
    schema = None if stored is None else stored.schema
    if schema is None or not schema.is_table:
        raise DataError(
            f"{name} is a table, and the model does not say what its columns mean: train it on a table (python -m "
            "keras_models.train --data t.csv --target name), or give X, y and split in an .npz"
        )
    try:
        found = known_data(name, schema)
    except (loaders.DataError, ValueError, OSError) as exc:
        raise DataError(_without_prefix(str(exc), name)) from None
    except ImportError as exc:
        raise DataError(remedy(exc) or str(exc)) from None
    return found.dataset, tuple(warning(text) for text in found.remarks)


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


def stored_preprocessing(model: Path | stored_model.StoredModel) -> Preprocessing | None:
    """What training stored with a Keras model's file, if anything. Raises ModelError for a damaged one."""
    stored = model if isinstance(model, stored_model.StoredModel) else stored_model.read(model)
    return parse_preprocessing(stored.preprocessing, str(stored.path))


def parse_preprocessing(text: str | None, where: str) -> Preprocessing | None:
    """Preprocessing from its JSON text; None for none. Raises ModelError for a damaged one."""
    try:
        return None if text is None else Preprocessing.from_json(text)
    except ValueError as exc:
        raise ModelError(f"{where}: {reason(exc)}; save or train the model again") from None


def choose_preparation(asked: str | None, stored: Preprocessing | None, dataset: loaders.Dataset | None) -> Preparation:
    """What is done with features: what was ``asked`` for, else what the model stores, else nothing."""
    classes = () if stored is None else stored.classes
    if asked is None:
        return Preparation("none" if stored is None else "stored", stored, classes)
    remarks: tuple[Remark, ...] = ()
    if stored is not None:
        text = f"--preprocessing {asked} replaces the preprocessing that the model stores: scores are of other inputs"
        remarks = (warning(f"{text} than it was trained on"),)
    if asked == "none" or dataset is None:
        return Preparation(asked, None, classes, remarks)
    return Preparation(asked, Preprocessing.fit(dataset), classes, remarks)


def fit_test_part(dataset: loaders.Dataset, preparation: Preparation, design: Design) -> TestPart:
    """The test part of a data set as inputs of a design, with what has to be said about it.

    Raises DataError where the data does not fit the model.
    """
    name, applied = dataset.name, preparation.applied
    _check_task(dataset, preparation, design)
    X, y = dataset.part("test")
    if applied is not None and applied.features != X.shape[1]:
        raise DataError(
            f"data {name} has {X.shape[1]} features, the preprocessing of its inputs takes {applied.features}"
        )
    try:
        inputs = X.astype(np.float32) if applied is None else applied.apply(X)
    except (ValueError, IndexError) as exc:
        raise DataError(f"data {name}: the preprocessing cannot be applied ({reason(exc)})") from None
    if inputs.shape[1] != len(design.inputs):
        raise DataError(_misfit(dataset, preparation, inputs.shape[1], len(design.inputs)))
    remarks = _saturation(design, inputs, preparation)
    outputs = len(design.layers[-1].neurons)
    if dataset.task == "classification":
        found = labels.match(dataset, preparation.classes, outputs)
        remarks += found.remarks
        return TestPart(name, inputs, found.targets, dataset.task, found.classes, remarks)
    targets = y if applied is None else applied.apply_targets(y)
    if targets.reshape(len(targets), -1).shape[1] != outputs:
        raise DataError(
            f"data {name} has {targets.reshape(len(targets), -1).shape[1]} targets, the model {outputs} outputs; "
            "choose them with --target-columns"
        )
    return TestPart(name, inputs, targets, dataset.task, remarks=remarks)


def _check_task(dataset: loaders.Dataset, preparation: Preparation, design: Design) -> None:
    """Classes and float targets are never scored as each other, nor classes as those of several outputs together."""
    name, applied = dataset.name, preparation.applied
    regression = dataset.task == "regression"
    outputs = ports(design, "outputs")
    if not regression and len(outputs) > 1:
        names = ", ".join(port.name for port in outputs)
        raise DataError(
            f"data {name} has classes, and the model has {len(outputs)} outputs ({names:.80}) that they could be of; "
            "leave --data out, or save a model of the one output that they are of"
        )
    if regression and design.head == "argmax":
        raise DataError(
            f"data {name} has float targets, which a class index cannot be compared with; drop --head argmax"
        )
    if applied is None or regression == bool(applied.target_mean):
        return
    own, other = ("float targets", "classes") if regression else ("classes", "float targets")
    raise DataError(f"data {name} has {own}, the model was trained on {other}; give data of the kind it was trained on")


def _misfit(dataset: loaders.Dataset, preparation: Preparation, found: int, wanted: int) -> str:
    """Why the inputs are too many or too few, and which other preprocessing would give the right number."""
    name, features = dataset.name, dataset.X.shape[1]
    text = f"data {name} gives {found} inputs, the model takes {wanted}"
    if preparation.kind == "none":
        other = Preprocessing.fit(dataset)
        columns = ", ".join(str(column) for column, _ in other.categorical)
        text += "; no preprocessing is applied, since the model stores none"
        if other.outputs == wanted:
            text += f": --preprocessing standard gives {wanted}"
            text += f" (columns {columns} as one-hot)" if columns else ""
    elif preparation.kind == "standard" and features == wanted:
        text += f": --preprocessing none gives {wanted}"
    return text


def _saturation(design: Design, inputs: NDArray[np.float32], preparation: Preparation) -> tuple[Remark, ...]:
    applied = preparation.applied
    columns: list[int] = list(range(inputs.shape[1]))
    if applied is not None:
        columns = [*applied.numeric, *(c for c, levels in applied.categorical for _ in levels)]
    text = saturation_text(design, inputs, columns)
    if text is None:
        return ()
    return (warning(f"{text}; are these the units it was trained on? (preprocessing: {preparation.kind})"),)
