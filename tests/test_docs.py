"""Every example of the documentation runs, in order, page by page; the site builds without a warning."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("sh", "python")
SHOWN = ("text", "yaml")
NEEDS = re.compile(r'^ title="(Needs .+|Run by .+)"$')  # why a block is not run here
NOT_RUN = 27  # so many blocks; a change of this number should be a decision
# pages of many builds
LONG = frozenset("architecture board cluster data files hls4ml python qkeras report training tutorial".split())
DRIVER = """
import json, subprocess, sys
names = {"__name__": "page"}
for language, code in json.load(open("blocks.json")):
    print("-----", code.splitlines()[0], flush=True)
    if language == "sh":
        subprocess.run(["bash", "-euo", "pipefail", "-c", code], check=True)
    else:
        exec(compile(code, "page", "exec"), names)
"""


def blocks(page: Path) -> list[tuple[str, str, str]]:
    return [(m[1], m[2], m[3]) for m in BLOCK.finditer(page.read_text())]


def runnable(page: Path) -> list[tuple[str, str]]:
    return [(language, code) for language, info, code in blocks(page) if language in RUN and not NEEDS.match(info)]


def test_every_block_is_run_or_says_what_it_needs():
    held_back = []
    for page in PAGES:
        assert page.read_text().count("```") == 2 * len(blocks(page)), f"{page.name}: a fence without a language"
        for language, info, code in blocks(page):
            assert language in RUN + SHOWN, f"{page.name}: {language}"
            if language in RUN and info:
                assert NEEDS.match(info), f"{page.name}: {info}"
                held_back.append((page.name, code.splitlines()[0]))
    assert len(held_back) == NOT_RUN, held_back


def marked(page: Path) -> object:
    return pytest.param(page, id=page.stem, marks=[pytest.mark.long] if page.stem in LONG else [])


@pytest.mark.parametrize("page", [marked(p) for p in PAGES if runnable(p)])
def test_the_examples_of_a_page_run(page, tmp_path):
    (tmp_path / "blocks.json").write_text(json.dumps(runnable(page)))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # about the future of mkdocs itself
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr[-3000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES) - 1
    for page in pages:  # nothing is fetched from elsewhere
        assert not re.search(r'(src|href)="https?://[^"]+\.(js|css|woff2?)"', page.read_text()), page.name


@pytest.mark.long
def test_the_notebook_runs(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    stored = nbformat.read(ROOT / "docs" / "example.ipynb", as_version=4)
    cells = [c for c in stored.cells if c.cell_type == "code"]
    assert all(c.outputs for c in cells[1:]), "run ./run.sh notebook"  # the first one prepares
    text = (ROOT / "docs" / "example.ipynb").read_text()
    assert len(text) < 500_000 and str(ROOT) not in text
    NotebookClient(stored, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = "".join(str(c.outputs) for c in cells)
    assert "every engine agrees" in shown and shown.count("image/png") >= 2
