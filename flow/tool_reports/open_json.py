"""Reports of the open route: this project's own ``report.json`` and nextpnr's ``--report`` file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flow.core.errors import PartError, ReportError
from flow.core.shapes import require
from flow.core.untrusted import Unusable, parse_json
from flow.parts.catalog import resolve
from flow.tool_reports.build_shape import BUILD
from flow.tool_reports.model import Report, Resources

UNFINISHED = "unfinished.json"  # beside a report.json: a later build of the folder has not ended with a result


def load(content: str) -> dict[str, Any] | None:
    """The JSON object a text holds; None where it is none."""
    if not content.lstrip("\ufeff \t\r\n").startswith("{"):
        return None
    try:
        data = parse_json(content, "the report", finite=False)
    except Unusable:
        return None
    return data if isinstance(data, dict) else None


def matches_build(data: dict[str, Any]) -> bool:
    """This project's ``report.json``, complete or of a failed build."""
    return "status" in data and "part" in data and ("synthesis" in data or "error" in data)


def matches_nextpnr(data: dict[str, Any]) -> bool:
    """nextpnr's report: achieved clocks and utilization."""
    return isinstance(data.get("fmax"), dict) and isinstance(data.get("utilization"), dict)


def in_sites(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a build by today's names: in earlier ones ``lut`` counted cells and ``lut_placed`` LUT sites."""
    if "lut_placed" not in figures:
        return dict(figures)
    return {**{k: v for k, v in figures.items() if k != "lut_placed"}, "lut": figures["lut_placed"],
            "lut_cells": figures.get("lut")}  # fmt: skip


def parse_build(data: dict[str, Any]) -> Report:
    """A build's outcome; a failed build has its part, its status and its error only."""
    try:
        require(data, BUILD, "")
    except ValueError as exc:
        raise ReportError(str(exc)) from None
    synthesis = data.get("synthesis") or {}
    synthesis, part = in_sites(synthesis), _word(data, "part")
    fmax = _number(synthesis, "fmax_mhz")
    latency, interval = _whole(data, "latency_cycles"), _whole(data, "initiation_interval")
    used = {name: _whole(synthesis, name) for name in ("lut", "ff", "dsp", "bram18", "uram")}
    facts = {name: data[name] for name in ("status", "architecture", "error") if isinstance(data.get(name), str)}
    source = synthesis.get("fmax_source")
    return Report(
        kind="flow_build",
        tool=_word(synthesis, "tool"),
        version=_word(synthesis, "version"),
        part=part,
        top=_word(data, "design"),
        clock_target_ns=_number(data, "clock_period_ns"),
        clock_estimated_ns=round(1000 / fmax, 3) if fmax else None,
        latency_min_cycles=latency,
        latency_max_cycles=latency,
        interval_min=interval,
        interval_max=interval,
        resources=Resources(**used),
        available=_available(part) if synthesis else Resources(),
        details={**facts, **({"clock_estimate": source} if isinstance(source, str) else {})},
    )


def parse_nextpnr(data: dict[str, Any]) -> Report:
    """Place and route of one clock: target, slack, sites.

    A site of kind SLICE_LUTX is half a LUT, and which halves share one is not said, so there is no ``lut``; all sites
    stay in ``details`` by nextpnr's names.
    """
    clocks = {name: clock for name, clock in data["fmax"].items() if isinstance(clock, dict)}
    target = slack = achieved = None
    if len(clocks) == 1:
        (clock,) = clocks.values()
        frequency, constraint = _number(clock, "achieved"), _number(clock, "constraint")
        achieved = round(1000 / frequency, 3) if frequency else None
        target = round(1000 / constraint, 3) if constraint else None
        slack = round(target - achieved, 3) if target is not None and achieved is not None else None
    details = {"utilization": data["utilization"], "clock_achieved_ns": achieved}
    used, available = (_sites(data["utilization"], column) for column in ("used", "available"))
    return Report(
        kind="nextpnr", tool="nextpnr", clock_target_ns=target, wns_ns=slack, resources=used, available=available,
        details=details,
    )  # fmt: skip


# 7-series sites by nextpnr's names; a 36 Kb block RAM is two of 18 Kb, which the device's total counts already
_SITES = {"ff": {"SLICE_FFX": 1}, "dsp": {"DSP48E1_DSP48E1": 1}, "bram18": {"RAMB18E1_RAMB18E1": 1}}
_WIDE_RAMS = {"RAMB36E1_RAMB36E1": 2, "RAMBFIFO36E1_RAMBFIFO36E1": 2, "FIFO18E1_FIFO18E1": 1}


def _sites(utilization: dict[str, Any], column: str) -> Resources:
    counts: dict[str, int] = {}
    for name, sites in _SITES.items():
        weights = {**sites, **_WIDE_RAMS} if name == "bram18" and column == "used" else sites
        found = {site: entry for site in weights if isinstance(entry := utilization.get(site), dict)}
        values = {site: _whole(entry, column) for site, entry in found.items()}
        if any(values.get(site) is not None for site in sites):
            counts[name] = sum(weights[site] * (value or 0) for site, value in values.items())
    return Resources(**counts)


def _available(part: str | None) -> Resources:
    try:
        return Resources(**resolve(part).resources) if part else Resources()
    except PartError:
        return Resources()


def _word(data: dict[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise ReportError(f"{name!r} is not a text")
    return value


def _number(data: dict[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ReportError(f"{name!r} is not a number")
    return float(value)


def _whole(data: dict[str, Any], name: str) -> int | None:
    value = _number(data, name)
    if value is not None and (value % 1 or value > 1e15):
        raise ReportError(f"{name!r} is not a whole number")
    return None if value is None else int(value)
