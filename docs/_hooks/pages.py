"""Pages that are made when the site is built.

Command lines come from their own --help, the notebook from its file, stories from `examples/` with what their cells
printed when they were recorded, and the measured figures from `benchmarks/RESULTS.md`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_COMMAND = re.compile(r"^<!-- help: ([\w.]+) -->$", re.MULTILINE)
_STORY = re.compile(r"^<!-- story: (\w+) -->$", re.MULTILINE)
_RESULTS = re.compile(r"^<!-- results -->$", re.MULTILINE)
_NOTEBOOK = re.compile(r"^<!-- notebook: ([\w.]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks ``help``, ``notebook``, ``story`` and ``results`` of a page."""
    for mark, make in ((_COMMAND, _help), (_NOTEBOOK, _notebook), (_STORY, _story)):
        markdown = mark.sub(lambda m, make=make: make(m[1]), markdown)
    return _RESULTS.sub(lambda m: _results(), markdown)


def _story(name: str) -> str:
    """A story of ``examples/`` as a notebook: words, code, and below it what it printed when it was recorded."""
    sys.path.insert(0, str(ROOT / "examples"))
    from run import cells

    recorded = ROOT / "examples" / "recorded" / f"{name}.json"
    printed, parts = iter(json.loads(recorded.read_text())["printed"] if recorded.is_file() else ()), []
    for kind, body in cells((ROOT / "examples" / f"{name}.py").read_text()):
        if kind == "markdown":
            parts.append(body)
            continue
        parts.append(f"```python\n{body}\n```")
        text = next(printed, "")
        if text:
            parts.append(f"```text\n{text}\n```")
    parts.append(f"*Run by `python examples/run.py {name}`, which takes some minutes on two cores.*")
    return "\n\n".join(parts)


def _results() -> str:
    """The measured figures, below a heading of their own level."""
    text = (ROOT / "benchmarks" / "RESULTS.md").read_text().partition("\n")[2]
    return re.sub(r"!\[[^]]*\]\([^)]*\)", "", text)


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
