"""What the page that compares two builds shows: figures side by side with their difference, layers and engines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from flow.report.html.build_page import VERDICTS, groups, verification, widest
from flow.report.html.score import metric_name
from flow.report.wording import DASH, MINUS, RESOURCES, bits, finite, number, ratio, table, width

Report = Mapping[str, Any]
_LESS, _MORE, _NEITHER = -1, 1, 0  # which direction is the better one


def compare_view(reports: Sequence[Report], names: Sequence[str]) -> dict[str, Any]:
    """Everything the comparison template needs, for two reports."""
    first, second = names if names[0] != names[1] else (f"{names[0]} (A)", f"{names[1]} (B)")
    most = max(widest(report) for report in reports)
    return {
        "names": (first, second),
        "heads": [_head(r, n) for r, n in zip(reports, (first, second), strict=True)],
        "differs": _differs(reports),
        "key_figures": _figures(reports),
        "resources": _resources(reports),
        "layers": _layers(reports, most),
        "engines": _engines(reports),
        "versions": _versions(reports),
        "commands": [(n, _command(r)) for n, r in zip((first, second), reports, strict=True)],
    }  # fmt: skip


def _differs(reports: Sequence[Report]) -> list[str]:
    """What makes figures of two builds hard to compare: other parts, clocks, data, models."""
    kinds: dict[str, list[Any]] = {
        "part": [r.get("part") for r in reports],
        "clock period asked for": [r.get("clock_period_ns") for r in reports],
        "data of the score": [table(r, "score").get("data") for r in reports],
        "rows of the score": [table(r, "score").get("rows") for r in reports],
        "metric": [table(r, "score").get("metric") for r in reports],
        "preparation of the inputs": [r.get("preprocessing") for r in reports],
        "vectors of the energy estimate": [table(r, "power").get("vectors") for r in reports],
    }
    found = [f"{what}: {number(a)} in A, {number(b)} in B" for what, (a, b) in kinds.items()
             if a is not None and b is not None and a != b]  # fmt: skip
    if kinds["part"][0] != kinds["part"][1]:
        found.append("resources and clocks are of other chips: read their shares, not their sums")
    return found


def _command(report: Report) -> str:
    return shlex.join(str(word) for word in report.get("command") or [])


def _head(report: Report, name: str) -> dict[str, Any]:
    status = str(report.get("status"))
    return {
        "name": name, "design": report.get("design", DASH), "part": report.get("part", DASH),
        "architecture": report.get("architecture", DASH), "verdict": VERDICTS.get(status, ("bad", status, "")),
        "error": report.get("error"),
    }  # fmt: skip


def _figures(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Key figures. A score of another metric or other data is shown but not compared."""
    scores = [table(r, "score") for r in reports]
    same = all(scores[0].get(k) == scores[1].get(k) for k in ("metric", "data"))
    better = {"accuracy": _MORE, "mse": _LESS}.get(str(scores[0].get("metric")), _NEITHER)
    label = " / ".join(dict.fromkeys(metric_name(s["metric"]) for s in scores if s))
    rows = [_row(f"score ({label})", [s.get("value") for s in scores], better, same)] if label else []
    rows.append(_row("LUT sites, expected", [table(r, "synthesis").get("lut") for r in reports], _LESS))
    rows.append(_row("LUT cells", [table(r, "synthesis").get("lut_cells") for r in reports], _LESS))
    rows.append(_row("latency, cycles", [r.get("latency_cycles") for r in reports], _LESS))
    rows.append(_row("latency, ns at the clock asked", [_latency(r) for r in reports], _LESS))
    rows.append(_row("initiation interval", [r.get("initiation_interval") for r in reports], _LESS))
    rows.append(_row("clock asked, MHz", [_clock(r) for r in reports], _NEITHER))
    rows.append(_row("clock estimated, MHz", [table(r, "synthesis").get("fmax_mhz") for r in reports], _MORE))
    energies = [table(r, "power").get("pj_per_result") for r in reports]
    alike = len({str(table(r, "power").get("vectors")) for r in reports}) == 1
    rows.append(_row("energy per result, pJ, estimated", energies, _LESS, alike))
    rows.append(_row("bits per weight", [_mean_bits(r) for r in reports], _LESS))
    rows.append(_row("weights not zero", [_live(r) for r in reports], _LESS))
    rows.append(_row("mismatches", [_mismatches(r) for r in reports], _LESS))
    rows.append(_row("build, s", [table(r, "seconds").get("total") for r in reports], _NEITHER))
    return rows


