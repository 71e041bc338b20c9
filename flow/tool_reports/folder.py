"""Every report under a folder, and one record merged from them.

Where the folder is a build of this project, its ``report.json`` is the record. Elsewhere each figure comes from the
kind of report that knows it best (measured over estimated, routed over synthesized); where equally good reports
differ it stays None and is named as ambiguous. Reports of sub-modules are left out once a summary tells which
function is the top, and reports of different devices or top functions are listed, never merged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flow.core.errors import ReportError
from flow.tool_reports.model import Report, Resources
from flow.tool_reports.open_json import UNFINISHED
from flow.tool_reports.read import MAX_BYTES, UnknownKind, read_report
from keras_models.untrusted import one_line

MAX_FILES = 5000
_MAX_BYTES = 1 << 29  # of all of them
_MAX_DEPTH = 32  # of folders
_HLS = ("hls_csynth_xml", "hls_csynth_rpt", "hls_summary_rpt")
_VIVADO = ("vivado_utilization", "vivado_timing", "hls_export_rpt")
_CYCLES = ("hls_cosim_rpt", *_HLS)
_BEST = {
    "tool": (*_HLS, *_VIVADO),
    "version": (*_HLS, *_VIVADO),
    "part": (*_HLS, *_VIVADO),
    "top": (*_HLS, *_VIVADO),
    "clock_target_ns": ("vivado_timing", "hls_export_rpt", *_HLS, "nextpnr"),
    "clock_estimated_ns": _HLS,
    "latency_min_cycles": _CYCLES,
    "latency_max_cycles": _CYCLES,
    "interval_min": _CYCLES,
    "interval_max": _CYCLES,
    "resources": ("vivado_utilization", "hls_export_rpt", *_HLS),
    "available": ("vivado_utilization", *_HLS),
    "wns_ns": ("vivado_timing", "nextpnr"),
}


@dataclass(frozen=True)
class Folder:
    """What a folder holds: reports and errors by file name, the merged record and the fields it had to leave open."""

    reports: dict[str, Report]
    errors: dict[str, str]
    merged: Report
    ambiguous: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The merged record's JSON with ``reports``, ``errors`` and ``ambiguous`` beside it."""
        reports = [{"file": name, **report.to_json()} for name, report in self.reports.items()]
        return {**self.merged.to_json(), "reports": reports, "errors": self.errors, "ambiguous": list(self.ambiguous)}


def read_folder(folder: Path) -> Folder:
    """Read every report under a folder. Raises ReportError where there is none, or none that can be read."""
    reports: dict[str, Report] = {}
    errors: dict[str, str] = {}
    for path in _candidates(folder):
        name = one_line(path.relative_to(folder).as_posix())
        try:
            reports[name] = read_report(path)
        except UnknownKind:
            continue
        except ReportError as exc:
            errors[name] = str(exc)
    if not reports:
        raise ReportError(next(iter(errors.values()), f"{folder}: no report found in it or below"))
    own = reports.get("report.json")
    if own is not None and own.kind == "flow_build" and (folder / UNFINISHED).is_file():
        caution = f"of an earlier build; a later one did not finish, see {UNFINISHED}"
        reports["report.json"] = replace(own, details={**own.details, "report": caution})
    merged, ambiguous = _merge(reports)
    return Folder(reports, errors, merged, ambiguous)


def _candidates(folder: Path) -> Iterator[Path]:
    """Files that may be reports, in sorted order; links are not followed into folders."""
    found = size = 0
    for root, folders, files in os.walk(folder):
        deep = len(Path(root).parts) - len(folder.parts) >= _MAX_DEPTH
        folders[:] = [] if deep else sorted(folders)
        for name in sorted(files):
            if name.endswith((".rpt", ".xml")) or name in ("report.json", "nextpnr.json"):
                found += 1
                with suppress(OSError):  # its reader will say what is wrong
                    size += min((Path(root) / name).stat().st_size, MAX_BYTES)
                if found > MAX_FILES or size > _MAX_BYTES:
                    raise ReportError(
                        f"{folder}: more than {MAX_FILES} candidates or {_MAX_BYTES >> 20} MiB; name a smaller folder"
                    )
                yield Path(root) / name


def _merge(reports: dict[str, Report]) -> tuple[Report, tuple[str, ...]]:
    own = reports.get("report.json")
    if own is not None and own.kind == "flow_build":
        return own, ()
    if len(reports) == 1:
        return next(iter(reports.values())), ()
    tops = {r.top for n, r in reports.items() if r.kind == "hls_summary_rpt" or Path(n).name == "csynth.xml"}
    usable = [r for r in reports.values() if r.kind not in _HLS or not tops or r.top in tops]
    unlike = _unlike(usable)
    if unlike:
        return Report(kind="folder"), unlike
    values: dict[str, Any] = {}
    ambiguous = []
    for field, kinds in _BEST.items():
        found = _best(usable, kinds, field)
        if len(found) == 1:
            values[field] = found[0]
        elif found:
            ambiguous.append(field)
    for low, high in (("latency_min_cycles", "latency_max_cycles"), ("interval_min", "interval_max")):
        if (low in values) != (high in values):  # one bound without the other would come from another report
            values.pop(low, values.pop(high, None))
    return replace(Report(kind="folder"), **values), tuple(ambiguous)


def _unlike(reports: Sequence[Report]) -> tuple[str, ...]:
    """What shows that the reports are not of one design: different devices (as far as both are printed) or HLS tops."""
    parts = [re.sub("^xc|-", "", r.part.lower()) for r in reports if r.part]
    longest = max(parts, key=len, default="")
    tops = {r.top for r in reports if r.kind in _HLS and r.top}
    found = (("part", not all(longest.startswith(part) for part in parts)), ("top", len(tops) > 1))
    return tuple(name for name, differs in found if differs)


def _best(reports: Sequence[Report], kinds: Sequence[str], field: str) -> list[Any]:
    """The different values the best-placed reports give; empty where none says anything."""

    def get(report: Report) -> Any:
        return getattr(report, field)

    known = [r for r in reports if r.kind in kinds and get(r) not in (None, Resources())]
    places = [(kinds.index(r.kind), _stage(r)) for r in known]
    best = min(places, default=None)
    found: list[Any] = []
    for report, place in zip(known, places, strict=True):
        if place == best and get(report) not in found:
            found.append(get(report))
    return found


def _stage(report: Report) -> int:
    """Routed before placed before synthesized."""
    state = str(report.details.get("design_state", report.details.get("stage", ""))).lower()
    return 0 if "rout" in state or "implementation" in state else 1 if "plac" in state else 2
