"""Vitis HLS' synthesis summary: ``csynth.rpt``, ``hls_compile.rpt``.

It has one latency and one interval column, so minimum and maximum are the same number; it gives no clock and no
device totals. Its slack column is kept as printed in ``details``: 2020.2 prints it with the sign turned, and it is an
estimate less the clock uncertainty, not a worst negative slack.
"""

from __future__ import annotations

import re

from flow.core.errors import ReportError
from flow.tool_reports import text
from flow.tool_reports.hls_csynth import _VERSION as VERSION
from flow.tool_reports.model import Report, Resources

_TITLE = r"== Synthesis Summary Report of '([^']+)'"


def matches(content: str) -> bool:
    """A text with the title line of a synthesis summary."""
    return re.search(rf"^{_TITLE}\r?$", content, re.MULTILINE) is not None


def parse(content: str) -> Report:
    """The top function's row. Raises ReportError where the table is missing, cut or damaged."""
    lines = [line.strip() for line in text.complete_lines(content)]
    row = _top_row(lines)
    latency = text.count(row["(cycles)"], "the latency")
    interval = text.count(row["Interval"], "the interval")
    used = {name: text.count(row.get(name, ""), name) for name in ("LUT", "FF", "DSP", "BRAM", "URAM")}
    details = {
        "pipeline_type": row.get("Pipelined", "").strip() or None,
        "slack_ns": text.real(row.get("Slack", ""), "the slack"),
    }
    return Report(
        kind="hls_summary_rpt",
        tool="Vitis HLS",
        version=text.one(text.matches(lines, VERSION), "the version"),
        part=text.one(text.matches(lines, r"\*\s+Target device:\s+(\S+)"), "the target device"),
        top=text.one(text.matches(lines, _TITLE), "the title"),
        latency_min_cycles=latency,
        latency_max_cycles=latency,
        interval_min=interval,
        interval_max=interval,
        resources=Resources(used["LUT"], used["FF"], used["DSP"], used["BRAM"], used["URAM"]),
        details={name: value for name, value in details.items() if value is not None},
    )


def _top_row(lines: list[str]) -> dict[str, str]:
    """The first row, the top function's, by the names in the header's last line."""
    found = [table for table in text.tables(lines) if {"(cycles)", "Interval", "LUT"} <= set(table.names())]
    if len(found) != 1 or not found[0].body():
        raise ReportError("a synthesis summary without its performance table; the file is cut short")
    names, row = found[0].names(), found[0].body()[0]
    if len(names) != len(row) or len(set(names)) != len(names) or not row[0].startswith("+ "):
        raise ReportError("the performance table has columns not known here")
    return dict(zip(names, row, strict=True))
