"""``*_csynth.rpt`` of Vivado HLS and Vitis HLS: one function's performance and utilization estimates."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flow.core.errors import ReportError
from flow.tool_reports import text
from flow.tool_reports.model import Report, Resources
from flow.tool_reports.text import Table

_TITLE = r"== (Vivado|Vitis) HLS Report for '[^']+'"
_VERSION = r"\*\s+Version:\s+([0-9]{4}\.[0-9](?:\.[0-9])?)(?: .*)?"


def matches(content: str) -> bool:
    """A text with the title line of an HLS report."""
    return re.search(rf"^{_TITLE}\r?$", content, re.MULTILINE) is not None


def parse(content: str) -> Report:
    """The report's figures; absent tables leave None. Raises ReportError where no table is left or one is damaged."""
    lines = [line.strip() for line in text.complete_lines(content)]
    found = text.tables(lines)
    timing, unit = _after(lines, found, r"\+ Timing(?: \((ns)\))?:")
    latency, _ = _after(lines, found, r"\+ Latency(?: \((clock cycles)\))?:")
    usage, _ = _after(lines, found, r"== Utilization Estimates()")
    if not (timing or latency or usage):
        raise ReportError("an HLS report without its tables; the file is cut short")
    target, estimated = _clock(timing, unit)
    latency_min, latency_max, interval_min, interval_max, pipeline = _latency(latency)
    tool = text.one(text.matches(lines, _TITLE), "the tool")
    return Report(
        kind="hls_csynth_rpt",
        tool=f"{tool} HLS" if tool else None,
        version=text.one(text.matches(lines, _VERSION), "the version"),
        part=text.one(text.matches(lines, r"\*\s+Target device:\s+(\S+)"), "the target device"),
        top=text.one(text.matches(lines, r"== (?:Vivado|Vitis) HLS Report for '([^']+)'"), "the title"),
        clock_target_ns=target,
        clock_estimated_ns=estimated,
        latency_min_cycles=latency_min,
        latency_max_cycles=latency_max,
        interval_min=interval_min,
        interval_max=interval_max,
        resources=_resources(usage, "Total"),
        available=_resources(usage, "Available"),
        details={"pipeline_type": pipeline} if pipeline else {},
    )


def _after(lines: Sequence[str], found: Sequence[Table], heading: str) -> tuple[Table | None, str | None]:
    """The summary table right under a heading, and the unit the heading names; ReportError for two such headings."""
    places = [(i, match) for i, line in enumerate(lines) if (match := re.fullmatch(heading, line))]
    if len(places) > 1:
        raise ReportError(f"two sections {places[0][1][0]!r} in one report")
    if not places:
        return None, None
    index, match = places[0]
    near = [i for i in range(index + 1, min(index + 3, len(lines))) if lines[i] == "* Summary:"]
    table = next((t for t in found if near and t.start == near[0] + 1), None)
    return table, match[1]


def _clock(table: Table | None, unit: str | None) -> tuple[float | None, float | None]:
    if table is None:
        return None, None
    target, estimated = table.column("Target"), table.column("Estimated")
    if len(target) != 1 or len(estimated) != 1:
        return None, None  # none, or several clocks: which one is the design's is not said
    first, second = (text.period_ns(next(iter(c.values())), "the clock period", unit) for c in (target, estimated))
    return first, second


def _latency(table: Table | None) -> tuple[int | None, int | None, int | None, int | None, str | None]:
    if table is None or not table.body():
        return None, None, None, None, None
    titles = [cell.strip() for cell in table.header[0].strip("|").split("|")]
    columns = [
        f"{title} {bound}" for title in titles for bound in (("min", "max") if title != "Pipeline" else ("Type",))
    ]
    bounds = [column.rsplit(" ", 1)[1] for column in columns]
    row = table.body()[0]
    if bounds != table.names() or len(row) != len(columns) or len(table.body()) != 1:
        raise ReportError("the latency table has columns not known here")
    cells = dict(zip(columns, row, strict=True))
    latency = "Latency (cycles)" if "Latency (cycles) min" in cells else "Latency"
    figures = [text.count(cells.get(f"{t} {b}", ""), f"{t} {b}") for t in (latency, "Interval") for b in ("min", "max")]
    return figures[0], figures[1], figures[2], figures[3], cells.get("Pipeline Type", "").strip() or None


def _resources(table: Table | None, row: str) -> Resources:
    if table is None:
        return Resources()

    def cell(*columns: str) -> int | None:
        found = next((c[row] for name in columns if row in (c := table.column(name))), "")
        return text.count(found, f"{row} {columns[0]}")

    return Resources(cell("LUT"), cell("FF"), cell("DSP", "DSP48E"), cell("BRAM_18K"), cell("URAM"))
