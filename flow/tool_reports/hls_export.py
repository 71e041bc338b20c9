"""``*_export.rpt``: what Vivado made of the exported IP, after synthesis or, where it was run, after implementation.

``BRAM`` counts 18 Kb blocks. The achieved period stands in ``details`` as ``clock_achieved_ns``: it is a result, not
HLS' estimate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from flow.core.errors import ReportError
from flow.tool_reports import text
from flow.tool_reports.model import Report, Resources

_TOOL = r"Implementation tool:\s+Xilinx (Vivado) v\.[0-9]{4}\.[0-9](?:\.[0-9])?"
_VERSION = r"Implementation tool:\s+Xilinx Vivado v\.([0-9]{4}\.[0-9](?:\.[0-9])?)"
_SECTION = re.compile(r"#=== (?:(Post-Synthesis|Post-Implementation) )?Resource usage ===")
_VERDICT = re.compile(r"Timing (?:not )?met", re.IGNORECASE)
_FINAL = "#=== Final timing ==="


def matches(content: str) -> bool:
    """A text with an implementation tool line and a resource usage section."""
    return "Implementation tool:" in content and "Resource usage ===" in content


def parse(content: str) -> Report:
    """The last stage's figures. Raises ReportError where the file ends before its final timing section."""
    lines = [line.strip() for line in text.complete_lines(content)]
    starts = [i for i, line in enumerate(lines) if _SECTION.fullmatch(line)]
    if not starts or lines.count(_FINAL) != 1 or lines.index(_FINAL) < starts[-1]:
        raise ReportError("an export report without its final timing section; the file is cut short")
    stage = _SECTION.fullmatch(lines[starts[-1]])[1]  # type: ignore[index]
    usage = lines[starts[-1] : lines.index(_FINAL)]
    final = lines[lines.index(_FINAL) :]
    met = next((line.lower() == "timing met" for line in final if _VERDICT.fullmatch(line)), None)
    achieved = None if met is None else _achieved(final)  # without the verdict, lines may be missing
    details = {"stage": stage.lower() if stage else None, "clock_achieved_ns": achieved, "timing_met": met}
    return Report(
        kind="hls_export_rpt",
        tool=text.one(text.matches(lines, _TOOL), "the tool"),
        version=text.one(text.matches(lines, _VERSION), "the version"),
        part=text.one(text.matches(lines, r"Device target:\s+(\S+)"), "the device target"),
        clock_target_ns=_figure(final, r"CP required:\s+(\S+)", "the required period"),
        resources=Resources(*(_count(usage, name) for name in ("LUT", "FF", "DSP", "BRAM", "URAM"))),
        details={name: value for name, value in details.items() if value is not None},
    )


def _count(lines: Sequence[str], name: str) -> int | None:
    return text.count(text.one(text.matches(lines, rf"{name}:\s+(\S+)"), name) or "", name)


def _figure(lines: Sequence[str], pattern: str, what: str) -> float | None:
    return text.real(text.one(text.matches(lines, pattern), what) or "", what)


def _achieved(final: Sequence[str]) -> float | None:
    """The period after the last stage run."""
    stages = ("post-implementation", "post-synthesis")
    patterns = [rf"CP achieved {stage}:\s+(\S+)" for stage in stages] + [r"CP achieved:\s+(\S+)"]
    found = [_figure(final, pattern, "the achieved period") for pattern in patterns]
    return next((value for value in found if value is not None), None)
