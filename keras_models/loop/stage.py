"""What a method's own search gets to work with, before or after the training all methods share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from keras_models.loop.compiled import Loop
from keras_models.loop.steps import task_loss
from keras_models.quantizers.exact import to_numpy

if TYPE_CHECKING:
    import keras

Part = tuple[np.ndarray, ...]  # inputs, targets, and where rows are weighted their weights
CALIBRATION_ROWS = 2048


@dataclass
class Stage:
    """A model in training: ``settings`` are the method's own, ``epochs`` those of the training that follows."""

    model: keras.Model
    loop: Loop
    parts: Mapping[str, Part]
    task: str
    epochs: int
    learning_rate: float
    seed: int
    settings: Mapping[str, float] = field(default_factory=dict)

    def train(self, epochs: int, rate: float = 1.0) -> None:
        """So many epochs at ``rate`` times the learning rate, without a hardware cost."""
        for _ in range(epochs):
            self.loop.epoch(rate * self.learning_rate, 0.0)

    def score(self) -> float:
        """Accuracy, or mean squared error, on the validation part."""
        outputs, targets = self.loop.predict(self.parts["val"][0]), self.parts["val"][1]
        if self.task == "classification":
            return float((outputs.argmax(axis=1) == targets).mean())
        return float(np.mean(np.square(outputs.astype(np.float64) - targets)))

    def calibration(self) -> Part:
        """The first rows of the training part."""
        X, y = self.parts["train"][:2]
        return X[:CALIBRATION_ROWS], y[:CALIBRATION_ROWS]

    def loss(self) -> float:
        """The task's loss on the calibration rows."""
        X, y = self.calibration()
        return float(to_numpy(task_loss(self.task, y, self.loop.predict(X))))

    def weights(self) -> list[np.ndarray]:
        """A copy of all weights."""
        return [np.array(w) for w in self.model.get_weights()]

    def restore(self, weights: Sequence[np.ndarray]) -> None:
        """Put weights from `weights` back."""
        self.model.set_weights(list(weights))


def relative_score(task: str, score: float, reference: float) -> float:
    """A score as a share of a reference, 1 for equal and less for worse: accuracies and errors alike."""
    if task == "classification":
        return score / max(reference, 1e-9)
    return reference / max(score, 1e-9)
