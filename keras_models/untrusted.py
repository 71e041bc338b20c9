"""Files that others made: looked at before they are read, and read within bounds.

A reader here gives plain data or raises `Unusable` in one line, whatever the file is or holds: a pipe or a device is
never opened for reading, sizes are compared with a limit before anything of that size is made, and all that a library
raises on odd content ends here.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import os
import re
import stat
import warnings
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

MAX_JSON = 1 << 26  # bytes
MAX_MODEL = 1 << 30  # bytes of a model file
MAX_DEPTH = 64  # of brackets inside each other
MAX_DIGITS = 100  # of a number: floats end at 309
MAX_ARRAYS = 1 << 31  # bytes, of an archive's file and of its arrays
_MAX_RATIO = 100  # between both, beyond _FREE bytes
_FREE = 1 << 26
_MAX_DIRECTORY = 1 << 24  # bytes of an archive's table of contents
_HEADER = 1 << 14  # bytes, more than the header of any plain array
_CHUNK = 1 << 20
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_LARGE_FLOAT = re.compile(rb"[eE]\+?0*[1-9][0-9]{2}")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class Unusable(ValueError):
    """A file that is not what its reader takes; the message is one line and names the file."""


def visible(text: str) -> str:
    """``text`` with all that cannot be printed, but tabs and ends of lines, as escapes such as ``\\x1b``."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str, limit: int = 600) -> str:
    """``text`` as one line that a terminal can show: white space as single blanks, everything else that cannot be
    printed as an escape, what is longer than ``limit`` characters without its middle.
    """
    shown = visible(" ".join(text.split()))
    return shown if len(shown) <= limit else f"{shown[: limit - 205]} ... {shown[-200:]}"


