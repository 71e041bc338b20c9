"""A streamed network on its page: which map each node looks at, its core and pace, rows in memory, and queues."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from flow.report.wording import DASH, by, finite, number, percent, ratio, table, width, window


def streaming(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """View of the stream; None for a design without windows over pixels."""
    found = table(report, "stream")
    if not found:
        return None
    image, period = found["cycles_per_image"], finite(report.get("clock_period_ns"))
    return {
        "cycles": number(image),
        "rate": number(round(1e9 / (image * period))) if period else DASH,
        "reason": str(report.get("architecture_reason", "")),
        "nodes": [_node(node, image) for node in found["nodes"]],
        "buffers": [_buffer(node) for node in found["nodes"] if node["buffer_bits"]],
        "queues": [(str(name), number(places)) for name, places in table(found, "queues").items()],
    }


def _node(node: Mapping[str, Any], image: int) -> dict[str, str]:
    traced = node.get("netlist_lut")
    return {
        "name": str(node["name"]), "sources": ", ".join(map(str, node["sources"])), "map": by(node["shape"]),
        "window": window(node), "out": by([*node["positions"], node["channels"]]), "core": str(node["core"]),
        "interval": number(node["interval"]), "positions": number(prod(node["positions"])),
        "cycles": number(node["cycles"]), "busy": percent(ratio(node["cycles"], image), 0),
        "share": width(ratio(node["cycles"], image)), "lut": number(node["lut"]),
        "traced": DASH if traced is None else number(sum(traced.values())), "bram18": number(node["bram18"]),
    }  # fmt: skip


def _buffer(node: Mapping[str, Any]) -> dict[str, str]:
    zeros = "; ".join(f"{before} before, {behind} behind" for before, behind in node["padding"])
    rows = node["window"][0] - 1 if len(node["window"]) > 1 else 0
    if len(node.get("repeats") or ()) > 1:
        rows = int(node["repeats"][0] > 1)
    is_whole = list(node["window"]) == list(node["shape"][:-1])
    traced = table(node, "netlist_lut").get("window")
    return {
        "name": str(node["name"]), "rows": "the whole map" if is_whole else number(rows),
        "zeros": zeros if any(map(any, node["padding"])) else "none", "bits": number(node["buffer_bits"]),
        "traced": DASH if traced is None else number(traced),
    }  # fmt: skip
