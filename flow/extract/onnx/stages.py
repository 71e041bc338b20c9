"""What the runtime executes of a network of convolutions, node by node on whole maps, beside its exact numbers.

A stage is a node that sees a window, or branches: onnxruntime executes that node itself, with its own padding, strides
and groups, on the whole map, channels first. What follows up to the next one is executed for every pixel. Exact numbers
are taken from under our windows, so a window that is not the node's own is a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design
from flow.core.nodes import Window
from flow.extract.exact_numbers import Exact, scaled
from flow.extract.layer_steps import Affine, Elementwise
from flow.extract.onnx.execution import Execution
from flow.extract.onnx.program import Called, Summed
from flow.extract.onnx.runtime import Runtime
from flow.extract.onnx.stored import StoredOnnx

Array = NDArray[Any]
Whole = Callable[[Mapping[str, Array]], Array]
View = tuple[str, Whole]  # a node that only moves values: the name of its signal, and what it makes of it


@dataclass(frozen=True)
class Stage:
    """A node on maps of earlier stages, and all that is done to each pixel of what it makes, ``items``.

    ``signals`` are the names of its inputs with the nodes that move values before it; ``shape`` is the map that it
    makes, channels last. The first item of a ``sum`` is its dense layer under ``window``.
    """

    kind: Literal["input", "sum", "max", "same"]
    sources: tuple[int, ...]
    window: Window | None
    items: list[Called | Summed]
    function: Whole | None = None
    signals: tuple[tuple[str, tuple[View, ...]], ...] = ()
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class StageProgram:
    """All stages, and how outputs are read, as `program.Program` has it.

    ``logits`` and ``end`` are the graph's signals before a function at the end, and before the choice of a class;
    ``pixels`` that the outputs have.
    """

    stages: tuple[Stage, ...]
    outputs: Affine | Elementwise | None
    input_unit: float
    output_unit: float
    ending: str | None
    logits: str
    end: str
    pixels: int


def held(design: Design) -> int:
    """Elements under all windows of the design's largest layer."""
    return max(node.window.count * node.window.places * node.window.channels for node in design.nodes)


def left_alone(stored: StoredOnnx, program: StageProgram, flat: NDArray[np.float32], end: str) -> NDArray[np.float32]:
    """What the runtime gives with its own sums at a signal, of pixels with channels last."""
    runtime = Runtime(stored)
    signals: dict[str, Array] = {stored.entry: first(flat.reshape(len(flat), *stored.shape[1:], stored.shape[0]))}
    for node in stored.nodes:
        if end in signals:
            break
        if any(name in signals for name in node.inputs):
            signals[node.outputs[0]] = runtime.whole(node)(signals)
    return np.asarray(last(signals[end]), np.float32).reshape(len(flat), -1)


def first(maps: Array) -> Array:
    """Maps with their channels before the pixels, as ONNX has them."""
    return np.ascontiguousarray(np.moveaxis(maps, -1, 1))


def last(maps: Array) -> Array:
    """Maps with their channels behind the pixels."""
    return np.ascontiguousarray(np.moveaxis(maps, 1, -1))


@dataclass(frozen=True)
class Stages:
    """A model that can be executed stage by stage."""

    stored: StoredOnnx
    program: StageProgram

    def logits(self, flat: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the runtime gives with its own sums, without a function at the end."""
        return left_alone(self.stored, self.program, flat, self.program.logits)

    def executed(self, flat: NDArray[np.float32]) -> Execution:
        """Rows of images, channels last, after the last stage; vectors are ``off`` where any stage found them so."""
        rows, done = len(flat), [Execution(flat.reshape(-1, self.stored.shape[0]))]
        shapes = [(*self.stored.shape[1:], self.stored.shape[0])]
        for stage in self.program.stages:
            if stage.kind == "input":
                state, items = done.pop(), stage.items
            elif stage.kind == "same":
                before = done[stage.sources[0]]
                state, items = Execution(before.values, before.exact), stage.items
                state.room = before.room
                shapes.append(shapes[stage.sources[0]])
            else:
                state, items = self._windowed(stage, rows, done, shapes)
                shapes.append(stage.shape)
            for item in items:
                state.add(item)
            done.append(state)
        end = done[-1]
        exact = end.exact if self.program.outputs is None else scaled(self.program.outputs, end.exact)
        pixels = self.program.pixels
        made = Execution(
            end.values.reshape(rows, -1), Exact(exact.mantissas.reshape(rows, -1), list(exact.fracs) * pixels)
        )
        made.room = np.broadcast_to(end.room, end.values.shape).reshape(rows, -1)
        made.off = np.any([s.off.reshape(rows, -1).any(axis=1) for s in done], axis=0)
        made.problem = next((s.problem for s in done if s.problem), "")
        return made

    def _windowed(
        self, stage: Stage, rows: int, done: list[Execution], shapes: list[tuple[int, ...]]
    ) -> tuple[Execution, list[Called | Summed]]:
        """What the node makes of whole maps, beside what lies under its window."""
        assert stage.window is not None and stage.function is not None
        sources = [done[s] for s in stage.sources]
        signals = {}
        for (name, views), number, state in zip(stage.signals, stage.sources, sources, strict=True):
            array = first(state.values.reshape(rows, *shapes[number]))
            for own, view in views:
                array = view({own: array})
            signals[name] = array
        channels = stage.shape[-1]
        asked = np.asarray(last(stage.function(signals)), np.float32).reshape(-1, channels)
        under, exact = self._under(stage.window, rows, sources)
        if stage.kind == "sum":
            dense, *rest = stage.items
            assert isinstance(dense, Summed)
            state = Execution(under.reshape(len(asked), -1), exact)
            return state, [replace(dense, function=lambda _: asked), *rest]
        lowest = under.reshape(len(asked), -1, channels).max(axis=1)
        largest = exact.mantissas.reshape(len(asked), -1, channels).max(axis=1)
        state = Execution(asked, Exact(largest, exact.fracs[:channels]))
        if not np.array_equal(lowest, asked):
            state.off = (lowest != asked).any(axis=1)
            state.problem = "onnxruntime's values are others than those under the design's window"
        return state, stage.items

    @staticmethod
    def _under(window: Window, rows: int, sources: list[Execution]) -> tuple[NDArray[np.float32], Exact]:
        """Values and exact numbers under a window at every position, of maps side by side."""
        values = np.concatenate([s.values for s in sources], axis=1).reshape(rows, window.pixel_count, -1)
        mantissas = np.concatenate([s.exact.mantissas for s in sources], axis=1).reshape(values.shape)
        fracs = [frac for s in sources for frac in s.exact.fracs] * window.places
        found = window.under(mantissas).reshape(rows * window.count, -1)
        return window.under(values).reshape(rows * window.count, -1), Exact(found, fracs)
