"""Ending just below a LUT budget: the estimate, held against counts of the hardware, and the models to choose from."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_models.training.pareto import Snapshot
from keras_models.training.schedule import BudgetController

if TYPE_CHECKING:
    import keras

SLACK = 0.05  # a model under a budget should use at least 95 % of it
RECOUNTS = (0.5, 0.8, 1.02, 1.25)  # shares of the epochs after which the estimate is held against a count
SURELY_FROM = 0.7  # from here by the count that has the last word: the two differ by some per cent
ENOUGH = 3
KEPT = {True: 8, False: 2}  # models to choose from at the end: within the slack, and further below


class Counters(NamedTuple):
    """Two ways to count the LUTs of a model's hardware: one quick, for corrections, and one that has the last word."""

    quick: Callable[[keras.Model], float]
    final: Callable[[keras.Model], float]


_MODULE = "flow.build.counting"  # by name: this package works without it, and imports nothing of it
_FUNCTIONS = {"adders": ("quick_luts", "adder_luts"), "synthesis": ("quick_luts", "synthesized_luts")}
COUNTS = ("estimate", *_FUNCTIONS)


def counters_of(name: str) -> Counters | None:
    """The counters called ``name``, one of `COUNTS`; None for the estimate alone.

    Raises ValueError where the package that builds hardware is not installed.
    """
    if name == "estimate":
        return None
    if not can_count():
        raise ValueError(f"LUTs cannot be counted by {name}: the package flow is not installed; count by the estimate")
    module = importlib.import_module(_MODULE)
    return Counters(*(getattr(module, function) for function in _FUNCTIONS[name]))


def can_count() -> bool:
    """Whether the package that builds hardware is there."""
    return importlib.util.find_spec(_MODULE.partition(".")[0]) is not None


def count_for(model: keras.Model, count: str | None, best: str) -> str:
    """What counts a model's LUT sites where ``count`` does not say: the ``best`` way, if it can be had.

    Filters that the model's cost counts once are counted by the estimate: designs to be counted unroll them. Raises
    ValueError where another count of such is asked for.
    """
    streamed = any(
        getattr(layer, "hardware", None) == "streamed" for layer in model._flatten_layers(include_self=False)
    )
    if streamed and count not in (None, "estimate"):
        raise ValueError(f"count {count!r} unrolls convolutions, which this model's cost counts once; take 'estimate', "
                         "or build its layers with hardware='unrolled'")  # fmt: skip
    return count or (best if can_count() and not streamed else "estimate")


@dataclass
class Budget:
    """Steers a run to just below ``limit`` LUTs and keeps the models that may be its result.

    Without ``counters`` the estimate is what counts. With them the estimate is corrected by their ratio at a few points
    of the run, and `choose` counts the models kept, best first, until one is within the slack.
    """

    limit: float
    controller: BudgetController
    counters: Counters | None = None
    correction: float = 1.0
    shortlist: list[Snapshot] = field(default_factory=list)

    def correct(self, model: keras.Model, estimate: float, before: float, now: float) -> None:
        """Count the model's hardware where the run's progress passes one of the marks."""
        if self.counters is None or estimate <= 0 or not any(before < mark <= now for mark in RECOUNTS):
            return
        count = self.counters.quick if now < SURELY_FROM else self.counters.final
        correction = count(model) / estimate
        if correction > 0:
            self.controller.rescale(correction / self.correction)
            self.correction = correction

    def admits(self, merit: float, luts: float) -> bool:
        """Whether a model with this score and corrected estimate may be the run's result."""
        if luts > self.limit:
            return False
        rivals = [s for s in self.shortlist if self.tight(s.luts) == self.tight(luts)]
        return len(rivals) < KEPT[self.tight(luts)] or self._rank(merit, luts) > min(map(self._rank_of, rivals))

    def add(self, snapshot: Snapshot) -> Snapshot:
        """Keep a model that was admitted; returns the best one kept."""
        ranked = sorted([*self.shortlist, snapshot], key=self._rank_of, reverse=True)
        groups = {tight: [s for s in ranked if self.tight(s.luts) == tight][: KEPT[tight]] for tight in KEPT}
        self.shortlist = groups[True] + groups[False]
        return self.shortlist[0]

    def tight(self, luts: float) -> bool:
        """Whether a cost uses enough of the budget."""
        return luts >= (1 - SLACK) * self.limit

    def found(self) -> bool:
        """Whether enough models within the slack are kept that one should stay there when it is counted."""
        return sum(self.tight(s.luts) for s in self.shortlist) >= ENOUGH

    def _rank(self, merit: float, luts: float) -> tuple[bool, float]:
        return self.tight(luts), merit if self.tight(luts) else luts

    def _rank_of(self, snapshot: Snapshot) -> tuple[bool, float]:
        return self._rank(snapshot.merit, snapshot.luts)

    def choose(self, model: keras.Model) -> Snapshot | None:
        """The best model kept that is within the slack by count, else the largest below the budget; None without one.

        Leaves the weights of the last model counted in ``model``.
        """
        below: list[Snapshot] = []
        for snapshot in self.shortlist:
            counted = snapshot
            if self.counters is not None:
                model.set_weights(list(snapshot.weights))
                counted = replace(snapshot, luts=self.counters.final(model))
            if counted.luts <= self.limit:
                below.append(counted)
                if self.tight(counted.luts):
                    return counted
        return max(below, key=lambda s: s.luts, default=None)

    def state(self) -> dict[str, Any]:
        """What the next epoch depends on besides the models kept, as JSON data."""
        return {"correction": self.correction, "controller": asdict(self.controller)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        self.correction, self.controller = state["correction"], BudgetController(**state["controller"])
