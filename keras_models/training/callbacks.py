"""Keras callbacks for plain ``model.fit``: the run's Pareto set, its pictures and its TensorBoard summaries."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras

from keras_models.layers.cost import estimated_luts
from keras_models.layers.widths import Histogram, neuron_widths, width_histograms
from keras_models.training.pareto import ParetoSet, Snapshot


def _value(logs: dict[str, Any] | None, monitor: str) -> float:
    if not logs or monitor not in logs:
        raise ValueError(f"{monitor!r} is not among the epoch's metrics: {', '.join(logs or {}) or 'none'}")
    return float(logs[monitor])


class ParetoFront(keras.callbacks.Callback):
    """Keeps every model of a run that no other beats in both ``monitor`` and estimated LUTs, in ``front``.

    ``higher_is_better`` says how ``monitor`` is read; raises ValueError when no such metric is logged.
    """

    def __init__(self, monitor: str = "val_loss", higher_is_better: bool = False) -> None:
        super().__init__()
        self.monitor, self.higher_is_better = monitor, higher_is_better
        self.front = ParetoSet()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Enter the epoch's model when it is not dominated."""
        value, luts = _value(logs, self.monitor), estimated_luts(self.model)
        merit = value if self.higher_is_better else -value
        if math.isfinite(merit) and self.front.admits(merit, luts):
            self.front.add(Snapshot(merit, luts, epoch + 1, self.model.get_weights(), {}))


class PrecisionPictures(keras.callbacks.Callback):
    """Draws what a run learned: width histograms over epochs, score against cost, every neuron's width.

    Args:
        folder: gets ``widths.png``, ``front.png`` and ``neurons.png`` when training ends; None writes none.
        tensorboard: gets scalars and histograms each epoch and the pictures at the end; None writes none.
        monitor, higher_is_better: as in `ParetoFront`.
    """

    def __init__(
        self, folder: str | Path | None = None, tensorboard: str | Path | None = None,
        monitor: str = "val_loss", higher_is_better: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.folder, self.tensorboard = folder, tensorboard
        self.monitor, self.higher_is_better = monitor, higher_is_better

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start anew."""
        self.history: list[dict[str, float]] = []
        self.widths: list[dict[str, Histogram]] = []
        self.summaries: Any = None
        if self.tensorboard is not None:
            from keras_models.training.summaries import Summaries

            self.summaries = Summaries(Path(self.tensorboard))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch."""
        row = {"epoch": epoch + 1, "val": _value(logs, self.monitor), "estimated_luts": estimated_luts(self.model)}
        self.history.append(row)
        self.widths.append(width_histograms(self.model))
        if self.summaries is not None:
            self.summaries.epoch({**(logs or {}), **row}, self.widths[-1])

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write the pictures."""
        if not self.history:
            return
        from keras_models.training.pictures import run_pictures, write_pictures

        pictures = run_pictures(self.history, self.widths, neuron_widths(self.model), self.higher_is_better)
        if self.folder is not None:
            write_pictures(Path(self.folder), pictures)
        if self.summaries is not None:
            self.summaries.pictures(pictures, len(self.history))
            self.summaries.writer.close()
