"""Nodes of a streamed design, made of maps: steps wait on a map for as long as they fold together.

What then looks at a map closes it, and its steps become nodes (`flow.extract.resolve`). Where the steps come from,
layers of Keras or nodes of ONNX, makes no difference here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flow.core.design import Design, Layer, layer_output_formats
from flow.core.errors import ModelError
from flow.core.fixed import Quantizer
from flow.core.nodes import INPUT, Node, Window
from flow.core.passes.widths import widths
from flow.extract.layer_steps import Affine, Quant, Relu, Step
from flow.extract.maps import Map, Streamed, beside, elements_of, with_zero
from flow.extract.places import held
from flow.extract.read import narrow
from flow.extract.readout import Readout, behind, identity
from flow.extract.resolve import GIVEN_TWICE, fold, fold_part


class Nodes:
    """Nodes and layers so far, of one input of ``shape``; ``given`` quantizes it where the model does not.

    ``runtime`` is what the functions of the steps are asked of. All methods raise ModelError.
    """

    def __init__(self, shape: tuple[int, ...], given: Quantizer | None, runtime: str = "Keras") -> None:
        self.given, self.given_used, self.runtime = given, False, runtime
        self.inputs: tuple[Quantizer, ...] | None = None  # of a pixel
        self.layers: list[Layer] = []
        self.nodes: list[Node] = []
        self.notes: list[str] = []
        self.asked: list[int] = []
        self.real: list[str] = []
        self.left_out: str | None = None
        self.first = Map(shape, (INPUT,), Window.pixel(shape), raw=True)

    def finished(self) -> Streamed:
        """Everything, once."""
        if self.given is not None and not self.given_used:
            raise ModelError(GIVEN_TWICE)
        assert self.inputs is not None
        return Streamed(
            self.inputs * math.prod(self.first.shape[:-1]), tuple(self.layers), tuple(self.nodes),
            tuple(dict.fromkeys(self.notes)), tuple(self.asked), tuple(dict.fromkeys(self.real)), self.left_out,
        )  # fmt: skip

    def layer(self, name: str, source: Map, window: Window, steps: Sequence[Step], shape: tuple[int, ...]) -> Map:
        """A dense layer, and what follows it, on a window over a map."""
        self.close(source)
        after = source.after
        if after is not None and window.is_padded and any(after.offset):
            source = self.values(name, source)
            after = None
        assert source.spans is not None
        own = source.spans if not window.is_padded else tuple(map(with_zero, source.spans))
        entering: list[Step] = [Quant(name, tuple(map(held, own)) * window.places)]
        if after is not None:
            places = window.places
            sign, exponent = np.tile(after.sign, places), np.tile(after.exponent, places)
            entering.append(Affine(after.layer, sign, exponent, after.offset * places))
        return Map(shape, source.sources, window, [*entering, *steps])

    def largest(self, name: str, source: Map, window: Window) -> Map:
        """The largest value of each channel under a window."""
        self.close(source)
        after = source.after
        if after is not None and (after.sign <= 0).any():
            source = self.values(name, source)
        assert source.spans is not None
        if window.is_padded and any(span.low < 0 for span in source.spans):
            raise ModelError(f"layer {name} pads values that may be negative; use padding='valid', or a ReLU before")
        self.nodes.append(Node(name, "max", source.sources, window))
        shape = (*window.positions, source.channels)
        made = (len(self.nodes) - 1,)
        return Map(shape, made, Window.pixel(shape), spans=source.spans, after=source.after)

    def repeated(self, name: str, source: Map, window: Window) -> Map:
        """Every pixel so many times as ``window`` repeats it."""
        self.close(source)
        self.nodes.append(Node(name, "repeat", source.sources, window))
        shape = (*window.positions, source.channels)
        made = (len(self.nodes) - 1,)
        return Map(shape, made, Window.pixel(shape), spans=source.spans, after=source.after)

    def beside(self, name: str, sources: Sequence[Map]) -> Map:
        """The channels of several maps of the same pixels side by side."""
        for source in sources:
            self.close(source)
        parts = [self.values(name, s) if s.after is not None else s for s in sources]
        spans = tuple(span for part in parts for span in part.spans or ())
        shape = (*sources[0].shape[:-1], len(spans))
        nodes = tuple(node for part in parts for node in part.sources)
        return Map(shape, nodes, Window.pixel(shape), spans=spans)

    def joined(self, name: str, sources: Sequence[Map], steps: Sequence[Step], channels: int) -> Map:
        """A dense layer, and what follows it, on the channels of several maps side by side."""
        for source in sources:
            self.close(source)
        spans = tuple(span for s in sources for span in s.spans or ())
        entering: list[Step] = [Quant(name, tuple(map(held, spans)))]
        if any(s.after is not None for s in sources):
            entering.append(beside(name, sources))
        pixels = sources[0].shape[:-1]
        nodes = tuple(node for s in sources for node in s.sources)
        return Map((*pixels, channels), nodes, Window.pixel((*pixels, len(spans))), [*entering, *steps])

    def values(self, name: str, source: Map) -> Map:
        """A closed map whose waiting scale is applied by a layer of its own."""
        made = self.layer(
            f"{name}_values", source, Window.pixel(source.shape), [identity(f"{name}_values", source.channels)],
            source.shape,
        )  # fmt: skip
        self.notes.append(f"layer {name}_values is added: it applies the scales before layer {name}")
        self.close(made)
        return made

    def close(self, source: Map) -> None:
        """Make nodes of the steps that wait on a map."""
        if source.spans is not None:
            return
        steps = self._given(source)
        assembler, resolved, readout = fold_part(steps, elements_of(source), self.runtime)
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
        self.close(open_map)
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

    def end(self, source: Map, name: str) -> None:
        """The map that leaves the hardware."""
        if source.spans is not None and (source.after is not None or len(source.sources) > 1 or not self.nodes):
            source = self.layer(
                f"{name}_values", source, Window.pixel(source.shape),
                [identity(f"{name}_values", source.channels)], source.shape,
            )  # fmt: skip
        if source.spans is not None:
            if source.sources[0] != len(self.nodes) - 1:
                raise ModelError("the model's output is read inside the model; give the output a layer of its own")
            return
        assembler, resolved = fold(self._given(source), elements_of(source), None, self.runtime)
        inputs, layers = assembler.finish()
        self.notes += [*resolved.notes, *assembler.notes]
        self.asked += [len(self.layers) + number for number in resolved.asked]
        self.real += resolved.real
        self.left_out = resolved.left_out
        self._made(source, inputs, layers)
