"""The stories are recorded as they stand and have pages; each runs; messages that the documentation explains exist."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))
import run as stories  # noqa: E402  (a folder of programs, no package)


def texts() -> str:
    """All text in the program's code, with ``\\0`` where values are put in."""
    found = []
    for path in [p for folder in ("flow", "keras_models") for p in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append("".join(v.value if isinstance(v, ast.Constant) else "\0" for v in node.values))
    return "\n".join(found)


def test_messages_that_are_explained_exist():
    known, page = texts(), (ROOT / "docs" / "troubleshooting.md").read_text()
    explained = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    assert len(explained) >= 20
    for message in explained:
        for part in message.split("…"):
            assert part.strip() in known, message


@pytest.mark.parametrize("name", stories.STORIES)
def test_a_story_is_recorded_as_it_stands_and_has_a_page(name):
    text = (ROOT / "examples" / f"{name}.py").read_text()
    assert (ROOT / "docs" / "stories" / f"{name}.md").read_text().strip() == f"<!-- story: {name} -->"
    assert f"stories/{name}.md" in (ROOT / "mkdocs.yml").read_text()
    record = ROOT / "examples" / "recorded" / f"{name}.json"
    if not record.is_file():
        pytest.skip(f"it was not recorded: python examples/run.py {name} --record")
    recorded = json.loads(record.read_text())
    assert recorded["code"] == stories.digest(text), f"python examples/run.py {name} --record"
    assert len(recorded["printed"]) == sum(kind == "code" for kind, _ in stories.cells(text))


def test_methods_are_compared_on_files_that_are_there(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "methods.py"), "--work", str(tmp_path), "--data", "no.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].endswith("give an .npz file of X, y and split")


@pytest.mark.slow
@pytest.mark.parametrize("name", stories.STORIES)
def test_a_story_runs(name, tmp_path):
    asked = os.environ.get("NMP_STORIES")
    reason = stories.missing(name) if asked else "minutes each: python examples/run.py, or NMP_STORIES=1"
    if reason is not None:
        pytest.skip(reason)
    environment = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "run.py"), name],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "ok:" in done.stdout
