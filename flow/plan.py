"""A build as data: file name -> content, with a digest. The only module of flow that writes files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from flow.errors import FlowError

Plan = Mapping[str, str | bytes]


def digest(plan: Plan) -> str:
    """SHA-256 over names and contents, independent of order."""
    total = hashlib.sha256()
    for name in sorted(plan):
        content = _bytes(plan[name])
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def write(plan: Plan, folder: Path) -> None:
    """Write every file of the plan below ``folder``, each one atomically. Unchanged files are left untouched.

    Raises FlowError in one line when the folder cannot be written (permission, full disk).
    """
    for name in sorted(plan):
        relative = PurePosixPath(name)
        assert not relative.is_absolute() and ".." not in relative.parts, name
        write_file(folder / relative, plan[name])


def mirror(plan: Plan, folder: Path) -> None:
    """Make ``folder`` hold exactly the plan: write its files, remove every other one."""
    write(plan, folder)
    with readable_errors(folder):
        for path in sorted(folder.rglob("*"), reverse=True):
            name = path.relative_to(folder).as_posix()
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif name not in plan:
                path.unlink()


def write_file(path: Path, content: str | bytes) -> None:
    """Write one file atomically: a reader sees the old content or the new one, never a part."""
    data = _bytes(content)
    with readable_errors(path):
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(path, data)
        try:
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_together(files: Mapping[Path, str | bytes]) -> None:
    """Write files that belong together, so that no new one ever lies beside an old one.

    All are written whole beside their places before the first old one goes. Who is killed while they are put in place,
    the first one first, leaves later ones absent, never old.
    """
    ready: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            with readable_errors(path):
                if path.is_dir():
                    raise OSError(errno.EEXIST, "a folder is in the way")
                path.parent.mkdir(parents=True, exist_ok=True)
                ready[path] = _beside(path, _bytes(content))
        for path in reversed(list(ready)[1:]):
            remove(path)
        for path, temporary in ready.items():
            with readable_errors(path):
                temporary.replace(path)
    finally:
        for temporary in ready.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _beside(path: Path, data: bytes) -> Path:
    """A temporary file beside ``path`` with the data of its next version, on the disk."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    return Path(name)


def remove(path: Path) -> None:
    """Remove a file or folder if it is there."""
    with readable_errors(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def fresh_folder(path: Path) -> Path:
    """An empty folder at ``path``; what was there is removed."""
    remove(path)
    return folder(path)


def folder(path: Path) -> Path:
    """The folder at ``path``, made with its parents where missing."""
    with readable_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Turn an OSError about ``path`` into one line that says the remedy."""
    try:
        yield
    except OSError as exc:
        remedy = {
            errno.EACCES: "choose a folder you may write with --out",
            errno.EPERM: "choose a folder you may write with --out",
            errno.EROFS: "the file system is read-only; choose another folder with --out",
            errno.ENOSPC: "the disk is full; free some space or choose another disk with --out",
            errno.EDQUOT: "the disk quota is used up; free some space or choose another disk with --out",
            errno.ENOTDIR: "a file is in the way; choose another folder with --out",
            errno.EEXIST: "a file is in the way; choose another folder with --out",
        }.get(exc.errno or 0, "choose another folder with --out")
        raise FlowError(f"cannot write {path}: {exc.strerror or exc}; {remedy}") from None


def _bytes(content: str | bytes) -> bytes:
    # A name of a file need not be text; its odd bytes are shown as escapes.
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content
