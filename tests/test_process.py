"""Tools end with the build that started them, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
START = """
from pathlib import Path
from flow.tools import process
process.run(["sh", "-c", "sleep 60 & echo $! > one; sleep 60 & echo $! > two; wait"], Path("."), Path("log"), 100)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_killed_at_once_a_build_leaves_no_tool_behind(tmp_path):
    build = subprocess.Popen([sys.executable, "-c", START], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    limit = time.monotonic() + 30
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
