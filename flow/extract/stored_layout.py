"""Where a stored model keeps the weights of each layer, and its configuration in the form of today.

Layers of a model inside the model are called ``outer/inner`` here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError

Array = NDArray[Any]
Arrays = dict[tuple[str, str], Array]  # as the reader hands them over: by group and name
MODELS = ("Sequential", "Functional", "Model")
MAX_LAYERS = 1024
MAX_DEPTH = 8  # of models inside models
_PRUNING = "PruneLowMagnitude"  # wrapper of tensorflow_model_optimization
_PRUNING_WEIGHTS = ("mask", "threshold", "pruning_step")
_REBUILD = "rebuild it as a Sequential or functional model"


@dataclass(frozen=True)
class _Layer:
    """A stored layer: its name here, the name of its weights in the file, its class, and a model's own layers."""

    name: str
    stored_as: str
    kind: str
    inner: tuple[_Layer, ...] | None
    pruned: bool


def class_of(entry: dict[str, Any]) -> str:
    """The class name of a stored layer or model, without the package it was registered in."""
    return str(entry.get("class_name", "")).rpartition(">")[2]


def modern(entry: Any, depth: int = 0) -> Any:
    """A stored model as Keras 2.3 and later store it, pruning wrappers taken off.

    Keras before 2.2.3 stored a Sequential model as the bare list of its layers. A wrapper's layer takes its place under
    its own name; ``pruned_as`` is then the name that its weights are stored under.
    """
    config, kind = entry.get("config"), class_of(entry)
    if kind == "Sequential" and isinstance(config, list):
        config = {"name": "sequential", "layers": config}
    if kind not in MODELS or not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        return entry
    if depth > MAX_DEPTH:
        raise ModelError(f"models lie more than {MAX_DEPTH} deep inside each other; {_REBUILD}")
    renamed: dict[str, str] = {}
    layers = [modern(_unwrapped(e, renamed), depth + 1) if isinstance(e, dict) else e for e in config["layers"]]
    if renamed:
        layers = [_connected(layer, ("inbound_nodes",), renamed) for layer in layers]
        config = _connected(config, ("input_layers", "output_layers"), renamed)
    return {**entry, "config": {**config, "layers": layers}}


