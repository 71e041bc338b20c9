"""Pages that are made when the site is built: command lines from their own --help, the notebook from its file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_COMMAND = re.compile(r"^<!-- help: ([\w.]+) -->$", re.MULTILINE)
_NOTEBOOK = re.compile(r"^<!-- notebook: ([\w.]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks ``help`` and ``notebook`` of a page."""
    return _NOTEBOOK.sub(lambda m: _notebook(m[1]), _COMMAND.sub(lambda m: _help(m[1]), markdown))


def _help(module: str) -> str:
    environment = {**os.environ, "COLUMNS": "110", "TERM": "dumb", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", module, "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT).stdout
    return f"## python -m {module}\n\n```text\n{text.strip()}\n```\n"


def _notebook(name: str) -> str:
    from nbconvert import MarkdownExporter

    text, resources = MarkdownExporter().from_filename(str(ROOT / "docs" / name))
    import base64

    for file, data in resources["outputs"].items():
        text = text.replace(f"({file})", f"(data:image/png;base64,{base64.b64encode(data).decode()})")
    return str(text)