def _row(name: str, values: Sequence[Any], better: int, comparable: bool = True) -> dict[str, Any]:
    """Both values, their difference, and in words and colour which way it went."""
    a, b = (finite(v) for v in values)
    row = {"name": name, "values": [number(v) for v in values], "change": "", "share": "", "verdict": ""}
    if a is None or b is None or not comparable:
        return row
    difference = b - a
    row["change"] = "same" if difference == 0 else ("+" if difference > 0 else "") + number(difference, 3)
    if difference and a:
        row["share"] = ("+" if difference / a > 0 else MINUS) + f"{abs(100 * difference / a):.1f} %"
    if difference and better:
        row["verdict"] = "better" if (difference > 0) == (better > 0) else "worse"
    return row


def _latency(report: Report) -> float | None:
    cycles, period = finite(report.get("latency_cycles")), finite(report.get("clock_period_ns"))
    return None if cycles is None or period is None else cycles * period


def _clock(report: Report) -> float | None:
    period = finite(report.get("clock_period_ns"))
    return 1000 / period if period else None


def _mean_bits(report: Report) -> float | None:
    layers = report.get("layers")
    if not layers:
        return None
    return ratio(sum(la["mean_weight_bits"] * la["weights"] for la in layers), sum(la["weights"] for la in layers))


def _live(report: Report) -> int | None:
    layers = report.get("layers")
    return sum(la["weights"] - la["zero_weights"] for la in layers) if layers else None


def _mismatches(report: Report) -> int | None:
    found = table(report, "verification")
    return sum(e["mismatches"] for e in found.values()) if found else None


def _resources(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Resources of both, each bar against the larger one."""
    rows = []
    for key, label in RESOURCES.items():
        values = [table(r, "synthesis").get(key) for r in reports]
        most = max((finite(v) or 0.0 for v in values), default=0.0)
        rows.append({**_row(label, values, _LESS), "widths": [width(ratio(v, most)) for v in values]})
    return rows


def _layers(reports: Sequence[Report], most: float) -> list[dict[str, Any]]:
    """Layers by their place in the chain: stacks of widths, and figures."""
    pair = [list(r.get("layers", [])) for r in reports]
    rows = []
    for index in range(max(len(layers) for layers in pair)):
        both = [layers[index] if index < len(layers) else None for layers in pair]
        present = [layer for layer in both if layer]
        rows.append({
            "name": " / ".join(dict.fromkeys(str(layer["name"]) for layer in present)),
            "stacks": [_stack(layer, most) if layer else None for layer in both],
            "figures": [
                _row("neurons", [la and la["neurons"] for la in both], _NEITHER),
                _row("bits per weight", [la and la["mean_weight_bits"] for la in both], _LESS),
                _row("weights not zero", [la and la["weights"] - la["zero_weights"] for la in both], _LESS),
                _row("LUT sites", [la and (la.get("luts") or {}).get("total") for la in both], _LESS),
            ],
        })  # fmt: skip
    return rows


def _stack(layer: Mapping[str, Any], most: float) -> dict[str, Any]:
    rows = groups(layer, most)["rows"]
    said = ", ".join(f"{g['neurons']} of {bits(g['weight_bits'])} bits" for g in layer["groups"])
    return {"rows": rows, "label": f"neurons by weight width: {said}"}


def _engines(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Engines of either build; None where a build did not run it."""
    found = [{row["name"]: row for row in verification(r)} for r in reports]
    names = list(dict.fromkeys([*found[0], *found[1]]))
    return [{"name": name, "cells": [f.get(name) for f in found]} for name in names]


def _versions(reports: Sequence[Report]) -> list[tuple[str, list[str], bool]]:
    """Versions of both, and whether they differ."""
    found = [table(r, "versions") for r in reports]
    rows = []
    for name in sorted({*found[0], *found[1]}):
        values = [str(f.get(name, DASH)) for f in found]
        rows.append((name, values, values[0] != values[1]))
    return rows
