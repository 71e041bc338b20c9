"""Ending just below mean widths that were asked for: a price for a bit of the weights and one for the activations'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from keras_models.training.schedule import SETTLED, BudgetController

if TYPE_CHECKING:
    import keras

WEIGHTS, ACTIVATIONS = KINDS = ("mean_weight_bits", "mean_activation_bits")  # of a model's statistics
LEAST_MEAN, MOST_MEAN = 0.25, 16.0  # that may be asked for
_START, _FREE = 1e-4, 1e-8  # loss per bit of a mean width: at first, and of one without a limit


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
        found = {kind: self.controllers[kind].next(self.widths.get(kind) or 0.0, progress)
                 if kind in self.controllers else _FREE for kind in KINDS}  # fmt: skip
        weights, activations = _counts(model)
        beta = found[WEIGHTS] / weights
        return beta, found[ACTIVATIONS] / max(activations, 1) / beta

    def met(self, statistics: Mapping[str, Any]) -> bool:
        """Whether a model's mean widths are within the limits."""
        return all((statistics.get(kind) or 0.0) <= limit for kind, limit in self.limits.items())

    def text(self) -> str:
        """The limits in words."""
        named = ((WEIGHTS, "weight"), (ACTIVATIONS, "activation"))
        return " and ".join(f"{self.limits[kind]:g} mean {word} bits" for kind, word in named if kind in self.limits)

    def state(self) -> dict[str, Any]:
        """What the next epoch depends on, as JSON data."""
        return {"widths": dict(self.widths), "controllers": {k: asdict(c) for k, c in self.controllers.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        self.widths = state["widths"]
        self.controllers = {kind: BudgetController(**content) for kind, content in state["controllers"].items()}


def _counts(model: keras.Model) -> tuple[int, int]:
    """How many weights a model has, and how many neurons with an activation of their own."""
    from keras_models.layers.export import precision_layers
    from keras_models.layers.neurons import NeuronLayer

    layers = [layer for layer in precision_layers(model) if isinstance(layer, NeuronLayer)]
    weights = sum(len(layer.channels) * layer.units for layer in layers)
    return weights, sum(layer.units for layer in layers if layer.activation_quantizer is not None)
