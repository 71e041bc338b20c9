"""``python -m flow.report DIR|FILE [--json]``: any vendor or open report as the same JSON, or as a table to read.

``python -m flow.report --compare A B --out compare.html`` writes one page that compares two builds.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flow.core.errors import NotOurs, UsageError
from flow.core.untrusted import is_folder, opened, refused
from flow.report.command_line import Quiet, Version, application, ending
from flow.report.terminal import SafeConsole
from flow.tool_reports import MAX_BYTES, Folder, Report, read_folder, read_report
from keras_models.untrusted import one_line

app = application()


@app.command()
def report(
    path: Annotated[
        Path | None, typer.Argument(metavar="DIR|FILE", help="A report file, or a folder to search for reports.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; null where a report does not say.")] = False,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A B", help="Two builds (folder or report.json) to compare.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The page --compare writes.")] = Path("compare.html"),
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Read reports of HLS, Vivado, nextpnr and this project.

    All come in one form; or two builds are compared on a page.
    """
    with ending(stdout_is_kept=quiet):
        if (path is None) == (compare is None):
            raise UsageError("give a report file or folder, or two builds with --compare A B")
        found = None if path is None else _read(path)
        if compare:
            _compare(*compare, out, quiet)
        if path is None or found is None:
            return
        if not as_json:
            _tell(SafeConsole(), found) if quiet else show(SafeConsole(), found, path)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))


def _compare(first: Path, second: Path, out: Path, quiet: bool) -> None:
    from flow.files import plan
    from flow.report.html import pages  # only here: reading reports needs no templates

    if os.path.lexists(out):
        with refused(NotOurs, str(out), "choose another name with --out"), opened(out, MAX_BYTES) as file:
            if not (file.read(200) or b"").lower().lstrip().startswith(b"<!doctype html>"):
                raise NotOurs(f"{out} is there already and no page; move it away or choose another name with --out")
    plan.write_file(out, pages.compare(first, second))
    if not quiet:
        print(f"comparison in {one_line(str(out))}")


def _read(path: Path) -> Report | Folder:
    return read_folder(path) if is_folder(path) else read_report(path)


def show(console: Console, found: Report | Folder, path: Path) -> None:
    """Print a report, or a folder's merged record and the files it was read from."""
    merged = found.merged if isinstance(found, Folder) else found
    console.print(Text(one_line(str(path)), style="bold"))
    console.print(_figures(merged))
    console.print(_resources(merged))
    if isinstance(found, Folder):
        console.print(_files(found))
    _tell(console, found)


def _tell(console: Console, found: Report | Folder) -> None:
    """What must not be missed: files that could not be read, and figures on which reports differ."""
    if isinstance(found, Folder):
        for name, error in found.errors.items():
            console.print(Text(f"not read: {name}: {one_line(error)}", style="red"))
        if found.ambiguous:
            console.print(Text(f"reports differ on: {', '.join(found.ambiguous)}", style="yellow"))


def _figures(report: Report) -> Table:
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    rows = {
        "tool": " ".join(word for word in (report.tool, report.version) if word) or None,
        "part": report.part,
        "top": report.top,
        "clock target": _with_unit(report.clock_target_ns, "ns"),
        "clock estimated": _with_unit(report.clock_estimated_ns, "ns"),
        "latency": _with_unit(_span(report.latency_min_cycles, report.latency_max_cycles), "cycles"),
        "interval": _with_unit(_span(report.interval_min, report.interval_max), "cycles"),
        "worst slack": _with_unit(report.wns_ns, "ns"),
        **{name.replace("_", " "): str(v) for name, v in report.details.items() if isinstance(v, str | float | bool)},
    }
    for name, value in rows.items():
        table.add_row(name, Text(one_line(value or "-")))
    return table


def _resources(report: Report) -> Table:
    table = Table("resource", box=None, header_style="bold")
    for column in ("used", "available", "%"):
        table.add_column(column, justify="right")
    used, available = report.to_json()["resources"], report.to_json()["available"]
    for name in used:
        count, limit = used[name], available[name]
        share = f"{100 * count / limit:.1f}" if count is not None and limit else "-"
        style = "red" if count is not None and limit is not None and count > limit else ""
        table.add_row(name, *("-" if n is None else f"{n:,}" for n in (count, limit)), share, style=style)
    return table


def _files(folder: Folder) -> Table:
    table = Table("file", "kind", "top", box=None, header_style="bold")
    for name, report in folder.reports.items():
        table.add_row(Text(name), report.kind, Text(one_line(report.top or "-")))
    return table


def _span(low: int | None, high: int | None) -> str | None:
    if low is None or high is None:
        return None
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _with_unit(value: float | str | None, unit: str) -> str | None:
    return None if value is None else f"{value} {unit}"
