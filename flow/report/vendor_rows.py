"""What the report page shows of AMD's tools: one row per kind of report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow.tools.vendor_hls import STEPS

_KINDS = {
    "csynth": "HLS synthesis (estimate)",
    "cosim": "C/RTL co-simulation",
    "vivado_synthesis": "Vivado synthesis, out of context",
    "implementation": "Vivado place and route, out of context",
}


def vendor(report: Mapping[str, Any]) -> dict[str, Any]:
    """Tool, steps and rows (what, verdict, latency, interval, LUT, FF, DSP, BRAM18, clock or slack); empty without."""
    found = report.get("vendor") or {}
    if not found:
        return {}
    rows = [(title, *_row(found[kind])) for kind, title in _KINDS.items() if kind in found]
    ran = [(name, found["steps"][name]) for name in STEPS if name in found["steps"]]
    steps = ", ".join(f"{name} ({entry['seconds']:,.0f} s)" for name, entry in ran)
    return {"tool": found["tool"], "steps": steps, "rows": rows}


def _row(figures: Mapping[str, Any]) -> tuple[str, ...]:
    counts = figures.get("resources") or {}
    estimate, slack = figures.get("clock_estimated_ns"), figures.get("wns_ns")
    clock = f"{slack:+.3f} ns slack" if slack is not None else f"{estimate:.3f} ns" if estimate is not None else ""
    return (
        figures.get("status") or "",
        _cycles(figures, "latency_min_cycles", "latency_max_cycles"),
        _cycles(figures, "interval_min", "interval_max"),
        *("" if counts.get(name) is None else f"{counts[name]:,}" for name in ("lut", "ff", "dsp", "bram18")),
        clock,
    )


def _cycles(figures: Mapping[str, Any], low: str, high: str) -> str:
    values = sorted({figures[name] for name in (low, high) if figures.get(name) is not None})
    return " to ".join(f"{value:,}" for value in values)
