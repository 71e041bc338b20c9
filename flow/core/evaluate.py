"""The integer golden model: what every engine must equal. Vectorized, exact, no floats in the result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design, Layer
from flow.core.errors import DataError
from flow.core.fixed import Fixed, Ints, from_floats, rescale
from flow.core.integers import added, as_int64, matmul, shifted_left
from flow.core.nodes import INPUT
from flow.core.units import input_unit, output_unit

SMALLEST_NORMAL = np.finfo(np.float32).tiny
_STREAMED_ELEMENTS = 1 << 22  # of windows that a streamed design looks into at a time
_ROWS = 2048  # of inputs quantized at a time: they stay in the processor's cache
_COARSEST = -(1 << 20)  # fraction bits below those of any step


def as_read(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Model inputs as a prediction reads them: float32, and what is smaller than its normal numbers is 0.

    Both backends of Keras compute so, on every processor, in eager calls too.
    """
    with np.errstate(over="ignore"):
        found = np.asarray(values, np.float32)
    small = np.abs(found) < SMALLEST_NORMAL
    return np.where(small, np.float32(0), found) if small.any() else found


def quantize_inputs(design: Design, values: NDArray[np.floating], first: int = 0) -> Ints:
    """Float inputs (vectors x inputs), read as a prediction reads them, to the mantissas the hardware receives.

    Those of a design with an input unit are divided by it in float32 first. Infinities saturate. Raises DataError
    naming the vector, counted from ``first``, and the input that is not a number or, where it wraps, infinite.
    """
    values, unit = np.asarray(values), input_unit(design)
    mantissas = np.zeros((len(values), len(design.inputs)), np.int64)
    kinds: list[tuple[slice | list[int], tuple[Ints, Ints, Ints, str, str]]] = []
    wrapping = np.array([q.wraps for q in design.inputs])
    for modes in {(q.rounding, q.overflow) for q in design.inputs}:
        columns = [i for i, q in enumerate(design.inputs) if (q.rounding, q.overflow) == modes]
        own = [design.inputs[i] for i in columns]
        frac, low, high = ([q.format.frac for q in own], [q.low for q in own], [q.high for q in own])
        limits = (np.array(frac), np.array(low, np.int64), np.array(high, np.int64), *modes)
        kinds.append((slice(None) if len(own) == len(design.inputs) else columns, limits))
    for start in range(0, len(values), _ROWS):
        rows = slice(start, start + _ROWS)
        found = as_read(values[rows]) if unit == 1 else _divided(as_read(values[rows]), unit)
        if np.isnan(found).any():
            row, column = (int(i) for i in np.argwhere(np.isnan(found))[0])
            where = f"vector {first + start + row}, input {column}"
            raise DataError(f"{where} is not a number (NaN); give it a value or leave the vector out")
        if wrapping.any() and (np.isinf(found) & wrapping).any():
            row, column = (int(i) for i in np.argwhere(np.isinf(found) & wrapping)[0])
            where = f"vector {first + start + row}, input {column}"
            raise DataError(f"{where} is infinite, which has no place in a format that wraps; leave the vector out")
        for place, limits in kinds:
            mantissas[rows, place] = from_floats(found[:, place], *limits)
    return mantissas


def _divided(values: NDArray[np.float32], unit: np.float32) -> NDArray[np.float32]:
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values / unit, np.float32)


def evaluate(design: Design, mantissas: Ints) -> Ints:
    """Outputs (vectors x outputs) for input mantissas (vectors x inputs).

    With head ``argmax`` the single output column is the index of the largest logit, the first one on a tie.
    """
    values = mantissas
    if design.nodes:
        values = streamed(design, mantissas)
    else:
        for index, layer in enumerate(design.layers):
            values = evaluate_layer(layer, values, design.formats_into(index))
    return argmax(values, design.output_formats) if design.head == "argmax" else values


def streamed(design: Design, mantissas: Ints, apply: Callable[[int, Ints], Ints] | None = None) -> Ints:
    """The last map (vectors x elements) of a streamed design for its input mantissas.

    ``apply`` computes a layer, by its number, on what it sees (rows x elements); by default exactly that.
    """

    rows, last = _rows_at_a_time(design), len(design.nodes) - 1
    parts = [_maps(design, mantissas[i : i + rows], apply)[last] for i in range(0, len(mantissas), rows)]
    return np.concatenate(parts) if parts else np.zeros((0, len(design.output_formats)), np.int64)


def maps(design: Design, mantissas: Ints) -> dict[int, Ints]:
    """The map of every node (vectors x elements) of a streamed design, by its number, and of the `INPUT`."""
    rows = _rows_at_a_time(design)
    parts = [_maps(design, mantissas[i : i + rows], None) for i in range(0, max(len(mantissas), 1), rows)]
    return {number: np.concatenate([part[number] for part in parts]) for number in parts[0]}


