"""The integer description of a model: what a converter needs, in data-flow order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_models.layers.base import PrecisionLayer

if TYPE_CHECKING:
    import keras


def precision_layers(model: keras.Model) -> list[PrecisionLayer]:
    """The NMP layers of a model and of the models inside it, in data-flow order."""
    return [layer for layer in model._flatten_layers(include_self=False) if isinstance(layer, PrecisionLayer)]


def export_integer(model: keras.Model) -> list[dict[str, Any]]:
    """The integer descriptions of a sequential model's NMP layers, in data-flow order."""
    return [item for layer in precision_layers(model) for item in layer.export_integer()]
