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

from flow.core.design import Design, Layer, layer_output_formats
from flow.core.errors import ModelError
from flow.core.fixed import Quantizer
from flow.core.nodes import INPUT, Node, Window
from flow.core.passes.widths import widths
from flow.extract.chain import Applied
from flow.extract.graph_trace import Call, Trace
from flow.extract.layer_steps import Affine, Dense, Quant, Relu, Softmax, Step
from flow.extract.maps import (
    OTHERWISE,
    Map,
    Streamed,
    beside,
    elements_of,
    padded_with_zeros,
    require_pixels,
    reshaped,
    window_on,
    with_zero,
)
from flow.extract.places import held
from flow.extract.read import narrow, steps_of
from flow.extract.readout import Readout, behind, identity
from flow.extract.remedies import IGNORED, refusal
from flow.extract.resolve import GIVEN_TWICE, fold, fold_part
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


class _Stream:
    def __init__(self, traced: Trace, given: Quantizer | None) -> None:
        self.traced, self.given, self.given_used = traced, given, False
        self.inputs: tuple[Quantizer, ...] | None = None  # of a pixel
        self.layers: list[Layer] = []
        self.nodes: list[Node] = []
        self.notes: list[str] = []
        self.asked: list[int] = []
        self.real: list[str] = []
        self.left_out: str | None = None
        self.shared = {value: count > 1 for value, count in traced.readers().items()}
        shape = traced.inputs[0].shape
        self.first = Map(shape, (INPUT,), Window.pixel(shape), raw=True)
        self.values: dict[int, Map] = {0: self.first}

    def streamed(self) -> Streamed:
        """Everything, once."""
        for call in self.traced.calls:
            self.values[call.result] = self._called(call)
            if self.shared[call.result] and call.kind not in IGNORED:
                self._close(self.values[call.result])
        self._end(self.values[self.traced.outputs[0]])
        if self.given is not None and not self.given_used:
            raise ModelError(GIVEN_TWICE)
        assert self.inputs is not None
        return Streamed(
            self.inputs * math.prod(self.first.shape[:-1]), tuple(self.layers), tuple(self.nodes),
            tuple(dict.fromkeys(self.notes)), tuple(self.asked), tuple(dict.fromkeys(self.real)), self.left_out,
        )  # fmt: skip

    def _called(self, call: Call) -> Map:
        kind, sources = call.kind, [self.values[s] for s in call.sources]
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
        return self._layer(call.name, source, window, steps, (*window.positions, filters))

    def _dense(self, call: Call, source: Map) -> Map:
        entering, units = call.applied.input_shape, call.applied.output_shape[-1]
        whole = len(entering) == 1
        window = (Window.whole if whole else Window.pixel)(source.shape)
        steps = steps_of(Applied(call.applied.layer, (window.places * window.channels,), (units,)))
        return self._layer(call.name, source, window, steps, (units,) if whole else (*source.shape[:-1], units))

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
            made = self._layer(
                name, source, Window.pixel(source.shape), [identity(name, source.channels)], source.shape
            )
            return replace(made, steps=[*made.steps, *steps])
        return replace(source, steps=[*source.steps, *steps])

    def _layer(self, name: str, source: Map, window: Window, steps: Sequence[Step], shape: tuple[int, ...]) -> Map:
        """A dense layer, and what follows it, on a window over a map."""
        self._close(source)
        after = source.after
        if after is not None and window.is_padded and any(after.offset):
            source = self._values(name, source)
            after = None
        assert source.spans is not None
        own = source.spans if not window.is_padded else tuple(map(with_zero, source.spans))
        entering: list[Step] = [Quant(name, tuple(map(held, own)) * window.places)]
        if after is not None:
            places = window.places
            sign, exponent = np.tile(after.sign, places), np.tile(after.exponent, places)
            entering.append(Affine(after.layer, sign, exponent, after.offset * places))
        return Map(shape, source.sources, window, [*entering, *steps])

    def _largest(self, call: Call, source: Map) -> Map:
        window = window_on(call, source)
        self._close(source)
        after = source.after
        if after is not None and (after.sign <= 0).any():
            source = self._values(call.name, source)
        assert source.spans is not None
        if window.is_padded and any(span.low < 0 for span in source.spans):
            raise ModelError(
                f"layer {call.name} pads values that may be negative; use padding='valid', or a ReLU before"
            )
        self.nodes.append(Node(call.name, "max", source.sources, window))
        shape = (*window.positions, source.channels)
        if len(call.applied.output_shape) == 1:
            shape = shape[-1:]
        made = (len(self.nodes) - 1,)
        return Map(shape, made, Window.pixel(shape), spans=source.spans, after=source.after)

    def _repeated(self, call: Call, source: Map) -> Map:
        require_pixels(call, source)
        window = repeating(call.name, call.kind, call.applied.layer.get_config(), call.applied.input_shape)
        self._close(source)
        self.nodes.append(Node(call.name, "repeat", source.sources, window))
        shape = (*window.positions, source.channels)
        made = (len(self.nodes) - 1,)
        return Map(shape, made, Window.pixel(shape), spans=source.spans, after=source.after)

    def _concatenated(self, call: Call, sources: Sequence[Map]) -> Map:
        shapes = {source.shape[:-1] for source in sources}
        axis = call.applied.layer.axis
        if (
            len(shapes) != 1
            or axis not in (-1, len(call.applied.output_shape))
            or call.applied.output_shape[-1] != sum(source.channels for source in sources)
        ):
            raise ModelError(f"layer {call.name} (Concatenate) joins more than channels; {OTHERWISE}")
        for source in sources:
            self._close(source)
        parts = [self._values(call.name, s) if s.after is not None else s for s in sources]
        spans = tuple(span for part in parts for span in part.spans or ())
        shape = (*sources[0].shape[:-1], len(spans))
        nodes = tuple(node for part in parts for node in part.sources)
        return Map(shape, nodes, Window.pixel(shape), spans=spans)

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
        for source in sources:
            self._close(source)
        spans = tuple(span for s in sources for span in s.spans or ())
        entering: list[Step] = [Quant(call.name, tuple(map(held, spans)))]
        if any(s.after is not None for s in sources):
            entering.append(beside(call.name, sources))
        shape = (*sources[0].shape[:-1], len(spans))
        nodes = tuple(node for s in sources for node in s.sources)
        return Map(sources[0].shape, nodes, Window.pixel(shape), [*entering, dense])

    def _values(self, name: str, source: Map) -> Map:
        """A closed map whose waiting scale is applied by a layer of its own."""
        made = self._layer(
            f"{name}_values", source, Window.pixel(source.shape), [identity(f"{name}_values", source.channels)],
            source.shape,
        )  # fmt: skip
        self.notes.append(f"layer {name}_values is added: it applies the scales before layer {name}")
        self._close(made)
        return made

    def _close(self, source: Map) -> None:
        """Make nodes of the steps that wait on a map."""
        if source.spans is not None:
            return
        steps = self._given(source)
        assembler, resolved, readout = fold_part(steps, elements_of(source))
        first = len(self.layers)
        self.notes += [*resolved.notes, *assembler.notes]
        self.asked += [first + number for number in resolved.asked]
        self.real += resolved.real
        inputs = tuple(assembler.inputs or ())
        self._made(source, inputs, assembler.layers)
        affine = readout.as_affine(steps[-1].layer)
        if readout == Readout.identity(source.channels) and len(source.spans or ()) == source.channels:
            return
        if affine is not None and len(source.spans or ()) == source.channels:
            source.after = affine
            return
        name = f"{steps[-1].layer}_sums"
        dense = behind(identity(name, source.channels), readout)
        shape = (*source.shape[:-1], readout.columns)
        assert source.spans is not None
        open_map = Map(
            source.shape, source.sources, Window.pixel(shape),
            [Quant(name, tuple(map(held, source.spans[: readout.columns]))), dense],
        )  # fmt: skip
        self._close(open_map)
        source.sources, source.spans, source.after = open_map.sources, open_map.spans, open_map.after

    def _given(self, source: Map) -> list[Step]:
        """The map's steps, with the format that was given where the model's input has none."""
        steps = list(source.steps)
        if source.raw:
            first = next((s for s in steps if not isinstance(s, Relu)), None)
            if self.given is not None and not isinstance(first, Quant):
                steps.insert(0, Quant("inputs", (narrow(self.given),) * source.channels))
                self.given_used = True
        return steps

    def _made(self, source: Map, inputs: tuple[Quantizer, ...], layers: Sequence[Layer]) -> None:
        """Nodes of folded layers: the first on the map's window, the others on the pixel before them."""
        if source.raw:
            if self.inputs is not None and self.inputs != inputs:
                raise ModelError("the input is quantized twice, differently; quantize it once, before it branches")
            self.inputs = inputs
        found = widths(Design("part", inputs, tuple(layers))).layers if layers else ()
        spans, nodes, window = inputs, source.sources, source.window
        for layer in found:
            self.layers.append(layer)
            self.nodes.append(Node(layer.name, "dense", nodes, window))
            nodes = (len(self.nodes) - 1,)
            spans = tuple(
                Quantizer(f, "TRN", *((n.output.low, n.output.high) if n.output else (f.low, f.high)))
                for n, f in zip(layer.neurons, layer_output_formats(layer), strict=True)
            )
            window = Window.pixel((*source.window.positions, len(spans)))
        source.sources, source.spans, source.steps = nodes, spans, []

    def _end(self, source: Map) -> None:
        """The map that leaves the hardware."""
        if source.spans is not None and (source.after is not None or len(source.sources) > 1 or not self.nodes):
            source = self._layer(
                f"{self.traced.calls[-1].name}_values", source, Window.pixel(source.shape),
                [identity(f"{self.traced.calls[-1].name}_values", source.channels)], source.shape,
            )  # fmt: skip
        if source.spans is not None:
            if source.sources[0] != len(self.nodes) - 1:
                raise ModelError("the model's output is read inside the model; give the output a layer of its own")
            return
        assembler, resolved = fold(self._given(source), elements_of(source), None)
        inputs, layers = assembler.finish()
        self.notes += [*resolved.notes, *assembler.notes]
        self.asked += [len(self.layers) + number for number in resolved.asked]
        self.real += resolved.real
        self.left_out = resolved.left_out
        self._made(source, inputs, layers)