def _rows_at_a_time(design: Design) -> int:
    """Vectors whose windows are in memory together."""
    heaviest = max(node.window.count * node.window.places * node.window.channels for node in design.nodes)
    return max(1, _STREAMED_ELEMENTS // heaviest)


def _maps(design: Design, mantissas: Ints, apply: Callable[[int, Ints], Ints] | None) -> dict[int, Ints]:
    def exact(index: int, values: Ints) -> Ints:
        return evaluate_layer(design.layers[index], values, design.formats_into(index))

    count, found, layer = len(mantissas), {INPUT: mantissas}, 0
    for number, node in enumerate(design.nodes):
        window = node.window
        pixels = np.concatenate(
            [found[source].reshape(count, window.pixel_count, -1) for source in node.sources], axis=2
        )
        seen = window.under(pixels, 0 if node.kind == "dense" else np.iinfo(np.int64).min)
        if node.kind == "dense":
            made = (apply or exact)(layer, seen.reshape(count * window.count, window.places * window.channels))
            layer += 1
        else:
            made = seen.max(axis=2)
        found[number] = made.reshape(count, -1)
    return found


def evaluate_layer(layer: Layer, mantissas: Ints, formats: tuple[Fixed, ...]) -> Ints:
    """One dense layer on integer mantissas in the given formats."""
    sums, fracs = accumulate(layer, mantissas, formats)
    out = np.empty(sums.shape, np.int64)
    for j, neuron in enumerate(layer.neurons):
        if neuron.output:
            out[:, j] = neuron.output.from_integer(sums[:, j], fracs[j])
        else:
            assert neuron.accumulator is not None
            out[:, j] = as_int64(rescale(sums[:, j], fracs[j] - neuron.accumulator.frac, "TRN"))
    return out


def accumulate(layer: Layer, mantissas: Ints, formats: tuple[Fixed, ...]) -> tuple[Ints, list[int]]:
    """Exact sums of one layer and the fraction bits of each column: the finest of what is added up there."""
    live = (layer.matrix != 0) & (mantissas != 0).any(axis=0)[:, None]
    weight_fracs = np.array([n.weight_frac for n in layer.neurons], np.int64)
    steps = np.array([f.frac for f in formats], np.int64)[:, None] + weight_fracs
    fracs, biases = [], []
    for neuron, frac, on in zip(
        layer.neurons, np.where(live, steps, _COARSEST).max(axis=0), live.any(axis=0), strict=True
    ):
        terms = [int(frac)] * bool(on) + [neuron.bias_frac] * bool(neuron.bias)
        fracs.append(max(terms, default=0))
        biases.append(neuron.bias << fracs[-1] - neuron.bias_frac if neuron.bias else 0)
    # Weights are lifted, each onto its own neuron's grid: what one neuron reads cannot widen another one's sums.
    lifts = np.where(live, np.array(fracs, np.int64) - steps, 0)
    weights = shifted_left(np.where(live, layer.matrix, 0), lifts)
    return added(matmul(mantissas, weights), biases), fracs


def multiplications(design: Design) -> int:
    """Weights that are not zero, counted at every position of a streamed network."""
    return sum(int(np.count_nonzero(la.matrix)) * n for la, n in zip(design.layers, positions(design), strict=True))


def positions(design: Design) -> list[int]:
    """How often each layer is computed per vector: in a streamed network at each position of its window, else once."""
    dense = [node.window.count for node in design.nodes if node.kind == "dense"]
    return dense or [1] * len(design.layers)


def live_inputs(layer: Layer) -> NDArray[np.bool_]:
    """Which input elements carry a weight in any neuron."""
    return np.asarray(layer.matrix != 0).any(axis=1).reshape(-1)


def argmax(logits: Ints, formats: tuple[Fixed, ...]) -> Ints:
    """Index of the largest logit per vector, first on ties; logits in ``formats`` are aligned exactly."""
    finest = max(f.frac for f in formats)
    aligned = shifted_left(logits, np.array([finest - f.frac for f in formats], np.int64))
    return np.asarray(np.argmax(aligned, axis=1)[:, None], np.int64)


def to_float(mantissas: Ints, formats: tuple[Fixed, ...]) -> NDArray[np.float64]:
    """Mantissas as the real numbers they stand for; one of more than 53 bits as the float nearest to it."""
    return np.asarray(mantissas * np.array([2.0**-f.frac for f in formats]), np.float64)


def real_inputs(design: Design, mantissas: Ints) -> NDArray[np.float32]:
    """Input mantissas (vectors x inputs) as the model inputs that stand for them, nearest in float32."""
    return np.asarray(to_float(mantissas, design.input_formats) * np.float64(input_unit(design)), np.float32)


def real_outputs(design: Design, mantissas: Ints) -> NDArray[np.float64]:
    """Logits (vectors x outputs) as real numbers in the model's own unit, each as the float64 nearest to it."""
    return np.asarray(to_float(mantissas, design.output_formats) * output_unit(design), np.float64)
