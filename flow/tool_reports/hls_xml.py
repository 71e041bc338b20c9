"""``*_csynth.xml`` of Vivado HLS and Vitis HLS: the top function's estimates.

Only elements at the top level's own paths are read (Vitis repeats the same tags per sub-module). The file does not
name the tool. Document type declarations are refused and the text is taken as UTF-8, so that no entity can expand or
reach outside.
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from flow.core.errors import ReportError, reason
from flow.tool_reports import text
from flow.tool_reports.model import Report, Resources

_TIMING = "profile/PerformanceEstimates/SummaryOfTimingAnalysis/"
_LATENCY = "profile/PerformanceEstimates/SummaryOfOverallLatency/"
_USER = "profile/UserAssignments/"
_AREA = ("profile/AreaEstimates/Resources/", "profile/AreaEstimates/AvailableResources/")
_PIPELINE = "profile/PerformanceEstimates/PipelineType"
_WANTED = ("profile/ReportVersion/", _USER, _TIMING, _LATENCY, *_AREA, _PIPELINE)
_UNITS = {_USER + "unit": "ns", _TIMING + "unit": "ns", _LATENCY + "unit": "clock cycles"}
_MAX_DEPTH = 64


class _Leaves:
    """Collects the text of elements near the root by path; constant memory however long the file."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.found: dict[str, list[str]] = {}
        self.text: list[str] = []

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        self.path.append(tag)
        self.text = []
        if len(self.path) > _MAX_DEPTH:
            raise ReportError("XML nested too deep for a report")

    def data(self, data: str) -> None:
        if len(self.path) <= 4:
            self.text.append(data)

    def end(self, _tag: str) -> None:
        path = "/".join(self.path)
        if len(self.path) <= 4 and path.startswith(_WANTED):
            self.found.setdefault(path, []).append("".join(self.text).strip())
        self.path.pop()
        self.text = []

    def get(self, path: str) -> str | None:
        return text.one(self.found.get(path, []), path.rsplit("/", 1)[1]) or None


def matches(content: str) -> bool:
    """An XML document whose root is ``profile``, the HLS synthesis report's."""
    head = content.lstrip("\ufeff \t\r\n")
    return head.startswith(("<profile", "<?xml")) and "<profile" in head[:2000]


def parse(content: str) -> Report:
    """The report's figures. Raises ReportError for XML that is cut, declares entities or has other units."""
    leaves = _read(content)
    for path, unit in _UNITS.items():
        found = leaves.get(path)
        if found not in (None, unit):
            raise ReportError(f"the unit of {path.split('/')[-2]} is {found!r}, not {unit!r}")
    used, available = (_resources(leaves, area) for area in _AREA)
    version = leaves.get("profile/ReportVersion/Version")
    if version is None and not leaves.found:
        raise ReportError("no figures of an HLS synthesis report in this XML")
    return Report(
        kind="hls_csynth_xml",
        version=version,
        part=leaves.get(_USER + "Part"),
        top=leaves.get(_USER + "TopModelName"),
        clock_target_ns=_real(leaves, _USER + "TargetClockPeriod"),
        clock_estimated_ns=_real(leaves, _TIMING + "EstimatedClockPeriod"),
        latency_min_cycles=_count(leaves, _LATENCY + "Best-caseLatency"),
        latency_max_cycles=_count(leaves, _LATENCY + "Worst-caseLatency"),
        interval_min=_count(leaves, _LATENCY + "Interval-min"),
        interval_max=_count(leaves, _LATENCY + "Interval-max"),
        resources=used,
        available=available,
        details=_details(leaves),
    )


def _details(leaves: _Leaves) -> dict[str, Any]:
    found = {
        "pipeline_type": leaves.get(_PIPELINE),
        "clock_uncertainty_ns": _real(leaves, _USER + "ClockUncertainty"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _resources(leaves: _Leaves, area: str) -> Resources:
    dsp = _count(leaves, area + "DSP")
    return Resources(
        lut=_count(leaves, area + "LUT"),
        ff=_count(leaves, area + "FF"),
        dsp=dsp if dsp is not None else _count(leaves, area + "DSP48E"),
        bram18=_count(leaves, area + "BRAM_18K"),
        uram=_count(leaves, area + "URAM"),
    )


def _count(leaves: _Leaves, path: str) -> int | None:
    return text.count(leaves.get(path) or "", path.rsplit("/", 1)[1])


def _real(leaves: _Leaves, path: str) -> float | None:
    return text.real(leaves.get(path) or "", path.rsplit("/", 1)[1])


def _read(content: str) -> _Leaves:
    def refuse(*_: object) -> None:
        raise ReportError("XML with a document type declaration is refused")

    leaves = _Leaves()
    parser = expat.ParserCreate(encoding="utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = leaves.start
    parser.CharacterDataHandler = leaves.data
    parser.EndElementHandler = leaves.end
    try:
        parser.Parse(content.lstrip("\ufeff \t\r\n").encode("utf-8"), True)
    except expat.ExpatError as exc:
        raise ReportError(f"XML is cut or damaged: {reason(exc)}") from None
    return leaves
