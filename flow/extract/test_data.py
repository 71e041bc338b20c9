"""A data set as a build uses it: the test part as model inputs, and the score of predictions.

What training stored with a model is applied. A model that stores nothing gets the features as they are: nothing here
guesses what its inputs were.
"""

from __future__ import annotations

from collections.abc import Callable
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
from flow.extract import labels, stored_model
from flow.extract.training_files import training_record
from keras_models.data import loaders, own, tables
from keras_models.data.preprocess import Preprocessing
from keras_models.optional import remedy


@dataclass(frozen=True)
class Preparation:
    """How features become model inputs: ``kind`` is "stored", "none" or "standard", ``applied`` None for as they are.

    ``classes`` are the labels of the outputs that training stored with the model, in whatever way inputs are prepared,
    ``class_names`` what these are called, where they have names.
    """

    kind: str = "none"
    applied: Preprocessing | None = None
    classes: tuple[int, ...] = ()
    remarks: tuple[Remark, ...] = ()
    class_names: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, list[str]]:
        """What model inputs and outputs are called by what is applied, where it says so."""
        if self.applied is None or self.applied.schema is None:
            return {}
        return {"inputs": list(self.applied.input_names), "outputs": list(self.applied.output_names)}

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
    class_names: tuple[str, ...] = ()

    def score(self, outputs: NDArray[np.float64], head: str) -> dict[str, Any]:
        """``{"metric", "value"}`` of real-valued outputs (rows x outputs) against the targets."""
        return score(self.task, outputs, self.targets, head)


def score(task: str, outputs: NDArray[np.float64], targets: NDArray[Any], head: str) -> dict[str, Any]:
    """``{"metric", "value"}`` of outputs (rows x outputs): ``logits``, ``probability`` or the class by ``argmax``."""
    if task == "classification":
        classes = predicted_classes(outputs, head)
        return {"metric": "accuracy", "value": round(float((classes == targets).mean()), 6)}
    error = float(np.mean((outputs - targets.reshape(len(targets), -1)) ** 2))
    return {"metric": "mse", "value": float(f"{error:.9g}")}


def predicted_classes(outputs: NDArray[np.float64], head: str) -> NDArray[np.int64]:
    """The class (rows,) that outputs stand for; ``head`` as `score` takes it."""
    if head == "argmax":
        return outputs[:, 0].astype(np.int64)
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > (0.5 if head == "probability" else 0)).astype(np.int64)
    return np.asarray(outputs.argmax(axis=1))


def open_dataset(
    model: Path, name: str, split_key: str | None, columns: str | None, stored: Callable[[], Preprocessing | None]
) -> tuple[loaders.Dataset, tuple[Remark, ...]]:
    """Data set ``name`` with the split and target columns training used, unless others are given, and what is to be
    said about it. What is ``stored`` with the model says what the columns of a table are.

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
        known = stored() if tables.is_table(name) else None
        found = own.data_for(name, known, split_key or record.get("split_key") or "split", targets)
    except (loaders.DataError, ValueError, OSError) as exc:
        raise DataError(_without_prefix(str(exc), name)) from None
    except ImportError as exc:
        raise DataError(remedy(exc) or str(exc)) from None
    return found.dataset, tuple(warning(text) for text in found.remarks)


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
    names = stored.output_names if stored is not None and classes else ()
    if asked is None:
        return Preparation("none" if stored is None else "stored", stored, classes, class_names=names)
    remarks: tuple[Remark, ...] = ()
    if stored is not None:
        text = f"--preprocessing {asked} replaces the preprocessing that the model stores: scores are of other inputs"
        remarks = (warning(f"{text} than it was trained on"),)
    if asked == "none" or dataset is None:
        return Preparation(asked, None, classes, remarks, names)
    if not (dataset.split == 0).any():
        raise DataError(
            f"--preprocessing {asked} is fitted on a training part, and {dataset.name} has none: it is not the table "
            "that the model was trained on; leave --preprocessing out"
        )
    return Preparation(asked, Preprocessing.fit(dataset), classes, remarks, names)


def fit_test_part(dataset: loaders.Dataset, preparation: Preparation, design: Design) -> TestPart:
    """The test part of a data set as inputs of a design, with what has to be said about it.

    Raises DataError where the data does not fit the model.
    """
    name, applied = dataset.name, preparation.applied
    outputs = len(design.layers[-1].neurons)
    dataset, said = labels.as_labels(dataset) if _of_classes(preparation, design) else (dataset, ())
    _check_task(dataset, preparation, design)
    X, y = dataset.part("test")
    if applied is not None and applied.features != X.shape[1]:
        raise DataError(
            f"data {name} has {X.shape[1]} features, the preprocessing of its inputs takes {applied.features}"
        )
    if applied is None and np.isnan(X).any():
        raise DataError(
            f"data {name} has missing values (NaN), and no preprocessing fills them in; clean the file first"
        )
    try:
        inputs = X.astype(np.float32) if applied is None else applied.apply(X)
    except (ValueError, IndexError) as exc:
        raise DataError(f"data {name}: the preprocessing cannot be applied ({reason(exc)})") from None
    if inputs.shape[1] != len(design.inputs):
        raise DataError(_misfit(dataset, preparation, inputs.shape[1], len(design.inputs)))
    remarks = said + _saturation(design, inputs, preparation)
    if dataset.task == "classification":
        found = labels.match(dataset, preparation.classes, outputs)
        remarks += found.remarks
        schema = dataset.schema
        names = tuple(map(schema.label, found.classes)) if schema is not None and schema.classes else ()
        return TestPart(name, inputs, found.targets, dataset.task, found.classes, remarks, names)
    targets = y if applied is None else applied.apply_targets(y)
    if targets.reshape(len(targets), -1).shape[1] != outputs:
        raise DataError(_other_targets(name, targets.reshape(len(targets), -1).shape[1], outputs))
    return TestPart(name, inputs, targets, dataset.task, remarks=remarks)


def _of_classes(preparation: Preparation, design: Design) -> bool:
    """Whether a model tells classes: by what training stored, else where one target has several outputs, or by its end.

    A softmax or sigmoid at the end is left out of the design, or part of it as probability.
    """
    if preparation.applied is not None and preparation.applied.target_mean:
        return False
    ends = design.source.get("left_out") in ("softmax", "sigmoid") or bool(design.source.get("probability"))
    several = len(design.layers[-1].neurons) > 1 and len(ports(design, "outputs")) <= 1
    return bool(preparation.classes) or several or ends


def _other_targets(name: str, found: int, outputs: int) -> str:
    """Why targets cannot be those of the model, and what to do."""
    text = f"data {name} has {found} targets, the model {outputs} outputs"
    if found > outputs:
        return f"{text}; choose them with --target-columns"
    if found == 1:
        return f"{text}; if the outputs are classes, y has to hold their labels as whole numbers"
    return f"{text}; give data with a target for every output"


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
    columns: list[int | str] = list(range(inputs.shape[1]))
    if applied is not None:
        columns = [*applied.numeric, *(c for c, levels in applied.categorical for _ in levels), *applied.flags]
        if applied.schema is not None:
            columns = [f"{column} {name}" for column, name in zip(columns, applied.input_names, strict=True)]
    text = saturation_text(design, inputs, columns, preparation.kind == "stored")
    if text is None:
        return ()
    return (warning(f"{text}; are these the units it was trained on? (preprocessing: {preparation.kind})"),)
