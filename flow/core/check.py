"""Invariants of a design, run after every pass: an error near its cause."""

from __future__ import annotations

import math
import re

from flow.core.design import HEADS, Design, Layer
from flow.core.errors import DesignError
from flow.core.nodes import Window
from flow.core.ranges import accumulator_range

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
MAX_ELEMENTS = 1 << 16
MAX_WEIGHTS = 1 << 26
MAX_WEIGHT_BITS = 60


def check(design: Design) -> Design:
    """Return ``design`` unchanged; raise DesignError naming layer and neuron at the first broken invariant."""
    _check_name(design.name, "design")
    if design.head not in HEADS:
        raise DesignError(f"unknown head {design.head!r}; known: {', '.join(HEADS)}")
    if not design.inputs or len(design.inputs) > MAX_ELEMENTS:
        raise DesignError(f"a design needs 1..{MAX_ELEMENTS} inputs, this one has {len(design.inputs)}")
    if not design.layers:
        raise DesignError("a design needs at least one layer")
    names = [layer.name for layer in design.layers]
    if len({n.lower() for n in names}) != len(names):
        raise DesignError(f"layer names repeat: {', '.join(names)}")
    if design.nodes:
        _check_nodes(design)
    width = len(design.inputs)
    for index, layer in enumerate(design.layers):
        window = design.nodes[design.node_of(index)].window if design.nodes else None
        _check_layer(layer, width if window is None else window.places * window.channels)
        width = len(layer.neurons)
    if all(n.accumulator is not None for layer in design.layers for n in layer.neurons):
        _check_accumulators(design)
    return design


def _check_nodes(design: Design) -> None:
    """That windows lie on the maps of earlier nodes, and that each layer is that of one node."""
    dense = [node.name for node in design.nodes if node.kind == "dense"]
    if len(dense) != len(design.layers):
        raise DesignError(f"{len(dense)} nodes apply layers, the design has {len(design.layers)}")
    shapes: dict[int, tuple[int, ...]] = {}
    counts = iter(len(layer.neurons) for layer in design.layers)
    for number, node in enumerate(design.nodes):
        window, where = node.window, f"node {node.name}"
        directions = len(window.shape) - 1
        rows = (window.size, window.strides, window.dilation, window.padded)
        if directions < 0 or any(len(row) != directions for row in rows) or not node.sources:
            raise DesignError(f"{where}: its window has not the {directions} directions of its input")
        positive = (*window.shape, *window.size, *window.strides, *window.dilation, *window.repeats)
        if min(positive, default=0) < 1 or max(positive) > MAX_ELEMENTS or min(map(min, window.padded), default=0) < 0:
            raise DesignError(f"{where}: a size, stride, dilation or padding of its window is out of bounds")
        if window.pixel_count > MAX_ELEMENTS or window.places * window.channels > MAX_ELEMENTS:
            raise DesignError(f"{where}: its window or its input is beyond {MAX_ELEMENTS} elements")
        beyond = any(p >= r for pair, r in zip(window.padded, window.reach, strict=True) for p in pair)
        if 0 in window.positions or (node.kind == "max" and beyond):
            raise DesignError(f"{where}: its window does not fit into {window.shape[:-1]} pixels")
        if (node.kind == "repeat") != bool(window.repeats):
            raise DesignError(f"{where}: a window repeats pixels where the node is of kind repeat, and nowhere else")
        if window.repeats and window != Window.repeated(window.shape, window.repeats):
            raise DesignError(f"{where}: its window repeats single pixels, so nothing but its repeats may be set")
        if window.repeats and (len(window.repeats) != directions or window.count > MAX_ELEMENTS):
            raise DesignError(f"{where}: its window repeats pixels in no {directions} directions, or too often")
        channels = 0
        for source in node.sources:
            if not -1 <= source < number:
                raise DesignError(f"{where}: source {source} is no earlier node")
            if source == -1:
                if len(design.inputs) % window.pixel_count:
                    raise DesignError(f"{where}: {len(design.inputs)} inputs are no {window.pixel_count} pixels")
                own = (*window.shape[:-1], len(design.inputs) // window.pixel_count)
                if shapes.setdefault(-1, own) != own or design.inputs != design.inputs[: own[-1]] * window.pixel_count:
                    raise DesignError(f"{where}: the pixels of the design's input differ in shape or format")
            if math.prod(shapes[source][:-1]) != window.pixel_count:
                raise DesignError(f"{where}: its window lies on {window.shape}, its source is {shapes[source]}")
            channels += shapes[source][-1]
        if channels != window.channels:
            raise DesignError(f"{where}: its window has {window.channels} channels, its sources {channels}")
        shapes[number] = (*window.positions, next(counts) if node.kind == "dense" else channels)
    if sum(n.name.lower() == m.name.lower() for n in design.nodes for m in design.nodes) != len(design.nodes):
        raise DesignError("names of nodes repeat")


def _check_name(name: str, what: str) -> None:
    if not _NAME.match(name) or len(name) > 64:
        raise DesignError(f"{what} name {name[:64]!r} is not an identifier of at most 64 letters, digits and _")


def _check_layer(layer: Layer, inputs: int) -> None:
    _check_name(layer.name, "layer")
    if not 0 < len(layer.neurons) <= MAX_ELEMENTS or len(layer.neurons) * inputs > MAX_WEIGHTS:
        raise DesignError(f"layer {layer.name}: {len(layer.neurons)} neurons of {inputs} inputs is out of bounds")
    for index, neuron in enumerate(layer.neurons):
        where = f"layer {layer.name}, neuron {index}"
        if len(neuron.weights) != inputs:
            raise DesignError(f"{where}: {len(neuron.weights)} weights for {inputs} inputs")
        if not (0 <= neuron.weight_bits <= MAX_WEIGHT_BITS and math.isfinite(neuron.weight_bits)):
            raise DesignError(f"{where}: weight width {neuron.weight_bits} is outside 0..{MAX_WEIGHT_BITS}")
        if max(abs(neuron.weight_frac), abs(neuron.bias_frac)) > 256 or neuron.bias.bit_length() > 62:
            raise DesignError(f"{where}: scale or bias out of bounds")
        limit = 1 << max(math.ceil(neuron.weight_bits) - 1, 0) if neuron.weight_bits else 0
        if any(abs(w) > limit for w in neuron.weights):
            raise DesignError(f"{where}: a weight does not fit the width {neuron.weight_bits:g} the neuron states")
    if layer.groups and sorted(i for g in layer.groups for i in g.neurons) != list(range(len(layer.neurons))):
        raise DesignError(f"layer {layer.name}: the groups do not partition the neurons")
    for grp in layer.groups:
        if any(layer.neurons[i].weight_bits != grp.weight_bits for i in grp.neurons):
            raise DesignError(f"layer {layer.name}: a group of width {grp.weight_bits:g} holds another width")


def _check_accumulators(design: Design) -> None:
    for index, layer in enumerate(design.layers):
        formats, ranges = design.formats_into(index), design.ranges_into(index)
        for j, neuron in enumerate(layer.neurons):
            low, high, frac = accumulator_range(neuron, formats, ranges)
            fmt = neuron.accumulator
            assert fmt is not None
            if fmt.frac != frac or not fmt.low <= low <= high <= fmt.high:
                raise DesignError(f"layer {layer.name}, neuron {j}: accumulator {fmt} cannot hold {low}..{high}")
