"""The HLS side as a library: two lines give an existing hls4ml script our grouped layers.

import flow.hls
flow.hls.register()
model = hls4ml.converters.convert_from_keras_model(
    keras_model, backend="Vitis", hls_config=flow.hls.hls4ml_config(keras_model), ...)
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from flow.core.design import Design, Layer, Neuron
from flow.core.errors import ModelError, UsageError
from flow.core.fixed import Quantizer
from flow.emit.hls import extension
from flow.emit.hls.schedule import UNROLLED, annotated, overridden, schedules
from flow.extract.chain import Applied
from flow.extract.design import extract
from flow.extract.layer_steps import Dense, Quant, Step
from flow.extract.read import steps_of
from flow.files.plan import write_file

KERAS_LAYERS = ("NMPDense", "NMPActivation", "NMPInputQuantizer")


@cache
def register() -> None:
    """Teach hls4ml our layers and how to read them from Keras models. May be called any number of times."""
    from hls4ml.converters.keras_v3 import layer_handlers

    extension.register()
    for name in KERAS_LAYERS:
        layer_handlers[name] = _convert


def hls4ml_config(
    model: Any, save: str | Path | None = None, strategy: str = "Latency", reuse_factor: int = 1
) -> dict[str, Any]:
    """The ``hls_config`` of a Keras model with our layers, also written as YAML to ``save``.

    The input gets a precision from which every element's quantizer rounds exactly as from the real number. Each layer
    lists its groups with the types of their weights and results; ``Strategy`` and ``ReuseFactor`` may be edited one by
    one, the rest is the model's. Raises ModelError, UsageError for an unknown strategy.
    """
    if isinstance(model, str | Path):
        raise ModelError(
            f"{model} is a file's name; give the model: keras.models.load_model, after import keras_models"
        )
    return design_config(extract(model), save, strategy, reuse_factor)


def design_config(
    design: Design,
    save: str | Path | None = None,
    strategy: str = "Latency",
    reuse_factor: int = 1,
) -> dict[str, Any]:
    """``hls4ml_config`` of a design."""
    start = overridden(UNROLLED, {"Strategy": strategy, "ReuseFactor": reuse_factor}, "the options", UsageError)
    model = {"Precision": {"default": "ap_fixed<16,6>"}, "ReuseFactor": reuse_factor, "Strategy": strategy}
    # By type, not by name: Keras may name the input of a loaded model differently.
    types = {"Input": {"Precision": {"result": input_precision(design)}}}
    layers = {la.name: {"Groups": annotated(la, schedules(la, start, ())[0])} for la in design.layers}
    config: dict[str, Any] = {"Model": model, "LayerType": types, "LayerName": layers}
    if save is not None:
        write_file(Path(save), yaml.safe_dump(config, sort_keys=False, default_flow_style=None, width=120))
    return config


def input_precision(design: Design) -> str:
    """The type of raw inputs from which every element's quantizer rounds as from the real number, in hls4ml's words."""
    form = extension.raw_input(design.inputs)
    return f"ap_fixed<{form.bits},{form.integer_bits},AP_TRN,AP_SAT>"


def _convert(layer: Any, in_tensors: Any, out_tensors: Any) -> tuple[dict[str, Any], ...]:
    """hls4ml's handler: one of our Keras layers as the dictionaries of one or two hls4ml layers."""
    entering, leaving = (tuple(t.shape[1:]) for t in (in_tensors[0], out_tensors[0]))
    steps = steps_of(Applied(layer, entering, leaving))
    names = {"name": layer.name, "input_keras_tensor_names": [t.name for t in in_tensors],
             "output_keras_tensor_names": [t.name for t in out_tensors]}  # fmt: skip
    return ({**names, **_node(layer.name, steps)},)


def _node(name: str, steps: list[Step]) -> dict[str, Any]:
    first, *rest = steps
    if isinstance(first, Quant) and not rest:
        return {"class_name": "NMPQuantize", "nmp_name": name, "nmp_elements": first.quantizers}
    if isinstance(first, Dense) and (not rest or (isinstance(rest[0], Quant) and len(rest) == 1)):
        quantizers = rest[0].quantizers if rest and isinstance(rest[0], Quant) else (None,) * len(first.bias)
        return {"class_name": "NMPGroupedDense", "nmp_layer": _layer(name, first, quantizers)}
    kinds = ", ".join(type(s).__name__ for s in steps)
    raise ModelError(f"layer {name}: {kinds} has no grouped HLS layer; build from the model with flow.build instead")


def _layer(name: str, dense: Dense, quantizers: tuple[Quantizer | None, ...]) -> Layer:
    neurons = tuple(
        Neuron(
            weights=tuple(dense.weights[:, j].tolist()),
            weight_frac=int(dense.weight_frac[j]),
            weight_bits=float(dense.weight_bits[j]),
            bias=int(dense.bias[j]),
            bias_frac=int(dense.bias_frac[j]),
            output=quantizers[j],
        )
        for j in range(len(dense.bias))
    )
    return Layer(name, neurons)
