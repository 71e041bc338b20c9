"""``*_cosim.rpt``: latency and interval measured by C/RTL cosimulation; version, part and top are not in it."""

from __future__ import annotations

import re
from typing import Any

from flow.core.errors import ReportError
from flow.tool_reports import text
from flow.tool_reports.model import Report

_COLUMNS = ("latency min", "latency avg", "latency max", "interval min", "interval avg", "interval max", "total cycles")
_LANGUAGES = ("Verilog", "VHDL", "SystemC")


def matches(content: str) -> bool:
    """A text with a simulation tool line and the RTL/Status table's heading."""
    return re.search(r"^Simulation tool\s*:", content, re.MULTILINE) is not None and bool(
        re.search(r"^[+|]\s+RTL\s+[+|]\s+Status\s+[+|]", content, re.MULTILINE)
    )


def parse(content: str) -> Report:
    """The figures of the language that was run, Verilog's where several were; None where the run gave none (``NA``)."""
    rows = _rows(text.complete_lines(content))
    ran = {language: row for language, row in rows.items() if row["status"].upper() != "NA"}
    if not ran:
        return Report(kind="hls_cosim_rpt", details={"status": "not run"})
    language = next(name for name in _LANGUAGES if name in ran)
    row = ran[language]
    figures = {name: text.count(row.get(name, ""), f"{language} {name}") for name in _COLUMNS}
    details: dict[str, Any] = {"status": row["status"], "rtl": language, "total_cycles": figures["total cycles"]}
    return Report(
        kind="hls_cosim_rpt",
        latency_min_cycles=figures["latency min"],
        latency_max_cycles=figures["latency max"],
        interval_min=figures["interval min"],
        interval_max=figures["interval max"],
        details=details,
    )


def _rows(lines: list[str]) -> dict[str, dict[str, str]]:
    found = [table for table in text.tables(lines) if any("RTL" in line and "Status" in line for line in table.header)]
    if len(found) != 1 or not found[0].body():
        raise ReportError("a cosimulation report without its complete table; the file is cut short")
    heading = " ".join(found[0].header)
    if "Interval" not in heading.partition("Latency")[2]:
        raise ReportError("the cosimulation table has columns not known here")
    rows: dict[str, dict[str, str]] = {}
    for row in found[0].body():
        language, status, *figures = (cell.strip() for cell in "|".join(row).split("|"))
        if language not in _LANGUAGES or language in rows or len(figures) not in (6, 7):
            raise ReportError(f"the cosimulation table has a row not known here: {language[:20]!r}")
        rows[language] = {"status": status, **dict(zip(_COLUMNS, figures, strict=False))}
    return rows
