"""Arrays and zip archives, bent: other values, headers, methods, flags, sizes and entries."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from hostile.mutate_json import Changed, damaged


def npz_changed(rng: random.Random, arrays: dict[str, Any], name: str | None = None) -> Changed:
    """An ``.npz``: an array of another shape or type, its header or the archive around it bent, or plain damage."""
    how = rng.randrange(5)
    if how < 2:
        name = name or rng.choice(sorted(arrays))
        done, changed = array_changed(rng, np.asarray(arrays[name]))
        left = {key: value for key, value in arrays.items() if key != name}
        return f"{name}: {done}", zipped({**members_of(left), **({} if changed is None else {f"{name}.npy": changed})})
    content = zipped(members_of(arrays), rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    return damaged(rng, content) if how == 2 else zip_changed(rng, content)


def members_of(arrays: dict[str, Any]) -> dict[str, bytes]:
    return {f"{name}.npy": npy(value) for name, value in arrays.items()}


def npy(value: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(value), allow_pickle=True)
    return stream.getvalue()


def header(descr: str, shape: str, fortran: str = "False", version: int = 1) -> bytes:
    """The head of an ``.npy`` that says what it likes."""
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode("latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


def array_changed(rng: random.Random, array: np.ndarray) -> tuple[str, bytes | None]:
    """The bytes of an array of other values, shape, type or header; None where it is left out."""
    n = max(len(array), 1) if array.ndim else 1
    values: dict[str, Callable[[], Any]] = {
        "shorter": lambda: array[:-3] if array.ndim else array,
        "empty": lambda: array[:0] if array.ndim else array,
        "text": lambda: np.array(["a"] * n),
        "objects": lambda: np.array([{}] * n),
        "NaN": lambda: np.full(n, np.nan),
        "1e300": lambda: np.full(array.shape, 1e300),
        "one dimension more": lambda: array[None],
        "complex": lambda: np.ones(array.shape, complex),
        "dates": lambda: np.zeros(array.shape, "M8[s]"),
        "a scalar": lambda: np.float32(3),
        "times 10**9": lambda: np.full(array.shape, 10**9),
        "negative": lambda: np.full(array.shape, -1),
        "wider": lambda: np.zeros((n, 700), np.float32),
        "half precision": lambda: np.ones(array.shape, np.float16),
        "long double": lambda: np.ones(array.shape, np.longdouble),
        "big-endian": lambda: np.ones(array.shape, ">f8"),
        "structured": lambda: np.zeros(n, [("a", "f4"), ("b", "i4")]),
        "no bytes": lambda: np.zeros(n, "V0"),
        "2**63": lambda: np.full(array.shape, 2**63, np.uint64),
        "0/1 flags": lambda: np.ones(array.shape, bool),
        "huge float32": lambda: np.full(array.shape, 3e38, np.float32),
        "subnormal": lambda: np.full(array.shape, 1e-310),
    }
    heads: dict[str, bytes] = {
        "shape of 10**12": header("'<f4'", "(10**6, 10**6)"),
        "shape of 4 GB": header("'<f4'", "(1000000000, 1)"),
        "literal huge shape": header("'<f4'", "(1000000000000, 3)"),
        "negative shape": header("'<f4'", "(-1, 3)"),
        "shape of True": header("'<f4'", "(True, 3)"),
        "shape of text": header("'<f4'", "'(3,)'"),
        "no shape": header("'<f4'", "()"),
        "type of code": header("__import__('os').system('true')", "(3,)"),
        "nested type": header("[" * 90 + "'<f4'" + "]" * 90, "(3,)"),
        "unknown type": header("'<q99'", "(3,)"),
        "objects as a header": header("'|O'", "(3,)") + b"\x80\x04N." * 3,
        "fortran of 3": header("'<f4'", "(3,)", "3"),
        "version 3": header("'<f4'", "(3,)", version=3),
        "version 9": b"\x93NUMPY\x09\x00",
        "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        "header of 60 kB": b"\x93NUMPY\x01\x00\x60\xea" + b" " * 60000,
        "nested header": b"\x93NUMPY\x01\x00\x10\x27" + (b"(" * 10000),
        "not closed": b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'",
        "no array": b"a text",
        "nothing": b"",
        "itemsize of 2**31": header("'<U1000000000'", "(3,)"),
    }
    how = rng.choice(["missing", *values, *heads])
    if how == "missing":
        return how, None
    return how, npy(values[how]()) if how in values else heads[how]


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return stream.getvalue()


def with_entry(content: bytes, name: str, data: bytes) -> bytes:
    """A zip archive with an entry of its own."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    return zipped({**members, name: data})


