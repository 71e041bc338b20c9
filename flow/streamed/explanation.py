"""What a report says of a streamed network: a row per node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flow.core.design import Design
from flow.streamed.cores import Core, node_sites, pixel_bits, rows_kept
from flow.streamed.timing import Edge, cycles

_WITHOUT = {"max": "maximum", "repeat": "repetition"}  # a layer: what is said of its core


@dataclass(frozen=True)
class NodeRow:
    """What a report says of a node: its window on which map, how it is computed, and what that is about to cost.

    ``interval`` are cycles per position, ``cycles`` those that an image takes here; ``buffer_bits`` lie in the rows
    above the window and under it, ``lut`` are sites by estimate, ``netlist_lut`` those of the netlist, by part.
    """

    name: str
    kind: str
    sources: Sequence[str]
    shape: Sequence[int]
    window: Sequence[int]
    strides: Sequence[int]
    padding: Sequence[Sequence[int]]
    repeats: Sequence[int]
    positions: Sequence[int]
    channels: int
    core: str
    interval: int
    cycles: int
    buffer_bits: int
    lut: int
    bram18: int
    netlist_lut: Mapping[str, int] | None = None


@dataclass(frozen=True)
class StreamReport:
    """A streamed network: cycles per image, and its nodes in their order; ``queues`` are places at forks, by name."""

    cycles_per_image: int
    nodes: Sequence[NodeRow]
    queues: Mapping[str, int]


def explain(design: Design, cores: Sequence[Core], places: Mapping[Edge, int], image: int) -> StreamReport:
    """The rows; ``image`` are cycles per image, ``places`` those of the queues."""
    names = {-1: "input", **{k: node.name for k, node in enumerate(design.nodes)}}
    rows = []
    for number, node in enumerate(design.nodes):
        window = node.window
        core = cores[design.layer_of(number)] if node.kind == "dense" else None
        reach = window.reach
        held = int(np.prod(reach, dtype=int)) + rows_kept(window) * window.row_pixels
        interval = core.interval if core else 1
        rows.append(
            NodeRow(
                node.name, node.kind, [names[s] for s in node.sources], window.shape, window.size, window.strides,
                window.padded, window.repeats, window.positions, len(design.spans(number)),
                core.kind if core else _WITHOUT[node.kind], interval, cycles(window, interval),
                held * pixel_bits(design, number) if window.places > 1 or window.repeats else 0,
                round(node_sites(design, number, core)), core.bram18 if core else 0,
            )
        )  # fmt: skip
    return StreamReport(image, rows, {f"{names[a]} to {names[b]}": n for (a, b), n in places.items()})


def with_netlist(report: StreamReport, usage: Mapping[str, Any]) -> StreamReport:
    """The report with LUT sites of a netlist, as `flow.netlist` counts them by node."""
    rows = [
        replace(row, netlist_lut=dict(usage[row.name]["parts"])) if row.name in usage else row for row in report.nodes
    ]
    return replace(report, nodes=rows)
