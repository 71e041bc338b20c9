"""Integer labels of any kind as class indices, and what has to be said about them; NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from keras_models.data.loaders import PARTS, DataError, Dataset
from keras_models.untrusted import one_line

UNKNOWN = -1  # class index of a label that the model has no output for: never predicted
MAX_CLASSES = 1 << 16
_MANY_CLASSES = 256  # more than this: perhaps regression targets that were saved as integers
_NAMED = 12  # labels named in a line


def class_indices(y: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """int32 class indices of labels: their places among ``classes`` (ascending), or themselves where there are none.

    `UNKNOWN` for a label that is not among them.
    """
    y = np.asarray(y).astype(np.int64)
    if not len(classes):
        return np.where((y >= 0) & (y <= np.iinfo(np.int32).max), y, UNKNOWN).astype(np.int32)
    known = np.asarray(classes, np.int64)
    places = np.minimum(np.searchsorted(known, y), len(known) - 1)
    return np.where(known[places] == y, places, UNKNOWN).astype(np.int32)


def read_classes(found: Any) -> tuple[int, ...]:
    """Labels from JSON data. Raises ValueError unless they are integers that ascend."""
    classes = tuple(found)
    limits = np.iinfo(np.int64)
    if not all(type(label) is int and limits.min <= label <= limits.max for label in classes):
        raise ValueError("classes that are no integers")
    if any(a >= b for a, b in pairwise(classes)):
        raise ValueError("classes that do not ascend")
    return classes


def named(labels: Sequence[int]) -> str:
    """Labels as people write them: ``1 to 5``, or one by one, with the number of those that are left out."""
    if len(labels) > 2 and labels[-1] - labels[0] == len(labels) - 1:
        return f"{labels[0]} to {labels[-1]}"
    text = ", ".join(str(label) for label in labels[:_NAMED])
    return text if len(labels) <= _NAMED else f"{text} and {len(labels) - _NAMED} more"


def named_of(dataset: Dataset, labels: Sequence[int]) -> str:
    """Labels of a data set as people write them, by their names where it has them."""
    schema = dataset.schema
    if schema is None or not schema.classes:
        return named(labels)
    text = ", ".join(one_line(schema.label(label), 24) for label in labels[:_NAMED])
    return text if len(labels) <= _NAMED else f"{text} and {len(labels) - _NAMED} more"


def label_remarks(dataset: Dataset) -> list[str]:
    """What has to be said about a set's labels before a model is trained on them, a line each.

    Raises `DataError` where they cannot be learned: a single class, or more than `MAX_CLASSES`.
    """
    classes = dataset.classes
    said = list(dataset.notes)
    if not classes:
        return [*said, *_whole_targets(dataset)]
    if len(classes) == 1:
        raise DataError(f"data set {dataset.name!r}: the training part holds one class only (label {classes[0]}); "
                        "there is nothing to learn")  # fmt: skip
    if len(classes) > MAX_CLASSES:
        raise DataError(f"data set {dataset.name!r}: {len(classes)} classes, {MAX_CLASSES} are possible; save y as "
                        "floats for regression")  # fmt: skip
    if classes != tuple(range(len(classes))) and (dataset.schema is None or not dataset.schema.classes):
        said.append(f"labels {named(classes)} are outputs {named(range(len(classes)))}, in this order")
    if len(classes) > _MANY_CLASSES:
        said.append(f"y holds integers, which are taken as {len(classes)} classes; save y as floats for regression")
    for part in PARTS[1:]:
        y = dataset.part(part)[1]
        unseen = y[~np.isin(y, classes)]
        if len(unseen):
            labels = named_of(dataset, [int(label) for label in np.unique(unseen)])
            said.append(f"{len(unseen)} of {len(y)} rows of the {part} part have labels that no training row has "
                        f"({labels}); they count as wrong")  # fmt: skip
    return said


def _whole_targets(dataset: Dataset) -> list[str]:
    """Labels that were saved as floats become targets of a regression, which may not be what is meant."""
    y = dataset.y
    if y.shape[1] != 1 or (y != np.round(y)).any() or len(values := np.unique(y)) > _NAMED:
        return []
    return [f"y holds {len(values)} whole numbers as floats, which are learned as a target of regression; save y as "
            "integers for classes"]  # fmt: skip
