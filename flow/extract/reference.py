"""The Keras side of the comparison, and whether Keras's own float32 arithmetic can be exact at all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.compare import EngineResult, first_difference, output_names
from flow.core.design import Design
from flow.core.errors import ModelError
from flow.core.evaluate import argmax, evaluate, quantize_inputs, to_float
from flow.core.fixed import Fixed
from flow.core.passes.widths import widths
from flow.extract.chain import Applied
from flow.extract.design import require_numbers
from flow.extract.exact_numbers import Exact, different
from flow.extract.float32 import FLOAT32_BITS, float32_exactness
from flow.extract.graph_trace import Trace, trace
from flow.extract.layerwise import layerwise_outputs, reach
from flow.extract.probability import quantizer_of
from flow.extract.quiet import quiet

Floats = NDArray[np.float64]
BATCH = 4096


def compare_with_keras(model: Any, design: Design, inputs: NDArray[np.floating]) -> EngineResult:
    """Predict ``inputs`` (vectors x elements) with Keras and compare exactly with the integer design.

    Neurons that float32 cannot hold exactly make Keras itself inexact: then the model's layers are evaluated one by one
    with exact sums, and the note says so.
    """
    start = time.monotonic()
    design = widths(design)
    inexact = float32_exactness(design)
    traced = trace(model)
    flat = on_grid(traced, inputs, design)
    real = design.source.get("real") or []
    whole = bool(design.source.get("probability"))
    found = layerwise_outputs(traced, flat, real, whole) if inexact else Exact.of(_predict(model, traced, flat, whole))
    if whole:
        quantizer = quantizer_of(final_function(traced.last[0]) or "sigmoid")
        found = Exact(quantizer.from_float(found.floats()), [quantizer.format.frac] * found.mantissas.shape[1])
    integers = evaluate(design, quantize_inputs(design, np.asarray(inputs, np.float32)))
    if design.head == "argmax":
        found = Exact(argmax(found.mantissas, tuple(Fixed(True, 1, f) for f in found.fracs)), [0])
    expected = Exact(integers, [0] if design.head == "argmax" else [f.frac for f in design.output_formats])
    unequal, note = different(found, expected), ""
    if inexact:
        layer, neuron, bits = inexact[0]
        note = (
            f"{len(inexact)} neurons need more than {FLOAT32_BITS} bits (layer {layer}, neuron {neuron}: {bits}), "
            "where Keras's float32 sums round; compared layer by layer with exact sums"
        )
    wrong, first = int(unequal.any(axis=1).sum()), None
    if wrong:
        first = first_difference(unequal, expected.floats(), found.floats(), output_names(design))
    return EngineResult("keras", len(inputs), wrong, time.monotonic() - start, first, note=note)


def keras_outputs(
    model: Any, inputs: NDArray[np.floating], design: Design | None = None, exact: bool = False
) -> Floats:
    """The model's logits (vectors x outputs) for float inputs (vectors x elements), which are taken as float32.

    A final softmax, sigmoid or tanh is left out, as in the design. Give ``design`` for a model that does not quantize
    its own inputs: they are then put on the design's input grid first. With ``exact`` the layers are evaluated one by
    one with exact sums instead of by ``model.predict``.
    """
    traced = trace(model)
    flat = on_grid(traced, inputs, design)
    return layerwise_outputs(traced, flat).floats() if exact else _predict(model, traced, flat)


def shaped_inputs(traced: Trace, flat: NDArray[np.float32]) -> Any:
    """Rows that hold the model's inputs one after the other, as ``model.predict`` takes them."""
    ends = np.cumsum([entry.elements for entry in traced.inputs])[:-1]
    parts = np.split(flat.reshape(len(flat), -1), ends, axis=1)
    shaped = [part.reshape(len(flat), *entry.shape) for part, entry in zip(parts, traced.inputs, strict=True)]
    return shaped[0] if len(shaped) == 1 else shaped


def flat_outputs(batches: Any, count: int) -> Floats:
    """What ``model.predict`` answers to so many rows, its outputs one after the other in each row."""
    parts = batches if isinstance(batches, list | tuple) else [batches]
    return np.concatenate([np.asarray(part, np.float64).reshape(count, -1) for part in parts], axis=1)


def on_grid(traced: Trace, inputs: NDArray[np.floating], design: Design | None) -> NDArray[np.float32]:
    """The inputs (vectors x elements) within the range where predictions are exact, on the grid that was stated."""
    inputs = np.asarray(inputs, np.float32)
    require_numbers(inputs, sum(entry.elements for entry in traced.inputs))
    inputs = inputs.reshape(len(inputs), -1)
    if design is not None and design.source.get("input_format"):
        inputs = to_float(quantize_inputs(design, inputs), design.input_formats).astype(np.float32)
    if design is not None:
        # QKeras computes x + (q - x), which rounds for inputs millions of steps out of range; those saturate anyway.
        limits = np.array([np.inf if q.rounding == "RND" or q.wraps else reach(q) for q in design.inputs], np.float32)
        inputs = np.clip(inputs, -limits, limits)
    return inputs


def _predict(model: Any, traced: Trace, flat: NDArray[np.float32], whole: bool = False) -> Floats:
    with quiet(), contextlib.nullcontext(model) if whole else _logits(model, traced) as ending:
        batches: Any = ending.predict(shaped_inputs(traced, flat), batch_size=BATCH, verbose=0)
    outputs = flat_outputs(batches, len(flat))
    if not np.isfinite(outputs).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(outputs))[0])
        raise ModelError(
            f"model {model.name} predicts {outputs[row, column]} as output {column} of vector {row}; train again with "
            "a smaller learning rate"
        )
    return outputs


@contextlib.contextmanager
def _logits(model: Any, traced: Trace) -> Iterator[Any]:
    """The model without its final functions: those inside layers are switched off for the time being."""
    if not traced.calls:
        raise ModelError(f"model {model.name} has no layers")
    ends = {c.result for c in traced.calls if c.result in traced.ends and final_function(c.applied) is not None}
    if not ends:
        yield model
        return
    import keras

    alone = {c.result for c in traced.calls if c.result in ends and c.kind in ("Softmax", "Activation", "QActivation")}
    inside = [c.applied.layer for c in traced.calls if c.result in ends - alone]
    functions = [layer.activation for layer in inside]
    for layer in inside:
        layer.activation = keras.activations.linear
    try:  # called anew, in one graph: the model's own may be nested
        first = [keras.Input(entry.shape) for entry in traced.inputs]
        tensors = dict(enumerate(first))
        for call in traced.calls:
            sources = [tensors[s] for s in call.sources]
            tensors[call.result] = sources[0] if call.result in alone else call.call(sources)
        yield keras.Model(first, [tensors[value] for value in traced.outputs])
    finally:
        for layer, function in zip(inside, functions, strict=True):
            layer.activation = function


def final_function(applied: Applied) -> str | None:
    """The function at the end of a layer that a design leaves out: softmax, sigmoid or tanh."""
    if applied.kind == "Softmax":
        return "softmax"
    name = getattr(getattr(applied.layer, "activation", None), "__name__", None)
    return name if name in ("softmax", "sigmoid", "tanh") else None
