"""The calls of layers and operations in a stored configuration of any graph, each after those that it reads.

Models inside the model are opened, so that there is one list of calls; a layer that is used twice has two of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flow.core.errors import ModelError
from flow.extract.remedies import NEEDS_PATH, forks
from flow.extract.stored_graph import MAX_ELEMENTS, REBUILD, LayerData, Stored, refuse_attention, stored_layers
from flow.extract.stored_layout import MAX_DEPTH, MODELS

MAX_CALLS = 4096
_CONSTANT = "_CONSTANT_VALUE"  # in the place of a layer's name, in files of Keras 2


@dataclass(frozen=True)
class Ref:
    """The value of this number, among the arguments of a call."""

    value: int


@dataclass(frozen=True)
class StoredCall:
    """A call: its layer, the ``key`` of the layer's weights, and its arguments with a `Ref` for every value."""

    layer: LayerData
    key: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    entry: dict[str, Any]  # the layer as it is stored


@dataclass(frozen=True)
class StoredCalls:
    """Inputs (name and shape without the batch axis), calls and outputs; values are numbered inputs first."""

    name: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    calls: tuple[StoredCall, ...]
    outputs: tuple[int, ...]


_Place = tuple[str, int, int]  # layer, call of it, and which of its outputs


def stored_calls(config: dict[str, Any]) -> StoredCalls:
    """The calls of a configuration. Raises ModelError naming the layer."""
    stored = stored_layers(config)
    refuse_attention(stored)
    inputs = _inputs(stored)
    opened = _Opened(len(inputs))
    outputs = opened.follow(stored, list(range(len(inputs))), "", 0)
    name = stored.inner.get("name")
    return StoredCalls(name if isinstance(name, str) else "model", inputs, tuple(opened.calls), tuple(outputs))


def line_of(config: dict[str, Any]) -> tuple[str, tuple[int, ...], tuple[StoredCall, ...]]:
    """Name, input shape and calls of a model in which every call reads what the one before it made.

    Raises ModelError naming the layer where it branches.
    """
    found = stored_calls(config)
    for what, count in (("inputs", len(found.inputs)), ("outputs", len(found.outputs))):
        if count > 1:
            raise ModelError(f"the model has {count} {what}{NEEDS_PATH}")
    for number, call in enumerate(found.calls):
        refs = [ref.value for ref in _Node(call.arguments, call.named).refs()]
        if len(refs) != 1:
            raise ModelError(forks(call.layer.name, call.layer.kind, len(refs)))
        if refs != [number]:
            raise ModelError(f"layer {call.layer.name[:64]} ({call.layer.kind[:64]}) begins a branch{NEEDS_PATH}")
    if found.outputs != (len(found.calls),):
        raise ModelError(f"the model's output is not what its last layer makes{NEEDS_PATH}")
    return found.name, found.inputs[0][1], found.calls


def _inputs(stored: Stored) -> tuple[tuple[str, tuple[int, ...]], ...]:
    names = [place[0] for place in _ends(stored, "input")]
    found = []
    for name in names:
        layer = stored.layers.get(name) if name else next(iter(stored.layers.values()))
        if layer is None:
            raise ModelError(f"layer {name[:64]} is missing from the model; {REBUILD}")
        shape = layer.config.get("batch_shape") or layer.config.get("batch_input_shape")
        shape = shape or stored.inner.get("build_input_shape")
        if not isinstance(shape, list) or len(shape) < 2:
            raise ModelError(f"layer {name[:64]} does not say its input shape; add an Input layer and save it again")
        sizes = tuple(shape[1:])
        if not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sizes):
            raise ModelError(f"the input shape {shape!r:.60} of layer {name[:64]} is not fixed; give it a full shape")
        if math.prod(sizes) > MAX_ELEMENTS:
            raise ModelError(f"the input shape {shape!r:.60} has more than {MAX_ELEMENTS} elements; make it smaller")
        found.append((name or "inputs", sizes))
    return tuple(found)


