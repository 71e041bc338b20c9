"""Windows over pixels, of convolutions and pools: which element of an input meets which weight for which output.

A convolution is one dense layer at every position. Here it is unrolled: a row of weights per position and filter, zero
where the window does not reach. Elements are those of the flattened array, channels last, as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.nodes import Window


class TooLarge(ModelError):
    """A layer that is too large to be unrolled."""


MAX_ROWS = 1 << 23  # of inputs times outputs: beyond, unrolled hardware fits no part
CONVOLUTIONS = frozenset(
    "Conv1D Conv2D DepthwiseConv1D DepthwiseConv2D QConv1D QConv2D QDepthwiseConv2D QConv2DBatchnorm "
    "NMPConv1D NMPConv2D NMPDepthwiseConv1D NMPDepthwiseConv2D".split()
)
AVERAGING = frozenset("AveragePooling1D AveragePooling2D GlobalAveragePooling1D GlobalAveragePooling2D".split())
MAXIMA = frozenset("MaxPooling1D MaxPooling2D GlobalMaxPooling1D GlobalMaxPooling2D".split())
SEPARABLE = frozenset(("SeparableConv1D", "SeparableConv2D", "QSeparableConv1D", "QSeparableConv2D"))
POOLS = AVERAGING | MAXIMA
REPEATS = frozenset(("UpSampling1D", "UpSampling2D"))
MAX_WEIGHTS = 200_000  # of an unrolled layer, counted at every position
_UNROLLED = (
    "which is too much, for it is unrolled, a row of weights per pixel and filter; stream it, or use fewer pixels "
    "(a larger stride) or filters"
)


def window_of(name: str, kind: str, config: Mapping[str, Any], shape: tuple[int, ...]) -> Window:
    """The window of a convolution or a pool by its settings. Raises ModelError naming the layer and the remedy."""
    directions = 1 if kind.endswith("1D") else 2
    where = f"layer {name[:64]} ({kind})"
    _require_pixels(where, config, shape, directions)
    if kind.startswith("Global"):
        return Window(shape, shape[:-1], (1,) * directions, (1,) * directions, ((0, 0),) * directions)
    size = _numbers(where, config, "pool_size" if kind in POOLS else "kernel_size", directions, 2)
    strides = _numbers(where, config, "strides", directions, size if kind in POOLS else 1)
    dilation = _numbers(where, config, "dilation_rate", directions, 1)
    padding = str(config.get("padding") or "valid").lower()
    found = Window(shape, size, strides, dilation, _padded(where, padding, shape, size, strides, dilation))
    if 0 in found.positions:
        raise ModelError(f"{where}: its window of {size} does not fit into {shape[:-1]} pixels; pad or shrink it")
    return found


def repeating(name: str, kind: str, config: Mapping[str, Any], shape: tuple[int, ...]) -> Window:
    """The window of an UpSampling layer. Raises ModelError naming the layer and the remedy."""
    directions = 1 if kind.endswith("1D") else 2
    where = f"layer {name[:64]} ({kind})"
    if config.get("interpolation") not in (None, "nearest"):
        raise ModelError(f"{where} computes values between pixels; build the model with interpolation='nearest'")
    _require_pixels(where, config, shape, directions)
    return Window.repeated(shape, _numbers(where, config, "size", directions, 2))


def _require_pixels(where: str, config: Mapping[str, Any], shape: tuple[int, ...], directions: int) -> None:
    if len(shape) != directions + 1:
        raise ModelError(f"{where} sees inputs of shape {shape}; {directions + 1} axes are needed, channels last")
    if config.get("data_format") not in (None, "channels_last"):
        raise ModelError(f"{where} has channels first; build the model with data_format='channels_last'")


def is_depthwise(kind: str) -> bool:
    """Whether a layer of this class has a kernel for each channel by itself."""
    return "Depthwise" in kind


def _numbers(
    where: str, config: Mapping[str, Any], key: str, directions: int, default: int | tuple[int, ...]
) -> tuple[int, ...]:
    value = config.get(key)
    value = default if value is None else value
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,) * directions
    if len(numbers) != directions or not all(
        isinstance(n, int) and not isinstance(n, bool) and 0 < n <= MAX_ROWS for n in numbers
    ):
        raise ModelError(f"{where} has {key} {value!r:.40}; give {directions} whole numbers")
    return numbers


def _padded(
    where: str, padding: str, shape: tuple[int, ...], size: tuple[int, ...], strides: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:  # fmt: skip
    """Zeros at both ends, as TensorFlow and with it Keras places them: the odd one behind."""
    reach = [(k - 1) * d for k, d in zip(size, dilation, strict=True)]
    if padding == "valid":
        return ((0, 0),) * len(size)
    if padding == "causal" and len(size) == 1 and "QConv" not in where:  # which QKeras itself does not compute
        return ((reach[0], 0),)
    if padding != "same":
        raise ModelError(f"{where} has padding {padding!r:.40}; use valid or same, with a ZeroPadding layer before")
    total = [max((math.ceil(n / s) - 1) * s + r + 1 - n, 0) for n, s, r in zip(shape, strides, reach, strict=False)]
    return tuple((t // 2, t - t // 2) for t in total)


def require_size(name: str, inputs: int, outputs: int) -> None:
    """Raise ModelError where a layer, unrolled, is beyond every part."""
    if inputs * outputs > MAX_ROWS:
        raise TooLarge(f"layer {name[:64]} has {inputs} inputs and {outputs} outputs, {_UNROLLED}")


def weights_met(name: str, window: Window, kernel: tuple[int, ...], depthwise: bool = False) -> NDArray[np.int64]:
    """(inputs, outputs) number of the weight in the flattened kernel that joins them, -1 where none does.

    A convolution's kernel is (sizes, channels of a group, filters), that of a depthwise one (sizes, channels,
    multiplier). Outputs are by position, then by filter. Raises ModelError naming the layer where there are too many.
    """
    channels, pixels = window.shape[-1], window.pixels()
    places = math.prod(window.size)
    if depthwise:
        rows = channels * kernel[-1]
        sources, first = np.repeat(np.arange(channels), kernel[-1])[None, :], np.arange(rows)[None, :]
        step = rows
    else:
        group, filters = kernel[-2:]
        own = np.arange(filters) // max(filters // max(channels // group, 1), 1)  # the group of each filter
        sources = own[None, :] * group + np.arange(group)[:, None]
        first = np.arange(group)[:, None] * filters + np.arange(filters)[None, :]
        step = group * filters
    outputs = sources.shape[1]
    met = int((pixels >= 0).sum()) * sources.size
    if met > MAX_WEIGHTS:
        raise TooLarge(f"layer {name[:64]} has {met} weights at its {len(pixels)} positions, {_UNROLLED}")
    found = np.full((math.prod(window.shape), len(pixels) * outputs), -1, np.int64)
    column = np.broadcast_to(np.arange(outputs), sources.shape)
    for position, row in enumerate(pixels):
        for place in range(places):
            if row[place] >= 0:
                found[row[place] * channels + sources, position * outputs + column] = first + place * step
    return found


def pooled(window: Window) -> NDArray[np.int64]:
    """(inputs, outputs) 1 where a pool's output has the input in its window, else 0."""
    rows = members(window)
    found = np.zeros((math.prod(window.shape), len(rows)), np.int64)
    for output, row in enumerate(rows):
        found[row, output] = 1
    return found


def members(window: Window) -> list[NDArray[np.int64]]:
    """By output of a pool the inputs in its window: by position, then by channel."""
    channels = window.shape[-1]
    return [row[row >= 0] * channels + c for row in window.pixels() for c in range(channels)]
