"""One width for all neurons of a layer: learned, or set from outside.

The layers are `NMPDense` with the same strength and range in every neuron, so that models of these methods load, export
and become hardware like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_models.layers.dense import NMPDense
from keras_models.loop.stage import Stage
from keras_models.methods import mlp
from keras_models.methods.models import build_mlp

ROLES = ("weight_strength", "weight_log2_range", "activation_strength", "activation_log2_range")


class Tied(keras.constraints.Constraint):
    """Replaces every value by the mean: the projection of a step onto equal values."""

    def __init__(self, within: keras.constraints.Constraint) -> None:
        self.within = within

    def __call__(self, w: Any) -> Any:
        """``w`` with one value throughout, inside the inner constraint's set."""
        return ops.broadcast_to(ops.mean(self.within(w)), w.shape)


def build_tied(
    inputs: int, hidden: Sequence[int], outputs: int, seed: int, calibration: np.ndarray, **dense: Any
) -> keras.Model:
    """An MLP whose layers each have one weight width, one activation width and one range of either; 8-bit inputs."""
    model = build_mlp(inputs, hidden, outputs, seed=seed, dense=dense, quantize_inputs={"input_bits": (8,)})
    model.get_layer(mlp.QUANTIZER).adapt(calibration)
    for layer in dense_layers(model):
        for variable in layer.trainable_variables:
            if variable.name in ROLES:
                variable.constraint = Tied(variable.constraint)
    return model


def dense_layers(model: keras.Model) -> list[NMPDense]:
    """The dense layers in order."""
    return [layer for layer in model.layers if isinstance(layer, NMPDense)]


def layer_sizes(model: keras.Model) -> np.ndarray:
    """Weights per dense layer, biases not counted."""
    return np.asarray([int(np.prod(layer.kernel.shape)) for layer in dense_layers(model)])


def set_widths(model: keras.Model, widths: Sequence[float]) -> None:
    """Give each dense layer its weight width."""
    for layer, width in zip(dense_layers(model), widths, strict=True):
        strength = layer.kernel_quantizer_internal.strength
        strength.assign(np.full(strength.shape, layer.weight_ladder.strength_of(width), np.float32))


def train_reference(stage: Stage) -> tuple[list[np.ndarray], float]:
    """Train with 8 bits throughout for three tenths of the epochs; the weights and the score a search starts from."""
    set_widths(stage.model, [8] * len(dense_layers(stage.model)))
    stage.train(max(1, round(0.3 * stage.epochs)))
    return stage.weights(), stage.score()


def widths_of(model: keras.Model) -> list[float]:
    """Each dense layer's weight width."""
    return [float(layer.export_integer()[0]["weight_bits"][0]) for layer in dense_layers(model)]
