"""Resumable steps: a step's result is kept with the digest of what it was made from, and used again while that holds.

A step's record is written after its result is complete, atomically; what an interrupted step left is never taken for a
result, because the step runs again from a fresh folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flow.errors import BuildLocked
from flow.plan import folder, readable_errors, write_file

STATE = ".state"


def digest_of(*parts: str | bytes) -> str:
    """SHA-256 of the parts, each with its length, so that moving a byte between parts changes it."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}:".encode())
        total.update(data)
    return total.hexdigest()


@dataclass
class Steps:
    """The steps of one build in ``out``: runs them, remembers their results, measures their seconds."""

    out: Path
    observer: Callable[[str, str], None]  # (step, "running" | "done" | "cached" | "failed")
    teller: Callable[[str, str], None] = lambda step, what: None  # (step, what it is doing just now)
    seconds: dict[str, float] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def run(self, name: str, key: str, work: Callable[[], Mapping[str, Any]], outputs: tuple[str, ...] = ()) -> Any:
        """The JSON-like result of ``work``, or the recorded one if ``key`` and the contents of ``outputs`` hold.

        ``outputs`` are files and folders below ``out`` that the result stands for.
        """
        start = time.monotonic()
        kept = self._recorded(name, key, outputs)
        if kept is not None:
            self._note(name, "cached", start)
            return kept
        self.observer(name, "running")
        self._record(name).unlink(missing_ok=True)
        try:
            result = dict(work())
        except BaseException:
            self._note(name, "failed", start)
            raise
        self.put(name, key, result, outputs)
        self._note(name, "done", start)
        return result

    def holds(self, name: str, key: str, outputs: tuple[str, ...] = (), tell: bool = False) -> bool:
        """Whether the recorded result holds for ``key`` and ``outputs``; ``tell`` it to the observer if so."""
        start = time.monotonic()
        held = self._recorded(name, key, outputs) is not None
        if held and tell:
            self._note(name, "cached", start)
        return held

    def put(self, name: str, key: str, result: Mapping[str, Any], outputs: tuple[str, ...] = ()) -> None:
        """Record a result, once its ``outputs`` are complete."""
        content = {"key": key, "outputs": self._contents(outputs), "result": dict(result)}
        write_file(self._record(name), json.dumps(content))

    def changed(self, name: str, key: str) -> bool:
        """Whether ``key`` is not the one kept for ``name``; forgets the kept one if so."""
        record = self.out / STATE / f"{name.replace(' ', '_')}.key"
        with readable_errors(record):
            if record.is_file() and record.read_text() == key:
                return False
            record.unlink(missing_ok=True)
        return True

    def keep(self, name: str, key: str) -> None:
        """Keep ``key`` for ``name``, once what it stands for is complete."""
        write_file(self.out / STATE / f"{name.replace(' ', '_')}.key", key)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure a step that is not worth keeping."""
        start = time.monotonic()
        self.observer(name, "running")
        try:
            yield
        except BaseException:
            self._note(name, "failed", start)
            raise
        self._note(name, "done", start)

    def _note(self, name: str, state: str, start: float) -> None:
        with self._guard:
            self.seconds[name] = round(time.monotonic() - start, 3)
        self.observer(name, state)

    def _record(self, name: str) -> Path:
        return self.out / STATE / f"{name}.json"

    def _recorded(self, name: str, key: str, outputs: tuple[str, ...]) -> dict[str, Any] | None:
        try:
            data = json.loads(self._record(name).read_text())
            if data["key"] == key and data["outputs"] == self._contents(outputs):
                result = data["result"]
                return result if isinstance(result, dict) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def _contents(self, outputs: tuple[str, ...]) -> str:
        total = hashlib.sha256()
        for name in outputs:
            root = self.out / name
            paths = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
            for path in paths:
                total.update(path.relative_to(self.out).as_posix().encode() + b"\0")
                total.update(hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"missing")
        return total.hexdigest()


@contextmanager
def build_lock(out: Path) -> Iterator[None]:
    """Hold ``out`` for one build; raises BuildLocked while another process holds it. Ends with the process."""
    folder(out / STATE)
    with readable_errors(out / STATE):
        stream = (out / STATE / "lock").open("a+")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise BuildLocked(
                f"{out} is in use by another build (process {holder}); wait for it or choose another --out"
            ) from None
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield
