"""Queues where a map has several readers: as many places as the branches need, so that none waits for the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flow.core.design import Design
from flow.streamed.cores import Core


def queues(design: Design, cores: Sequence[Core]) -> Mapping[tuple[int, int], int]:
    """Places of the queue from each node with several readers to each of them."""
    readers: dict[int, list[int]] = {}
    for number, node in enumerate(design.nodes):
        for source in dict.fromkeys(node.sources):
            readers.setdefault(source, []).append(number)
    pixels = max(node.window.pixel_count for node in design.nodes)
    return {(s, r): pixels + 4 for s, own in readers.items() if len(own) > 1 for r in own}
