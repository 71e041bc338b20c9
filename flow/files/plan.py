"""A build as data: file name -> content, with a digest. The only module of flow that writes files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from flow.core.errors import FlowError
from flow.files.ownership import RECORD, STATE, Own, check_folder, foreign, load

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

    Raises FlowError in one line when the folder cannot be written (permission, full disk), NotOurs for a file in the
    way that no build made.
    """
    for name in plan:
        relative = PurePosixPath(name)
        assert not relative.is_absolute() and ".." not in relative.parts, name
    _enter([folder / name for name in plan])
    for name in sorted(plan):
        _replace(folder / name, _bytes(plan[name]))


def mirror(plan: Plan, folder: Path) -> None:
    """Write the plan's files below ``folder`` and remove what earlier builds made there beside them.

    Outside claimed folders everything else is removed: there the folder is the caller's own.
    """
    write(plan, folder)
    _clear(folder, keep={folder / name for name in plan})


def write_file(path: Path, content: str | bytes) -> None:
    """Write one file atomically: a reader sees the old content or the new one, never a part."""
    _enter([path])
    _replace(path, _bytes(content))


def remove(path: Path) -> None:
    """Remove a file, or a folder with what builds made in it, if it is there; what no build made stays."""
    with _guard, readable_errors(path):
        own, name = _place(path)
        if path.is_dir() and not path.is_symlink():
            _clear(path)
            if own is None or own.own_folder(name):
                with contextlib.suppress(OSError):  # something of the user's is in it
                    path.rmdir()
                    _forget(own, name)
        elif own is None or own.holds(name):
            path.unlink(missing_ok=True)
            _forget(own, name)


def fresh_folder(path: Path) -> Path:
    """The folder at ``path`` without what earlier builds left there. Raises NotOurs where no build made it."""
    if path.is_symlink():
        remove(path)
    folder(path)
    _clear(path)
    return path


def folder(path: Path) -> Path:
    """The folder at ``path``, made with its parents where missing."""
    _enter([], [path])
    with readable_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def claim(root: Path, kind: str = "", files: Iterable[str] = ()) -> None:
    """From now on this process writes, replaces and removes below ``root`` only what is on its record.

    ``kind`` is what the folder is; ``files`` are names that are going to be written, by a library too. The caller holds
    the lock on ``root``.
    """
    with _guard, readable_errors(root):
        own = load(root.resolve())
        own.kind = kind
        own.files = {name for name in own.files if os.path.lexists(own.root / name)} | set(files)
        own.folders = {name for name in own.folders if (own.root / name).is_dir()}
        _claimed[own.root] = own
        _save(own)
        for place in {(own.root / name).parent for name in own.files}:
            for path in place.glob(".*"):
                name = path.relative_to(own.root).as_posix()
                if own.leftover(name) and path.is_file():
                    path.unlink()


def release(root: Path) -> None:
    """Write below ``root`` as a process that never claimed it: others are about to keep its record."""
    with _guard:
        _claimed.pop(root.resolve(), None)


def claim_tree(path: Path) -> None:
    """Record the folder ``path`` as one program's own with all it makes there. Raises NotOurs if it is a user's."""
    own, name = _place(path)
    if own is not None and name not in own.trees:
        _enter([], [path])
        own.trees.add(name)
        _save(own)


def withdraw(root: Path, existed: bool) -> None:
    """Remove all that builds made below ``root`` and their record; ``root`` too unless it ``existed`` before."""
    with _guard, readable_errors(root):
        _clear(root)
        _claimed.pop(root.resolve(), None)
        shutil.rmtree(root / STATE, ignore_errors=True)
        if not existed:
            with contextlib.suppress(OSError):  # something of the user's is in it
                root.rmdir()


_claimed: dict[Path, Own] = {}
_guard = threading.RLock()


def _place(path: Path) -> tuple[Own | None, str]:
    """The record of the innermost claimed folder that ``path`` lies in, and its name there (links not followed)."""
    absolute = path.absolute()
    for parent in (absolute, *absolute.parents) if _claimed else ():
        own = _claimed.get(parent.resolve())
        if own is not None:
            return own, absolute.relative_to(parent).as_posix()
    return None, ""


def _enter(files: Iterable[Path], folders: Iterable[Path] = ()) -> None:
    """Record what is about to be written. Raises NotOurs before anything is, where one is not a build's own."""
    with _guard:
        changed: dict[Path, Own] = {}
        for path, is_file in [*((f, True) for f in files), *((f, False) for f in folders)]:
            own, name = _place(path)
            if own is None or name == "." or name.split("/")[0] == STATE:
                continue
            parents = [str(p) for p in PurePosixPath(name).parents if str(p) != "."]
            check_folder(own, str(PurePosixPath(name).parent) if is_file else name)
            if is_file and os.path.lexists(path) and (path.is_dir() or not own.holds(name)):
                raise foreign(path)
            new = {*parents, name} - (own.files | own.folders)
            if new:
                changed[own.root] = own
                (own.files if is_file else own.folders).add(name)
                own.folders.update(parents)
        for own in changed.values():
            _save(own)


def _clear(folder: Path, keep: Collection[Path] = ()) -> None:
    """Remove a folder's files that are a build's own, but those to ``keep``, and the folders that this empties."""
    with _guard, readable_errors(folder):
        own, base = _place(folder)
        for path in sorted(folder.rglob("*"), reverse=True):
            name = (PurePosixPath(base) / path.relative_to(folder).as_posix()).as_posix()
            if path.is_dir() and not path.is_symlink():
                if (own is None or own.own_folder(name)) and not any(path.iterdir()):
                    path.rmdir()
                    _forget(own, name)
            elif path not in keep and (own is None or own.holds(name)) and name.split("/")[0] != STATE:
                path.unlink()
                _forget(own, name)
        if own:
            _save(own)


def _forget(own: Own | None, name: str) -> None:
    if own:
        own.files.discard(name)
        own.folders.discard(name)


def _save(own: Own) -> None:
    _replace(own.root / RECORD, own.to_json().encode())


def _replace(path: Path, data: bytes) -> None:
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
    _enter(files)
    try:
        for path, content in files.items():
            with readable_errors(path):
                if path.is_dir():
                    raise OSError(errno.EEXIST, "a folder is in the way")
                path.parent.mkdir(parents=True, exist_ok=True)
                ready[path] = _beside(path, _bytes(content))
        for path in reversed(list(ready)[1:]):
            with readable_errors(path):
                path.unlink(missing_ok=True)
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
