"""What the integer design makes of the test rows beyond its score: which class for which, how far from each target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flow.build.facts import ClassPredictions, Predictions, TargetPredictions
from flow.core.design import Design
from flow.core.ports import element_names
from flow.extract.test_data import TestPart, predicted_classes
from keras_models.data.preprocess import Preprocessing

MOST_CLASSES = 128  # beyond which no table of them is kept
_POINTS = 300  # of a target that the page plots


def predictions(
    test: TestPart, outputs: NDArray[np.float64], head: str, design: Design, applied: Preprocessing | None,
    class_names: Sequence[str] = (),
) -> Predictions | None:  # fmt: skip
    """What ``outputs`` (rows x outputs, as `TestPart.score` takes them) make of the test part.

    None where there are more classes than a table of them can show.
    """
    if test.task == "classification":
        return _of_classes(test, predicted_classes(outputs, head), class_names)
    targets = test.targets.reshape(len(test.targets), -1)
    scaled = applied is not None and bool(applied.target_mean)
    raw = [applied.restore_targets(v) for v in (outputs, targets)] if applied is not None and scaled else None
    names = element_names(design, "outputs") or tuple(f"output {i}" for i in range(targets.shape[1]))
    shown = np.linspace(0, len(targets) - 1, min(_POINTS, len(targets))).astype(int)
    found = []
    for column, name in enumerate(names):
        plain = (outputs[:, column], targets[:, column])
        made, wanted = plain if raw is None else (raw[0][:, column], raw[1][:, column])
        error = made - wanted
        found.append(TargetPredictions(
            name=name, mse=_mse(*plain), mse_own_unit=None if raw is None else _mse(made, wanted),
            mean_absolute_error=_short(np.abs(error).mean()), bias=_short(error.mean()),
            points=[(_short(wanted[i]), _short(made[i])) for i in shown],
        ))  # fmt: skip
    return Predictions(targets=found)


def _of_classes(test: TestPart, made: NDArray[np.int64], class_names: Sequence[str]) -> Predictions | None:
    count = len(test.classes)
    if count > MOST_CLASSES:
        return None
    known = test.targets >= 0
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (test.targets[known].astype(np.int64), made[known]), 1)
    names = class_names or tuple(str(label) for label in test.classes)
    return Predictions(ClassPredictions(list(names), matrix.tolist(), int((~known).sum())))


def _mse(made: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    return _short(np.mean((made - wanted) ** 2))


def _short(value: float | np.floating) -> float:
    return float(f"{value:.6g}")
