"""Values of an ONNX graph on their way to a streamed design, and a matrix as one of them meets it."""

from __future__ import annotations

from dataclasses import dataclass

from flow.extract.maps import Map
from flow.extract.onnx.constants import Constant, Floats
from flow.extract.onnx.quantized import Builder
from flow.extract.onnx.stages import View
from flow.extract.onnx.stored import Node, StoredOnnx
from flow.extract.onnx.walk import Place, Walk


@dataclass(frozen=True, eq=False)
class Signal:
    """A value of the graph, of ``shape`` there: a map, what its steps are to be, and the stage that executes them.

    ``order`` is the shape that a Flatten found; ``views`` are the nodes since the stage that only move values.
    """

    map: Map
    steps: Builder
    stage: int
    shape: tuple[int, ...]
    order: tuple[int, ...] = ()
    views: tuple[View, ...] = ()

    @property
    def pixel(self) -> tuple[int, ...]:
        """The shape of one pixel."""
        return (self.map.channels, *(1,) * (len(self.shape) - 1))


class _Matrix:
    """Hears of one dense layer."""

    def dense(self, at: Place, weights: Constant, bias: Constant) -> None:
        """Its matrix."""
        self.found = weights, bias

    def affine(self, at: Place, scale: Floats, offset: Floats) -> None: ...

    def activation(self, at: Place, kind: str) -> None: ...

    def quantizer(self, at: Place) -> None: ...


def matrix_of(
    stored: StoredOnnx, node: Node, shape: tuple[int, ...], arguments: list[Constant | None]
) -> tuple[Constant, Constant]:
    """Weights (inputs, units) and bias of a MatMul or Gemm of a signal of ``shape``. Raises ModelError."""
    matrix = _Matrix()
    Walk(stored, matrix, {}, node.inputs[0], shape).passes(node, arguments)
    return matrix.found
