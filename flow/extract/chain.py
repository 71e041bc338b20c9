"""A Keras model as one path of layers, or a refusal that names the layer where the path forks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flow.core.errors import ModelError
from flow.extract.remedies import joins


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
    outputs = _tensors(model, "outputs")
    inputs = _tensors(model, "inputs")
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
        flat.extend(layers_of(applied.layer) if _is_model(applied.layer) else [applied])
    return flat


def input_shape(model: Any) -> tuple[int, ...]:
    """Shape of the model's input without the batch axis."""
    return _shape(_tensors(model, "inputs")[0], str(model.name))


def _tensors(model: Any, which: str) -> list[Any]:
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
        raise ModelError(joins(str(operation.name), type(operation).__name__, len(sources)))
    name = str(operation.name)
    return Applied(operation, _shape(sources[0], name), _shape(tensor, name)), sources[0]


def _shape(tensor: Any, name: str) -> tuple[int, ...]:
    shape = tuple(tensor.shape[1:])
    if any(size is None for size in shape):
        raise ModelError(f"layer {name}: shape {shape} is not fixed; give the Input layer a full shape")
    return tuple(int(size) for size in shape)


def _is_model(layer: Any) -> bool:
    return hasattr(layer, "layers") and hasattr(layer, "outputs")
