"""What one step of training is: the loss of a task, and the rule by which an optimizer changes variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

Tensor = Any
FORMAT_ROLES = ("strength", "log2_range")


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam or SGD; ``strength_rate`` and ``range_rate`` multiply the learning rate of strengths and log2 ranges."""

    name: str = "adam"
    strength_rate: float = 1.0
    range_rate: float = 1.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def rates(self, variables: Sequence[Any]) -> list[float]:
        """The learning-rate multiplier of each variable, by its role."""
        roles = tuple(zip(FORMAT_ROLES, (self.strength_rate, self.range_rate), strict=True))
        return [next((rate for role, rate in roles if v.name.endswith(role)), 1.0) for v in variables]


def optimizer_step(
    config: OptimizerConfig,
    rates: Sequence[Any],
    learning_rate: Tensor,
    step: Tensor,
    values: Sequence[Tensor],
    gradients: Sequence[Tensor],
    moments: Sequence[tuple[Tensor, Tensor]],
) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
    """New values and moments; ``step`` counts from 1 (float). A rate is a number or has the value's shape."""
    if config.name == "sgd":
        return [v - learning_rate * r * g for v, r, g in zip(values, rates, gradients, strict=True)], list(moments)
    correction = ops.sqrt(1.0 - config.beta_2**step) / (1.0 - config.beta_1**step)
    new_values, new_moments = [], []
    for value, rate, gradient, (first, second) in zip(values, rates, gradients, moments, strict=True):
        first = config.beta_1 * first + (1.0 - config.beta_1) * gradient
        second = config.beta_2 * second + (1.0 - config.beta_2) * ops.square(gradient)
        change = first / (ops.sqrt(second) + config.epsilon)
        new_values.append(value - learning_rate * rate * correction * change)
        new_moments.append((first, second))
    return new_values, new_moments


def task_loss(task: str, targets: Tensor, outputs: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error, or cross-entropy of logits with integer classes (rows,) or shares of classes (rows, outputs).

    A single output is the logit of the second of two classes. ``weights`` (rows,) multiply the rows' losses.
    """
    if weights is not None:
        rows = ops.mean(ops.square(outputs - targets), axis=1) if task == "regression" else (
            keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True))  # fmt: skip
        return ops.mean(weights * rows)
    if task == "regression":
        return ops.mean(ops.square(outputs - targets))
    if len(targets.shape) == 2:
        crossentropy = (
            keras.losses.categorical_crossentropy if outputs.shape[1] > 1 else keras.losses.binary_crossentropy
        )
        return ops.mean(crossentropy(targets, outputs, from_logits=True))
    return ops.mean(keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True))