def zip_changed(rng: random.Random, content: bytes) -> Changed:
    """A zip archive with other headers, methods, flags, sizes, names or entries."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = rng.choice(sorted(members))
    whole: dict[str, Callable[[], bytes]] = {
        "an entry missing": lambda: zipped({k: v for k, v in members.items() if k != name}),
        "an entry twice": lambda: _twice(members, name),
        "an entry empty": lambda: zipped({**members, name: b""}),
        "an entry of foreign bytes": lambda: zipped({**members, name: rng.randbytes(500)}),
        "bzip2": lambda: zipped(members, zipfile.ZIP_BZIP2),
        "lzma": lambda: zipped(members, zipfile.ZIP_LZMA),
        "a path upwards": lambda: zipped({**members, "../../x": b"1"}),
        "an empty name": lambda: zipped({**members, "": b"1"}),
        "a folder entry": lambda: zipped({**members, "X.npy/": b""}),
        "a name of 60000": lambda: zipped({**members, "n" * 60000: b"1"}),
        "20000 entries": lambda: zipped({**members, **{f"e{i}": b"" for i in range(20000)}}),
        "a bomb of 300 MB": lambda: _bomb(members, name),
        "bytes before": lambda: b"#!/bin/sh\n" * 99 + content,
        "bytes behind": lambda: content + bytes(70000),
        "an archive twice": lambda: content + content,
        "no archive": lambda: zipped({}),
        "a name with zero": lambda: content.replace(name.encode(), name[:-1].encode() + b"\0"),
    }
    fields = ("flags", "method", "crc", "packed", "size", "offset")
    how = rng.choice([*whole, *fields, *fields])
    if how in whole:
        return f"{name}: {how}", whole[how]()
    return field_changed(rng, content, name, how)


def _twice(members: dict[str, bytes], name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for key, data in [*members.items(), (name + "~", members[name])]:
            archive.writestr(zipfile.ZipInfo(key), data)
    return stream.getvalue().replace(name.encode() + b"~", name.encode()[:-1] + name.encode()[-1:] * 2)


def _bomb(members: dict[str, bytes], name: str) -> bytes:
    rows = 300_000_000 // 12
    return zipped({**members, name: header("'<f4'", f"({rows}, 3)") + bytes(rows * 12)}, zipfile.ZIP_DEFLATED)


# field -> (offset and format in the local header, the same in the table of contents)
FIELDS = {
    "flags": (6, 8, "<H"),
    "method": (8, 10, "<H"),
    "crc": (14, 16, "<I"),
    "packed": (18, 20, "<I"),
    "size": (22, 24, "<I"),
    "offset": (None, 42, "<I"),
}


def field_changed(rng: random.Random, content: bytes, name: str, field: str) -> Changed:
    """One number of an entry changed, in the table of contents, before its data, or in both."""
    changed = bytearray(content)
    local, central, form = FIELDS[field]
    value = rng.choice(
        [0, 1, 8, 9, 12, 14, 93, 99, 0x800, 0xFFFF] if form == "<H" else [0, 1, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF]
    )
    where = rng.choice(["both", "table", "local"])
    for start, offset, signature in ((0, local, b"PK\x03\x04"), (0, central, b"PK\x01\x02")):
        skip = where == ("table" if signature == b"PK\x03\x04" else "local")
        head = 30 if signature == b"PK\x03\x04" else 46
        while offset is not None and not skip and (start := content.find(signature, start)) >= 0:
            if content[start + head : start + head + len(name)] == name.encode():
                struct.pack_into(form, changed, start + offset, value)
            start += 4
    return f"{name}: {field} {value} ({where})", bytes(changed)
