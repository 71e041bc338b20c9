"""The training run: epochs, per-epoch metrics, the choice of the model kept, and the Pareto set of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from keras_models.layers.widths import Histogram, width_histograms
from keras_models.loop.compiled import Loop, make_loop
from keras_models.loop.stage import Part, Stage
from keras_models.loop.steps import OptimizerConfig
from keras_models.methods.catalog import Method
from keras_models.training.bits import KINDS, BitBudget
from keras_models.training.budget import Budget, counters_of
from keras_models.training.checkpoint import Checkpoint, identity
from keras_models.training.pareto import ParetoSet, Snapshot
from keras_models.training.schedule import SETTLED, BudgetController, cosine_rate, rising_beta

MOST_EPOCHS = 1.5  # times those asked for, while a budget is not met
EXTRA_PROGRESS = 0.75  # where the learning rate then stands
FRONT_FROM = 0.05  # share of the epochs before models enter the front


@dataclass(frozen=True)
class FitConfig:
    """How to train; ``beta`` is the final weight of the hardware cost and ``beta_start`` where its rise begins.

    ``count_luts`` says what counts for ``lut_budget``: one of `budget.COUNTS`.
    ``mean_weight_bits`` and ``mean_activation_bits`` are budgets too, of layers whose cost is in bits.
    ``settle`` is the share of the epochs after which widths and ranges stay as they are; None lets them move.
    """

    epochs: int = 400
    batch_size: int = 512
    learning_rate: float = 7e-3
    optimizer: str = "adam"
    constant_rate: bool = False
    strength_rate: float = 0.2
    range_rate: float = 1.0
    beta: float = 2e-5
    beta_start: float = 4e-7
    lut_budget: float | None = None
    mean_weight_bits: float | None = None
    mean_activation_bits: float | None = None
    count_luts: str = "estimate"
    front: bool = False
    settle: float | None = None
    patience: int | None = None
    seed: int = 0
    method_settings: Mapping[str, float] = field(default_factory=dict)


@dataclass
class FitResult:
    """What a run leaves: per-epoch rows, the chosen model's snapshot (already in the model) and the Pareto set.

    ``found`` is what the method's own search says about itself; ``widths`` are the neurons by width after each epoch.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best: Snapshot | None = None
    front: ParetoSet = field(default_factory=ParetoSet)
    seconds: float = 0.0
    found: dict[str, Any] = field(default_factory=dict)
    widths: list[dict[str, Histogram]] = field(default_factory=list)


