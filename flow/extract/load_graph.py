"""A stored graph as a functional Keras model, built call by call within bounds."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flow.core.errors import ModelError, reason
from flow.extract.config import MAX_KERNEL, LayerSpec
from flow.extract.graph_spec import CallSpec, GraphSpec
from flow.extract.operations import applied
from flow.extract.stored_calls import Ref
from flow.extract.stored_graph import MAX_ELEMENTS
from flow.extract.stored_model import StoredModel


def build_graph(
    spec: GraphSpec,
    stored: StoredModel,
    make: Callable[[LayerSpec], Any],
    fill: Callable[[Any, str, list[Any]], None],
) -> Any:
    """The model; ``make`` builds a layer, ``fill`` gives it its arrays. Raises ModelError naming file and layer."""
    import keras

    taken = {call.layer.name for call in spec.calls}
    values = [keras.Input(shape, name=_free(name, taken)) for name, shape in spec.inputs]
    inputs, layers, weights = list(values), dict[str, Any](), 0
    for call in spec.calls:
        where = f"{stored.path}: layer {call.layer.name}"
        weights += _kernel(call, values)
        if weights > MAX_KERNEL:
            raise ModelError(f"{where} brings the model above {MAX_KERNEL} weights; make it smaller")
        with fitting(where, call.layer.kind):
            value = _called(call, values, layers, make)
            if value.shape[0] is not None or math.prod(value.shape[1:]) > MAX_ELEMENTS:
                raise ValueError(f"its output of shape {value.shape} is no batch of at most {MAX_ELEMENTS} elements")
        values.append(value)
    outputs = [values[value] for value in spec.outputs]
    name = spec.name.replace("/", "_")[:200] or "model"
    model = keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name=name)
    for key, layer in layers.items():
        _set_weights(layer, stored, key, fill)
    return model


def _free(name: str, taken: set[str]) -> str:
    plain = name.replace("/", "_")[:200] or "inputs"
    unique = next(n for n in (plain + "_" * i for i in range(len(taken) + 1)) if n not in taken)
    taken.add(unique)
    return unique


def _kernel(call: CallSpec, values: list[Any]) -> int:
    """Weights that the call's layer makes when it is built."""
    settings = call.layer.settings
    units = settings.get("units") or settings.get("filters") or settings.get("depth_multiplier")
    sources = [values[a.value] for a in call.arguments if isinstance(a, Ref)]
    size = settings.get("kernel_size") or 1
    places = math.prod(size) if isinstance(size, list) else int(size)
    return int(units) * (int(sources[0].shape[-1]) * places + 1) if units and sources else 0


def _called(call: CallSpec, values: list[Any], layers: dict[str, Any], make: Callable[[LayerSpec], Any]) -> Any:
    def filled(argument: Any) -> Any:
        if isinstance(argument, Ref):
            return values[argument.value]
        return [filled(item) for item in argument] if isinstance(argument, list) else argument

    arguments = [filled(a) for a in call.arguments]
    if call.operation is not None:
        value = applied(call.operation, arguments, {k: filled(v) for k, v in call.named.items()})
        value._keras_history.operation.name = call.layer.name  # else counted in all models of the process
        return value
    if call.key not in layers:
        layers[call.key] = make(call.layer)
    return layers[call.key](*arguments)


def _set_weights(layer: Any, stored: StoredModel, key: str, fill: Callable[[Any, str, list[Any]], None]) -> None:
    arrays, kind = list(stored.weights.get(key, ())), type(layer).__name__
    where = f"{stored.path}: layer {layer.name}"
    check_types(where, arrays)
    with fitting(where, kind):
        fill(layer, kind, arrays)


@contextlib.contextmanager
def fitting(where: str, kind: str) -> Iterator[None]:
    """Raise ModelError for whatever a library says about settings or weights that do not fit."""
    try:
        yield
    except ImportError:  # reported where the build began
        raise
    except Exception as exc:
        raise ModelError(f"{where} ({kind}) does not fit what is stored ({reason(exc, 160)}); save it again") from None


def check_types(where: str, arrays: Iterable[Any]) -> None:
    """Raise ModelError unless a layer's arrays are of numbers."""
    for array in arrays:
        if array.dtype.kind not in "fiu":
            raise ModelError(f"{where} has weights of type {array.dtype}; save the model in float32")
