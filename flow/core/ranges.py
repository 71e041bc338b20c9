"""Exact ranges of sums: what a neuron's accumulator can reach, from its weights and its inputs' ranges."""

from __future__ import annotations

from flow.core.design import Neuron
from flow.core.fixed import Fixed


def accumulator_range(
    neuron: Neuron, formats: tuple[Fixed, ...], ranges: tuple[tuple[int, int], ...]
) -> tuple[int, int, int]:
    """Exact (low, high, frac) of a neuron's sum over all inputs within ``ranges``."""
    terms = [(w, f.frac, r) for w, f, r in zip(neuron.weights, formats, ranges, strict=True) if w and r != (0, 0)]
    fracs = [f + neuron.weight_frac for _, f, _ in terms] + ([neuron.bias_frac] if neuron.bias else [])
    if not fracs:
        return 0, 0, 0
    frac = max(fracs)
    low = high = neuron.bias << (frac - neuron.bias_frac) if neuron.bias else 0
    for weight, input_frac, (x_low, x_high) in terms:
        scaled = weight << (frac - input_frac - neuron.weight_frac)
        low += min(scaled * x_low, scaled * x_high)
        high += max(scaled * x_low, scaled * x_high)
    return low, high, frac
