"""A stored model of any graph as calls of layers and operations that are known and safe to build; no Keras needed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from flow.core.errors import ModelError
from flow.extract.config import LayerSpec, layer_spec, uses_qkeras
from flow.extract.operations import JOINING, operation_of
from flow.extract.remedies import joins
from flow.extract.stored_calls import Ref, StoredCall, stored_calls

_LIMIT = 4096  # of numbers among the arguments of operations


@dataclass(frozen=True)
class CallSpec:
    """A call. Calls of one ``key`` share a layer; ``operation`` is one of ``keras.ops``, or None for a layer.

    ``arguments`` and ``named`` hold a `Ref` for every value of the graph.
    """

    key: str
    layer: LayerSpec
    operation: str | None
    arguments: tuple[Any, ...]
    named: dict[str, Any]


@dataclass(frozen=True)
class GraphSpec:
    """Inputs (name and shape without the batch axis), calls in order, and the values that are outputs."""

    name: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    calls: tuple[CallSpec, ...]
    outputs: tuple[int, ...]

    @property
    def needs_qkeras(self) -> bool:
        """Whether QKeras, and with it TensorFlow, has to be imported."""
        return uses_qkeras(call.layer for call in self.calls)


def graph_spec(config: dict[str, Any]) -> GraphSpec:
    """The calls a configuration describes. Raises ModelError with the layer's name and the remedy."""
    stored = stored_calls(config)
    own = {call.key: call.layer.name for call in stored.calls}
    often = Counter(own.values())
    names = {key: name if often[name] == 1 else key.replace("/", "_") for key, name in own.items()}
    calls = tuple(_call(call, names[call.key]) for call in stored.calls)
    return GraphSpec(stored.name, stored.inputs, calls, stored.outputs)


def _call(call: StoredCall, name: str) -> CallSpec:
    operation = operation_of(call.entry)
    if operation is None and call.layer.kind in ("TFOpLambda", "SlicingOpLambda"):
        function = str(call.layer.config.get("function"))[:64]
        raise ModelError(
            f"layer {call.layer.name[:64]} is the TensorFlow operation {function}, which has no integer form here: "
            "remove it or do its work in the preprocessing"
        )
    if operation is None:
        layer = layer_spec(call.layer)
        tensors = [a for a in call.arguments if _holds_value(a)]
        count = len(tensors[0]) if tensors and isinstance(tensors[0], list) else len(tensors)
        if count > 1 and layer.kind not in JOINING:
            raise ModelError(joins(name, layer.kind, count))
        return CallSpec(call.key, LayerSpec(layer.kind, name, layer.settings), None, tuple(tensors[:1]), {})
    settings = {k: v for k, v in call.layer.config.items() if k in ("axis", "axes", "newshape", "shape")}
    arguments = tuple(_checked(name, argument) for argument in call.arguments)
    named = {key: _checked(name, value) for key, value in {**settings, **call.named}.items()}
    return CallSpec(call.key, LayerSpec(call.layer.kind, name, {}), operation, arguments, named)


def _holds_value(argument: Any) -> bool:
    return isinstance(argument, Ref) or (isinstance(argument, list) and any(map(_holds_value, argument)))


def _checked(name: str, value: Any, depth: int = 0) -> Any:
    """A plain argument of an operation: values of the graph, numbers, slices and lists of these."""
    if isinstance(value, Ref) or value is None or value is Ellipsis or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= _LIMIT:
        return value
    if isinstance(value, slice):
        return slice(*(_checked(name, part, depth + 1) for part in (value.start, value.stop, value.step)))
    if isinstance(value, list) and len(value) <= _LIMIT and depth < 4:
        found = [_checked(name, item, depth + 1) for item in value]
        return np.array(found, np.float32) if found and all(isinstance(v, float) for v in found) else found
    raise ModelError(f"layer {name[:64]}: its argument {value!r:.60} is not usable; rebuild and save the model")
