"""How much of their formats weights and activations use, layer by layer, on the data's rows or on random vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flow.build.facts import LayerProfile
from flow.build.state import Build
from flow.core.design import Design, Layer
from flow.core.evaluate import accumulate, evaluate_layer, streamed
from flow.core.fixed import Ints, rescale

_ROWS = 2000
_TENTHS = 10
_ELEMENTS = 20_000_000  # of all windows on the vectors
_PRODUCTS = 400_000_000  # of weights and vectors where nothing is streamed: about a second
_FEWEST = 50


def typical(build: Build, rows: int) -> tuple[Ints, str]:
    """Input mantissas as the design will meet them: rows of the data's test part, else random ones; and which."""
    vectors = build.vectors
    if vectors.data_rows:
        found = vectors.inputs[vectors.referee : vectors.referee + min(vectors.data_rows, rows)]
        return found, f"{len(found)} test rows of {build.test.name}" if build.test else "test rows"
    found = vectors.inputs[-rows:]
    return found, f"{len(found)} random vectors, since no data was given"


def profiles(build: Build) -> tuple[Sequence[LayerProfile], str]:
    """A profile per layer, and of which vectors; a streamed network's layers at all their positions."""
    design = build.design
    elements = sum(node.window.count * node.window.places * node.window.channels for node in design.nodes)
    weights = sum(layer.matrix.size for layer in design.layers)
    affordable = max(1, _ELEMENTS // elements) if elements else max(_FEWEST, _PRODUCTS // max(weights, 1))
    mantissas, said = typical(build, min(_ROWS, affordable))
    seen: list[list[Ints]] = [[] for _ in design.layers]

    def apply(index: int, values: Ints) -> Ints:
        seen[index].append(values)
        return evaluate_layer(design.layers[index], values, design.formats_into(index))

    if design.nodes:
        streamed(design, mantissas, apply)
    else:
        for index in range(len(design.layers)):
            mantissas = apply(index, mantissas)
    return [_profile(design, index, np.concatenate(parts)) for index, parts in enumerate(seen)], said


def _profile(design: Design, index: int, mantissas: Ints) -> LayerProfile:
    layer = design.layers[index]
    sums, fracs = accumulate(layer, mantissas, design.formats_into(index))
    tenths, saturated, zeros = np.zeros(_TENTHS, np.int64), [], 0
    for j, neuron in enumerate(layer.neurons):
        quantizer = neuron.output
        if quantizer is None or quantizer.low == quantizer.high:
            saturated.append(0)
            continue
        exact = rescale(sums[:, j], fracs[j] - quantizer.format.frac, quantizer.rounding)
        below = (exact < quantizer.low) & (quantizer.low < 0)
        saturated.append(int(((exact > quantizer.high) | below).sum()))
        made = quantizer.from_integer(sums[:, j], fracs[j])
        zeros += int((made == 0).sum())
        most = max(quantizer.high, -quantizer.low)
        place = np.minimum(np.abs(made) * _TENTHS // most, _TENTHS - 1)
        tenths += np.bincount(place, minlength=_TENTHS)
    at_end, of_them = _at_end(layer)
    return LayerProfile(
        rows=len(mantissas), weights_by_bits=_significant(layer.matrix), weights_at_end=at_end,
        weights_of_them=of_them, outputs_by_tenth=tenths.tolist(), zeros=zeros, saturated=saturated,
    )  # fmt: skip


def _significant(matrix: Ints) -> list[int]:
    """Weights by the bits of their magnitude."""
    bits = [int(abs(int(w))).bit_length() for w in matrix.ravel()]
    return [int(count) for count in np.bincount(np.array(bits, np.int64), minlength=2)]


def _at_end(layer: Layer) -> tuple[int, int]:
    """Weights at an end of their neuron's format, of neurons of 3 bits and more: with fewer most weights are."""
    found, total = 0, 0
    for neuron in layer.neurons:
        if neuron.weight_bits >= 3:
            magnitude: NDArray[np.object_] = np.abs(np.array(neuron.weights, object))
            found += int((magnitude >= (1 << int(neuron.weight_bits) - 1) - 1).sum())
            total += len(neuron.weights)
    return found, total
