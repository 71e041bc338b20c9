"""One dense layer of a stored model, with the quantizers around it, as a model of its own.

A model with attention cannot become hardware as a whole; its dense projections can, one by one. What a projection sees
is what the quantizer before it makes, so that quantizer comes along and gives the input format; a ReLU and a quantizer
that only this projection feeds come along too.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow.core.errors import ModelError
from flow.extract import stored_model
from flow.extract.design import identifier
from flow.extract.remedies import DENSE
from flow.extract.stored_graph import LayerData, Stored, stored_layers
from flow.extract.stored_layout import Array
from flow.extract.stored_model import StoredModel
from keras_models.layers.inactive import INACTIVE

_QUANTIZERS = ("NMPInputQuantizer", "NMPActivation", "QActivation")
_SIGNAL = ("mode", "activation_bits", "activation_thresholds", "activation_temperature", "activation_start",
           "activation_range")  # fmt: skip
_SIGNAL_WEIGHTS = 3  # strength, range and beta: the last ones of an NMPDense, the only ones of an NMPActivation
_MAX_LISTED = 12


def dense_layers(path: Path | str, weights: Path | None = None) -> list[str]:
    """Names of the NMPDense and QDense layers of a model file, in the order they are stored. Raises ModelError."""
    stored = stored_layers(stored_model.read(path, weights).config)
    return [layer.name for layer in stored.layers.values() if layer.kind in DENSE]


def choose(path: Path | str, text: str, weights: Path | None = None) -> dict[str, str]:
    """The dense layers meant by ``--layer`` (names separated by commas, or ``all``) and a folder name for each.

    Raises ModelError with the nearest names for one that does not exist.
    """
    known = dense_layers(path, weights)
    if not known:
        raise ModelError(f"{path} has no NMPDense or QDense layer, so there is nothing for --layer to build")
    names = [name.strip() for name in text.split(",") if name.strip()]
    chosen = known if names == ["all"] else names or [text]
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name[:64], known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {_listed(known)}, or all"
            raise ModelError(f"{path} has no dense layer {name[:64]!r}; {hint}")
    taken: set[str] = set()
    return {name: identifier(name, taken) for name in dict.fromkeys(chosen)}


def _listed(names: list[str]) -> str:
    more = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def projection(model: StoredModel, name: str) -> StoredModel:
    """A stored Sequential model of the dense layer ``name`` and the quantizers next to it. Raises ModelError."""
    stored = stored_layers(model.config)
    kernel = next((w for w in model.weights.get(name, ()) if w.ndim == 2), None)
    if name not in stored.layers or kernel is None:
        raise ModelError(f"{model.path} stores no kernel for layer {name[:64]}; save the model again")
    weights: dict[str, tuple[Array, ...]] = {}
    chain = [*_before(stored, name, model, weights), stored.layers[name], *_after(stored, name)]
    for layer in chain:
        weights.setdefault(layer.name, model.weights.get(layer.name, ()))
    first = LayerData("InputLayer", f"{name}_signal", {"batch_shape": [None, int(kernel.shape[0])]})
    entries = [{"class_name": la.kind, "config": {**la.config, "name": la.name}} for la in [first, *chain]]
    config = {"class_name": "Sequential", "config": {"name": name, "layers": entries}}
    return replace(model, config=config, weights=weights)


def _before(stored: Stored, name: str, model: StoredModel, weights: dict[str, tuple[Array, ...]]) -> list[LayerData]:
    """What makes the projection's input, back to the nearest quantizer."""
    found: list[LayerData] = []
    current = name
    for _ in stored.layers:
        sources = stored.sources[current]
        if len(sources) != 1 or sources[0] not in stored.layers:
            break
        layer = stored.layers[current := sources[0]]
        if layer.kind in DENSE:
            return [*_activation_of(layer, model, weights), *found]
        if layer.kind in _QUANTIZERS or _quantizes(layer):
            return [layer, *found]
        if _is_relu(layer):
            found.insert(0, layer)
        elif layer.kind not in INACTIVE:
            break
    return found


def _activation_of(layer: LayerData, model: StoredModel, weights: dict[str, tuple[Array, ...]]) -> list[LayerData]:
    """The activation of the dense layer that feeds a projection, as a layer of its own."""
    activation = layer.config.get("activation")
    if activation in (None, "linear"):
        return []
    if layer.kind != "NMPDense":
        return [LayerData("QActivation", layer.name, {"activation": activation})]
    weights[layer.name] = tuple(model.weights.get(layer.name, ())[-_SIGNAL_WEIGHTS:])
    settings = {key: layer.config[key] for key in _SIGNAL if key in layer.config}
    return [LayerData("NMPActivation", layer.name, {"activation": activation, **settings})]


def _after(stored: Stored, name: str) -> list[LayerData]:
    """ReLU and quantizer behind a projection, as far as nothing else sees the signal between."""
    found: list[LayerData] = []
    current = name
    for _ in stored.layers:
        users = [user for user, sources in stored.sources.items() if current in sources]
        if len(users) != 1 or len(stored.sources[users[0]]) != 1:
            break
        layer = stored.layers[current := users[0]]
        if layer.kind in _QUANTIZERS or _quantizes(layer):
            return [*found, layer]
        if _is_relu(layer):
            found.append(layer)
        elif layer.kind not in INACTIVE:
            break
    return found


def _is_relu(layer: LayerData) -> bool:
    return layer.kind == "ReLU" or (layer.kind == "Activation" and layer.config.get("activation") == "relu")


def _quantizes(layer: LayerData) -> bool:
    activation: Any = layer.config.get("activation")
    named = isinstance(activation, dict) or str(activation).startswith(("quantized_", "binary", "ternary"))
    return layer.kind == "Activation" and named
