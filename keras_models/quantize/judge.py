"""Data as a float model sees them, and when a quantized one is good enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_models.data.labels import named
from keras_models.data.loaders import PARTS, DataError, Dataset
from keras_models.data.preprocess import Preprocessing
from keras_models.quantize.calibrate import Quantized
from keras_models.quantize.chain import FloatChain, Floats
from keras_models.training.fit import score_of

MAX_ACCURACY_LOSS = 0.003  # or one row
MAX_ERROR_GROWTH = 1.01  # of a mean squared error
MIN_AGREEMENT = 0.98  # share of rows whose class is the float model's: few rows tell more by it than by their accuracy


@dataclass(frozen=True)
class Judged:
    """Inputs and targets by part (of labels the class indices), as the float model takes and returns them."""

    task: str
    parts: dict[str, tuple[np.ndarray, np.ndarray]]
    preprocessing: Preprocessing

    @classmethod
    def of(cls, dataset: Dataset, chain: FloatChain, applied: Preprocessing) -> Judged:
        """A data set for a chain; without validation rows the training rows serve for both.

        Raises `DataError` where its features, labels or targets do not fit the model, or nothing can be trained on.
        """
        if applied.outputs != chain.inputs:
            raise DataError(f"data {dataset.name} gives {applied.outputs} inputs, the model takes {chain.inputs}")
        outputs = chain.outputs
        if dataset.task == "classification":
            applied = _with_classes(applied, dataset, outputs)
        elif dataset.outputs != outputs:
            raise DataError(
                f"data {dataset.name} has {dataset.outputs} targets, the model {outputs} outputs; choose them with "
                "--target-columns"
            )
        if not len(dataset.part("train")[0]):
            raise DataError(f"data {dataset.name} has no training rows (0 in its split) to choose formats by")
        validation = "val" if len(dataset.part("val")[0]) else "train"
        parts = {}
        for name in PARTS:
            X, y = dataset.part(validation if name == "val" else name)
            parts[name] = (applied.apply(X), applied.apply_targets(y))
        return cls(dataset.task, parts, applied)

    @property
    def metric(self) -> str:
        """``"accuracy"`` or ``"mse"``."""
        return "accuracy" if self.task == "classification" else "mse"

    def score(self, logits: Floats, part: str) -> float:
        """Accuracy or mean squared error of a part's outputs."""
        return score_of(self.task, logits, self.parts[part][1])

    def good_enough(self, chain: FloatChain) -> Callable[[Quantized], bool]:
        """Whether formats keep the float model's validation score, and its classes on the training part."""
        X, train = (self.parts[name][0].astype(np.float64) for name in ("val", "train"))
        train = train[:8192]
        wanted, classes = self.score(chain.logits(X), "val"), _classes(chain.logits(train))

        def judge(quantized: Quantized) -> bool:
            found = self.score(quantized.logits(X), "val")
            if self.task == "regression":
                return found <= MAX_ERROR_GROWTH * wanted
            agreement = float((_classes(quantized.logits(train)) == classes).mean())
            return found >= wanted - max(MAX_ACCURACY_LOSS, 1.01 / len(X)) and agreement >= MIN_AGREEMENT

        return judge


def unchanged(dataset: Dataset) -> Preprocessing:
    """The preprocessing that hands on features and targets as they are."""
    count = dataset.X.shape[1]
    targets = dataset.outputs if dataset.task == "regression" else 0
    no = (False,) * count
    return Preprocessing(
        count, tuple(range(count)), no, (0.0,) * count, (1.0,) * count, no,
        target_mean=(0.0,) * targets, target_std=(1.0,) * targets,
    )  # fmt: skip


def _with_classes(applied: Preprocessing, dataset: Dataset, outputs: int) -> Preprocessing:
    """With the labels that the outputs stand for: their numbers, or as many labels as there are outputs."""
    count, seen = max(outputs, 2), dataset.classes
    if applied.classes and len(applied.classes) == count:
        return applied
    if seen[0] >= 0 and seen[-1] < count:
        return replace(applied, classes=tuple(range(count)))
    if len(seen) == count:
        return replace(applied, classes=seen)
    raise DataError(f"data {dataset.name} has {len(seen)} labels ({named(seen)}), the model tells {count} classes")


def _classes(logits: Floats) -> Any:
    return logits.argmax(axis=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).astype(np.int64)
