"""A Keras model as one path of layers, and what is asked of its tensors, whatever its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flow.core.errors import ModelError
from flow.extract.remedies import forks


@dataclass(frozen=True)
class Applied:
    """A layer at one place of the path, with the shapes (without the batch axis) around it."""

    layer: Any
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.name)

    @property
    def kind(self) -> str:
        """The layer's class name."""
        return type(self.layer).__name__


def layers_of(model: Any) -> list[Applied]:
    """The layers from input to output; nested models are opened. Raises ModelError where there is not one path."""
    outputs = tensors_of(model, "outputs")
    inputs = tensors_of(model, "inputs")
    for tensors, word in ((inputs, "inputs"), (outputs, "outputs")):
        if len(tensors) != 1:
            names = ", ".join(str(t.name) for t in tensors)
            raise ModelError(
                f"model {model.name} has {len(tensors)} {word} ({names}); build a model with one input and one output"
            )
    path: list[Applied] = []
    tensor = outputs[0]
    while tensor is not inputs[0]:
        applied, tensor = _step_back(tensor)
        path.append(applied)
    flat: list[Applied] = []
    for applied in reversed(path):
        flat.extend(layers_of(applied.layer) if is_model(applied.layer) else [applied])
    return flat


def input_shape(model: Any) -> tuple[int, ...]:
    """Shape of the model's input without the batch axis."""
    return fixed_shape(tensors_of(model, "inputs")[0], str(model.name))


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


def _step_back(tensor: Any) -> tuple[Applied, Any]:
    history = tensor._keras_history
    operation = history.operation
    sources = operation._inbound_nodes[history.node_index].input_tensors
    if len(sources) != 1:
        raise ModelError(forks(str(operation.name), type(operation).__name__, len(sources)))
    name = str(operation.name)
    return Applied(operation, fixed_shape(sources[0], name), fixed_shape(tensor, name)), sources[0]


def fixed_shape(tensor: Any, name: str) -> tuple[int, ...]:
    """A tensor's shape without the batch axis. Raises ModelError, naming the layer, where it is not fixed."""
    shape = tuple(tensor.shape[1:])
    if any(size is None for size in shape):
        raise ModelError(f"layer {name}: shape {shape} is not fixed; give the Input layer a full shape")
    return tuple(int(size) for size in shape)


def is_model(layer: Any) -> bool:
    """Whether a layer is a model with layers of its own."""
    return hasattr(layer, "layers") and hasattr(layer, "outputs")
