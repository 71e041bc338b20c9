"""The folding of a build on its page: what the solver chose for every layer and weight group, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow.report.wording import DASH, finite, number, percent, ratio, table, width

_MEMORY = {"block": "block RAM", "distributed": "LUTs"}


def folding(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """View of the folding; None for a parallel design."""
    found = table(report, "folding")
    if not found:
        return None
    stored, learned = finite(found.get("memory_bits")), finite(found.get("learned_bits"))
    traced = {layer["name"]: table(table(layer, "luts"), "parts") for layer in report.get("layers", [])}
    return {
        "reason": str(found["reason"]),
        "interval": number(found["interval_cycles"]),
        "rate": number(round(found["results_per_second"])),
        "memory": number(stored),
        "learned": number(None if learned is None else round(learned)),
        "more": percent(ratio(stored, learned) - 1) if learned else DASH,
        "layers": [_layer(layer, table(traced, layer["name"])) for layer in found["layers"]],
    }


def _layer(layer: Mapping[str, Any], traced: Mapping[str, Any]) -> dict[str, Any]:
    vectors, units = layer["buffer_vectors"], layer["output_units"]
    return {
        "name": str(layer["name"]),
        "inputs": number(layer["inputs"]),
        "simd": number(layer["inputs_per_cycle"]),
        "words": number(layer["words"]),
        "folds": number(layer["folds"]),
        "cycles": number(layer["cycles"]),
        "busy": percent(layer["busy"], 0),
        "buffer": f"{number(vectors)} vector{'s' if vectors != 1 else ''}",
        "units": f"{number(units)} output unit{'s' if units != 1 else ''}",
        "groups": [_group(g, traced) for g in layer["groups"]],
    }


def _group(group: Mapping[str, Any], traced: Mapping[str, Any]) -> dict[str, Any]:
    memory = group["memory"]
    blocks = f" ({number(memory['bram18'])})" if memory["kind"] == "block" else ""
    return {
        "name": str(group["coding"]),
        "neurons": number(group["neurons"]),
        "pe": number(group["pe"]),
        "simd": number(group["simd"]),
        "folds": number(group["folds"]),
        "cycles": number(group["cycles"]),
        "busy": percent(group["busy"], 0),
        "width": width(group["busy"]),
        "products": str(group["multiplier"]),
        "memory": f"{number(memory['depth'])} x {number(memory['width'])} bits in"
        f" {_MEMORY.get(memory['kind'], str(memory['kind']))}{blocks}",
        "lut": number(group["lut"]),
        "traced": number(traced.get(group["coding"])) if traced else DASH,
        "why": "; ".join(str(line) for line in group["why"]),
    }
