"""Group the neurons of each layer by learned weight width. Groups hold indices; no number changes."""

from __future__ import annotations

from flow.core.design import Design, Group, Layer, with_layers


def group(design: Design) -> Design:
    """Give every layer its groups, widths ascending, indices ascending."""
    return with_layers(design, tuple(Layer(la.name, la.neurons, layer_groups(la)) for la in design.layers))


def layer_groups(layer: Layer) -> tuple[Group, ...]:
    """The groups of one layer."""
    members: dict[float, list[int]] = {}
    for index, neuron in enumerate(layer.neurons):
        members.setdefault(neuron.weight_bits, []).append(index)
    return tuple(Group(bits, tuple(members[bits])) for bits in sorted(members))
