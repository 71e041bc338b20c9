"""The layers of `hgq_layers` as steps, and what they compute with exact sums."""

from __future__ import annotations

import math

import numpy as np

from flow.core.design import Layer, Neuron
from flow.core.evaluate import as_read
from flow.core.fixed import Quantizer
from flow.extract.activations import activation_steps
from flow.extract.arrays import to_numpy
from flow.extract.chain import Applied
from flow.extract.dyadic import exact_matrix
from flow.extract.layer_steps import Dense, Quant, Step
from flow.extract.needed import needed_bits

LAYERS = ("HGQDense", "HGQQuantizer")


def quantizer_steps(applied: Applied) -> list[Step]:
    """The step of an HGQQuantizer."""
    return [_quant(applied, applied.layer.format.quantizers())]


def dense_steps(applied: Applied, units: int) -> list[Step]:
    """The steps of an HGQDense with so many units."""
    layer, name = applied.layer, applied.name
    remedy = "quantize its weights"
    weights, frac = exact_matrix(as_read(to_numpy(layer.kernel)).astype(np.float64), f"layer {name}", remedy)
    bias, bias_frac = np.zeros(units, np.int64), np.zeros(units, np.int64)
    if layer.use_bias:
        row = as_read(to_numpy(layer.bias)).astype(np.float64)[None, :]
        found, bias_frac = exact_matrix(row, f"layer {name}, bias", remedy)
        bias = found[0]
    bits = np.array([needed_bits(column, 0.0) for column in weights.T], np.float64)
    steps: list[Step] = [_quant(applied, layer.iq.quantizers())] if layer.iq else []
    steps += [Dense(name, weights, frac, bits, bias, bias_frac), *activation_steps(name, layer.activation, units)]
    return [*steps, *([_quant(applied, layer.oq.quantizers())] if layer.oq else [])]


def _quant(applied: Applied, quantizers: tuple[Quantizer, ...]) -> Quant:
    count = math.prod(applied.output_shape) if len(quantizers) == 1 else len(quantizers)
    return Quant(applied.name, quantizers * (count // len(quantizers)))


def layer_of(step: Dense) -> Layer:
    """A dense step as a layer of a design, for its sums."""
    neurons = (
        Neuron(
            tuple(step.weights[:, j].tolist()), int(step.weight_frac[j]), 0.0, int(step.bias[j]), int(step.bias_frac[j])
        )
        for j in range(step.weights.shape[1])
    )
    return Layer(step.layer, tuple(neurons))
