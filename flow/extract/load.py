"""Keras models from files: read apart, checked, and built anew from the tables of `config`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from flow.core.errors import ModelError
from flow.extract import stored_model
from flow.extract.config import LayerSpec, ModelSpec, QuantizerSpec, model_spec
from flow.extract.graph_spec import graph_spec
from flow.extract.load_graph import build_graph, check_types, fitting
from flow.extract.projection import projection
from flow.extract.quiet import quiet
from flow.extract.remedies import DENSE
from flow.extract.stored_graph import is_path


def load_model(path: Path | str | stored_model.StoredModel, layer: str | None = None) -> Any:
    """The model in a ``.h5`` or ``.keras`` file of Keras 3 or of the old line (Keras 2, qkeras 0.9), uncompiled.

    Comes back as a Sequential model of the layers on the path from input to output, a functional one where there is
    more than a path; with ``layer``, of that dense layer and the quantizers next to it. Never runs code from the file.
    Models without QKeras layers run on JAX, others on TensorFlow, unless KERAS_BACKEND says otherwise. Raises
    ModelError in one line: what is wrong, in which layer or file, and the remedy.
    """
    stored = path if isinstance(path, stored_model.StoredModel) else stored_model.read(path)
    if layer is not None:
        stored = projection(stored, layer)
    try:
        spec = model_spec(stored.config) if is_path(stored.config) else graph_spec(stored.config)
    except ModelError as exc:
        raise ModelError(f"{stored.path}: {exc}") from None
    with quiet():
        choose_backend(spec.needs_qkeras)
        if isinstance(spec, ModelSpec):
            return _build(spec, stored)
        return build_graph(spec, stored, _layer, _set_weights)


def choose_backend(needs_qkeras: bool) -> None:
    """Set Keras's backend where that can still be done: JAX, TensorFlow for QKeras, or what KERAS_BACKEND says."""
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow" if needs_qkeras else "jax")


def _build(spec: ModelSpec, stored: stored_model.StoredModel) -> Any:
    import keras

    model = keras.Sequential([keras.Input(spec.input_shape, name=_free_name(spec))], name=_plain_name(spec.name))
    for layer in spec.layers:
        where = f"{stored.path}: layer {layer.name}"
        arrays = list(stored.weights.get(layer.name, ()))
        with fitting(where, layer.kind):
            built = _layer(layer)
            model.add(built)
            _set_weights(built, layer.kind, arrays)
        check_types(where, arrays)
    return model


def _layer(layer: LayerSpec) -> Any:
    return _class(layer.kind)(**_settings(layer))


def _set_weights(built: Any, kind: str, arrays: list[Any]) -> None:
    """Give a layer its arrays; the counter beside a BatchNormalization inside it is of training only."""
    if kind not in ("QDenseBatchnorm", "QConv2DBatchnorm"):
        built.set_weights(arrays)
        return
    norm = built.batchnorm
    variables = [built.kernel, built.bias, norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance]
    variables = [v for v in variables if v is not None]
    arrays = [a for a in arrays if a.ndim]
    if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
        raise ValueError(f"it stores arrays of shapes {[a.shape for a in arrays]}")
    for variable, values in zip(variables, arrays, strict=True):
        variable.assign(values)


def _free_name(spec: ModelSpec) -> str:
    """A name for the input that no layer has."""
    taken = {_plain_name(layer.name) for layer in spec.layers}
    return next(n for n in ("inputs" + "_" * i for i in range(len(taken) + 1)) if n not in taken)


def _plain_name(name: str) -> str:
    return name.replace("/", "_")[:200] or "model"


def _class(kind: str) -> Any:
    if kind.startswith("NMP"):
        import keras_models

        return getattr(keras_models, kind)
    if kind.startswith("HGQ"):
        from flow.extract import hgq_layers

        return getattr(hgq_layers, kind)
    if kind.startswith("Q"):
        import qkeras

        return getattr(qkeras, kind)
    import keras

    return getattr(keras.layers, kind)


def _settings(layer: LayerSpec) -> dict[str, Any]:
    settings = {key: _object(value) for key, value in layer.settings.items()}
    if layer.kind == "Reshape":
        settings["target_shape"] = tuple(settings["target_shape"])
    if layer.kind in (*DENSE, "Dense", "HGQDense"):
        settings["kernel_initializer"] = "zeros"  # its values are about to be replaced
    return {"name": _plain_name(layer.name), **settings}


def _object(value: Any) -> Any:
    """A setting as its layer takes it: quantizers as objects, all else as it is."""
    if isinstance(value, QuantizerSpec):
        import qkeras

        quantizer = getattr(qkeras, value.kind).from_config(dict(value.settings))
    elif isinstance(value, str) and value.startswith("quantized_relu("):
        import qkeras

        quantizer = qkeras.get_quantizer(value)
    else:
        return value
    if type(quantizer).__name__ == "quantized_relu" and quantizer.integer < 0:
        # QKeras 0.9 computed 2**integer in float, qkeras-v3 in the type it is given: whole numbers make it NaN.
        quantizer.integer = float(quantizer.integer)
    return quantizer
