"""Exact accumulator formats from the actual weights and input ranges: overflow is impossible by construction."""

from __future__ import annotations

from dataclasses import replace

from flow.core.design import Design, Layer, Neuron, with_layers
from flow.core.errors import DesignError
from flow.core.fixed import MAX_BITS, MAX_FRAC, Fixed, bits_for
from flow.core.ranges import accumulator_range


def widths(design: Design) -> Design:
    """Give every neuron the narrowest accumulator format that holds all its sums, layer by layer."""
    for index, layer in enumerate(design.layers):
        formats, ranges = design.formats_into(index), design.ranges_into(index)
        neurons = tuple(
            replace(n, accumulator=accumulator_format(n, formats, ranges, f"layer {layer.name}, neuron {j}"))
            for j, n in enumerate(layer.neurons)
        )
        layers = list(design.layers)
        layers[index] = Layer(layer.name, neurons, layer.groups)
        design = with_layers(design, tuple(layers))
    return design


def accumulator_format(
    neuron: Neuron, formats: tuple[Fixed, ...], ranges: tuple[tuple[int, int], ...], where: str
) -> Fixed:
    """The narrowest format for a neuron's sum; raises DesignError where no format holds it."""
    low, high, frac = accumulator_range(neuron, formats, ranges)
    _, bits = bits_for(low, high)
    if bits > MAX_BITS:
        raise DesignError(
            f"{where}: the accumulator needs {bits} bits, more than {MAX_BITS}; give its inputs closer ranges, or its "
            "inputs, weights and bias fewer bits"
        )
    if abs(frac) > MAX_FRAC:
        raise DesignError(
            f"{where}: the accumulator's step is 2**{-frac}, outside 2**-{MAX_FRAC} to 2**{MAX_FRAC}; scale its inputs "
            "or its weights"
        )
    return Fixed.holding(low, high, frac)
