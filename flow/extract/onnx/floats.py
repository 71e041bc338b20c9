"""A float ONNX model as a chain of dense layers and convolutions, for ``--quantize``."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from flow.core.errors import ModelError
from flow.core.nodes import Window
from flow.extract.chain_builder import ZEROS, ChainBuilder
from flow.extract.onnx.constants import Constant, Floats
from flow.extract.onnx.signals import matrix_of
from flow.extract.onnx.stored import Node, StoredOnnx, read
from flow.extract.onnx.walk import SHAPING, Place, Walk, folded, guarded, naming, reshaped, walk
from flow.extract.onnx.windows import (
    AVERAGES,
    MAXIMA,
    Pairs,
    added_zeros,
    channels_last,
    flattened,
    last,
    window_of_node,
    with_zeros,
)
from flow.extract.windows import TooLarge
from keras_models.quantize.chain import FloatChain


class _Chain(ChainBuilder):
    """Takes nodes, refuses quantizers."""

    def dense(self, at: Place, weights: Constant, bias: Constant) -> None:  # type: ignore[override]
        super().dense(at.name, weights.values, bias.values)

    def affine(self, at: Place, scale: Floats, offset: Floats) -> None:  # type: ignore[override]
        super().affine(at.name, scale, offset)

    def activation(self, at: Place, kind: str) -> None:  # type: ignore[override]
        super().activation(at.name, kind)

    def quantizer(self, at: Place) -> None:
        raise ModelError(f"node {at.name} quantizes: the model is quantized already; build it without --quantize")


def onnx_chain(path: Path | str | StoredOnnx, streams: bool = False) -> FloatChain:
    """The layers of a float ONNX model; ``streams`` as `flow.extract.float_model.float_chain` takes it.

    Raises ModelError naming node and remedy.
    """
    stored = path if isinstance(path, StoredOnnx) else read(path)
    if not stored.has_windows:
        builder = _Chain(math.prod(stored.shape))
        walk(stored, builder)
        return builder.chain(stored.name)
    with naming(stored), guarded(stored):
        try:
            return _Maps(stored, streams).chain()
        except TooLarge:
            if streams:
                raise
            return _Maps(stored, True).chain()


class _Maps:
    """A path of nodes over maps: the chain's elements have channels last, ONNX's shapes channels first."""

    def __init__(self, stored: StoredOnnx, streams: bool) -> None:
        self.stored = stored
        self.builder = _Chain(math.prod(stored.shape), last(stored.shape), streams=streams)
        self.constants = {name: Constant.of(array) for name, array in stored.constants.items()}
        self.signal, self.shape = stored.entry, stored.shape
        self.order: tuple[int, ...] = ()  # what a Flatten found
        self.padded: Pairs = ()

    def chain(self) -> FloatChain:
        """All nodes, once."""
        for node in self.stored.nodes:
            moving = [name for name in node.inputs if name and name not in self.constants]
            if not moving:
                self.constants[node.outputs[0]] = folded(node, [self.constants[n] for n in node.inputs if n])
                continue
            if moving != [self.signal]:
                raise ModelError(
                    f"node {node.name[:64]} ({node.kind}) joins or takes up branches; --quantize takes one path of "
                    "nodes: train the model quantized, with Brevitas"
                )
            self._node(node, [self.constants.get(name) if name else None for name in node.inputs])
            self.signal = node.outputs[0]
        if self.signal != self.stored.end or self.padded:
            raise ModelError(f"its output {self.stored.end[:64]} is not what its last layer makes")
        said = channels_last(self.stored.shape)
        self.builder.notes += [said] if said else []
        return self.builder.chain(self.stored.name)

    def _node(self, node: Node, arguments: list[Constant | None]) -> None:
        map_shape = last(self.order or self.shape)
        if node.kind == "Pad":
            around = added_zeros(node, arguments, self.shape)
            self.padded = with_zeros(self.padded, around)
            return
        if node.kind == "Conv":
            self._convolution(node, arguments)
            return
        if self.padded:
            raise ModelError(f"node {node.name[:64]} ({node.kind}) sees added zeros; only a Conv may follow a Pad")
        if node.kind in SHAPING:
            shape = reshaped(node, self.shape, [a for a in arguments if a is not None])
            if len(shape) > 1 and shape != self.shape:
                raise ModelError(
                    f"node {node.name[:64]} ({node.kind}) makes {shape} of {self.shape}; only flatten maps"
                )
            self.order, self.shape = (self.order or self.shape) if len(shape) == 1 else (), shape
        elif node.kind in AVERAGES:
            seen = window_of_node(node, map_shape)
            kernel = np.full((*seen.size, seen.channels, 1), 1 / seen.places)
            self.builder.filters(node.name[:64], seen, _padding(seen), kernel, np.zeros(1), depthwise=True)
            self._now(seen, seen.channels)
        elif node.kind in MAXIMA:
            seen = window_of_node(node, map_shape)
            if _padding(seen) == ZEROS:
                raise ModelError(f"node {node.name[:64]} (MaxPool) has pads that no Keras pool has; export it without")
            self.builder.maxima(node.name[:64], seen, _padding(seen))
            self._now(seen, seen.channels)
        elif node.kind in ("MatMul", "Gemm"):
            weights, bias = matrix_of(self.stored, node, self.shape, arguments)
            weights = flattened(weights, self.order) if self.order else weights
            self.builder.dense(Place(node, self.signal, self.shape, ()), weights, bias)
            self.shape, self.order = (len(bias.values),), ()
        else:
            channels = map_shape[-1]
            pixel = (channels, *(1,) * (len(self.shape) - 1))
            Walk(self.stored, self.builder, {}, self.signal, pixel).passes(node, arguments)

    def _convolution(self, node: Node, arguments: list[Constant | None]) -> None:
        if arguments[0] is not None or len(arguments) < 2 or arguments[1] is None:
            raise ModelError(f"node {node.name[:64]} (Conv) is not a signal under constant weights")
        weights = arguments[1].values
        seen = window_of_node(node, last(self.shape), weights.shape[2:], self.padded)
        groups, channels = int(node.settings.get("group", 1)), self.shape[0]
        if groups < 1 or weights.shape[1] * groups != channels or len(weights) % groups:
            raise ModelError(
                f"node {node.name[:64]} (Conv) has {groups} groups and weights {weights.shape} for {channels} "
                "channels; export it again"
            )
        given = arguments[2] if len(arguments) > 2 else None
        bias = np.zeros(len(weights)) if given is None else given.values
        kernel = np.moveaxis(weights, (0, 1), (-1, -2))
        self.builder.filters(node.name[:64], seen, _padding(seen), kernel, bias)
        self.padded = ()
        self._now(seen, len(weights))

    def _now(self, seen: Window, channels: int) -> None:
        self.shape = (channels, *seen.positions)


def _padding(seen: Window) -> str:
    """What Keras calls the zeros around a window's pixels."""
    if not seen.is_padded:
        return "valid"
    sizes = zip(seen.shape, seen.strides, seen.reach, strict=False)
    total = [max((math.ceil(n / s) - 1) * s + r - n, 0) for n, s, r in sizes]
    return "same" if seen.padded == tuple((t // 2, t - t // 2) for t in total) else ZEROS