def score_of(task: str, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Accuracy of logits (one alone tells two classes by its sign), or the mean squared error, of weighted rows."""
    if task == "classification":
        found = (outputs[:, 0] > 0) if outputs.shape[1] == 1 else outputs.argmax(axis=1)
        rows = (found == targets).astype(np.float64)
    else:
        rows = np.square(outputs.astype(np.float64) - targets)
    if weights is None:
        return float(rows.mean())
    return float(np.average(rows.reshape(len(rows), -1).mean(axis=1), weights=weights))


def fit(
    model: keras.Model,
    method: Method,
    parts: Mapping[str, Part],
    task: str,
    config: FitConfig,
    on_epoch: Callable[[dict[str, float], dict[str, Histogram]], None] = lambda row, widths: None,
    loop: Loop | None = None,
    checkpoint: Checkpoint | None = None,
    on_compile: Callable[[], None] = lambda: None,
) -> FitResult:
    """Train ``model`` on ``parts["train"]``, judging by ``parts["val"]``; the best model's weights are left in it.

    A part is (inputs, targets), or (inputs, targets, weights of the rows).

    The model kept is the one of best validation score: under a LUT budget among those within 5 % below it (else the
    largest below it; a run that has found too few of them goes on for up to half its epochs), under budgets of mean
    widths among all within them (a run that has found none goes on likewise), with a cost weight among the epochs after
    the weight has settled. ``on_epoch`` gets each epoch's metrics and neurons by width. A run continued from its
    ``checkpoint`` ends in the model of one that never stopped.
    ``loop``: one from `loop_for` with the same model, parts and settings, to save compiling it again; without one
    ``on_compile`` is told before.
    Raises ValueError when no epoch gave a finite score, or budgets cannot be met, `NothingWithin` when no epoch was
    within them.
    """
    run = RunState(config, task, FitResult())
    if run.bits is not None:
        run.bits.check(model)
    if loop is None:
        on_compile()
        loop = loop_for(model, method, parts, task, config)
    else:
        loop.restart(config.seed)
    stage = Stage(model, loop, parts, task, config.epochs, config.learning_rate, config.seed, config.method_settings)
    done = 0 if checkpoint is None else checkpoint.begin(identity(model, parts, task, config), model, loop, run)
    if not done:
        run.result.found = method.search(stage)
    for epoch in range(done, int(MOST_EPOCHS * config.epochs)):
        if config.patience is not None and run.epochs_since_best() >= config.patience:
            break
        if epoch >= config.epochs and not run.over_budget():
            break
        row, statistics = _one_epoch(loop, method, model, parts["val"], run, epoch)
        run.record(model, row, statistics)
        on_epoch(row, run.result.widths[-1])
        if checkpoint is not None:
            checkpoint.epoch(model, loop, run)
    run.settle(model)
    if run.result.best is None:
        raise run.why_nothing()
    model.set_weights(list(run.result.best.weights))
    run.result.found |= method.finish(stage, run.result.found)
    run.result.best = replace(run.result.best, statistics=method.describe(model)[1])
    run.result.seconds = run.elapsed()
    return run.result


def loop_for(model: keras.Model, method: Method, parts: Mapping[str, Part], task: str, config: FitConfig) -> Loop:
    """The loop that `fit` trains a model with."""
    strength_rate = config.strength_rate if method.learns_bits else 0.0
    optimizer = OptimizerConfig(config.optimizer, strength_rate, config.range_rate)
    X, y, *weights = parts["train"]
    return make_loop(model, X, y, task, optimizer, config.batch_size, config.seed, *weights)


def _one_epoch(
    loop: Loop, method: Method, model: keras.Model, val: Part, run: RunState, epoch: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Train one epoch; its metrics and the model's statistics."""
    config = run.config
    progress = min(epoch / config.epochs, 1.0)
    rate_progress = progress if progress < 1 else EXTRA_PROGRESS
    rate = config.learning_rate if config.constant_rate else cosine_rate(config.learning_rate, rate_progress)
    prices = run.prices(model, progress) if method.learns_bits else {"beta": 0.0}
    loss = loop.epoch(rate, formats=0.0 if run.still(progress) else 1.0, **prices)
    score = score_of(run.task, loop.predict(val[0]), *val[1:])
    luts, statistics = method.describe(model)
    row = {"epoch": epoch + 1, "loss": loss, "val": score, "beta": prices["beta"], "learning_rate": rate,
           "mean_weight_bits": statistics["mean_weight_bits"],
           "mean_activation_bits": statistics["mean_activation_bits"] or math.nan,
           "estimated_luts": math.nan if luts is None else luts}  # fmt: skip
    return row, statistics


class NothingWithin(ValueError):
    """No epoch's model was within the budgets."""


@dataclass
class RunState:
    """The state of one run that decides what is kept; ``earlier_seconds`` were spent before a kill."""

    config: FitConfig
    task: str
    result: FitResult
    luts: float = math.inf
    earlier_seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        limit = self.config.lut_budget
        controller = None if limit is None else BudgetController(limit, self.config.beta_start)
        self.budget = (
            None if controller is None else Budget(controller.budget, controller, counters_of(self.config.count_luts))
        )
        limits = {kind: limit for kind in KINDS if (limit := getattr(self.config, kind)) is not None}
        self.bits = BitBudget(limits, self.settled) if limits else None

    @property
    def settled(self) -> float:
        """Share of the epochs after which the weight of the cost no longer moves."""
        return SETTLED if self.config.settle is None else self.config.settle

    def elapsed(self) -> float:
        """Seconds spent on the run."""
        return self.earlier_seconds + time.perf_counter() - self.started

    def state(self) -> dict[str, Any]:
        """What the next epoch depends on besides the result so far, as JSON data."""
        return {"luts": self.luts, **{name: None if kept is None else kept.state() for name, kept in self._budgets()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        self.luts = state["luts"]
        for name, kept in self._budgets():
            if kept is not None:
                kept.restore(state[name])

    def _budgets(self) -> list[tuple[str, Budget | BitBudget | None]]:
        return [("budget", self.budget), ("bits", self.bits)]

    def prices(self, model: keras.Model, progress: float) -> dict[str, float]:
        """The cost weight of the coming epoch, and what a bit of an activation counts where that is steered."""
        if self.budget is not None:
            return {"beta": self.budget.controller.next(self.luts, progress)}
        if self.bits is not None:
            beta, activation = self.bits.prices(model, progress)
            return {"beta": beta, "activation_share": 0.0, "activation_price": activation}
        settled = 1.0 if self.config.front else self.settled
        return {"beta": rising_beta(self.config.beta_start, self.config.beta, progress, settled)}

    def still(self, progress: float) -> bool:
        """Whether widths and ranges stay as they are in the coming epoch: not before budgets of mean widths are met."""
        due = self.config.settle is not None and progress >= self.config.settle
        return due and (self.bits is None or self.bits.met(self.bits.widths))

    def record(self, model: keras.Model, row: dict[str, float], statistics: dict[str, Any]) -> None:
        """Note an epoch and keep its weights when they are the best so far or on the front."""
        self.result.history.append(row)
        self.result.widths.append(width_histograms(model))
        merit = row["val"] if self.task == "classification" else -row["val"]
        self.luts = row["estimated_luts"] if math.isfinite(row["estimated_luts"]) else 0.0
        progress = (row["epoch"] - 1) / self.config.epochs
        if self.bits is not None:
            self.bits.widths = {kind: statistics[kind] for kind in KINDS}
        if self.budget is not None:
            self.budget.correct(model, self.luts, progress, row["epoch"] / self.config.epochs)
            self.luts *= self.budget.correction
        if not math.isfinite(merit):
            return
        better = self._better(merit, progress) if self.budget is None else self.budget.admits(merit, self.luts)
        better &= self.bits is None or self.bits.met(statistics)
        enters = self.config.front and progress >= FRONT_FROM and self.result.front.admits(merit, self.luts)
        if not better and not enters:
            return
        snapshot = Snapshot(merit, self.luts, int(row["epoch"]), model.get_weights(), statistics)
        if better:
            self.result.best = snapshot if self.budget is None else self.budget.add(snapshot)
        if enters:
            self.result.front.add(snapshot)

    def _better(self, merit: float, progress: float) -> bool:
        best = self.result.best
        last = len(self.result.history) == self.config.epochs
        free = self.config.beta <= 0 or self.config.front or self.bits is not None
        settled = free or progress >= self.settled or last
        return settled and (best is None or merit > best.merit)

    def settle(self, model: keras.Model) -> None:
        """Under a budget, choose among the models kept; their cost is then what was counted, where something counts."""
        if self.budget is not None:
            self.result.best = self.budget.choose(model)

    def over_budget(self) -> bool:
        """Whether the run has yet to find models within the slack of its budget, or within its budgets of bits."""
        if self.bits is not None:
            return self.result.best is None
        return self.budget is not None and not self.budget.found()

    def epochs_since_best(self) -> int:
        """Epochs since the kept model was found (0 while there is none)."""
        return 0 if self.result.best is None else len(self.result.history) - self.result.best.epoch

    def why_nothing(self) -> ValueError:
        """Why no model could be kept."""
        finite = [row for row in self.result.history if math.isfinite(row["val"])]
        if self.budget is not None and finite:
            least = self.budget.correction * min(row["estimated_luts"] for row in finite)
            limit = f"{self.budget.limit:g} LUT sites"
            return NothingWithin(f"no model came under {limit} (least about {least:.0f}); train for more epochs")
        if self.bits is not None and finite:
            narrowest = " and ".join(f"{min(row[kind] for row in finite):.2f}" for kind in self.bits.limits)
            return NothingWithin(f"no model came within {self.bits.text()} (least {narrowest}); train for more epochs")
        return ValueError("training gave no finite validation score; lower the learning rate")
