"""Watches the workers and says what is wrong with an outcome."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hostile.scenes import kind_of

TESTS = Path(__file__).parents[1]
_POLL_S = 1.0
_BLOCKED = 90  # looks in a row at which nothing runs and no processor time has passed


def verdict(result: dict[str, Any]) -> str:
    """What is wrong with an outcome; empty where it is one clear line and exit 1, or a finished build or report."""
    status, told, left = result["status"], result["told"].strip(), result["left"]
    if status == 0:
        return f"says {told[-600:]!r}" if "Traceback" in told else ""
    if status != 1:
        return f"ends with {status}: {told[-900:]}"
    if not told.startswith("error: ") or len(told.splitlines()) != 1:
        return f"says {told[-900:]!r}"
    if len(told) > 700 or not told.isprintable():
        return f"says {len(told)} characters: {told[:200]!r}"
    return f"leaves {left}" if left else ""


def judge(seeds: Sequence[int], folder: Path) -> Iterator[dict[str, Any]]:
    """Outcomes of the scenes, in order, with ``wrong`` (see ``verdict``); a worker that hangs is ended."""
    left = list(seeds)
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "TMPDIR": str(folder / "tmp"), "PYTHONIOENCODING": "utf-8",
                   "TF_CPP_MIN_LOG_LEVEL": "3"}  # fmt: skip
    (folder / "tmp").mkdir(exist_ok=True)
    while left:
        command = [sys.executable, "-m", "hostile.worker", str(folder), *map(str, left)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder,
            env=environment,
        ) as worker:  # fmt: skip
            while left:
                line = _line(worker)
                if line is None:
                    worker.kill()
                if not line and worker.wait() == 0:
                    break  # it wants to be followed by another
                seed = left.pop(0)
                if not line:
                    how = "is blocked" if line is None else _end(worker.returncode)
                    yield {"seed": seed, "kind": kind_of(seed), "status": None, "wrong": how}
                    break
                result = json.loads(line)
                yield {**result, "wrong": verdict(result)}


def _end(status: int) -> str:
    return f"ends by {signal.Signals(-status).name}" if status < 0 else f"ends the worker with {status}"


def _line(worker: subprocess.Popen[bytes]) -> bytes | None:
    """The next line of a worker, empty where it has ended, None where it is blocked."""
    assert worker.stdout
    still, before = 0, -1
    while not select.select([worker.stdout], [], [], _POLL_S)[0]:
        ticks, running = _tree(worker.pid)
        still = 0 if running or ticks != before else still + 1
        before = ticks
        if still > _BLOCKED:
            return None
    return worker.stdout.readline()


def _tree(pid: int) -> tuple[int, bool]:
    """Processor ticks of a process and its children, and whether one of them runs or waits for the processor."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = [p for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]
    except OSError:
        return 0, False
    found = [_tree(int(child)) for child in children]
    own = sum(int(word) for word in fields[11:15])
    return own + sum(t for t, _ in found), fields[0] in "RD" or any(r for _, r in found)