def _unwrapped(entry: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    own = entry.get("config")
    inner = own.get("layer") if class_of(entry) == _PRUNING and isinstance(own, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict) or not isinstance(own, dict):
        return entry
    wrapper, name = own.get("name"), inner["config"].get("name")
    if not isinstance(wrapper, str) or not isinstance(name, str):
        raise ModelError("a layer inside a PruneLowMagnitude has no name; save the model after strip_pruning()")
    renamed[wrapper] = name
    shape = {key: own[key] for key in ("batch_input_shape", "batch_shape") if key in own}
    return {**entry, **inner, "config": {**shape, **inner["config"]}, "name": name, "pruned_as": wrapper}


def _connected(entry: Any, keys: tuple[str, ...], names: dict[str, str]) -> Any:
    """The entry with layers in its connections called by their new names."""

    def renamed(value: Any, depth: int = 0) -> Any:
        if isinstance(value, list) and depth < 16:
            return [renamed(item, depth + 1) for item in value]
        if isinstance(value, dict) and depth < 16:
            return {key: renamed(item, depth + 1) for key, item in value.items()}
        return names.get(value, value) if isinstance(value, str) else value

    return {**entry, **{k: renamed(entry[k]) for k in keys if k in entry}} if isinstance(entry, dict) else entry


def weights_of(config: dict[str, Any], arrays: Arrays, by_class: bool) -> dict[str, tuple[Array, ...]]:
    """The weights of each layer of a `modern` configuration, in the order they were saved. Raises ModelError.

    ``by_class``: the file names groups by counted classes (Keras 3), else by layers.
    """
    groups: dict[str, list[tuple[str, Array]]] = {}
    for (group, name), array in arrays.items():
        groups.setdefault(group, []).append((name, array))
    layers = _layers(config)
    found = _counted(layers, "", groups) if by_class else _named(layers, groups)
    return {name: tuple(own) for name, own in found.items()}


def _layers(config: dict[str, Any], around: str = "") -> tuple[_Layer, ...]:
    inner = config.get("config")
    stored = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(stored, list) or len(stored) > MAX_LAYERS:
        raise ModelError(f"does not list its layers (at most {MAX_LAYERS}); {_REBUILD}")
    found = []
    for entry in stored:
        own = entry.get("config") if isinstance(entry, dict) else None
        if not isinstance(own, dict) or not isinstance(own.get("name"), str):
            raise ModelError("has a layer without a name; save the model again")
        kind, name, wrapper = class_of(entry), around + own["name"], entry.get("pruned_as")
        nested = _layers(entry, f"{name}/") if kind in MODELS else None
        found.append(_Layer(name, str(wrapper or own["name"]), kind, nested, wrapper is not None))
    return tuple(found)


def _named(layers: tuple[_Layer, ...], groups: dict[str, list[tuple[str, Array]]]) -> dict[str, list[Array]]:
    found: dict[str, list[Array]] = {}
    for layer in layers:
        if layer.stored_as not in groups:
            continue
        if layer.inner is None:
            found[layer.name] = _computed_with(layer, groups[layer.stored_as])
        else:
            found |= _shared_out(layer, groups[layer.stored_as])
    return found


def _shared_out(model: _Layer, weights: list[tuple[str, Array]]) -> dict[str, list[Array]]:
    """The weights of a model inside the model by its layers, which their names tell (``dense/kernel:0``)."""
    leaves = _leaves(model)
    own = {leaf.stored_as: leaf for leaf in leaves}
    if len(own) != len(leaves):
        raise ModelError(f"has layers of one name in its model {model.name[:60]}; save it in the format .keras")
    found: dict[str, list[tuple[str, Array]]] = {}
    for name, array in weights:
        key = next((part for part in reversed(name.split("/")[:-1]) if part in own), None)
        if key is None:
            raise ModelError(f"stores {name[:60]!r}, of no layer of {model.name[:60]}; save it in the format .keras")
        found.setdefault(key, []).append((name, array))
    return {own[key].name: _computed_with(own[key], arrays) for key, arrays in found.items()}


def _leaves(layer: _Layer) -> list[_Layer]:
    return [layer] if layer.inner is None else [leaf for inner in layer.inner for leaf in _leaves(inner)]


def _computed_with(layer: _Layer, weights: list[tuple[str, Array]]) -> list[Array]:
    """What the layer computes with: of a pruned one the weights under their masks, as its wrapper applies them."""
    if not layer.pruned:
        return [array for _, array in weights]
    kinds = [re.sub(r"(_\d+)?(:0)?$", "", name.rpartition("/")[2]) for name, _ in weights]
    masks = [array for kind, (_, array) in zip(kinds, weights, strict=True) if kind == "mask"]
    kept = [array for kind, (_, array) in zip(kinds, weights, strict=True) if kind not in _PRUNING_WEIGHTS]
    for index, array in enumerate(kept):
        if masks and masks[0].shape == array.shape:
            kept[index] = np.where(masks.pop(0) != 0, array, np.zeros_like(array))
    return kept


def _counted(
    layers: tuple[_Layer, ...], path: str, groups: dict[str, list[tuple[str, Array]]]
) -> dict[str, list[Array]]:
    """Keras 3 stores the n-th layer of a class under ``<class_name>_<n>``, classes in snake case."""
    found: dict[str, list[Array]] = {}
    seen: dict[str, int] = {}
    for layer in layers:
        key = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", layer.kind))
        key = re.sub(r"([a-z])([A-Z])", r"\1_\2", key).lower()
        count = seen.get(key, 0)
        seen[key] = count + 1
        key = path + (f"{key}_{count}" if count else key)
        if layer.inner is not None:
            found |= _counted(layer.inner, f"{key}/", groups)
        elif key in groups:
            found[layer.name] = [array for _, array in groups[key]]
    return found
