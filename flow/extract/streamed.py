"""A Keras model of windows over pixels to a streamed design: each layer is read once, at one position.

A *map* is a value of the model as hardware streams it: pixels, each of so many channels, whatever Flatten and Reshape
make of its shape. Steps wait on a map for as long as they fold together (`resolve`); what then looks at it closes it,
and the steps become nodes of the design.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flow.core.errors import ModelError
from flow.core.fixed import Quantizer
from flow.core.nodes import Window
from flow.extract.chain import Applied
from flow.extract.graph_trace import Call, Trace
from flow.extract.layer_steps import Dense, Relu, Softmax, Step
from flow.extract.map_nodes import Nodes
from flow.extract.maps import (
    OTHERWISE,
    Map,
    Streamed,
    padded_with_zeros,
    require_pixels,
    reshaped,
    window_on,
)
from flow.extract.read import steps_of
from flow.extract.readout import identity
from flow.extract.remedies import IGNORED, refusal
from flow.extract.windows import AVERAGING, CONVOLUTIONS, MAXIMA, POOLS, REPEATS, repeating

PADDINGS = frozenset(("ZeroPadding1D", "ZeroPadding2D"))
JOINS = frozenset(("Add", "Subtract", "Average"))
NORMALIZATIONS = frozenset(("BatchNormalization", "QBatchNormalization"))
_DENSE = frozenset(("QDense", "QDenseBatchnorm", "Dense", "HGQDense", "NMPDense"))


def has_windows(traced: Trace) -> bool:
    """Whether the model has convolutions or pools."""
    return any(call.kind in CONVOLUTIONS | POOLS for call in traced.calls)


def stream(traced: Trace, given: Quantizer | None) -> Streamed:
    """The traced model as nodes; ``given`` quantizes an input that the model does not. Raises ModelError."""
    if not has_windows(traced):
        raise ModelError("the model has no convolutions or pools to stream; leave --architecture streaming out")
    if len(traced.inputs) != 1 or len(traced.outputs) != 1:
        raise ModelError("a streamed network has one input and one output; use --architecture parallel or folded")
    return _Stream(traced, given).streamed()


class _Stream(Nodes):
    def __init__(self, traced: Trace, given: Quantizer | None) -> None:
        super().__init__(traced.inputs[0].shape, given)
        self.traced = traced
        self.shared = {value: count > 1 for value, count in traced.readers().items()}
        self.maps: dict[int, Map] = {0: self.first}

    def streamed(self) -> Streamed:
        """Everything, once."""
        for call in self.traced.calls:
            self.maps[call.result] = self._called(call)
            if self.shared[call.result] and call.kind not in IGNORED:
                self.close(self.maps[call.result])
        self.end(self.maps[self.traced.outputs[0]], self.traced.calls[-1].name)
        return self.finished()

    def _called(self, call: Call) -> Map:
        kind, sources = call.kind, [self.maps[s] for s in call.sources]
        if len(sources) == 1 and kind in IGNORED:
            return reshaped(call, sources[0])
        if kind in PADDINGS:
            return padded_with_zeros(call, sources[0])
        if kind not in CONVOLUTIONS and any(source.padded for source in sources):
            raise ModelError(f"layer {call.name} ({kind}) sees added zeros; only a convolution may follow ZeroPadding")
        if kind == "Concatenate":
            return self._concatenated(call, sources)
        if kind in JOINS:
            return self._joined(call, sources)
        if len(sources) != 1:
            raise ModelError(f"layer {call.name} ({kind}) joins signals, which is not streamed yet; {OTHERWISE}")
        source = sources[0]
        if kind in MAXIMA:
            return self._largest(call, source)
        if kind in REPEATS:
            return self._repeated(call, source)
        if kind in CONVOLUTIONS | AVERAGING:
            return self._windowed(call, source)
        if kind in _DENSE:
            return self._dense(call, source)
        return self._elementwise(call, source)

    def _windowed(self, call: Call, source: Map) -> Map:
        applied, window = call.applied, window_on(call, source)
        if call.kind in AVERAGING and window.is_padded:
            raise ModelError(f"layer {call.name} takes means over padding, of fewer values; use padding='valid'")
        seen = (*window.size, window.channels)
        filters = applied.output_shape[-1]
        steps = steps_of(Applied(applied.layer, seen, (filters,), single=True))
        return self.layer(call.name, source, window, steps, (*window.positions, filters))

    def _dense(self, call: Call, source: Map) -> Map:
        entering, units = call.applied.input_shape, call.applied.output_shape[-1]
        whole = len(entering) == 1
        window = (Window.whole if whole else Window.pixel)(source.shape)
        steps = steps_of(Applied(call.applied.layer, (window.places * window.channels,), (units,)))
        return self.layer(call.name, source, window, steps, (units,) if whole else (*source.shape[:-1], units))

    def _elementwise(self, call: Call, source: Map) -> Map:
        pixels = math.prod(source.shape[:-1])
        if call.kind in NORMALIZATIONS and call.applied.input_shape[-1] != source.channels:
            raise ModelError(
                f"layer {call.name} ({call.kind}) scales every element of {pixels} pixels by its own number; put it "
                f"before the Flatten layer, where it scales channels"
            )
        if call.kind == "Relu":
            steps: list[Step] = [Relu(call.name)]
        elif hasattr(call.applied.layer, "weights"):
            pixel = (*(1,) * (len(call.applied.input_shape) - 1), source.channels)
            steps = steps_of(Applied(call.applied.layer, pixel, pixel))
        else:
            raise ModelError(refusal(call.name, call.kind))
        if not steps:
            return source
        if source.spans is not None:
            softmax_alone = all(isinstance(s, Softmax) for s in steps)
            name = f"{call.name}_values" if softmax_alone else call.name
            made = self.layer(name, source, Window.pixel(source.shape), [identity(name, source.channels)], source.shape)
            return replace(made, steps=[*made.steps, *steps])
        return replace(source, steps=[*source.steps, *steps])

    def _largest(self, call: Call, source: Map) -> Map:
        made = self.largest(call.name, source, window_on(call, source))
        if len(call.applied.output_shape) == 1:
            made.shape = made.shape[-1:]
            made.window = Window.pixel(made.shape)
        return made

    def _repeated(self, call: Call, source: Map) -> Map:
        require_pixels(call, source)
        window = repeating(call.name, call.kind, call.applied.layer.get_config(), call.applied.input_shape)
        return self.repeated(call.name, source, window)

    def _concatenated(self, call: Call, sources: Sequence[Map]) -> Map:
        shapes = {source.shape[:-1] for source in sources}
        axis = call.applied.layer.axis
        if (
            len(shapes) != 1
            or axis not in (-1, len(call.applied.output_shape))
            or call.applied.output_shape[-1] != sum(source.channels for source in sources)
        ):
            raise ModelError(f"layer {call.name} (Concatenate) joins more than channels; {OTHERWISE}")
        return self.beside(call.name, sources)

    def _joined(self, call: Call, sources: Sequence[Map]) -> Map:
        """A sum of maps, as a dense layer on their channels side by side."""
        if len({source.shape for source in sources}) != 1:
            raise ModelError(f"layer {call.name} ({call.kind}) joins maps of different shapes, which is not streamed")
        count, channels = len(sources), sources[0].channels
        if call.kind == "Average" and count & (count - 1):
            raise ModelError(f"layer {call.name} takes the mean of {count} maps; use 2, 4, 8 ... or Add")
        factors = [1, -1] if call.kind == "Subtract" else [1] * count
        frac = count.bit_length() - 1 if call.kind == "Average" else 0
        rows = np.concatenate([factor * np.eye(channels, dtype=np.int64) for factor in factors])
        zeros = np.zeros(channels, np.int64)
        dense = Dense(call.name, rows, np.full(channels, frac), np.full(channels, 1.58), zeros, zeros)
        return self.joined(call.name, sources, [dense], channels)