class _Opened:
    """The calls so far."""

    def __init__(self, inputs: int) -> None:
        self.calls: list[StoredCall] = []
        self.first = inputs

    def follow(self, stored: Stored, entering: Sequence[int], around: str, depth: int) -> list[int]:
        """Append the calls of a model on these values; the values of its outputs. Raises ModelError."""
        if depth > MAX_DEPTH:
            raise ModelError(f"models lie more than {MAX_DEPTH} deep inside each other; {REBUILD}")
        nodes, starts = _nodes(stored), _ends(stored, "input")
        outputs = _ends(stored, "output")
        if len(starts) != len(entering):
            raise ModelError(f"model {around[:64]} takes {len(starts)} inputs, {len(entering)} arrive; {REBUILD}")
        known: dict[tuple[str, int], list[int]] = {
            (place[0], place[1]): [value] for place, value in zip(starts, entering, strict=True)
        }
        for name, call in _in_order(stored, nodes, outputs, known):
            layer, node = stored.layers[name], nodes[name][call]
            values = node.resolved(known)
            if layer.kind in MODELS:
                inside = stored_layers(stored.entries[name])
                made = self.follow(inside, [ref.value for ref in values.refs()], f"{around}{name}/", depth + 1)
            else:
                made = [self.first + len(self.calls)]
                self.calls.append(
                    StoredCall(layer, around + name, values.arguments, values.named, stored.entries[name])
                )
                if len(self.calls) > MAX_CALLS:
                    raise ModelError(f"the model calls its layers more than {MAX_CALLS} times; make it smaller")
            known[name, call] = made
        return [_value(place, known) for place in outputs]


@dataclass(frozen=True)
class _Node:
    """A call as stored: arguments with places of tensors."""

    arguments: tuple[Any, ...]
    named: dict[str, Any]

    def places(self) -> list[_Place]:
        """Where its tensors come from, in the order of its arguments."""
        return [item for item in _flat([*self.arguments, *self.named.values()]) if isinstance(item, _Tensor)]

    def resolved(self, known: dict[tuple[str, int], list[int]]) -> _Node:
        """The call with a `Ref` for every tensor."""
        arguments = tuple(_replaced(a, known) for a in self.arguments)
        return _Node(arguments, {k: _replaced(v, known) for k, v in self.named.items()})

    def refs(self) -> list[Ref]:
        """The values it reads."""
        return [item for item in _flat([*self.arguments, *self.named.values()]) if isinstance(item, Ref)]


class _Tensor(tuple[str, int, int]):
    """The place of a tensor among the arguments of a call."""


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple) and not isinstance(value, _Tensor):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _replaced(value: Any, known: dict[tuple[str, int], list[int]]) -> Any:
    if isinstance(value, _Tensor):
        return Ref(_value(value, known))
    return [_replaced(item, known) for item in value] if isinstance(value, list) else value


def _value(place: _Place, known: dict[tuple[str, int], list[int]]) -> int:
    name, call, tensor = place
    made = known.get((name, call), [])
    if not 0 <= tensor < len(made):
        raise ModelError(f"layer {name[:64]} has no output {tensor}; {REBUILD}")
    return made[tensor]


def _nodes(stored: Stored) -> dict[str, list[_Node]]:
    """The calls of every layer. Keras 2 counts the calls of a model inside the model from 1."""
    if stored.kind == "Sequential":
        order = [name for name, layer in stored.layers.items() if layer.kind != "InputLayer"]
        before = [_Tensor((name, 0, 0)) for name in [_ends(stored, "input")[0][0], *order]]
        return {name: [_Node((place,), {})] for name, place in zip(order, before, strict=False)}
    nodes: dict[str, list[_Node]] = {}
    for name in stored.layers:
        inbound = stored.entries[name].get("inbound_nodes")
        nodes[name] = [_node(node) for node in inbound] if isinstance(inbound, list) else []
    used: dict[str, int] = {}
    places = [p for own in nodes.values() for node in own for p in node.places()]
    for name, call, _ in [*places, *_ends(stored, "output")]:
        used[name] = max(used.get(name, 0), call + 1)
    padding = _Node((), {})
    return {name: [padding] * max(0, min(used.get(name, 0), 64) - len(own)) + own for name, own in nodes.items()}


