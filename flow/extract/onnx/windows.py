"""Windows of ONNX's convolutions and pools: from channels first to channels last."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.nodes import Window
from flow.extract.onnx.constants import Constant
from flow.extract.onnx.stored import Node

AVERAGES = ("AveragePool", "GlobalAveragePool")
MAXIMA = ("MaxPool", "GlobalMaxPool")
REPEATS = ("Resize", "Upsample")
Array = NDArray[Any]
Pairs = tuple[tuple[int, int], ...]


def last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with its channels behind the pixels."""
    return (*shape[1:], shape[0])


def channels_last(shape: tuple[int, ...]) -> str | None:
    """What is said of images that have another order here than in the model; None where it is the same."""
    if shape[0] == 1 or math.prod(shape[1:]) == 1:
        return None
    own, turned = (" x ".join(map(str, s)) for s in (shape, last(shape)))
    return (
        f"the model takes images of {own} (channels first); the hardware takes them pixel by pixel, with channels "
        f"last: rows of inputs are {turned}, and what leaves it as a map has channels last, too"
    )


def with_zeros(before: Pairs, more: Pairs) -> Pairs:
    """Zeros around zeros; ``before`` may be empty for none."""
    if not before or not more:
        return before or more
    return tuple((a + c, b + d) for (a, b), (c, d) in zip(before, more, strict=True))


def window_of_node(
    node: Node, shape: tuple[int, ...], kernel: tuple[int, ...] | None = None, around: Pairs = ()
) -> Window:
    """The window of a node on a map of ``shape``, channels last; that of a convolution has the kernel's size.

    ``around`` are zeros that a Pad node before it has put around the map.

    Raises ModelError, naming the node and the remedy.
    """
    where, directions, settings = f"node {node.name[:64]} ({node.kind})", len(shape) - 1, node.settings
    if directions not in (1, 2):
        raise ModelError(f"{where} sees a signal of {directions} directions; one or two are possible")
    if node.kind.startswith("Global"):
        return Window.whole(shape)
    size = _numbers(where, settings.get("kernel_shape", kernel), directions, 1)
    strides = _numbers(where, settings.get("strides"), directions, 1)
    dilation = _numbers(where, settings.get("dilations"), directions, 1)
    if kernel is not None and size != kernel:
        raise ModelError(f"{where} says kernel_shape {size}, its weights are of {kernel}; export it again")
    if node.kind != "Conv" and max(dilation) > 1:
        raise ModelError(f"{where} looks at pixels apart (dilations {dilation}), which pools of hardware do not")
    wider = tuple(n + sum(pair) for n, pair in zip(shape, around or ((0, 0),) * directions, strict=False))
    padded = with_zeros(around, _padded(where, settings, (*wider, shape[-1]), size, strides, dilation))
    found = Window(shape, size, strides, dilation, padded)
    if 0 in found.positions:
        raise ModelError(f"{where}: its window of {size} does not fit into {shape[:-1]} pixels; pad or shrink it")
    if settings.get("ceil_mode") and any(
        (n + sum(p) - r) % s for n, p, r, s in zip(shape, padded, found.reach, strides, strict=False)
    ):
        raise ModelError(f"{where} looks beyond the last pixel (ceil_mode); export it with ceil_mode=0, or pad before")
    if node.kind == "AveragePool" and found.is_padded and not settings.get("count_include_pad"):
        raise ModelError(f"{where} takes means of fewer values at the border; use count_include_pad=1 or no padding")
    return found


