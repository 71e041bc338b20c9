"""Resumable steps: a step's result is kept with the digest of what it was made from, and used again while that holds.

A step's record is written after its result is complete, atomically; what an interrupted step left is never taken for a
result, because the step runs again from a fresh folder.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from flow.core.errors import BuildLocked, ToolStopped
from flow.core.untrusted import DAMAGE, MAX_OWN_JSON, Unusable, digest, parse_json, read_text
from flow.files.ownership import STATE, refuse_foreign
from flow.files.plan import claim, folder, readable_errors, write_file

_MAX_KEY = 4096  # bytes
_MAX_OUTPUT = 1 << 34


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
    observer: Callable[[str, str], None]  # (step, "running" | "done" | "cached" | "failed" | "interrupted")
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
        record = self._record(name)
        with readable_errors(record):
            record.unlink(missing_ok=True)
        try:
            result = dict(work())
        except BaseException as exc:
            self._note(name, _ended(exc), start)
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
        write_file(self._record(name), _sealed(key, self._contents(outputs), result))

    def changed(self, name: str, key: str) -> bool:
        """Whether ``key`` is not the one kept for ``name``; forgets the kept one if so."""
        record = self.out / STATE / f"{name.replace(' ', '_')}.key"
        with readable_errors(record):
            with suppress(Unusable):
                if read_text(record, _MAX_KEY) == key:
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
        except BaseException as exc:
            self._note(name, _ended(exc), start)
            raise
        self._note(name, "done", start)

    def _note(self, name: str, state: str, start: float) -> None:
        with self._guard:
            self.seconds[name] = round(time.monotonic() - start, 3)
        self.observer(name, state)

    def _record(self, name: str) -> Path:
        return self.out / STATE / f"{name}.json"

    def _recorded(self, name: str, key: str, outputs: tuple[str, ...]) -> dict[str, Any] | None:
        """A record counts only as it was written: what a changed one says would be taken for a result."""
        record = self._record(name)
        with suppress(OSError, *DAMAGE):
            text = read_text(record, MAX_OWN_JSON)
            data = parse_json(text, str(record), finite=False, limit=MAX_OWN_JSON)
            if data["key"] == key and text == _sealed(key, data["outputs"], data["result"]):
                result: dict[str, Any] = data["result"]
                return result if data["outputs"] == self._contents(outputs) else None
        return None

    def _contents(self, outputs: tuple[str, ...]) -> str:
        total = hashlib.sha256()
        for name in outputs:
            root = self.out / name
            paths = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
            for path in paths:
                total.update(path.relative_to(self.out).as_posix().encode() + b"\0")
                total.update(_content(path))
        return total.hexdigest()


def _ended(exc: BaseException) -> str:
    """What became of a step that did not end by itself."""
    return "interrupted" if isinstance(exc, KeyboardInterrupt | ToolStopped) else "failed"


def _content(path: Path) -> bytes:
    try:
        return bytes.fromhex(digest(path, _MAX_OUTPUT))
    except Unusable:
        return b"missing"


def _sealed(key: str, outputs: str, result: Mapping[str, Any]) -> str:
    """A record as text, with a digest of all it says."""
    text = json.dumps({"key": key, "outputs": outputs, "result": result})
    return json.dumps({"seal": digest_of("record 1", text), **json.loads(text)})


def _lock_file(path: Path) -> TextIO:
    """The lock's own file, never one that a link leads to; nothing of another kind. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    stream = os.fdopen(os.open(path, flags, 0o644), "r+", errors="replace")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EEXIST, "it is not a regular file")
    return stream


@contextmanager
def build_lock(out: Path, kind: str = "", files: Collection[str] = (), folders: Collection[str] = ()) -> Iterator[None]:
    """Hold ``out`` for one build, which writes ``files`` and into ``folders``; ``kind`` is what the folder becomes.

    Raises BuildLocked while another process holds it, NotOurs where one of them is there and no build's own, or where
    the folder is of another kind; then nothing was changed. Ends with the process.
    """
    refuse_foreign(out, kind, files, folders)
    folder(out / STATE)
    with readable_errors(out / STATE):
        stream = _lock_file(out / STATE / "lock")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            holder = stream.read(32).strip() or "unknown"
            raise BuildLocked(
                f"{out} is in use by another build (process {holder}); wait for it or choose another --out"
            ) from None
        claim(out, kind, files)  # while the lock still tells of a build before this one
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield
