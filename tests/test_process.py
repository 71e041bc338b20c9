"""Tools end with the build that started them, however it ends, and are heard while they run."""

import os
import re
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from flow.core.errors import ToolFailed
from flow.report import console
from flow.report.console import Progress
from flow.tools import process

ROOT = Path(__file__).parents[1]
HANG_S = 600  # what stands still so long hangs, however loaded the machine is
START = """
from pathlib import Path
from flow.tools import process
process.run(["sh", "-c", "sleep 3600 & echo $! > one; sleep 3600 & echo $! > two; wait"], Path("."), Path("log"), 3600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_killed_at_once_a_build_leaves_no_tool_behind(tmp_path):
    build = subprocess.Popen([sys.executable, "-c", START], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    limit = time.monotonic() + HANG_S
    while not ((tmp_path / "two").exists() and (tmp_path / "two").read_text().strip()):
        assert time.monotonic() < limit
        time.sleep(0.02)
    tools = [int((tmp_path / name).read_text()) for name in ("one", "two")]
    assert all(map(alive, tools))
    build.send_signal(signal.SIGKILL)
    build.wait()
    while any(map(alive, tools)):
        assert time.monotonic() < limit, "the tools still run"
        time.sleep(0.02)


def test_every_line_is_heard_while_the_program_runs(tmp_path):
    """The program goes on only after its first line was heard; the last one has no end of line."""
    lines = []

    def tell(line):
        lines.append(line)
        (tmp_path / "heard").touch()

    script = "echo first; while [ ! -e heard ]; do sleep 0.05; done; echo; printf 'caf\\303\\251 last'"
    done = process.run(["sh", "-c", script], tmp_path, tmp_path / "log", HANG_S, tell=tell)
    assert lines == ["first", "", "café last"] and done.text == "first\n\ncafé last"


def test_a_program_that_is_heard_fails_and_ends_as_any_other(tmp_path):
    with pytest.raises(ToolFailed, match="exit status 3: no good"):
        process.run(["sh", "-c", "echo no good; exit 3"], tmp_path, tmp_path / "log", HANG_S, tell=print)
    with pytest.raises(ToolFailed, match=r"stopped after 0\.2 s"):
        process.run(["sleep", "3600"], tmp_path, tmp_path / "log", 0.2, tell=print)


def test_a_step_shows_what_it_does(monkeypatch):
    screen = StringIO()
    monkeypatch.setattr(console, "_TELL_S", 0)
    progress = Progress(Console(file=screen, width=100))
    progress.observe("vendor_synth", "running")
    progress.tell("vendor_synth", "Implementing [module]")
    monkeypatch.setattr(console, "_TELL_S", 1e9)
    progress.tell("vendor_synth", "too soon to tell again")
    assert re.fullmatch(r"AMD HLS, synthesis: \d+ s, Implementing \[module\]\n", screen.getvalue())
    live = Progress(Console(file=(shown := StringIO()), width=100, force_terminal=True))
    live.observe("vendor_synth", "running")
    live.tell("vendor_synth", "Implementing [module]")
    live.console.print(live._render())
    assert "AMD HLS, synthesis" in shown.getvalue() and "Implementing [module]" in shown.getvalue()
