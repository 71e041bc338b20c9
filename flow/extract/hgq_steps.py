"""The layers of `hgq_layers` as steps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flow.core.fixed import Ints, Quantizer
from flow.extract.activations import activation_steps
from flow.extract.chain import Applied
from flow.extract.dyadic import exact_matrix
from flow.extract.layer_steps import Quant, Step
from flow.extract.plain_dense import dense_steps

LAYERS = ("HGQActivation", "HGQDense", "HGQQuantizer")


def quantizer_steps(applied: Applied) -> list[Step]:
    """The step of an HGQQuantizer."""
    return [_quant(applied, applied.layer.format.quantizers())]


def hgq_dense(applied: Applied, units: int) -> list[Step]:
    """The steps of an HGQDense with so many units."""
    return _between(applied, dense_steps(applied, units, _on_grid))


def hgq_activation(applied: Applied) -> list[Step]:
    """The steps of an HGQActivation."""
    return _between(applied, activation_steps(applied.name, applied.layer.activation, math.prod(applied.output_shape)))


def _between(applied: Applied, steps: list[Step]) -> list[Step]:
    """Steps between the quantizers of a layer's inputs and outputs."""
    layer = applied.layer
    first = [_quant(applied, layer.iq.quantizers())] if layer.iq else []
    last = [_quant(applied, layer.oq.quantizers())] if layer.oq else []
    return [*first, *steps, *last]


def _on_grid(name: str, what: str, values: NDArray[np.float64]) -> tuple[Ints, Ints]:
    where = f"layer {name}" + (", bias" if what == "biases" else "")
    return exact_matrix(values, where, "quantize its weights")


def _quant(applied: Applied, quantizers: tuple[Quantizer, ...]) -> Quant:
    count = math.prod(applied.output_shape) if len(quantizers) == 1 else len(quantizers)
    return Quant(applied.name, quantizers * (count // len(quantizers)))
