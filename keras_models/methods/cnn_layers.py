"""The layers of a convolutional network as text; known without importing Keras."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

DEFAULT_LAYERS = "conv:8x5,pool:2,conv:16x5,pool:2,dense:32"
SYNTAX = "conv:FILTERSxSIZE, depthwise:SIZE, pool:SIZE and dense:UNITS between commas, with :same and :strideN behind"
_LAYER = re.compile(r"(conv:(?P<units>\d+)x|depthwise:|pool:)(?P<size>\d+)(?P<same>:same)?(:stride(?P<stride>\d+))?\Z")
_DENSE = re.compile(r"dense:(\d+)\Z")


@dataclass(frozen=True)
class Part:
    """A layer of a network before its output: ``kind`` is conv, depthwise, pool or dense."""

    kind: str
    units: int = 0
    size: int = 1
    stride: int = 1
    padding: str = "valid"

    @property
    def window(self) -> dict[str, Any]:
        """The window's arguments of a Keras layer, but its size."""
        return {"strides": self.stride, "padding": self.padding}


def parts_of(text: str) -> tuple[Part, ...]:
    """The layers of a text like "conv:8x5,pool:2,dense:32", see `SYNTAX`. Raises ValueError for another."""
    found = []
    for word in text.split(","):
        window, dense = _LAYER.match(word.strip()), _DENSE.match(word.strip())
        if window is not None:
            kind, size = window[1].partition(":")[0], int(window["size"])
            stride = int(window["stride"] or (size if kind == "pool" else 1))
            padding = "same" if window["same"] else "valid"
            found.append(Part(kind, int(window["units"] or 0), size, stride, padding))
        elif dense is not None:
            found.append(Part("dense", int(dense[1])))
        if not (window or dense) or 0 in (found[-1].size, found[-1].stride) or not _has_units(found[-1]):
            raise ValueError(f"layer {word.strip()[:40]!r} is not known; write {SYNTAX}")
    kinds = [part.kind == "dense" for part in found]
    if kinds != sorted(kinds):
        raise ValueError(f"layers {text[:60]!r}: dense layers stand behind all others")
    return tuple(found)


def _has_units(part: Part) -> bool:
    return part.units > 0 or part.kind in ("depthwise", "pool")


def image_of(text: str) -> tuple[int, ...]:
    """(28, 28, 1) of "28x28x1". Raises ValueError for another text."""
    sizes = tuple(int(word) if word.isdecimal() else 0 for word in text.split("x"))
    if len(sizes) not in (2, 3) or 0 in sizes:
        raise ValueError(f"image {text[:40]!r}: give height x width x channels like 28x28x1, or length x channels")
    return sizes
