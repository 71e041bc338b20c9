"""Random integer designs: one generator, driven by hypothesis (which shrinks) or by a seed (which is fast).

Designs have widths 0 to 16 (ternary included), negative fraction bits, one-neuron and all-zero layers, pruned neurons,
1 to 4 layers (6 on request), a format per input element, all roundings, symmetric, ReLU and one-sided saturation,
wrapping, missing output quantizers and both heads. They come out of the ``widths`` and ``group`` passes, checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from flow.core.check import check
from flow.core.design import Design, Layer, Neuron
from flow.core.errors import DesignError
from flow.core.fixed import ROUNDINGS, Fixed, Ints, Quantizer
from flow.core.passes.group import group
from flow.core.passes.widths import widths
from flow.emit.hls.schedule import IO_TYPES, HlsChoices, valid_reuse_factors
from flow.parts.family import XC7

GENERIC = replace(XC7, name="generic", title="parts of another vendor", carry_bits=0)  # additions are plain sums
Pick = Callable[[int, int], int]  # an integer within low..high, both included; the low end is the simple one
WIDTHS = (0.0, 1.0, 1.58, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0)


def make_design(pick: Pick, name: str = "random", max_layers: int = 4, max_size: int = 6, wraps: bool = True) -> Design:
    """A design whose every choice comes from ``pick``; its quantizers may wrap if ``wraps``."""
    inputs = tuple(_quantizer(pick, False, wraps) for _ in range(pick(1, max_size)))
    fan_in, layers = len(inputs), []
    for index in range(pick(1, max_layers)):
        layers.append(_layer(pick, f"dense_{index}", fan_in, pick(1, max_size), wraps))
        fan_in = len(layers[-1].neurons)
    head = "argmax" if pick(0, 4) == 4 else "logits"
    design = check(Design(name, inputs, tuple(layers), head))
    try:
        return check(group(widths(design)))
    except DesignError:  # unquantized layers in a row can outgrow 62 bits: quantize them
        quantized = tuple(Layer(la.name, tuple(_with_output(n) for n in la.neurons)) for la in layers)
        return check(group(widths(Design(name, inputs, quantized, head))))


@st.composite
def designs(draw: Any, **limits: int) -> Design:
    """Hypothesis strategy for designs; shrinks towards few, narrow, pruned neurons."""
    return make_design(lambda low, high: draw(st.integers(low, high)), **limits)


def random_design(seed: int, **limits: Any) -> Design:
    """The design of a seed; those of every fifth one have quantizers that wrap."""
    rng = np.random.default_rng(seed)
    return make_design(lambda low, high: int(rng.integers(low, high + 1)), wraps=seed % 5 == 4, **limits)


def random_choices(design: Design, seed: int) -> HlsChoices:
    """HLS choices that fit a design: either interface, and for layers and groups valid schedules of both strategies."""
    rng = np.random.default_rng(seed)

    def schedule(layer: Layer) -> dict[str, Any]:
        strategy = ("Latency", "Resource")[int(rng.integers(2))]
        reuse = int(rng.choice(valid_reuse_factors(layer)))
        return {"Strategy": strategy, "ReuseFactor": reuse}

    layers = {}
    for layer in design.layers:
        groups = [{"WeightBits": g.weight_bits, **schedule(layer)} for g in layer.groups if rng.integers(2)]
        layers[layer.name] = {**schedule(layer), "Groups": groups}
    return HlsChoices(IO_TYPES[int(rng.integers(2))], layers=layers)


def vectors(design: Design, count: int, seed: int = 0) -> Ints:
    """Input mantissas (count x inputs) within the quantizers' ranges: all lows, all highs, then random ones."""
    rng = np.random.default_rng(seed)
    columns = [rng.integers(q.low, q.high + 1, count) for q in design.inputs]
    values = np.stack(columns, axis=1).astype(np.int64)
    for row, corner in enumerate(([q.low for q in design.inputs], [q.high for q in design.inputs])):
        if row < count:
            values[row] = corner
    return values


def _quantizer(pick: Pick, relu: bool, wraps: bool) -> Quantizer:
    bits = pick(9, 16) if pick(0, 7) == 7 else pick(0, 8)
    fmt = Fixed(bool(pick(0, 1)), bits, pick(-3, 6))
    rounding = ROUNDINGS[pick(0, 2)]
    kind = pick(0, 5 if wraps else 3)
    if kind > 3:
        return Quantizer.wrapping(fmt, rounding, relu=relu and kind == 5)
    if kind == 1:  # symmetric
        return Quantizer(fmt, rounding, -fmt.high if fmt.signed else 0, fmt.high)
    if kind == 2 and bits:  # any range, one not around zero included
        low = pick(fmt.low, fmt.high)
        return Quantizer(fmt, rounding, low, pick(low, fmt.high))
    return Quantizer.saturating(fmt, rounding, relu=relu and kind == 3)


def _layer(pick: Pick, name: str, inputs: int, neurons: int, wraps: bool) -> Layer:
    dead = pick(0, 9) == 9
    return Layer(name, tuple(_neuron(pick, inputs, dead, wraps) for _ in range(neurons)))


def _neuron(pick: Pick, inputs: int, dead: bool, wraps: bool) -> Neuron:
    bits = 0.0 if dead else WIDTHS[pick(0, len(WIDTHS) - 1)]
    if bits == 1.0:
        weights = tuple(2 * pick(0, 1) - 1 for _ in range(inputs))
    else:
        limit = 0 if bits == 0 else 1 if bits < 2 else (1 << (int(bits) - 1)) - (pick(0, 3) > 0)
        weights = tuple(pick(-limit, limit) for _ in range(inputs))
    output = _quantizer(pick, True, wraps) if pick(0, 4) else None
    bias = pick(-40, 40) if pick(0, 1) else 0
    return Neuron(weights, pick(-3, 6), bits, bias, pick(-3, 6), output)


def _with_output(neuron: Neuron) -> Neuron:
    output = neuron.output or Quantizer.saturating(Fixed(True, 8, 3), "RND")
    return Neuron(neuron.weights, neuron.weight_frac, neuron.weight_bits, neuron.bias, neuron.bias_frac, output)
