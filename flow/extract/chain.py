"""A layer of a Keras model at its place, and what is asked of the model's tensors, whatever its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flow.core.errors import ModelError


@dataclass(frozen=True)
class Applied:
    """A layer at one place of a model, with the shapes (without the batch axis) around it.

    ``single`` is a convolution or pool at one position: its input is what its window sees there.
    """

    layer: Any
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    single: bool = False

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.name)

    @property
    def kind(self) -> str:
        """The layer's class name."""
        return type(self.layer).__name__


def tensors_of(model: Any, which: str) -> list[Any]:
    """The symbolic ``inputs`` or ``outputs`` of a model. Raises ModelError where it has none."""
    try:
        tensors = getattr(model, which)
    except (AttributeError, ValueError):
        tensors = None
    if tensors is None:
        raise ModelError(
            f"model {getattr(model, 'name', '?')} ({type(model).__name__}) has no layer graph; rebuild it as a "
            "Sequential or functional model with an Input layer and save it again"
        )
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]


def fixed_shape(tensor: Any, name: str) -> tuple[int, ...]:
    """A tensor's shape without the batch axis. Raises ModelError, naming the layer, where it is not fixed."""
    shape = tuple(tensor.shape[1:])
    if any(size is None for size in shape):
        raise ModelError(f"layer {name}: shape {shape} is not fixed; give the Input layer a full shape")
    return tuple(int(size) for size in shape)


def is_model(layer: Any) -> bool:
    """Whether a layer is a model with layers of its own."""
    return hasattr(layer, "layers") and hasattr(layer, "outputs")
