"""Vivado's ``report_utilization`` and ``report_timing_summary``.

Block RAM tiles are 36 Kb and may be halves: ``bram18`` is twice the tiles. Tables by SLR, by pblock or of primitives
repeat the row names under other columns and are not read. The part is given as printed, which may lack its ``xc``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flow.core.errors import ReportError
from flow.tool_reports import text
from flow.tool_reports.model import Report, Resources

_VIVADO = r"\| Tool Version {1,40}: Vivado v\."
_TOOL = r"\| Tool Version\s+: (Vivado) v\.[0-9]{4}\.[0-9](?:\.[0-9])? .*"
_VERSION = r"\| Tool Version\s+: Vivado v\.([0-9]{4}\.[0-9](?:\.[0-9])?) .*"
_ROWS = {
    "lut": ("Slice LUTs", "CLB LUTs"),
    "ff": ("Slice Registers", "CLB Registers", "Registers"),
    "dsp": ("DSPs", "DSP Slices"),
    "tiles": ("Block RAM Tile",),
    "uram": ("URAM",),
}


def matches_utilization(content: str) -> bool:
    """A text with Vivado's header and the utilization heading."""
    return re.search(_VIVADO, content) is not None and "Utilization Design Information" in content


def matches_timing(content: str) -> bool:
    """A text with Vivado's header and the timing summary heading."""
    return re.search(_VIVADO, content) is not None and "Timing Summary Report" in content


def parse_utilization(content: str) -> Report:
    """Used and available resources. Raises ReportError where no complete table of them is left."""
    lines = text.complete_lines(content)
    used, available = _usage(lines, "Used"), _usage(lines, "Available")
    if used == Resources():
        raise ReportError("a utilization report without its tables; the file is cut short")
    return Report(
        kind="vivado_utilization", **_header(lines), resources=used, available=available, details=_state(lines)
    )


def parse_timing(content: str) -> Report:
    """Worst slack and, for exactly one clock, its period. Raises ReportError where the summary is missing."""
    lines = text.complete_lines(content)
    summary = _summary(lines)
    names = {"TNS(ns)": "tns_ns", "WHS(ns)": "whs_ns", "THS(ns)": "ths_ns", "WPWS(ns)": "wpws_ns"}
    details = {key: text.real(summary.get(name, ""), name) for name, key in names.items()}
    periods = _periods(lines)
    verdicts = {"All user specified timing constraints are met.": True, "Timing constraints are not met.": False}
    met = next((verdicts[line] for line in lines if line in verdicts), None)
    return Report(
        kind="vivado_timing",
        **_header(lines),
        clock_target_ns=next(iter(periods.values())) if len(periods) == 1 else None,
        wns_ns=text.real(summary.get("WNS(ns)", ""), "WNS(ns)"),
        details={**_state(lines), **details, "timing_met": met, "clock_periods_ns": periods},
    )


def _header(lines: Sequence[str]) -> dict[str, Any]:
    patterns = {"tool": _TOOL, "version": _VERSION, "part": r"\| Device\s+: (\S+)\s*", "top": r"\| Design\s+: (\S+)\s*"}
    return {name: text.one(text.matches(lines, pattern), f"the {name}") for name, pattern in patterns.items()}


def _state(lines: Sequence[str]) -> dict[str, str]:
    state = text.one(text.matches(lines, r"\| Design State\s+: (.+)"), "the design state")
    return {"design_state": state} if state else {}


def _usage(lines: Sequence[str], column: str) -> Resources:
    cells: dict[str, str] = {}
    for table in text.tables(lines):
        names = table.names()
        if names[:2] == ["Site Type", "Used"] and "Available" in names:
            for row, cell in table.column(column).items():
                cells.setdefault(row.rstrip("*"), cell)
    found = {key: next((cells[row] for row in rows if row in cells), "") for key, rows in _ROWS.items()}
    halves = text.real(found.pop("tiles"), f"Block RAM tiles {column.lower()}")
    if halves is not None and (2 * halves) % 1:
        raise ReportError(f"Block RAM tiles {column.lower()} are {halves:g}, not a multiple of a half")
    counts = {key: text.count(cell, f"{key} {column.lower()}") for key, cell in found.items()}
    return Resources(bram18=None if halves is None else int(2 * halves), **counts)


def _below(lines: Sequence[str], heading: str) -> list[str]:
    """The lines of the block under ``| heading``, its underline and its frame; ReportError where it is there twice."""
    places = [i for i, line in enumerate(lines) if line.rstrip() == f"| {heading}"]
    if len(places) > 1:
        raise ReportError(f"two sections {heading!r} in one report")
    return list(lines[places[0] + 3 :]) if places else []


def _summary(lines: Sequence[str]) -> dict[str, str]:
    """The one row of the design timing summary by column name."""
    block = [line for line in _below(lines, "Design Timing Summary") if line.strip()][:3]
    if len(block) < 3:
        raise ReportError("a timing report without its design timing summary; the file is cut short")
    names, rule, figures = re.split(r"\s{2,}", block[0].strip()), block[1].split(), block[2].split()
    if not (len(names) == len(rule) == len(figures)) or any(set(dashes) != {"-"} for dashes in rule):
        raise ReportError("the design timing summary has columns not known here")
    return dict(zip(names, figures, strict=True))


def _periods(lines: Sequence[str]) -> dict[str, float]:
    """Clock name -> period in ns from the clock summary; empty where that is missing or cut before its blank line."""
    block = _below(lines, "Clock Summary")
    while block and not block[0].strip():
        block.pop(0)
    if len(block) < 2 or not block[0].startswith("Clock ") or "Period(ns)" not in block[0]:
        return {}
    end = next((i for i, line in enumerate(block) if not line.strip()), None)
    periods: dict[str, float] = {}
    for line in block[2:end] if end else []:
        match = re.fullmatch(r"\s*(\S+)\s+\{[^{}]*\}\s+(\S+)\s+\S+\s*", line)
        if not match or match[1] in periods:
            raise ReportError("the clock summary has rows not known here")
        period = text.real(match[2], f"the period of {match[1]}")
        if period is not None:
            periods[match[1]] = period
    return periods