def _node(node: Any) -> _Node:
    if isinstance(node, dict):  # Keras 3
        arguments, named = node.get("args"), node.get("kwargs")
        arguments = arguments if isinstance(arguments, list) else []
        named = named if isinstance(named, dict) else {}
        return _Node(tuple(_argument(a) for a in arguments), {str(k): _argument(v) for k, v in named.items()})
    if _is_place(node):  # Keras 2: one tensor and the call's arguments by name
        return _Node((_old(node),), _old_named(node))
    if isinstance(node, list) and node and all(_is_place(item) for item in node):
        tensors = [_old(item) for item in node]
        return _Node((tensors if len(tensors) > 1 else tensors[0],), _old_named(node[0]))
    raise ModelError(f"a layer is connected in an unknown way ({node!r:.60}); {REBUILD}")


def _argument(value: Any, depth: int = 0) -> Any:
    if isinstance(value, dict):
        kind, config = value.get("class_name"), value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        if kind == "__keras_tensor__" and isinstance(history, list) and _is_place(history):
            return _Tensor(history[:3])
        if kind == "__slice__" and isinstance(config, dict):
            return slice(*(config.get(k) for k in ("start", "stop", "step")))
        if kind in ("__numpy__", "__tensor__") and isinstance(config, dict):
            return config.get("value")
        return Ellipsis if kind == "__ellipsis__" else value
    if isinstance(value, list) and depth < 8:
        return [_argument(item, depth + 1) for item in value]
    return value


def _is_place(value: Any) -> bool:
    if not isinstance(value, list) or len(value) not in (3, 4) or not isinstance(value[0], str):
        return False
    return value[0] == _CONSTANT or all(isinstance(v, int) and not isinstance(v, bool) for v in value[1:3])


def _old(place: list[Any]) -> Any:
    return place[2] if place[0] == _CONSTANT else _Tensor(place[:3])


def _old_named(place: list[Any]) -> dict[str, Any]:
    named = place[3] if len(place) == 4 and isinstance(place[3], dict) else {}
    return {str(k): _old_argument(v) for k, v in named.items()}


def _old_argument(value: Any) -> Any:
    if _is_place(value):
        return _old(value)
    if isinstance(value, dict) and set(value) <= {"start", "stop", "step"}:
        return slice(*(value.get(k) for k in ("start", "stop", "step")))
    return [_old_argument(item) for item in value] if isinstance(value, list) else value


def _in_order(
    stored: Stored, nodes: dict[str, list[_Node]], outputs: list[_Place], known: dict[tuple[str, int], list[int]]
) -> list[tuple[str, int]]:
    """The calls that the outputs depend on, each after those it reads."""
    found: list[tuple[str, int]] = []
    done, open_ones = set(known), set[tuple[str, int]]()
    waiting = [(name, call) for name, call, _ in reversed(outputs)]
    while waiting:
        name, call = waiting[-1]
        if (name, call) in done:
            waiting.pop()
            continue
        own = nodes.get(name, [])
        if name not in stored.layers:
            raise ModelError(f"layer {name[:64]} is missing from the model; {REBUILD}")
        if not 0 <= call < len(own) or not own[call].places():
            raise ModelError(f"layer {name[:64]} is not connected to the model's inputs; {REBUILD}")
        missing = [(n, c) for n, c, _ in own[call].places() if (n, c) not in done]
        if missing and (name, call) in open_ones:
            raise ModelError(f"layer {name[:64]} is fed by its own output; {REBUILD}")
        open_ones.add((name, call))
        if missing:
            waiting += reversed(missing)
            continue
        found.append((name, call))
        done.add((name, call))
    return found


def _ends(stored: Stored, which: str) -> list[_Place]:
    """The input or output tensors of a model."""
    if stored.kind == "Sequential":
        names = list(stored.layers)
        if which == "output":
            return [(names[-1], 0, 0)]
        return [(names[0] if stored.layers[names[0]].kind == "InputLayer" else "", 0, 0)]
    ends = stored.inner.get(f"{which}_layers")
    if isinstance(ends, dict):
        ends = list(ends.values())
    ends = [ends] if _is_place(ends) else ends
    if not isinstance(ends, list) or not ends or not all(_is_place(e) and e[0] != _CONSTANT for e in ends):
        raise ModelError(f"the model does not name its {which}s; {REBUILD}")
    return [(e[0], e[1], e[2]) for e in ends]
