"""A quantized ONNX network of convolutions as a streamed design: maps with channels last, branches, sums of branches.

ONNX has channels first, hardware takes a pixel with all its channels at once. So every map is turned here, with the
rows of a matrix behind a Flatten: the numbers stay the same, their order is another. Scales are read as in dense
networks (`quantized`), a pixel at a time: what is not a window is a function of each channel.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np

from flow.core.errors import ModelError
from flow.core.fixed import Quantizer
from flow.core.nodes import Window
from flow.extract.formats import parse_format
from flow.extract.map_nodes import Nodes
from flow.extract.maps import Map, Streamed
from flow.extract.onnx.constants import Constant
from flow.extract.onnx.integers import Grid, totals
from flow.extract.onnx.order import in_order
from flow.extract.onnx.quantized import Builder
from flow.extract.onnx.runtime import RUNTIME, Runtime
from flow.extract.onnx.signals import Signal, grid_of_sum, matrix_of, require_joinable
from flow.extract.onnx.stages import Stage, StageProgram, View
from flow.extract.onnx.stored import Node, StoredOnnx
from flow.extract.onnx.walk import SHAPING, Place, Walk, folded, guarded, naming, reshaped
from flow.extract.onnx.windows import (
    AVERAGES,
    MAXIMA,
    REPEATS,
    added_zeros,
    filters_of,
    flattened,
    last,
    means_of,
    repeated,
    window_of_node,
    with_zeros,
)
from flow.extract.readout import identity

_DENSE = ("MatMul", "Gemm")


@lru_cache(maxsize=8)
def graph_program(stored: StoredOnnx, input_format: str | None = None) -> tuple[Streamed, StageProgram]:
    """The nodes of a design and what the runtime executes beside them. Raises ModelError."""
    given = Quantizer.saturating(parse_format(input_format)) if input_format else None
    with np.errstate(all="ignore"), naming(stored), guarded(stored):
        return _Graph(stored, given).read()


class _Graph(Nodes):
    def __init__(self, stored: StoredOnnx, given: Quantizer | None) -> None:
        super().__init__(last(stored.shape), given, RUNTIME)
        self.stored, self.runtimes = stored, Runtime(stored)
        self.order = in_order(stored)
        self.constants = {name: Constant.of(array) for name, array in stored.constants.items()}
        self.readers = [name for node in self.order for name in node.inputs]
        self.start = Builder(self.runtimes, self.first.channels, given is not None)
        self.stages = [Stage("input", (), None, self.start.executed)]
        self.signals = {stored.entry: Signal(self.first, self.start, 0, stored.shape)}

    def read(self) -> tuple[Streamed, StageProgram]:
        """The whole graph, once."""
        for node in self.order:
            moving = [name for name in node.inputs if name and name not in self.constants]
            if not moving:
                self.constants[node.outputs[0]] = folded(node, [self.constants[n] for n in node.inputs if n])
                continue
            missing = next((name for name in moving if name not in self.signals), None)
            if missing is not None:
                raise ModelError(f"node {node.name[:64]} ({node.kind}) needs {missing[:32]}, which nothing makes")
            made = self._node(node, [self.signals[name] for name in moving])
            result = node.outputs[1 if node.kind == "TopK" else 0]
            self.signals[result] = made
            if self.readers.count(result) > 1 and not made.steps.is_at_end:
                self._closed(made, node.name)
        if self.stored.end not in self.signals:
            raise ModelError(f"{self.stored.path}: its output {self.stored.end[:64]} is not what a node makes")
        return self._ended(self.signals[self.stored.end])

    def _node(self, node: Node, sources: list[Signal]) -> Signal:
        arguments = [self.constants.get(name) if name else None for name in node.inputs]
        if len(sources) > 1:
            return self._joined(node, sources)
        source, at = sources[0], Place(node, node.inputs[0], sources[0].pixel, ())
        if node.kind in SHAPING:
            return self._shaped(node, source, arguments)
        if node.kind == "Pad":
            around = added_zeros(node, arguments, source.shape)
            total = with_zeros(source.map.padded, around)
            shape = (source.shape[0], *(n + sum(p) for n, p in zip(source.shape[1:], around, strict=True)))
            return replace(source, map=self._padded(source, node, total), shape=shape, views=self._seen(source, node))
        if node.kind in MAXIMA:
            return self._largest(node, source)
        if node.kind in REPEATS:
            return self._repeated(node, source)
        if node.kind == "Conv":
            if arguments[0] is not None or arguments[1] is None:
                raise ModelError(f"node {node.name[:64]} (Conv) is not a signal under constant weights")
            window = window_of_node(node, source.map.shape, arguments[1].values.shape[2:], source.map.padded)
            weights = filters_of(node, arguments[1], source.map.channels)
            bias = arguments[2] if len(arguments) > 2 and arguments[2] is not None else None
            return self._summed(at, source, window, weights, bias or Constant.of(np.zeros(weights.values.shape[1])))
        if source.map.padded:
            raise ModelError(f"node {node.name[:64]} ({node.kind}) sees added zeros; only a Conv may follow a Pad")
        if node.kind in AVERAGES:
            window = window_of_node(node, source.map.shape)
            return self._summed(at, source, window, means_of(window), Constant.of(np.zeros(window.channels)))
        if node.kind in _DENSE:
            return self._dense(node, source, arguments)
        return self._elementwise(node, source, arguments)

    def _padded(self, source: Signal, node: Node, total: tuple[tuple[int, int], ...]) -> Map:
        """The map with zeros around it, which what comes behind puts there; it is closed, for others may see it."""
        self._closed(source, node.name)
        return replace(source.map, padded=total)

    def _seen(self, source: Signal, node: Node) -> tuple[View, ...]:
        signal = next(name for name in node.inputs if name not in self.constants)
        return (*source.views, (signal, self.runtimes.whole(node)))

    def _shaped(self, node: Node, source: Signal, arguments: list[Constant | None]) -> Signal:
        """A flattened map, or one under the same shape."""
        shape = reshaped(node, source.shape, [a for a in arguments if a is not None])
        is_flat = len(shape) == 1
        if source.map.padded or not (is_flat or (source.order == shape) or shape == source.shape):
            raise ModelError(
                f"node {node.name[:64]} ({node.kind}) makes {shape} of a map of {source.shape}; a map of a network of "
                "convolutions is only flattened as a whole"
            )
        order = (source.order or source.shape) if is_flat else ()
        return replace(source, shape=shape, order=order, views=self._seen(source, node))

    def _dense(self, node: Node, source: Signal, arguments: list[Constant | None]) -> Signal:
        """A matrix behind a whole map, or behind the channels of a flat one."""
        weights, bias = matrix_of(self.stored, node, source.shape, arguments)
        weights = flattened(weights, source.order) if source.order else weights
        at = Place(node, node.inputs[0], source.pixel, ())
        return self._summed(at, source, Window.whole(source.map.shape), weights, bias, is_flat=True)

    def _summed(
        self, at: Place, source: Signal, window: Window, weights: Constant, bias: Constant, is_flat: bool = False
    ) -> Signal:
        """A dense layer at every position of a window."""
        node, units = at.node, weights.values.shape[1]
        grid = self._grid(at, source)
        if window.is_padded and grid.offset.any():
            raise ModelError(
                f"node {at.name}: zeros lie around values that have no step at 0, for their quantizer has a zero point "
                "or an offset; quantize them without, or pad before the quantizer"
            )
        self._closed(source, at.name)
        steps = Builder(self.runtimes, units, False)
        steps.multiplied(at, grid.under(window.places), weights, bias, _by_stage)
        made = self.layer(at.name, source.map, window, [], (*window.positions, units))
        if is_flat:
            made.shape = (units,)
        return self._staged("sum", node, [source], made, steps, window)

    def _grid(self, at: Place, source: Signal) -> Grid:
        source.steps.go_on()
        return source.steps.grid(replace(at, shape=(source.map.channels,)))

    def _largest(self, node: Node, source: Signal) -> Signal:
        window, steps = window_of_node(node, source.map.shape), source.steps
        steps.go_on()
        if source.map.padded:
            raise ModelError(f"node {node.name[:64]} ({node.kind}) sees added zeros; only a Conv may follow a Pad")
        if not steps.is_whole or (steps.pending and min(totals(steps.pending)[0]) <= 0):
            raise ModelError(
                f"node {node.name[:64]} ({node.kind}) takes maxima of values that no quantizer makes; put a Quant node "
                "before or right behind it"
            )
        self._close(source)
        if window.is_padded and any(span.low < 0 for span in source.map.spans or ()):
            raise ModelError(
                f"node {node.name[:64]} ({node.kind}) pads values that may be negative; put a Relu before it, or "
                "export it without pads"
            )
        made = self.largest(node.name[:64], source.map, window)
        return self._staged("max", node, [source], made, self._going_on(source), window)

    def _joined(self, node: Node, sources: list[Signal]) -> Signal:
        """Branches that are added up, or whose channels stand side by side."""
        require_joinable(node, sources)
        for source in sources:
            self._closed(source, node.name)
        maps, name = [source.map for source in sources], node.name[:64]
        if node.kind == "Concat":
            steps = Builder(self.runtimes, sum(m.channels for m in maps), False)
            steps.beside(name, [source.steps for source in sources])
            made = self.beside(name, maps)
            return self._staged("max", node, sources, made, steps, made.window)
        at, count = Place(node, node.inputs[0], sources[0].pixel, ()), maps[0].channels
        grid = grid_of_sum(node, [self._grid(at, source) for source in sources])
        rows = np.concatenate([np.eye(count)] + [np.eye(count) * (-1 if node.kind == "Sub" else 1)] * (len(maps) - 1))
        steps = Builder(self.runtimes, count, False)
        steps.multiplied(at, grid, Constant(rows, np.ones_like(rows), 2), Constant.of(np.zeros(count)), _by_stage)
        made = self.joined(name, maps, [], count)
        return self._staged("sum", node, sources, made, steps, made.window)

    def _repeated(self, node: Node, source: Signal) -> Signal:
        """Every pixel several times."""
        source.steps.go_on()
        if source.map.padded:
            raise ModelError(f"node {node.name[:64]} ({node.kind}) sees added zeros; only a Conv may follow a Pad")
        if any(node.inputs[3:]):
            raise ModelError(f"node {node.name[:64]} ({node.kind}) has sizes; export it with scales")
        inner, name = self.runtimes.whole(node), node.inputs[0]
        window = repeated(node, source.map.shape, lambda maps: inner({name: maps}))
        self._closed(source, node.name)
        made = super().repeated(node.name[:64], source.map, window)
        return self._staged("max", node, [source], made, self._going_on(source), window)

    def _elementwise(self, node: Node, source: Signal, arguments: list[Constant | None]) -> Signal:
        if source.map.spans is not None:  # what is done to a closed map is done by a layer of its own
            source = self._opened(source, f"{node.name[:56]}_values")
        walk = Walk(
            self.stored, source.steps, {}, next(n for n in node.inputs if n not in self.constants), source.pixel
        )
        walk.passes(node, arguments)
        return source

    def _opened(self, source: Signal, name: str) -> Signal:
        """The same values from a layer that hands them on, which steps may follow."""
        steps, channels = self._going_on(source), source.map.channels
        steps.steps.append(identity(name, channels))
        made = self.layer(name, source.map, Window.pixel(source.map.shape), [], source.map.shape)
        self.stages.append(Stage("same", (source.stage,), None, steps.executed))
        return replace(source, map=made, steps=steps, stage=len(self.stages) - 1)

    def _going_on(self, source: Signal) -> Builder:
        """Steps behind closed ones: what waited still waits."""
        steps = Builder(self.runtimes, source.map.channels, False)
        steps.pending, steps.made, steps.is_whole = list(source.steps.pending), source.steps.made, True
        return steps

    def _staged(
        self, kind: Literal["sum", "max"], node: Node, sources: list[Signal], made: Map, steps: Builder, window: Window
    ) -> Signal:
        """The signal that a node makes of whole maps, and the stage that executes it."""
        names = [name for name in node.inputs if name and name not in self.constants]
        views = tuple((name, source.views) for name, source in zip(names, sources, strict=True))
        inner = self.runtimes.whole(node)
        self.stages.append(
            Stage(kind, tuple(s.stage for s in sources), window, steps.executed, inner, views, made.shape)
        )
        shape = made.shape if len(made.shape) == 1 else (made.channels, *made.shape[:-1])
        return Signal(made, steps, len(self.stages) - 1, shape)

    def _closed(self, source: Signal, name: str) -> None:
        """Its steps become nodes: others read the whole numbers that they end in."""
        source.steps.go_on()
        if source.map.spans is None and not (source.steps.is_whole and (source.steps.made or not source.steps.pending)):
            raise ModelError(f"node {name[:64]} has values read that no quantizer makes; put a Quant node before it")
        self._close(source)

    def _close(self, source: Signal) -> None:
        if source.map.spans is None:
            source.map.steps += source.steps.steps
            self.close(source.map)

    def _ended(self, source: Signal) -> tuple[Streamed, StageProgram]:
        if source.map.padded:
            raise ModelError("the model ends in added zeros; leave its last Pad out")
        if source.map.spans is not None:
            source = self._opened(source, "outputs")
        steps = source.steps
        program = steps.program("logits")
        source.map.steps += steps.steps
        self.end(source.map, "outputs")
        self.notes += [*self.start.notes, *(n for n in program.notes if n not in self.start.notes)]
        kept = [place for place in (steps.ending[0] if steps.ending else None, steps.classes) if place is not None]
        return self.finished(), StageProgram(
            tuple(self.stages), program.outputs, self.start.input_unit, program.output_unit, program.ending,
            kept[0].signal if kept else self.stored.end,
            steps.classes.signal if steps.classes is not None else self.stored.end,
            math.prod(source.map.shape[:-1]),
        )  # fmt: skip


def _by_stage(values: object) -> np.ndarray:  # a stage executes windows on whole maps
    raise AssertionError("a sum under a window is executed by its stage")
