"""Keras callbacks for plain ``model.fit``: a LUT budget, a rising cost, the run's Pareto set, pictures, summaries."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras

from keras_models.layers.cost import estimated_luts, set_beta
from keras_models.layers.widths import Histogram, neuron_widths, width_histograms
from keras_models.training.budget import COUNTS, Budget, count_for, counters_of
from keras_models.training.pareto import ParetoSet, Snapshot
from keras_models.training.schedule import SETTLED, WARM_UP, BudgetController, rising_beta


def _value(logs: dict[str, Any] | None, monitor: str) -> float:
    if not logs or monitor not in logs:
        raise ValueError(f"{monitor!r} is not among the epoch's metrics: {', '.join(logs or {}) or 'none'}")
    return float(logs[monitor])


class BetaSchedule(keras.callbacks.Callback):
    """Lets the weight of the hardware cost rise from ``start`` after a warm-up to ``final`` at ``settled`` of the run.

    The network learns first and saves later; ``final`` is loss per LUT.
    """

    def __init__(self, final: float = 2e-5, start: float = 4e-7, settled: float = SETTLED) -> None:
        super().__init__()
        if not (0 <= final < math.inf and 0 < start < math.inf and WARM_UP < settled <= 1):
            raise ValueError(f"BetaSchedule({final}, {start}, {settled}): weights are 0 or more, settled within "
                             f"({WARM_UP:g}, 1]")  # fmt: skip
        self.final, self.start, self.settled = final, start, settled

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the weight of the coming epoch."""
        set_beta(self.model, rising_beta(self.start, self.final, epoch / self.params["epochs"], self.settled))


class LutBudget(keras.callbacks.Callback):
    """Steers the weight of the hardware cost so that the model ends just below ``luts``, and leaves the best such one.

    The best by ``monitor`` among the epochs within 5 % below the budget, else the largest below it. ``count`` says
    what counts: "synthesis" (LUT sites; the default where the package flow is installed and filters are not streamed),
    "adders" or training's own "estimate". ``chosen`` is then the model's snapshot. When training ends, raises
    ValueError where no epoch came under the budget: train for more epochs.
    """

    def __init__(
        self, luts: float, monitor: str = "val_loss", higher_is_better: bool = False, count: str | None = None
    ) -> None:
        super().__init__()
        if not 0 < luts < math.inf:
            raise ValueError(f"LutBudget({luts}): give a positive number of LUTs")
        if count not in (None, *COUNTS):
            raise ValueError(f"count {count!r} is not known; choose {', '.join(COUNTS)}")
        self.luts, self.monitor, self.higher_is_better = luts, monitor, higher_is_better
        self.count, self.counters = count, counters_of(count or "estimate")
        self.chosen: Snapshot | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start anew."""
        self.counters = counters_of(count_for(self.model, self.count, "synthesis"))
        self._budget = Budget(self.luts, BudgetController(self.luts), self.counters)
        self._cost = estimated_luts(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the weight of the coming epoch."""
        set_beta(self.model, self._budget.controller.next(self._cost, epoch / self.params["epochs"]))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Hold the model against the budget."""
        value, luts, epochs = _value(logs, self.monitor), estimated_luts(self.model), self.params["epochs"]
        merit = value if self.higher_is_better else -value
        self._budget.correct(self.model, luts, epoch / epochs, (epoch + 1) / epochs)
        self._cost = luts * self._budget.correction
        if math.isfinite(merit) and self._budget.admits(merit, self._cost):
            self._budget.add(Snapshot(merit, self._cost, epoch + 1, self.model.get_weights(), {}))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave the chosen model's weights in the model."""
        self.chosen = self._budget.choose(self.model)
        if self.chosen is None:
            raise ValueError(f"no model came under {self.luts:g} LUTs (the last one about {self._cost:.0f}); train for "
                             "more epochs")  # fmt: skip
        self.model.set_weights(list(self.chosen.weights))


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
