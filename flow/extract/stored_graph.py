"""The path of layers in a stored Sequential or functional configuration of any Keras generation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from flow.core.errors import ModelError
from flow.extract.operations import is_by_call
from flow.extract.remedies import ATTENTION, DENSE, forks, refusal, transformer
from flow.extract.stored_layout import MODELS, class_of

MAX_ELEMENTS = 1 << 16
REBUILD = "rebuild it as a Sequential or functional model and save it again"


@dataclass(frozen=True)
class LayerData:
    """A layer as stored: class name, own name, configuration."""

    kind: str
    name: str
    config: dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """The layers of a stored model by name, in the order they are stored, and the names of what feeds each."""

    kind: str
    inner: dict[str, Any]
    layers: dict[str, LayerData]
    sources: dict[str, list[str]]
    entries: dict[str, dict[str, Any]]  # the layers as they are stored, with their connections


def stored_layers(config: dict[str, Any]) -> Stored:
    """The layers of a Sequential or functional configuration. Raises ModelError."""
    kind, inner = class_of(config), config.get("config")
    if kind not in MODELS or not isinstance(inner, dict):
        raise ModelError(f"the model is of type {kind[:64] or 'unknown'}, whose layers cannot be followed; {REBUILD}")
    stored = inner.get("layers")
    if not isinstance(stored, list) or not stored:
        raise ModelError(f"the model lists no layers; {REBUILD}")
    layers: dict[str, LayerData] = {}
    sources: dict[str, list[str]] = {}
    entries: dict[str, dict[str, Any]] = {}
    for entry in stored:
        data = _data(entry)
        if data.name in layers:
            raise ModelError(f"two layers are named {data.name[:64]}; {REBUILD}")
        before = list(layers)[-1:] if kind == "Sequential" else _sources(entry)
        layers[data.name], sources[data.name], entries[data.name] = data, before, entry
    return Stored(kind, inner, layers, sources, entries)


def is_path(config: dict[str, Any]) -> bool:
    """Whether a configuration is of one path of layers, so that `path_of` can say what is wrong where it is not."""
    stored = stored_layers(config)
    ends = [stored.inner.get(f"{which}_layers") for which in ("input", "output")]
    several = any(isinstance(e, dict | list) and len(e) > 1 and not isinstance(next(iter(e)), str) for e in ends)
    nodes = [entry.get("inbound_nodes") for entry in stored.entries.values()]
    often = any(isinstance(own, list) and len(own) > 1 for own in nodes)
    joined = any(len(sources) > 1 for sources in stored.sources.values())
    opened = any(layer.kind in MODELS for layer in stored.layers.values())
    return not (several or often or joined or opened or any(map(is_by_call, stored.entries.values())))


def refuse_attention(stored: Stored) -> None:
    """Raise ModelError for a model with attention, whose dense layers can be built one by one."""
    attention = [la.name for la in stored.layers.values() if la.kind in ATTENTION]
    if attention:
        raise ModelError(transformer(attention[0], [la.name for la in stored.layers.values() if la.kind in DENSE]))


def path_of(config: dict[str, Any]) -> tuple[str, tuple[int, ...], list[LayerData]]:
    """Model name, input shape (without the batch axis) and the layers from input to output, without input layers.

    Raises ModelError naming the layer where the model has not one path.
    """
    stored = stored_layers(config)
    refuse_attention(stored)
    order = list(stored.layers) if stored.kind == "Sequential" else _follow(stored)
    layers = [stored.layers[name] for name in order]
    shape = _input_shape(layers, stored.inner)
    name = stored.inner.get("name")
    return (name if isinstance(name, str) else "model"), shape, [la for la in layers if la.kind != "InputLayer"]


def _data(entry: Any) -> LayerData:
    config = entry.get("config") if isinstance(entry, dict) else None
    if not isinstance(config, dict) or not isinstance(config.get("name"), str):
        raise ModelError(f"a layer of the model has no name; {REBUILD}")
    return LayerData(class_of(entry), config["name"], config)


def _follow(stored: Stored) -> list[str]:
    """From the output back to the input."""
    names = stored.layers
    current = _single_end(stored.inner, "output")
    start = _single_end(stored.inner, "input")
    path = [current]
    while current != start:
        if current not in names:
            raise ModelError(f"layer {current[:64]} is missing from the model; {REBUILD}")
        kind, sources = names[current].kind, stored.sources[current]
        if len(sources) != 1:
            if not sources or kind == "InputLayer":
                raise ModelError(f"layer {current[:64]} is not connected to the model's input; {REBUILD}")
            raise ModelError(forks(current, kind, len(sources)))
        current = sources[0]
        if current in path:
            raise ModelError(f"layer {current[:64]} is used more than once; give every use a layer of its own")
        path.append(current)
    if start not in names:
        raise ModelError(f"layer {start[:64]} is missing from the model; {REBUILD}")
    return path[::-1]


def _single_end(config: dict[str, Any], which: str) -> str:
    """Name of the single input or output layer; stored as ``[name, 0, 0]`` or a list of these."""
    ends = config.get(f"{which}_layers")
    if isinstance(ends, list) and ends and isinstance(ends[0], str):
        ends = [ends]
    if isinstance(ends, dict):
        ends = list(ends.values())
    if not isinstance(ends, list) or not all(isinstance(e, list) and e and isinstance(e[0], str) for e in ends):
        raise ModelError(f"the model does not name its {which}s; {REBUILD}")
    if len(ends) != 1:
        listed = ", ".join(e[0][:32] for e in ends[:8])
        raise ModelError(f"the model has {len(ends)} {which}s ({listed}); build it with one input and one output")
    return str(ends[0][0])


def _sources(entry: dict[str, Any]) -> list[str]:
    """Names of the layers that feed a layer, over all its uses and both ways of storing them."""
    nodes = entry.get("inbound_nodes")
    found: list[str] = []
    if isinstance(nodes, list):
        for node in nodes:
            _collect(node.get("args") if isinstance(node, dict) else node, found, 0)
            named = node.get("kwargs") if isinstance(node, dict) else None
            if isinstance(named, dict):
                _collect(list(named.values()), found, 0)
    return found


def _collect(value: Any, found: list[str], depth: int) -> None:
    if depth > 8:
        return
    if isinstance(value, dict):
        history = (value.get("config") or {}).get("keras_history") if isinstance(value.get("config"), dict) else None
        if value.get("class_name") == "__keras_tensor__" and isinstance(history, list) and history:
            found.append(str(history[0]))
        return
    if isinstance(value, list):
        if len(value) in (3, 4) and isinstance(value[0], str) and all(isinstance(v, int) for v in value[1:3]):
            found.append(value[0])  # Keras 2: [name, node, tensor, call arguments]
            return
        for item in value:
            _collect(item, found, depth + 1)


def _input_shape(layers: list[LayerData], config: dict[str, Any]) -> tuple[int, ...]:
    if any(layer.kind == "InputLayer" for layer in layers[1:]):
        raise ModelError(refusal(layers[1].name, "InputLayer"))
    first = layers[0].config
    for shape in (first.get("batch_shape"), first.get("batch_input_shape"), config.get("build_input_shape")):
        if isinstance(shape, list) and len(shape) > 1:
            sizes = tuple(shape[1:])
            if not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sizes):
                raise ModelError(
                    f"the model's input shape {shape!r:.60} is not fixed; give its Input layer a full shape"
                )
            if math.prod(sizes) > MAX_ELEMENTS:
                raise ModelError(
                    f"the model's input shape {shape!r:.60} has more than {MAX_ELEMENTS} elements; make it smaller"
                )
            return sizes
    raise ModelError("the model does not say its input shape; add an Input layer and save it again")
