"""A streamed network's nodes: where a layer, or a pool of maxima, looks at its input, and how its inputs come about.

A *map* is what a node makes: pixels in their order, each of so many channels. A node slides a window over a map, or
over the pixels of several maps side by side; at each position it makes one pixel. Elements of a window are by place,
then by channel; elements of a map by pixel, then by channel, as flattened arrays are with channels last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import DesignError

INPUT = -1  # a source: the design's own input
KINDS = ("dense", "max", "repeat")
Form = Literal["auto", "unrolled", "streamed"]  # how windows over pixels become hardware


@dataclass(frozen=True)
class Window:
    """A layer's window on inputs of ``shape`` (sizes, then channels): reach, step and spread of it in each direction.

    ``padded`` are the zeros before the first and behind the last pixel of each direction. ``repeats``, of a window of
    one pixel, are the positions that see the same pixel one after another in each direction: empty for one each.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padded: tuple[tuple[int, int], ...]
    repeats: tuple[int, ...] = ()

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Window:
        """A window that sees all pixels at once."""
        ones = (1,) * (len(shape) - 1)
        return cls(shape, shape[:-1], ones, ones, ((0, 0),) * len(ones))

    @classmethod
    def pixel(cls, shape: tuple[int, ...]) -> Window:
        """A window that sees one pixel."""
        ones = (1,) * (len(shape) - 1)
        return cls(shape, ones, ones, ones, ((0, 0),) * len(ones))

    @classmethod
    def repeated(cls, shape: tuple[int, ...], repeats: tuple[int, ...]) -> Window:
        """A window that sees each pixel so many times in each direction."""
        return replace(cls.pixel(shape), repeats=repeats)

    @property
    def reach(self) -> tuple[int, ...]:
        """Pixels from the first to the last place of the window in each direction."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.size, self.dilation, strict=True))

    @property
    def positions(self) -> tuple[int, ...]:
        """Number of positions in each direction."""
        if self.repeats:
            return tuple(n * times for n, times in zip(self.shape, self.repeats, strict=False))
        spans = [n + sum(p) - r for n, p, r in zip(self.shape, self.padded, self.reach, strict=False)]
        return tuple(max(span // step + 1, 0) for span, step in zip(spans, self.strides, strict=True))

    @property
    def count(self) -> int:
        """Number of positions."""
        return math.prod(self.positions)

    @property
    def pixel_count(self) -> int:
        """Number of pixels that the window slides over."""
        return math.prod(self.shape[:-1])

    @property
    def row_pixels(self) -> int:
        """Pixels of a row with the zeros around it."""
        return self.shape[-2] + sum(self.padded[-1]) if self.padded else 1

    @property
    def channels(self) -> int:
        """Channels of a pixel."""
        return self.shape[-1]

    @property
    def places(self) -> int:
        """Pixels that the window sees."""
        return math.prod(self.size)

    @property
    def is_padded(self) -> bool:
        """Whether zeros lie around the pixels."""
        return any(sum(p) for p in self.padded)

    def pixels(self) -> NDArray[np.int64]:
        """(positions, places of the window) number of the pixel that lies there, -1 for padding."""
        found = np.zeros((1, 1), np.int64)
        repeats = self.repeats or (1,) * len(self.size)
        for n, k, step, spread, (before, _), times, count in zip(
            self.shape, self.size, self.strides, self.dilation, self.padded, repeats, self.positions, strict=False
        ):
            own = step * (np.arange(count)[:, None] // times) + spread * np.arange(k) - before
            outside = (own < 0) | (own >= n)
            joined = found[:, None, :, None] * n + own[None, :, None, :]
            joined[(found < 0)[:, None, :, None] | outside[None, :, None, :]] = -1
            found = joined.reshape(len(found) * count, -1)
        return found

    def under(self, pixels: NDArray[Any], padding: int = 0) -> NDArray[Any]:
        """(maps, positions, places, channels) what lies there, of maps (maps, pixels, channels)."""
        around = np.full((len(pixels), 1, self.channels), padding, pixels.dtype)
        return np.asarray(np.concatenate([pixels, around], axis=1)[:, self.pixels()])  # -1 is the padding


@dataclass(frozen=True)
class Node:
    """A node: ``dense`` is the design's next layer at every position, ``max`` the largest value of each channel,
    ``repeat`` each pixel as often as its window says.

    ``sources`` are numbers of earlier nodes, or `INPUT`; the channels of several stand side by side.
    """

    name: str
    kind: Literal["dense", "max", "repeat"]
    sources: tuple[int, ...]
    window: Window


def node_of(data: dict[str, Any]) -> Node:
    """A node from JSON. Raises DesignError for a kind that is none."""
    if data["kind"] not in KINDS:
        raise DesignError(f"node {data['name']!r:.40}: unknown kind {data['kind']!r:.40}; known: {', '.join(KINDS)}")
    window = data["window"]
    return Node(
        data["name"],
        data["kind"],
        tuple(data["sources"]),
        Window(
            tuple(window["shape"]),
            tuple(window["size"]),
            tuple(window["strides"]),
            tuple(window["dilation"]),
            tuple((before, after) for before, after in window["padded"]),
            tuple(window.get("repeats", ())),
        ),
    )
