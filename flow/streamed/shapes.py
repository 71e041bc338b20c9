"""How a node's window is made in hardware: not at all, as one word of all pixels, or as a window that slides; and
which nodes read a map."""

from __future__ import annotations

from collections.abc import Sequence

from flow.core.design import Design
from flow.core.nodes import INPUT, Window


def is_whole(window: Window) -> bool:
    """Whether it sees all pixels at once, in one position."""
    return window.size == window.shape[:-1] and not window.is_padded and window.places > 1


def is_plain(window: Window) -> bool:
    """Whether it sees each pixel as it comes."""
    return window.places == 1 and not window.is_padded and not window.repeats and set(window.strides) <= {1}


def two(values: Sequence[int]) -> tuple[int, int]:
    """Two directions: those of one row where there is one, a single pixel where there is none."""
    rows, cols = (1,) * (2 - len(values)) + tuple(values)
    return rows, cols


def zeros_around(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """The zeros above and below a map, and left and right of it."""
    upright, across = ((0, 0),) * (2 - len(window.padded)) + window.padded
    return upright, across


def readers(design: Design) -> dict[int, list[int]]:
    """The nodes that look at the map of each node, and at the design's `INPUT`, each once."""
    found: dict[int, list[int]] = {number: [] for number in range(INPUT, len(design.nodes))}
    for number, node in enumerate(design.nodes):
        for source in dict.fromkeys(node.sources):
            found[source].append(number)
    return found
