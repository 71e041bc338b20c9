"""Maps: values of a model as hardware streams them, pixels of so many channels, whatever shape the model gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flow.core.design import Layer
from flow.core.errors import ModelError
from flow.core.fixed import Quantizer
from flow.core.nodes import Node, Window
from flow.extract.graph_trace import Call
from flow.extract.layer_steps import Affine, Step
from flow.extract.readout import parameters
from flow.extract.windows import window_of

OTHERWISE = "leave --architecture streaming out where the network is small enough to unroll"


@dataclass(frozen=True)
class Streamed:
    """Quantizers of the input's elements, layers and nodes, and what was done."""

    inputs: tuple[Quantizer, ...]
    layers: tuple[Layer, ...]
    nodes: tuple[Node, ...]
    notes: tuple[str, ...]
    asked: tuple[int, ...]
    real: tuple[str, ...]
    left_out: str | None


@dataclass(eq=False)
class Map:
    """A map: its nodes where it is closed (``spans`` of their channels, ``after`` still to be applied), else steps.

    The steps begin at a dense layer on ``window`` over ``sources``; those of the model's input (``raw``) anywhere.
    """

    shape: tuple[int, ...]
    sources: tuple[int, ...]
    window: Window
    steps: list[Step] = field(default_factory=list)
    raw: bool = False
    spans: tuple[Quantizer, ...] | None = None
    after: Affine | None = None
    padded: tuple[tuple[int, int], ...] = ()

    @property
    def channels(self) -> int:
        """Channels of a pixel."""
        return self.shape[-1]


def elements_of(source: Map) -> int:
    """Elements that the map's steps begin with."""
    return source.channels if source.raw else source.window.places * source.window.channels


def with_zero(span: Quantizer) -> Quantizer:
    """What a value is that may be one of the zeros around a map instead."""
    return replace(span, low=min(span.low, 0), high=max(span.high, 0))


def beside(name: str, sources: Sequence[Map]) -> Affine:
    """The scales that wait on maps whose channels stand side by side."""
    parts = [s.after or Affine.uniform(name, 0, 0, s.channels) for s in sources]  # type: ignore[arg-type]
    return Affine(
        name,
        np.concatenate([p.sign for p in parts]),
        np.concatenate([p.exponent for p in parts]),
        tuple(offset for p in parts for offset in parameters(p)[1]),
    )


def require_pixels(call: Call, source: Map) -> None:
    """Raise ModelError where the layer sees another shape than the map's."""
    if len(call.applied.input_shape) != len(source.shape):
        raise ModelError(f"layer {call.name} sees pixels that were reshaped; {OTHERWISE}")


def window_on(call: Call, source: Map) -> Window:
    """The layer's window on the map, whose zeros around it come from ZeroPadding layers too."""
    require_pixels(call, source)
    config: dict[str, Any] = call.applied.layer.get_config()
    found = window_of(call.name, call.kind, config, call.applied.input_shape)
    if not source.padded:
        return found
    pairs = zip(found.padded, source.padded, strict=True)
    padded = tuple((a + c, b + d) for (a, b), (c, d) in pairs)
    return replace(found, shape=source.shape, padded=padded)


def reshaped(call: Call, source: Map) -> Map:
    """A map under another shape; the pixels stay what they are."""
    shape = call.applied.output_shape
    if source.padded and shape != call.applied.input_shape:
        raise ModelError(f"layer {call.name} reshapes added zeros; {OTHERWISE}")
    if len(shape) == 1 or shape == source.shape:
        if source.raw and not source.steps and source.spans is None and len(shape) > len(source.shape):
            return replace(source, shape=shape, window=Window.pixel(shape))
        return source
    if source.raw and not source.steps and source.spans is None:
        source.shape, source.window = shape, Window.pixel(shape)
        return source
    if shape[-1] != source.channels or math.prod(shape) != math.prod(source.shape):
        raise ModelError(f"layer {call.name} ({call.kind}) makes other channels of a map; {OTHERWISE}")
    if source.spans is None:
        raise ModelError(f"layer {call.name} ({call.kind}) reshapes a map before it is quantized; {OTHERWISE}")
    return replace(source, shape=shape, window=Window.pixel(shape))


def padded_with_zeros(call: Call, source: Map) -> Map:
    """A map with zeros around it, which the convolution behind it puts there."""
    padding = call.applied.layer.padding
    pairs = tuple(tuple(p) if isinstance(p, list | tuple) else (p, p) for p in padding)
    if call.kind == "ZeroPadding1D":
        pairs = (tuple(padding) if isinstance(padding, list | tuple) else (padding, padding),)
    if getattr(call.applied.layer, "data_format", None) not in (None, "channels_last"):
        raise ModelError(f"layer {call.name} has channels first; build the model with data_format='channels_last'")
    before = source.padded or ((0, 0),) * len(pairs)
    total = tuple((a + c, b + d) for (a, b), (c, d) in zip(before, pairs, strict=True))
    return replace(source, padded=total)