def repeated(node: Node, shape: tuple[int, ...], runtime: Callable[[Array], Array]) -> Window:
    """The window of a node that repeats pixels of a map of ``shape``, channels last.

    Scales, modes of coordinates and of rounding come to a choice of pixels in the end, which ``runtime`` is asked for:
    it gets maps, channels first, of the pixels' numbers. Raises ModelError where it repeats none.
    """
    pixels = np.arange(math.prod(shape[:-1]), dtype=np.float32).reshape(1, 1, *shape[:-1])
    found = runtime(np.repeat(pixels, shape[-1], axis=1))
    times = tuple(max(many // few, 1) for many, few in zip(found.shape[2:], shape, strict=False))
    for axis, count in enumerate(times, 2):
        pixels = np.repeat(pixels, count, axis)
    if not np.array_equal(found, np.repeat(pixels, shape[-1], axis=1)):
        raise ModelError(
            f"node {node.name[:64]} ({node.kind}) makes other values than repeated pixels of {shape[:-1]}; export it "
            "with mode nearest and whole scales"
        )
    return Window.repeated(shape, times)


def _numbers(where: str, given: Any, directions: int, default: int) -> tuple[int, ...]:
    numbers = (default,) * directions if given is None else tuple(given)
    if len(numbers) != directions or not all(isinstance(n, int) and 0 < n < 1 << 20 for n in numbers):
        raise ModelError(f"{where} has settings {str(numbers)[:40]}; {directions} whole numbers are needed")
    return numbers


def _padded(
    where: str, settings: dict[str, Any], shape: tuple[int, ...], size: tuple[int, ...], strides: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Pairs:  # fmt: skip
    auto, directions = str(settings.get("auto_pad", "NOTSET")), len(size)
    if auto == "VALID":
        return ((0, 0),) * directions
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        found = []
        for n, k, s, d in zip(shape, size, strides, dilation, strict=False):
            total = max((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0)
            less, more = total // 2, total - total // 2
            found.append((less, more) if auto == "SAME_UPPER" else (more, less))
        return tuple(found)
    pads = settings.get("pads") or [0] * (2 * directions)
    return pairs_of(where, list(pads), directions)


def pairs_of(where: str, pads: list[int], directions: int) -> Pairs:
    """Zeros before and behind in each direction, of ONNX's list of all before and all behind. Raises ModelError."""
    if len(pads) != 2 * directions or not all(0 <= p < 1 << 16 for p in pads):
        raise ModelError(f"{where} has pads {str(pads)[:40]}; {2 * directions} numbers of 0 and more are needed")
    return tuple(zip(pads[:directions], pads[directions:], strict=True))


def added_zeros(node: Node, arguments: list[Constant | None], shape: tuple[int, ...]) -> Pairs:
    """The zeros that a Pad node puts around the pixels of ``shape``, channels first. Raises ModelError."""
    where = f"node {node.name[:64]} (Pad)"
    mode = node.settings.get("mode", "constant")
    value = arguments[2].values.ravel() if len(arguments) > 2 and arguments[2] is not None else np.zeros(1)
    if mode != "constant" or value.any() or node.settings.get("value", 0):
        raise ModelError(f"{where} adds other values than 0; only zeros are put around a map")
    if len(arguments) > 3 and arguments[3] is not None:
        raise ModelError(f"{where} names axes; export it with pads for all axes")
    given = node.settings.get("pads") if len(arguments) < 2 or arguments[1] is None else arguments[1].values.tolist()
    pads = [int(p) for p in given or []]
    rank = len(shape) + 1
    if len(pads) != 2 * rank or any(pads[k] or pads[rank + k] for k in (0, 1)):
        raise ModelError(f"{where} adds more than pixels of zeros; pad height and width alone")
    return pairs_of(where, [*pads[2:rank], *pads[rank + 2 :]], rank - 2)


def filters_of(node: Node, weights: Constant, channels: int) -> Constant:
    """A convolution's weights (filters, channels of a group, sizes) as (places by channels, filters), channels last.

    A filter of a group has zeros for the channels of others. Raises ModelError.
    """
    groups = int(node.settings.get("group", 1))
    filters, own = weights.values.shape[:2]
    if groups < 1 or own * groups != channels or filters % groups:
        raise ModelError(
            f"node {node.name[:64]} (Conv) has {groups} groups and weights {weights.values.shape} for {channels} "
            "channels; export it again"
        )
    places = math.prod(weights.values.shape[2:])
    mantissas, scale = (
        part.reshape(filters, own, places).transpose(2, 1, 0) for part in (weights.mantissas, weights.scale)
    )
    whole, scales = np.zeros((places, channels, filters)), np.broadcast_to(scale[:1, :1], (places, channels, filters))
    scales = scales.copy()
    for group in range(groups):
        mine = slice(group * own, (group + 1) * own), slice(group * filters // groups, (group + 1) * filters // groups)
        whole[:, mine[0], mine[1]], scales[:, mine[0], mine[1]] = mantissas[..., mine[1]], scale[..., mine[1]]
    return Constant(whole.reshape(-1, filters), scales.reshape(-1, filters), weights.bits)


def means_of(window: Window) -> Constant:
    """The weights of a pool of means, as `filters_of` returns those of a convolution."""
    ones = np.tile(np.eye(window.channels), (window.places, 1))
    return Constant(ones, np.full_like(ones, 1 / window.places), 2)


def flattened(weights: Constant, order: tuple[int, ...]) -> Constant:
    """Rows of a matrix for a flattened map of shape ``order``, channels first, in the order of channels last."""
    back = np.moveaxis(np.arange(math.prod(order)).reshape(order), 0, -1).ravel()
    return weights.shaped(lambda a: a[back])
