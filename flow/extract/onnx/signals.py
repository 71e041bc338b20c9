"""Values of an ONNX graph on their way to a streamed design, and a matrix as one of them meets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from flow.core.errors import ModelError
from flow.extract.maps import Map
from flow.extract.onnx.constants import Constant, Floats
from flow.extract.onnx.integers import Grid, common_unit
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


def require_joinable(node: Node, sources: Sequence[Signal]) -> None:
    """Raise ModelError unless ``node`` adds up branches of one shape, or puts their channels side by side."""
    where, first = f"node {node.name[:64]} ({node.kind})", sources[0]
    if node.kind not in ("Add", "Sub", "Sum", "Concat") or len(node.inputs) != len(sources):
        raise ModelError(f"{where} joins branches; only Add, Sub, Sum and Concat of branches alone are known")
    is_beside = node.kind == "Concat"
    if any(s.map.padded for s in sources) or any(
        s.shape[is_beside:] != first.shape[is_beside:] or s.map.shape[:-1] != first.map.shape[:-1] for s in sources
    ):
        raise ModelError(f"{where} joins maps of {' and '.join(str(s.shape) for s in sources[:8])}")
    if is_beside and node.settings.get("axis") not in (1, -len(first.shape)):
        raise ModelError(f"{where} joins more than channels; use axis=1")
    if any(s.order[1:] for s in sources):
        raise ModelError(f"{where} joins flattened maps; join their channels before the Flatten")


def grid_of_sum(node: Node, grids: Sequence[Grid]) -> Grid:
    """What branches side by side are multiples of. Raises ModelError where one's scale is no multiple of another's."""
    units = [Fraction(grid.unit) for grid in grids]
    try:
        least, wholes = common_unit(units)
    except ValueError as why:
        raise ModelError(
            f"node {node.name[:64]} ({node.kind}) joins branches of {why}; share one quantizer between them"
        ) from None
    factors = np.concatenate([int(whole) * grid.factors for whole, grid in zip(wholes, grids, strict=True)])
    return Grid(float(least), factors, np.concatenate([grid.offset for grid in grids]))
