"""The Keras side of the comparison, and whether Keras's own float32 arithmetic can be exact at all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design
from flow.core.errors import ModelError
from flow.core.evaluate import argmax, evaluate, quantize_inputs, to_float
from flow.core.fixed import Fixed
from flow.core.integers import shifted_left
from flow.core.passes.widths import widths
from flow.extract.chain import Applied
from flow.extract.design import require_numbers
from flow.extract.float32 import FLOAT32_BITS, float32_exactness
from flow.extract.layerwise import Exact, layerwise_outputs, reach
from flow.extract.quiet import quiet
from flow.extract.trace import Trace, trace

Floats = NDArray[np.float64]
BATCH = 4096


def compare_with_keras(model: Any, design: Design, inputs: NDArray[np.floating]) -> dict[str, Any]:
    """Predict ``inputs`` (vectors x elements) with Keras and compare exactly with the integer design.

    Returns ``vectors``, ``mismatches``, ``seconds``, and where there is one the first ``difference`` and a ``note``.
    Neurons that float32 cannot hold exactly make Keras itself inexact: then the model's layers are evaluated one by one
    with exact sums, and the note says so.
    """
    start = time.monotonic()
    design = widths(design)
    inexact = float32_exactness(design)
    traced = trace(model)
    flat = _on_grid(traced, inputs, design)
    found = layerwise_outputs(traced, flat) if inexact else Exact.of(_predict(model, traced, flat))
    integers = evaluate(design, quantize_inputs(design, np.asarray(inputs, np.float32)))
    if design.head == "argmax":
        found = Exact(argmax(found.mantissas, tuple(Fixed(True, 1, f) for f in found.fracs)), [0])
    expected = Exact(integers, [0] if design.head == "argmax" else [f.frac for f in design.output_formats])
    different = _different(found, expected)
    result: dict[str, Any] = {
        "vectors": len(inputs),
        "mismatches": int(different.any(axis=1).sum()),
        "seconds": round(time.monotonic() - start, 3),
    }
    if result["mismatches"]:
        row, column = (int(i) for i in np.argwhere(different)[0])
        values = [exact.floats()[row, column] for exact in (found, expected)]
        result["difference"] = f"vector {row}, output {column}: Keras {values[0]:.9g}, integer {values[1]:.9g}"
    if inexact:
        layer, neuron, bits = inexact[0]
        result["note"] = (
            f"{len(inexact)} neurons need more than {FLOAT32_BITS} bits (layer {layer}, neuron {neuron}: {bits}), "
            "where Keras's float32 sums round; compared layer by layer with exact sums"
        )
    return result


def _different(found: Exact, expected: Exact) -> NDArray[np.bool_]:
    """Where two arrays of numbers differ, however many bits they take."""
    grids = np.maximum(found.fracs, expected.fracs)
    first, second = (shifted_left(e.mantissas, grids - np.array(e.fracs, np.int64)) for e in (found, expected))
    return np.asarray(first != second, bool)


def keras_outputs(
    model: Any, inputs: NDArray[np.floating], design: Design | None = None, exact: bool = False
) -> Floats:
    """The model's logits (vectors x outputs) for float inputs (vectors x elements), which are taken as float32.

    A final softmax is left out, as in the design. Give ``design`` for a model that does not quantize its own inputs:
    they are then put on the design's input grid first. With ``exact`` the layers are evaluated one by one with exact
    sums instead of by ``model.predict``.
    """
    traced = trace(model)
    flat = _on_grid(traced, inputs, design)
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


def _on_grid(traced: Trace, inputs: NDArray[np.floating], design: Design | None) -> NDArray[np.float32]:
    """The inputs (vectors x elements) within the range where predictions are exact."""
    inputs = np.asarray(inputs, np.float32)
    require_numbers(inputs, sum(entry.elements for entry in traced.inputs))
    inputs = inputs.reshape(len(inputs), -1)
    if design is not None and design.source.get("input_format"):
        inputs = to_float(quantize_inputs(design, inputs), design.input_formats).astype(np.float32)
    if design is not None:
        # QKeras computes x + (q - x), which rounds for inputs millions of steps out of range; those saturate anyway.
        limits = np.array([np.inf if q.rounding == "RND" else reach(q) for q in design.inputs], np.float32)
        inputs = np.clip(inputs, -limits, limits)
    return inputs


def _predict(model: Any, traced: Trace, flat: NDArray[np.float32]) -> Floats:
    calls = {call.result: call.applied for call in traced.calls}
    last = [calls[value] for value in traced.outputs if value in calls]
    with quiet(), _logits(model, last) as ending:
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
def _logits(model: Any, last: list[Applied]) -> Iterator[Any]:
    """The model without its final softmax functions, of the layers it ends in; inside layers they are switched off."""
    ends = [applied for applied in last if is_softmax(applied)]
    if not ends:
        yield model
        return
    import keras

    layers = {id(applied.layer) for applied in ends if applied.kind == "Softmax"}
    functions = [applied.layer for applied in ends if applied.kind != "Softmax"]
    saved = [layer.activation for layer in functions]
    for layer in functions:
        layer.activation = keras.activations.linear
    try:
        before = [t._keras_history.operation for t in model.outputs]
        outputs = [o.input if id(o) in layers else t for o, t in zip(before, model.outputs, strict=True)]
        yield keras.Model(model.inputs, outputs if len(outputs) > 1 else outputs[0])
    finally:
        for layer, activation in zip(functions, saved, strict=True):
            layer.activation = activation


def is_softmax(applied: Applied) -> bool:
    """Whether the layer ends in a softmax."""
    return applied.kind == "Softmax" or getattr(getattr(applied.layer, "activation", None), "__name__", "") == "softmax"
