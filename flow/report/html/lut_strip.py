"""Where the LUT sites go: a strip of all neurons by size, layers in numbers, and the most expensive neurons.

In folded and streamed designs elements serve many neurons: there the parts of the layers stand in place of neurons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow.report.wording import DASH, bits, number, percent, ratio, width

_TOP = 12
_STRIP = 1000.0  # units across the strip
_SHARED = "shared by parts"


def luts(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """View of the LUT sites by origin; None where synthesis did not tell."""
    layers = [layer for layer in report.get("layers", []) if layer.get("luts")]
    total = (report.get("synthesis") or {}).get("lut", 0)
    if not layers or not total:
        return None
    least = report.get("least_sites") or {}
    traced = sum(layer["luts"]["total"] for layer in layers)
    return {
        "total": number(total),
        "strip": _strip(layers, total),
        "rows": [_row(layer, total, least.get(layer["name"])) for layer in layers if "parts" not in layer["luts"]],
        "parts": _parts(layers, total),
        "outside": "pools, and what no layer alone uses" if report.get("stream") else "results on their way out",
        "other": {"luts": number(total - traced), "share": percent((total - traced) / total)}
        if total > traced
        else None,
        "top": _top(layers, total),
    }


def _strip(layers: list[Mapping[str, Any]], total: int) -> list[dict[str, Any]]:
    """Rectangles from left to right: per layer its neurons, largest first, then what they share."""
    left, found = 0.0, []
    for layer in layers:
        start, boxes = left, []
        for count, what, kind in _pieces(layer):
            size = count / total * _STRIP
            boxes.append({"x": f"{left:.2f}", "width": f"{max(size - 0.6, 0.2):.2f}", "kind": kind,
                          "title": f"{layer['name']}, {what}: {number(count)} LUT sites"})  # fmt: skip
            left += size
        found.append({"name": layer["name"], "share": width(ratio(left - start, _STRIP)), "boxes": boxes})
    return found


def _pieces(layer: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """What a layer's LUT sites are: (LUT sites, whose, ``own`` or ``shared``), the largest first."""
    found, shared = layer["luts"], layer["luts"]["shared"]
    if "parts" in found:
        pieces = [(n, str(part), "own") for part, n in found["parts"].items()]
        pieces.sort(key=lambda piece: (-piece[0], piece[1]))
        return pieces + ([(shared, _SHARED, "shared")] if shared else [])
    own = sorted(((n, j) for j, n in enumerate(_own(layer)) if n), key=lambda pair: (-pair[0], pair[1]))
    return [(n, f"neuron {j}", "own") for n, j in own] + ([(shared, "shared by neurons", "shared")] if shared else [])


def _parts(layers: list[Mapping[str, Any]], total: int) -> list[dict[str, str]]:
    """One row per part of every folded or streamed layer."""
    rows = [(layer, piece) for layer in layers if "parts" in layer["luts"] for piece in _pieces(layer)]
    most = max((piece[0] for _, piece in rows), default=1)
    return [
        {"layer": str(layer["name"]), "part": what, "luts": number(count), "share": percent(count / total),
         "width": width(count / most), "kind": kind}
        for layer, (count, what, kind) in rows
    ]  # fmt: skip


def _own(layer: Mapping[str, Any]) -> list[int]:
    return list((layer.get("per_neuron") or {}).get("luts", []))


def _row(layer: Mapping[str, Any], total: int, least: int | None) -> dict[str, str]:
    count, shared = layer["luts"]["total"], layer["luts"]["shared"]
    live = layer["weights"] - layer["zero_weights"]
    return {
        "name": layer["name"],
        "luts": number(count),
        "least": DASH if least is None else number(least),
        "share": percent(count / total),
        "own_width": width((count - shared) / total),
        "shared_width": width(shared / total),
        "own": number(count - shared),
        "shared": number(shared),
        "weights": number(live),
        "each": f"{count / live:.2f}" if live else DASH,
    }


def _top(layers: list[Mapping[str, Any]], total: int) -> list[dict[str, str]]:
    """The neurons with most LUT sites of their own."""
    found = [(n, i, j) for i, layer in enumerate(layers) for j, n in enumerate(_own(layer)) if n]
    found.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    most = found[0][0] if found else 1
    rows = []
    for count, i, j in found[:_TOP]:
        neurons = layers[i]["per_neuron"]
        rows.append({
            "layer": layers[i]["name"], "neuron": str(j), "luts": number(count), "share": percent(count / total),
            "width": width(count / most), "bits": bits(neurons["weight_bits"][j]),
            "live": number(layers[i]["inputs"] - neurons["zero_weights"][j]),
        })  # fmt: skip
    return rows
