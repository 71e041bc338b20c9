"""The Keras side of the comparison, and whether Keras's own float32 arithmetic can be exact at all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import ModelError
from flow.evaluate import evaluate, quantize_inputs, to_float
from flow.extract.chain import Applied, input_shape, layers_of
from flow.extract.design import require_numbers
from flow.extract.layerwise import layerwise_outputs, reach
from flow.extract.quiet import quiet
from flow.fixed import Fixed
from flow.ir import Design, Neuron
from flow.passes.widths import widths

Floats = NDArray[np.float64]
FLOAT32_BITS = 24  # integers up to 2**24 are exact in float32
BATCH = 4096


def compare_with_keras(model: Any, design: Design, inputs: NDArray[np.floating]) -> dict[str, Any]:
    """Predict ``inputs`` (vectors x elements) with Keras and compare exactly with the integer design.

    Returns ``vectors``, ``mismatches``, ``seconds``, and where there is one the first ``difference`` and a ``note``.
    Neurons that float32 cannot hold exactly make Keras itself inexact: then the model's layers are evaluated one by one
    with their sums in float64, and the note says so.
    """
    start = time.monotonic()
    design = widths(design)
    inexact = float32_exactness(design)
    predicted = keras_outputs(model, inputs, design, exact=bool(inexact))
    integers = evaluate(design, quantize_inputs(design, np.asarray(inputs, np.float32)))
    if design.head == "argmax":
        predicted = np.argmax(predicted, axis=1)[:, None].astype(np.float64)
        expected = integers.astype(np.float64)
    else:
        expected = to_float(integers, design.output_formats)
    different = predicted != expected
    result: dict[str, Any] = {
        "vectors": len(inputs),
        "mismatches": int(different.any(axis=1).sum()),
        "seconds": round(time.monotonic() - start, 3),
    }
    if result["mismatches"]:
        row, column = (int(i) for i in np.argwhere(different)[0])
        result["difference"] = (
            f"vector {row}, output {column}: Keras {predicted[row, column]:.9g}, integer {expected[row, column]:.9g}"
        )
    if inexact:
        layer, neuron, bits = inexact[0]
        result["note"] = (
            f"{len(inexact)} neurons need more than {FLOAT32_BITS} bits (layer {layer}, neuron {neuron}: {bits}), "
            "where Keras's float32 sums round; compared layer by layer with the sums in float64"
        )
    return result


def float32_exactness(design: Design) -> list[tuple[str, int, int]]:
    """(layer, neuron, bits) of the neurons whose partial sums may exceed what float32 holds exactly."""
    design = widths(design)
    found = []
    for index, layer in enumerate(design.layers):
        formats, ranges = design.formats_into(index), design.ranges_into(index)
        largest = [max(abs(low), abs(high)) for low, high in ranges]
        for j, neuron in enumerate(layer.neurons):
            bound = _float_bound(neuron, formats, largest)
            if bound > 1 << FLOAT32_BITS:
                found.append((layer.name, j, bound.bit_length()))
    return found


def _float_bound(neuron: Neuron, formats: tuple[Fixed, ...], largest: list[int]) -> int:
    """Bound of every partial sum in units of the finest step that occurs in it."""
    signals = zip(neuron.weights, largest, formats, strict=True)
    terms = [(abs(w) * x, f.frac + neuron.weight_frac) for w, x, f in signals]
    terms.append((abs(neuron.bias), neuron.bias_frac))
    fracs = [frac for size, frac in terms if size]
    output = neuron.output
    if output is not None and output.rounding != "RND":
        # QKeras adds the rounding error back to the signal (x + (q - x)), which needs both steps at once.
        fracs.append(output.format.frac)
    grid = max(fracs, default=0)
    return sum(size << (grid - frac) for size, frac in terms if size)


def keras_outputs(
    model: Any, inputs: NDArray[np.floating], design: Design | None = None, exact: bool = False
) -> Floats:
    """The model's logits (vectors x outputs) for float inputs (vectors x elements), which are taken as float32.

    A final softmax is left out, as in the design. Give ``design`` for a model that does not quantize its own inputs:
    they are then put on the design's input grid first. With ``exact`` the layers are evaluated one by one with
    their sums in float64 instead of by ``model.predict``.
    """
    inputs = np.asarray(inputs, np.float32)
    shape = input_shape(model)
    require_numbers(inputs, int(np.prod(shape)))
    inputs = inputs.reshape(len(inputs), -1)
    if design is not None and design.source.get("input_format"):
        inputs = to_float(quantize_inputs(design, inputs), design.input_formats).astype(np.float32)
    if design is not None:
        # QKeras computes x + (q - x), which rounds for inputs millions of steps out of range; those saturate anyway.
        limits = np.array([np.inf if q.rounding == "RND" else reach(q) for q in design.inputs], np.float32)
        inputs = np.clip(inputs, -limits, limits)
    path = layers_of(model)
    shaped = inputs.reshape(len(inputs), *shape)
    if exact:
        return layerwise_outputs(path, shaped)
    with quiet(), _logits(model, path) as ending:
        batches: Any = ending.predict(shaped, batch_size=BATCH, verbose=0)
    return np.asarray(batches, np.float64).reshape(len(inputs), -1)


@contextlib.contextmanager
def _logits(model: Any, path: list[Applied]) -> Iterator[Any]:
    """The model without its final softmax; a softmax inside the last layer is switched off for the time being."""
    if not path:
        raise ModelError(f"model {model.name} has no layers")
    last = path[-1]
    if not is_softmax(last):
        yield model
        return
    import keras

    if last.kind in ("Softmax", "Activation", "QActivation"):
        yield keras.Model(model.inputs, model.outputs[0]._keras_history.operation.input)
        return
    softmax, last.layer.activation = last.layer.activation, keras.activations.linear
    try:
        yield keras.Model(model.inputs, model.outputs)
    finally:
        last.layer.activation = softmax


def is_softmax(applied: Applied) -> bool:
    """Whether the layer ends in a softmax."""
    return applied.kind == "Softmax" or getattr(getattr(applied.layer, "activation", None), "__name__", "") == "softmax"
