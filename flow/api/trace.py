"""Every layer's values in hardware, beside Keras' own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design, layer_output_formats
from flow.core.evaluate import evaluate_layer, maps, quantize_inputs, real_inputs, to_float

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LayerValues:
    """What one layer gives (rows x elements): ``values`` in hardware, ``keras`` in the Keras layer ``keras_layer``.

    Without a Keras model, and in streamed networks, ``keras`` is None. Its float32 sums round where a neuron needs more
    than 24 bits.
    """

    name: str
    values: Floats
    keras_layer: str | None = None
    keras: Floats | None = None

    @property
    def differs(self) -> NDArray[np.bool_]:
        """Where both differ (rows x elements); nowhere without Keras' values."""
        return np.zeros(self.values.shape, bool) if self.keras is None else self.values != self.keras


class Trace(Mapping[str, LayerValues]):
    """The layers of a design by name, in their order; ``inputs`` are the values that enter the first one.

    Of a streamed network those of its nodes, pools too: maps by pixel, then by channel.
    """

    def __init__(self, inputs: LayerValues, layers: list[LayerValues]) -> None:
        self.inputs = inputs
        self._layers = {layer.name: layer for layer in layers}

    def __getitem__(self, name: str) -> LayerValues:
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def traced(design: Design, inputs: NDArray[Any], model: Any | None) -> Trace:
    """The trace of model inputs (rows x elements); ``model`` is the Keras model the design was made of, if any."""
    if design.nodes:
        return _traced_maps(design, inputs)
    found: list[tuple[str, Floats]] | None = None
    if model is not None:
        from flow.extract.trace import keras_values  # imports Keras

        found = keras_values(model, design, inputs)
    mantissas = quantize_inputs(design, inputs)
    values = [np.asarray(real_inputs(design, mantissas), np.float64)]
    for index, layer in enumerate(design.layers):
        mantissas = evaluate_layer(layer, mantissas, design.formats_into(index))
        values.append(to_float(mantissas, layer_output_formats(layer)))
    names = ["inputs", *(layer.name for layer in design.layers)]
    beside = [(None, None)] * len(names) if found is None else found
    entries = [LayerValues(n, v, *b) for n, v, b in zip(names, values, beside, strict=True)]
    return Trace(entries[0], entries[1:])


def _traced_maps(design: Design, inputs: NDArray[Any]) -> Trace:
    """The maps of a streamed network in hardware."""
    mantissas = quantize_inputs(design, inputs)
    found, entries = maps(design, mantissas), []
    for number, node in enumerate(design.nodes):
        formats = tuple(span.format for span in design.spans(number)) * node.window.count
        entries.append(LayerValues(node.name, to_float(found[number], formats)))
    return Trace(LayerValues("inputs", np.asarray(real_inputs(design, mantissas), np.float64)), entries)
