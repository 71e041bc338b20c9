"""What all methods' MLPs have in common: the names of their layers, and how kernels start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras

QUANTIZER = "quantize_inputs"  # where inputs are quantized by a layer of their own


@dataclass(frozen=True)
class Place:
    """A dense layer's place in an MLP; ``relu`` names what follows it as a layer of its own."""

    number: int
    units: int
    is_last: bool

    @property
    def name(self) -> str:
        """The dense layer's name."""
        return "output" if self.is_last else f"dense_{self.number}"

    @property
    def relu(self) -> str:
        """The name of an activation layer behind it."""
        return f"relu_{self.number}"


def features(inputs: int) -> keras.layers.Layer:
    """The input layer."""
    return keras.layers.Input((inputs,), name="features")


def places(hidden: Sequence[int], outputs: int) -> list[Place]:
    """The dense layers, in order."""
    return [Place(k, units, k == len(hidden)) for k, units in enumerate([*hidden, outputs])]


def initializer(seed: int, place: Place) -> keras.initializers.Initializer:
    """How a dense layer's kernel starts."""
    return keras.initializers.HeNormal(seed=(1000 * seed + place.number) % (1 << 32))
