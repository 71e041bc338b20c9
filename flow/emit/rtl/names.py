"""What emission knows of the names in a netlist: which layer an instance is, whose every name and line is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

SHARED = -1  # in place of a neuron's index: what several neurons of a layer use
HEAD_INSTANCE = "u_argmax"  # of the argmax head in a top module


@dataclass(frozen=True)
class LayerNames:
    """One layer in the top module: its ``instance``, the net of its packed ``output`` and the ``file`` of its module.

    ``neurons`` says of what the module computes, by its name, whose it is (a neuron's index or ``SHARED``), instances
    included; ``sections`` the same of its lines: the first line of each section, counted from 1. Both are empty where
    elements serve many neurons, in folded layers.
    """

    layer: str
    instance: str
    output: str
    file: str
    neurons: Mapping[str, int] = field(default_factory=dict)
    sections: tuple[tuple[int, int], ...] = ()

    def neuron_of(self, name: str) -> int | None:
        """Whose a name of the flattened module is, given without the instance; None for one not declared in it."""
        return self.neurons.get(name.partition(".")[0])

    def neuron_at(self, line: int) -> int:
        """Whose a line of ``file`` is."""
        place = bisect_right(self.sections, line, key=lambda section: section[0])
        return self.sections[place - 1][1] if place else SHARED


def layer_instance(layer: str) -> str:
    """Name of a layer's instance in every top module."""
    return f"u_{layer}"


def layer_output(layer: str) -> str:
    """Name of the net that carries a layer's packed output in the top of a parallel design."""
    return f"{layer}_y"
