"""Which label of a data set each output of a model stands for, as the model stores it or as the data lets infer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import DataError
from flow.core.remarks import Remark, note, warning
from keras_models.data.labels import UNKNOWN, class_indices, named
from keras_models.data.loaders import Dataset

_EXACT = 1 << 53  # floats below it are the integers that they look like


@dataclass(frozen=True)
class Labels:
    """``classes``: the label of each class index; ``targets``: the class indices of the test part, -1 for none."""

    classes: tuple[int, ...]
    targets: NDArray[Any]
    remarks: tuple[Remark, ...] = ()


def as_labels(dataset: Dataset) -> tuple[Dataset, tuple[Remark, ...]]:
    """The data set with one column of whole-number floats as labels, for a model of classes, and the note about it."""
    y = dataset.y
    if dataset.task != "regression" or y.shape[1] != 1:
        return dataset, ()
    if not (np.abs(y) < _EXACT).all() or (y != np.round(y)).any():
        return dataset, ()
    text = f"y of {dataset.name} holds whole numbers as floats, which are taken as labels of classes"
    return replace(dataset, y=y[:, 0].astype(np.int64)), (note(text),)


def match(dataset: Dataset, stored: Sequence[int], outputs: int) -> Labels:
    """The labels of a model with so many outputs; ``stored`` are those that training saved with it, none if empty.

    A single output tells two classes by its sign. Raises DataError where the labels are not those of the model.
    """
    classes, remarks = known_classes(dataset, stored, outputs)
    y = dataset.part("test")[1]
    targets = class_indices(y, classes)
    unknown = targets == UNKNOWN
    if unknown.any():
        labels = f"{named([int(label) for label in np.unique(y[unknown])])}, of the model's {named(classes)}"
        if unknown.all():
            raise DataError(f"data {dataset.name}: no test row has a label that the model knows (found {labels})")
        remarks.append(
            warning(
                f"{int(unknown.sum())} of {len(y)} test rows of {dataset.name} have labels that the model has no "
                f"output for ({labels}); they count as wrong"
            )
        )
    return Labels(classes, targets, tuple(remarks))


def known_classes(dataset: Dataset, stored: Sequence[int], outputs: int) -> tuple[tuple[int, ...], list[Remark]]:
    """The labels of a model with so many outputs, by itself or by the data, and what to say about it."""
    count = max(outputs, 2)
    if stored and len(stored) != count:
        raise DataError(
            f"data {dataset.name}: the model stores {len(stored)} labels and has {outputs} outputs; train it again"
        )
    return (tuple(stored), []) if stored else _inferred(dataset, count)


def _inferred(dataset: Dataset, count: int) -> tuple[tuple[int, ...], list[Remark]]:
    """For a model without stored labels: they are the outputs' numbers, or as many labels as it has outputs."""
    seen, name = dataset.classes, dataset.name
    if seen[0] >= 0 and seen[-1] < count:
        absent = [label for label in range(count) if label not in seen]
        said = [note(f"no training row of {name} has label {named(absent)}, which the model has outputs for")]
        return tuple(range(count)), said if absent else []
    if len(seen) == count:
        text = f"labels {named(seen)} of {name} are taken as outputs {named(range(count))} in this order"
        return seen, [warning(f"{text}: the model stores no labels of its own")]
    raise DataError(
        f"data {name} has {len(seen)} labels ({named(seen)}), the model tells {count} classes and stores no labels; "
        f"give data with labels 0 to {count - 1}, or float targets for regression"
    )
