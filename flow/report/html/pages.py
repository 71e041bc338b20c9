"""Report pages: one self-contained HTML file per build, and one that compares two builds.

A page is a pure function of ``report.json``: same report, same bytes. It loads nothing from anywhere (its content
security policy forbids it), and everything that came from a model is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from flow.core.errors import ReportError, reason
from flow.core.shapes import require
from flow.core.untrusted import DAMAGE, is_folder, read_json, refused
from flow.report.html.build_page import view
from flow.report.html.compare_page import compare_view
from flow.tool_reports.build_shape import BUILD
from flow.tool_reports.open_json import UNFINISHED, in_sites

ASSETS = Path(__file__).resolve().parent / "assets"
_DAMAGED = (*DAMAGE, jinja2.UndefinedError)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    script = (ASSETS / "page.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(
        style=Markup((ASSETS / "page.css").read_text()), script=Markup(script), script_digest=digest
    )
    return environment


def render(template: str, content: Mapping[str, Any]) -> str:
    """A page of this project's look: a template of ``assets`` with its content."""
    return _environment().get_template(template).render(content)


def page(report: Mapping[str, Any], where: str = "report.json") -> str:
    """The report page of a build. Raises ReportError where ``report`` is not one of this project's reports."""
    try:
        return render("report.html.j2", view(report))
    except _DAMAGED as exc:
        raise ReportError(f"{where}: not a complete build report ({reason(exc)}); build again") from None


def compare(first: Path, second: Path) -> str:
    """The page that compares two builds, each given by its folder or its ``report.json``. Raises ReportError."""
    reports = [read(path) for path in (first, second)]
    names = [_label(path) for path in (first, second)]
    try:
        return render("compare.html.j2", compare_view(reports, names))
    except _DAMAGED as exc:
        raise ReportError(
            f"{first} and {second}: not two complete build reports ({reason(exc)}); build again"
        ) from None


def read(path: Path) -> dict[str, Any]:
    """A build's ``report.json``, by its own path or its folder's. Raises ReportError."""
    file = path / "report.json" if is_folder(path) else path
    with refused(ReportError, f"{file}: cannot be read as a build report", "name a build's folder"):
        report = read_json(file, finite=False)
    if not isinstance(report, dict) or "status" not in report:
        raise ReportError(f"{file}: not a report of a build; name a build's folder or its report.json")
    with refused(ReportError, str(file), "build again"):
        require(report, BUILD, "")
    if isinstance(report.get("synthesis"), dict):
        report["synthesis"] = in_sites(report["synthesis"])
    return report


def _label(path: Path) -> str:
    """What a reader calls the build: its folder's name, and that it is not the last one of its folder if so."""
    folder = path.resolve().parent if path.name == "report.json" else path.resolve()
    return f"{folder.name}, before a build that did not finish" if (folder / UNFINISHED).is_file() else folder.name
