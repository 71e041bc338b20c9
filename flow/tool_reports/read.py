"""One report file, recognised by its content, whatever its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flow.core.errors import ReportError
from flow.core.untrusted import read_bytes, refused
from flow.tool_reports import hls_cosim, hls_csynth, hls_export, hls_summary, hls_xml, open_json, vivado
from flow.tool_reports.model import Report

MAX_BYTES = 64 << 20
MAX_LINES = 1 << 20
_KINDS: tuple[tuple[Callable[[str], bool], Callable[[str], Report]], ...] = (
    (hls_xml.matches, hls_xml.parse),
    (hls_summary.matches, hls_summary.parse),
    (hls_csynth.matches, hls_csynth.parse),
    (hls_cosim.matches, hls_cosim.parse),
    (hls_export.matches, hls_export.parse),
    (vivado.matches_utilization, vivado.parse_utilization),
    (vivado.matches_timing, vivado.parse_timing),
)


class UnknownKind(ReportError):
    """A file that is none of the known kinds, as opposed to a damaged one of them."""


def read_report(path: Path) -> Report:
    """Read one file of any known kind. Raises ReportError, naming the file, where it cannot be read or is damaged."""
    with refused(ReportError, str(path), "give a report file"):
        content = read_bytes(path, MAX_BYTES)
    return parse_report(content, str(path))


def parse_report(content: bytes, name: str) -> Report:
    """Read a report's bytes; ``name`` is used in messages only. Raises ReportError."""
    if len(content) > MAX_BYTES:
        raise ReportError(f"{name}: larger than {MAX_BYTES >> 20} MiB; not a report")
    if content.count(b"\n") > MAX_LINES:  # each takes many times its bytes
        raise ReportError(f"{name}: more than {MAX_LINES} lines; not a report")
    text = content.decode("utf-8", errors="replace")
    try:
        parser = next((parse for matches, parse in _KINDS if matches(text)), None)
        if parser is not None:
            return parser(text)
        data = open_json.load(text)
        if data is not None and open_json.matches_build(data):
            return open_json.parse_build(data)
        if data is not None and open_json.matches_nextpnr(data):
            return open_json.parse_nextpnr(data)
    except ReportError as exc:
        raise ReportError(f"{name}: {exc}") from None
    raise UnknownKind(
        f"{name}: not a report known here (HLS synthesis, summary, cosimulation, export; Vivado utilization, timing; "
        "report.json; nextpnr), or cut before its heading"
    )
