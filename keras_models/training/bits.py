"""Ending just below mean widths that were asked for: a price for a bit of the weights and one for the activations'."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from keras_models.training.schedule import SETTLED, BudgetController

if TYPE_CHECKING:
    import keras

WEIGHTS, ACTIVATIONS = KINDS = ("mean_weight_bits", "mean_activation_bits")  # of a model's statistics
WORDS = {WEIGHTS: "weight", ACTIVATIONS: "activation"}
LEAST_MEAN, MOST_MEAN = 0.25, 16.0  # that may be asked for
_START, _FREE = 1e-4, 1e-8  # loss per bit of a mean width: at first, and of one without a limit
_ROUNDED = 1e-6  # a mean of floats may lie so far above what it is


@dataclass
class BitBudget:
    """Steers a run to mean widths just below ``limits``, by the names of `KINDS`, reached at ``settled`` of the run.

    Each limit has a controller of its own, whose weight is a price: loss per bit of that mean width.
    """

    limits: Mapping[str, float]
    settled: float = SETTLED

    def __post_init__(self) -> None:
        self.controllers = {
            kind: BudgetController(limit, _START, settled=self.settled) for kind, limit in self.limits.items()
        }
        self.widths: Mapping[str, Any] = {}

    def prices(self, model: keras.Model, progress: float) -> tuple[float, float]:
        """``beta`` of the coming epoch, and how much more than a weight's a bit of an activation counts."""
        found = {kind: self.controllers[kind].next(self.widths.get(kind, math.inf), progress)
                 if kind in self.controllers else _FREE for kind in KINDS}  # fmt: skip
        weights, activations = _counts(model)
        beta = found[WEIGHTS] / weights
        return beta, found[ACTIVATIONS] / max(activations, 1) / beta

    def met(self, statistics: Mapping[str, Any]) -> bool:
        """Whether a model's mean widths are within the limits."""
        return all(statistics.get(kind, math.inf) <= limit + _ROUNDED for kind, limit in self.limits.items())

    def check(self, model: keras.Model) -> None:
        """Raise ValueError for limits that no epoch of a model can come within."""
        for kind, narrowest in zip(KINDS, _narrowest(model), strict=True):
            word, limit = WORDS[kind], self.limits.get(kind)
            if limit is None:
                continue
            if narrowest is None:
                raise ValueError(f"the model has no {word} widths, so --mean-{word}-bits means nothing; leave it out")
            if narrowest > limit + _ROUNDED:
                raise ValueError(f"no model comes within {limit:g} mean {word} bits: the narrowest are {narrowest:g}; "
                                 f"give narrower ones by --{word}-bits, or a larger --mean-{word}-bits")  # fmt: skip

    def text(self) -> str:
        """The limits in words."""
        return " and ".join(f"{self.limits[kind]:g} mean {WORDS[kind]} bits" for kind in KINDS if kind in self.limits)

    def state(self) -> dict[str, Any]:
        """What the next epoch depends on, as JSON data."""
        return {"widths": dict(self.widths), "controllers": {k: asdict(c) for k, c in self.controllers.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        self.widths = state["widths"]
        self.controllers = {kind: BudgetController(**content) for kind, content in state["controllers"].items()}


def _counts(model: keras.Model) -> tuple[int, int]:
    """How many weights a model has, and how many neurons with an activation of their own."""
    weights, activations = (sum(count for _, count in own) for own in _narrowest_by_layer(model))
    return weights, activations


def _narrowest(model: keras.Model) -> tuple[float | None, float | None]:
    """The least mean widths of weights and activations that a model's layers allow; None where there are none."""
    weights, activations = (
        sum(bits * count for bits, count in own) / sum(count for _, count in own) if own else None
        for own in _narrowest_by_layer(model)
    )
    return weights, activations


def _narrowest_by_layer(model: keras.Model) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    """Of each layer the narrowest width that its weights may take and their number; the same of activations."""
    from keras_models.layers.export import precision_layers
    from keras_models.layers.neurons import NeuronLayer

    layers = [layer for layer in precision_layers(model) if isinstance(layer, NeuronLayer)]
    weights = [(layer.weight_ladder.bits[0], len(layer.channels) * layer.units) for layer in layers]
    activated = [layer for layer in layers if layer.activation_quantizer is not None]
    return weights, [(layer.activation_ladder.bits[0], layer.units) for layer in activated]
