"""The integer golden model: what every engine must equal. Vectorized, exact, no floats in the result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flow.fixed import Fixed, Ints, rescale
from flow.ir import Design, Layer

_FLOAT64_EXACT_BITS = 52  # below this a float64 matrix product is exact and several times faster than int64


def quantize_inputs(design: Design, values: NDArray[np.floating]) -> Ints:
    """Float inputs (vectors x inputs) to the integer mantissas the hardware receives."""
    columns = [q.from_float(values[:, i]) for i, q in enumerate(design.inputs)]
    return np.stack(columns, axis=1) if columns else np.zeros((len(values), 0), np.int64)


def evaluate(design: Design, mantissas: Ints) -> Ints:
    """Outputs (vectors x outputs) for input mantissas (vectors x inputs).

    With head ``argmax`` the single output column is the index of the largest logit, the first one on a tie.
    """
    values = mantissas
    for index, layer in enumerate(design.layers):
        values = evaluate_layer(layer, values, design.formats_into(index))
    return argmax(values, design.output_formats) if design.head == "argmax" else values


def evaluate_layer(layer: Layer, mantissas: Ints, formats: tuple[Fixed, ...]) -> Ints:
    """One dense layer on integer mantissas in the given formats."""
    sums, fracs = accumulate(layer, mantissas, formats)
    out = np.empty_like(sums)
    for j, neuron in enumerate(layer.neurons):
        if neuron.output:
            out[:, j] = neuron.output.from_integer(sums[:, j], fracs[j])
        else:
            assert neuron.accumulator is not None
            out[:, j] = rescale(sums[:, j], fracs[j] - neuron.accumulator.frac, "TRN")
    return out


def accumulate(layer: Layer, mantissas: Ints, formats: tuple[Fixed, ...]) -> tuple[Ints, list[int]]:
    """Exact sums of one layer and the fraction bits of each column."""
    live = live_inputs(layer)
    finest = max((f.frac for f, on in zip(formats, live, strict=True) if on), default=0)
    shifts = np.array([finest - f.frac if on else 0 for f, on in zip(formats, live, strict=True)], np.int64)
    products = matmul(mantissas[:, live] << shifts[live], layer.matrix[live])
    fracs = []
    for j, neuron in enumerate(layer.neurons):
        frac = finest + neuron.weight_frac
        if not layer.matrix[:, j].any():
            frac = neuron.bias_frac
        grid = max(frac, neuron.bias_frac) if neuron.bias else frac
        bias = neuron.bias << (grid - neuron.bias_frac) if neuron.bias else 0
        products[:, j] = (products[:, j] << (grid - frac)) + bias
        fracs.append(grid)
    return products, fracs


def live_inputs(layer: Layer) -> NDArray[np.bool_]:
    """Which input elements carry a weight in any neuron."""
    return np.asarray(layer.matrix != 0).any(axis=1).reshape(-1)


def argmax(logits: Ints, formats: tuple[Fixed, ...]) -> Ints:
    """Index of the largest logit per vector, first on ties; logits in ``formats`` are aligned exactly."""
    finest = max(f.frac for f in formats)
    aligned = logits << np.array([finest - f.frac for f in formats], np.int64)
    return np.asarray(np.argmax(aligned, axis=1)[:, None], np.int64)


def to_float(mantissas: Ints, formats: tuple[Fixed, ...]) -> NDArray[np.float64]:
    """Mantissas as the real numbers they stand for."""
    return np.asarray(mantissas * np.array([2.0**-f.frac for f in formats]), np.float64)


def matmul(left: Ints, right: Ints) -> Ints:
    """Exact integer matrix product."""
    if not left.size or not right.size:
        return np.zeros((left.shape[0], right.shape[1]), np.int64)
    bound = int(np.abs(left).max()) * int(np.abs(right).sum(axis=0).max())
    if bound.bit_length() <= _FLOAT64_EXACT_BITS:
        return (left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)
    return np.asarray(left @ right, np.int64)
