"""Starts every external program: argument list, working folder, log file, timeout, exit status believed."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flow.core.errors import ToolFailed, ToolNotFound, ToolStopped
from flow.files.plan import readable_errors

_COUNT = re.compile(r"\b\d+ error(s|\(s\))?( during elaboration)?\.?$")  # a summary, which says nothing
_FOLLOW_S = 0.5  # between two looks at the log of a program that is followed
_live: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()

# A build that dies at once (kill -9, out of memory) must not leave tools behind that go on writing into its folder: the
# watchdog reads the groups that live from a pipe, and ends them when the pipe's other end is gone.
_WATCHDOG = """
import os, sys
live = set()
for line in sys.stdin:
    (live.add if line[0] == "+" else live.discard)(int(line[1:]))
for group in live:
    try:
        os.killpg(group, 9)
    except OSError:
        pass
"""
# So that no program lives that the watchdog does not know of, each starts behind this gate: where the build dies before
# it has told the watchdog, the pipe ends and nothing is started.
_GATE = ("/bin/sh", "-c", 'read go && exec "$@" </dev/null', "sh")
_watchdogs: dict[int, subprocess.Popen[bytes]] = {}  # by the process that started it: a fork needs one of its own
_watchdog_lock = threading.Lock()


@dataclass(frozen=True)
class Completed:
    """A program that ended with exit status 0: its log and how long it took."""

    log: Path
    seconds: float

    @property
    def text(self) -> str:
        """Everything the program printed, stdout and stderr together."""
        return self.log.read_text(errors="replace")


def find(program: str, variable: str, remedy: str, also: Sequence[Path] = ()) -> str:
    """Path of ``program``: from the environment variable, the folders ``also``, or PATH.

    Raises ToolNotFound naming the program, where it was looked for and the remedy.
    """
    override = os.environ.get(variable)
    if override:
        found = shutil.which(override)
        if found:
            return found
        raise ToolNotFound(f"{variable} is set to {override}, which is not an executable; correct or unset it")
    for place in also:
        found = shutil.which(program, path=str(place))
        if found:
            return found
    found = shutil.which(program)
    if found:
        return found
    places = "".join(f", {p}" for p in also)
    raise ToolNotFound(f"{program} was not found on PATH{places}; {remedy}, or set {variable} to its path")


def run(
    arguments: Sequence[str],
    cwd: Path,
    log: Path,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Completed:
    """Run a program to its end with stdout and stderr in ``log``; ``tell`` hears every line of it meanwhile.

    The program gets its own process group; a timeout or an interrupt ends the whole group, and so does the end of this
    process, however it comes. Raises ToolFailed with the last line of the log and the log's path on a non-zero exit or
    timeout, ToolNotFound if it cannot be started.
    """
    if _stopping.is_set():
        raise ToolStopped(f"{_name(arguments)} was not started: the build is being stopped")
    if shutil.which(arguments[0]) is None:
        raise ToolNotFound(f"{arguments[0]} cannot be started: it is not an executable")
    start = time.monotonic()
    with readable_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        stream = log.open("wb")
    with stream:
        try:
            process = subprocess.Popen(
                [*_GATE, *arguments],
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        except OSError as exc:
            raise ToolNotFound(f"{arguments[0]} cannot be started: {exc.strerror}") from None
        _live.add(process)
        try:
            _watch("+", process.pid)
            _open_gate(process)
            status = process.wait(timeout=timeout_s) if tell is None else _follow(process, log, timeout_s, tell)
        except subprocess.TimeoutExpired:
            _end(process)
            raise ToolFailed(f"{_name(arguments)} was stopped after {timeout_s:g} s; see {log}") from None
        except BaseException:
            _end(process)
            raise
        finally:
            _live.discard(process)
            _watch("-", process.pid)
    if _stopping.is_set():
        raise ToolStopped(f"{_name(arguments)} was stopped")
    if status:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
        raise ToolFailed(f"{_name(arguments)} {how}: {_last_line(log)}; see {log}")
    return Completed(log, time.monotonic() - start)


def _open_gate(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    with contextlib.suppress(BrokenPipeError), process.stdin as gate:
        gate.write(b"go\n")


def _follow(process: subprocess.Popen[bytes], log: Path, timeout_s: float, tell: Callable[[str], None]) -> int:
    """Wait as ``Popen.wait`` does, and pass on every line as soon as it is complete."""
    end, rest = time.monotonic() + timeout_s, b""
    with log.open("rb") as lines:
        while True:
            try:
                status = process.wait(timeout=max(min(_FOLLOW_S, end - time.monotonic()), 0))
            except subprocess.TimeoutExpired:
                status = None
            *complete, rest = (rest + lines.read()).split(b"\n")
            for line in complete if status is None else [*complete, rest]:
                tell(line.decode(errors="replace").rstrip())
            if status is not None:
                return status
            if time.monotonic() >= end:
                raise subprocess.TimeoutExpired(process.args, timeout_s)


def _watch(sign: str, group: int) -> None:
    """Tell the watchdog that a process group lives or has ended."""
    with _watchdog_lock:
        watchdog = _watchdogs.get(os.getpid())
        if watchdog is None:
            watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _WATCHDOG], stdin=subprocess.PIPE, start_new_session=True
            )
            _watchdogs[os.getpid()] = watchdog
            atexit.register(_dismiss, watchdog)
        assert watchdog.stdin
        with contextlib.suppress(OSError):  # without its watchdog a build still works
            watchdog.stdin.write(f"{sign}{group}\n".encode())
            watchdog.stdin.flush()


def _dismiss(watchdog: subprocess.Popen[bytes]) -> None:
    if os.getpid() in _watchdogs and watchdog.stdin:
        watchdog.stdin.close()
        watchdog.wait()


def end_all() -> None:
    """End every running program, in all threads, and let none succeed any more: the build is being given up."""
    _stopping.set()
    for process in list(_live):
        _end(process)


def start_over() -> None:
    """Let programs run again after `end_all`: a build begins, in a process that has given up another one."""
    _stopping.clear()


def _end(process: subprocess.Popen[bytes]) -> None:
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sig)
            process.wait(timeout=5)
            return
        except ProcessLookupError:
            process.wait()
            return
        except subprocess.TimeoutExpired:
            continue


def _name(arguments: Sequence[str]) -> str:
    words = [Path(arguments[0]).name, *arguments[1:3]]
    return " ".join(words) if words[0].startswith("python") else words[0]


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and not _COUNT.search(line)]
    return (errors or lines or ["it printed nothing"])[-1][:300]
