"""Renders the templates of ``hls_templates``; an unknown name in a template is an error, never a blank."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from flow.emit.layout import wrapped

FOLDER = Path(__file__).resolve().parents[2] / "hls_templates"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(template: str, **values: Any) -> str:
    """The text of a template filled with ``values``; lines of Verilog that become too long are broken."""
    text = _environment().get_template(template).render(**values)
    return wrapped(text) if template.endswith(".v.j2") else text


def static(name: str) -> str:
    """The text of a file of ``hls_templates`` that is emitted as it is."""
    return (FOLDER / name).read_text()
