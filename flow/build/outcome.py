"""What a build's folder says of itself, true at every moment: the last whole report, and whether a build came after it.

``report.json`` and ``report.html`` are of the last build that ended with a result. While a build changes the folder,
and after one that failed, was interrupted or killed, ``unfinished.json`` lies there and says so.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flow.build import report_data
from flow.build.options import Options
from flow.build.report_detail import command
from flow.build.state import save_json, to_text
from flow.core.errors import FlowError, ReportError
from flow.files import plan
from flow.report.html import pages
from flow.tool_reports.open_json import UNFINISHED

WHOLE = ("ok", "mismatch")  # what a build that ran to its end reports


@contextlib.contextmanager
def recorded(options: Options) -> Iterator[None]:
    """Around a build that changes its folder: ``unfinished.json`` until ``write`` has put the new report in place.

    An error is noted there, or where no whole report would be lost, as report of status "failed".
    """
    out = options.out
    _complete(out)
    _mark(options, "running")
    try:
        yield
    except KeyboardInterrupt:
        _mark(options, "interrupted")
        raise
    except FlowError as exc:
        with contextlib.suppress(FlowError):  # a full disk, say: the error that led here is the one to tell
            _failed(options, str(exc))
        raise


def write(out: Path, report: dict[str, Any]) -> None:
    """Put ``report.json`` and its page in place as one, and take ``unfinished.json`` away."""
    text = to_text(report)
    page = pages.page(json.loads(text))  # of what stands in the file, so that it can be made again from there
    plan.write_together({out / "report.json": text, out / "report.html": page})
    plan.remove(out / UNFINISHED)


def earlier_report(out: Path) -> bool:
    """Whether the report in ``out`` is not of the build that failed there last."""
    return (out / UNFINISHED).is_file() and _whole(out) is not None


def _failed(options: Options, message: str) -> None:
    if _whole(options.out) is None:
        write(options.out, report_data.failed_report(options.part, message))
    else:
        _mark(options, "failed", error=message)


def _mark(options: Options, status: str, **more: str) -> None:
    found = {"schema": 1, "status": status, "part": options.part.name, "command": command(options), **more}
    save_json(options.out / UNFINISHED, found)


def _whole(out: Path) -> dict[str, Any] | None:
    """The report in ``out`` if it is one of a build that ran to its end."""
    try:
        report = pages.read(out)
    except ReportError:
        return None
    return report if report["status"] in WHOLE else None


def _complete(out: Path) -> None:
    """Make the page of a whole report again where a kill has come between the two."""
    report = _whole(out)
    if report is not None and not (out / "report.html").exists():
        with contextlib.suppress(ReportError):
            plan.write_file(out / "report.html", pages.page(report))
