"""How a node's window is made in hardware: not at all, as one word of all pixels, or as a window that slides."""

from __future__ import annotations

from flow.core.nodes import Window


def is_whole(window: Window) -> bool:
    """Whether it sees all pixels at once, in one position."""
    return window.size == window.shape[:-1] and not window.is_padded and window.places > 1


def is_plain(window: Window) -> bool:
    """Whether it sees each pixel as it comes."""
    return window.places == 1 and not window.is_padded and set(window.strides) <= {1}
