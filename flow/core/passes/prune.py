"""Make dead parts explicit: neurons whose output is never used keep their place but lose their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flow.core.design import Design, Layer, Neuron, with_layers
from flow.core.evaluate import live_inputs
from flow.core.nodes import INPUT


def prune(design: Design) -> Design:
    """Zero what cannot change an output: weights on constant-zero inputs, neurons nobody reads, bodies behind 0 bits.

    Neuron counts and orders stay; a pruned neuron has width 0, weights 0 and produces the constant 0. Accumulator
    formats and groups are taken away: they are made anew from what is left.
    """
    if design.nodes:
        return _prune_nodes(design)
    layers = [_plain(layer) for layer in design.layers]
    zero_input = [q.low == q.high == 0 for q in design.inputs]
    for index, layer in enumerate(layers):
        layers[index] = _drop_inputs(layer, zero_input)
        zero_input = [_constant_zero(n) for n in layers[index].neurons]
    for index in range(len(layers) - 2, -1, -1):
        used = live_inputs(layers[index + 1])
        neurons = tuple(n if u else _dead(n) for n, u in zip(layers[index].neurons, used, strict=True))
        layers[index] = Layer(layers[index].name, neurons, ())
    return with_layers(design, tuple(layers))


def _prune_nodes(design: Design) -> Design:
    """`prune` by channels: a filter that nobody reads loses its weights."""
    layers = [_plain(layer) for layer in design.layers]
    zero = {INPUT: [span.low == span.high == 0 for span in design.spans(INPUT)]}
    for number, node in enumerate(design.nodes):
        zero[number] = [is_zero for source in node.sources for is_zero in zero[source]]
        if node.kind == "dense":
            index = design.layer_of(number)
            layers[index] = _drop_inputs(layers[index], zero[number] * node.window.places)
            zero[number] = [_constant_zero(n) for n in layers[index].neurons]
    used = {number: [False] * len(own) for number, own in zero.items()}
    used[len(design.nodes) - 1] = [True] * len(zero[len(design.nodes) - 1])
    for number, node in reversed(list(enumerate(design.nodes))):
        read = used[number]
        if node.kind == "dense":
            index = design.layer_of(number)
            neurons = tuple(n if u else _dead(n) for n, u in zip(layers[index].neurons, read, strict=True))
            layers[index] = Layer(layers[index].name, neurons, ())
            live = live_inputs(layers[index]).tolist()
            read = [any(live[channel :: node.window.channels]) for channel in range(node.window.channels)]
        first = 0
        for source in node.sources:
            own = read[first : first + len(used[source])]
            used[source] = [a or b for a, b in zip(used[source], own, strict=True)]
            first += len(own)
    return with_layers(design, tuple(layers))


def _plain(layer: Layer) -> Layer:
    return Layer(layer.name, tuple(replace(n, accumulator=None) for n in layer.neurons))


def _drop_inputs(layer: Layer, zero_input: Sequence[bool]) -> Layer:
    neurons = []
    for neuron in layer.neurons:
        weights = tuple(0 if zero else w for w, zero in zip(neuron.weights, zero_input, strict=True))
        if neuron.output and neuron.output.low == neuron.output.high == 0:
            neurons.append(_dead(neuron))
        else:
            neurons.append(replace(neuron, weights=weights, weight_bits=neuron.weight_bits if any(weights) else 0.0))
    return Layer(layer.name, tuple(neurons), ())


def _constant_zero(neuron: Neuron) -> bool:
    return (
        neuron.bias == 0
        and not any(neuron.weights)
        and (neuron.output is None or neuron.output.low <= 0 <= neuron.output.high)
    )


def _dead(neuron: Neuron) -> Neuron:
    return replace(neuron, weights=(0,) * len(neuron.weights), weight_bits=0.0, bias=0, bias_frac=0)