@contextmanager
def opened(path: str | Path, limit: int) -> Iterator[BinaryIO]:
    """An open regular file of at most ``limit`` bytes. Raises `Unusable` for any other, also while it is read."""
    try:
        _check_kind(path, Path(path).stat().st_mode)  # before it is opened, which a device may not like
        # A pipe that has just taken the file's place would block without O_NONBLOCK; files do not know it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            facts = os.fstat(file.fileno())
            _check_kind(path, facts.st_mode)
            if facts.st_size > limit:
                raise Unusable(f"{path} has {facts.st_size} bytes, more than the {limit} a file of its kind may have")
            yield file
    except Unusable:
        raise
    except FileNotFoundError:
        raise Unusable(f"{path} does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise Unusable(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _check_kind(path: str | Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise Unusable(f"{path} is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise Unusable(f"{path} is not a regular file")


def read_bytes(path: str | Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes. Raises `Unusable`."""
    return b"".join(_pieces(path, limit))


def read_text(path: str | Path, limit: int) -> str:
    """The UTF-8 text of a regular file of at most ``limit`` bytes. Raises `Unusable`."""
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable(f"{path} is not text ({error.reason} at byte {error.start})") from None


def digest(path: str | Path, limit: int) -> str:
    """SHA-256 of a regular file of at most ``limit`` bytes, read in pieces. Raises `Unusable`."""
    total = hashlib.sha256()
    for piece in _pieces(path, limit):
        total.update(piece)
    return total.hexdigest()


def _pieces(path: str | Path, limit: int) -> Iterator[bytes]:
    """The content by and by; files of the kernel have no size, and others may grow."""
    left = limit
    with opened(path, limit) as file:
        while (piece := file.read(_CHUNK)) != b"":
            if piece is None:  # a file of the kernel that would make one wait
                raise Unusable(f"{path} gives nothing to read")
            left -= len(piece)
            if left < 0:
                raise Unusable(f"{path} has more than the {limit} bytes a file of its kind may have")
            yield piece


def read_json(path: str | Path, limit: int = MAX_JSON, finite: bool = True) -> Any:
    """What a JSON file of at most ``limit`` bytes holds, as `parse_json` reads it. Raises `Unusable`."""
    return parse_json(read_bytes(path, limit), str(path), finite, limit)


def parse_json(content: str | bytes, where: str, finite: bool = True, limit: int = MAX_JSON) -> Any:
    """JSON as plain data: nested at most `MAX_DEPTH` deep, numbers of at most `MAX_DIGITS` digits, no name twice in an
    object, all text in Unicode characters; without NaN and infinity if ``finite``.

    Raises `Unusable` for anything else, named by ``where``.
    """
    try:
        if not isinstance(content, str | bytes):
            raise ValueError("no text")
        data = content.encode() if isinstance(content, str) else content
        if len(data) > limit:
            raise ValueError(f"{len(data)} bytes")
        skeleton = _STRING.sub(b'"', data)
        _check_depth(skeleton, limit // 8)
        if _LONG_NUMBER.search(skeleton):
            raise ValueError(f"a number of more than {MAX_DIGITS} digits")
        hooks: dict[str, Any] = {"object_pairs_hook": _object}
        if finite:
            hooks["parse_constant"] = _refuse_constant
            if _LARGE_FLOAT.search(skeleton):
                hooks["parse_float"] = _finite
        found = json.loads(data.decode("utf-8-sig"), **hooks)
        if _SURROGATE.search(data):
            json.dumps(found, ensure_ascii=False).encode()  # raises for half a pair
    except (ValueError, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unusable(f"{where} is not usable JSON ({reason[:120]})") from None
    return found


def _check_depth(skeleton: bytes, most: int) -> None:
    """Count brackets without recursion: what parses and prints nested data recurses, in deeper stacks than here."""
    brackets = skeleton.translate(None, _NO_BRACKET)
    if len(brackets) > most:
        raise ValueError(f"{len(brackets)} brackets")
    if max(itertools.accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in found if names.count(n) > 1)[:40]!r} stands twice in one object")
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large")
    return value


@dataclass(frozen=True)
class Arrays:
    """What an ``.npz`` holds: the names of its arrays, and the arrays that were asked for."""

    names: tuple[str, ...]
    values: dict[str, np.ndarray]


def read_arrays(path: str | Path, wanted: Collection[str] | None = None, limit: int = MAX_ARRAYS) -> Arrays:
    """Arrays of an ``.npz`` without pickles, the ``wanted`` ones or all; wanted ones that are not there are left out.

    File and arrays have at most ``limit`` bytes; what an entry declares is compared with it, and the array's own header
    with what the entry declares, before anything is inflated. Raises `Unusable`.
    """
    with opened(path, limit) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # headers of odd types warn before they fail
                return _arrays(file, os.fstat(file.fileno()).st_size, wanted, limit)
        except OSError:
            raise
        except Exception as error:  # zipfile, zlib and NumPy's header each have a family of their own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise Unusable(f"{path} is not a readable .npz without pickles: {reason[:150]}") from None


def _arrays(file: BinaryIO, size: int, wanted: Collection[str] | None, limit: int) -> Arrays:
    if file.read(6) == b"\x93NUMPY":
        raise ValueError("a single array, not an .npz of named arrays")
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise ValueError("an array is stored twice")
        chosen = {name: entry for name, entry in entries.items() if wanted is None or name in wanted}
        total = sum(entry.file_size for entry in chosen.values())
        if total > limit or (total > _FREE and total > _MAX_RATIO * size):
            raise ValueError(f"{total} bytes of arrays in a file of {size} bytes")
        return Arrays(tuple(entries), {name: _array(archive, entry, name) for name, entry in chosen.items()})


def _check_directory(file: BinaryIO, size: int) -> None:
    """Bound the table of contents, which zipfile reads whole: its size stands in the last record of the file."""
    start = max(size - (1 << 16) - 42, 0)
    file.seek(start)
    tail = file.read(size - start)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < 22:
        raise ValueError("no zip archive, or cut short")
    if tail[max(place - 20, 0) : place].startswith(b"PK\x06\x07"):
        raise ValueError("a zip archive in the form for more than 4 GiB")
    if int.from_bytes(tail[place + 12 : place + 16], "little") > _MAX_DIRECTORY:
        raise ValueError("a zip archive with too many entries")
    file.seek(0)


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> np.ndarray:
    import numpy as np

    if entry.flag_bits & 1:
        raise ValueError(f"{name} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way NumPy does not use")
    if not entry.filename.endswith(".npy"):
        raise ValueError(f"{name} is no array")
    with archive.open(entry) as stream:
        start = stream.read(_HEADER)
        head = io.BytesIO(start)
        version = np.lib.format.read_magic(head)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} is an array of version {version}")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(head)
        if dtype.kind not in "biufcSUmM" or not dtype.itemsize:
            raise ValueError(f"{name} has values of type {dtype}")
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or head.tell() + size != entry.file_size:
            raise ValueError(
                f"{name} has shape {str(shape)[:60]}, which does not fit the {entry.file_size} bytes stored"
            )
        content = np.empty(size, np.uint8)
        begun = start[head.tell() :]
        content[: len(begun)] = np.frombuffer(begun, np.uint8)
        if len(begun) + _fill(stream, content.data[len(begun) :]) != size or stream.read(1):
            raise ValueError(f"{name} is cut short")
    array = content.view(dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _fill(stream: Any, view: memoryview) -> int:
    done = 0
    while done < len(view) and (count := stream.readinto(view[done : done + _CHUNK])):
        done += count
    return done
