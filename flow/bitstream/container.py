"""Frames in the form that devices load: packets of configuration registers (UG470), as a .bit or a .bin file."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from flow.bitstream.database import WORDS, Database
from flow.bitstream.fabric import Contradiction
from flow.bitstream.frames import Words, with_ecc
from flow.core.errors import ReportError

_MAGIC = bytes.fromhex("00090ff00ff00ff00ff0000001")
_SYNC = 0xAA995566
_BUS_WIDTH = (*[0xFFFFFFFF] * 8, 0x000000BB, 0x11220044, 0xFFFFFFFF, 0xFFFFFFFF)
_NOOP = 0x20000000
_FAR, _FDRI, _CMD, _CTL0, _MASK, _COR0, _IDCODE, _COR1, _WBSTAR, _TIMER, _CTL1 = 1, 2, 4, 5, 6, 9, 12, 14, 16, 17, 24
_RESERVED = 19
_NULL, _WCFG, _LFRM, _START, _RCRC, _SWITCH, _GRESTORE, _DESYNC = 0, 1, 3, 5, 7, 9, 10, 13
_LAST_FRAME = 0x3BE0000
_OPTIONS, _CONTROL = 0x02003FE5, 0x501  # start-up clock and order; the port stays open to JTAG
_WHAT = "the file is not a bitstream of this flow"


@dataclass(frozen=True)
class Bitstream:
    """What a .bit file says of itself, and its frames that are not empty, by address."""

    part: str
    idcode: int
    frames: Mapping[int, Words]


def bit_file(frames: Mapping[int, Words], database: Database, name: str) -> bytes:
    """A .bit file; nothing in it depends on the day or the machine."""
    data = _stream(frames, database).astype(">u4").tobytes()
    out = bytearray(_MAGIC)
    texts = (f"{name};Generator=nmp-flow", database.part, "1970/01/01", "00:00:00")
    for key, text in zip(b"abcd", texts, strict=True):
        out += bytes([key]) + struct.pack(">H", len(text) + 1) + text.encode() + b"\0"
    return bytes(out + b"e" + struct.pack(">I", len(data)) + data)


def bin_file(bit: bytes) -> bytes:
    """The same without its header and with the bytes of each word turned round, which Linux' fpga_manager takes."""
    _, data = _header(bit)
    return np.frombuffer(data, ">u4").astype("<u4").tobytes()


def read_bit(content: bytes, database: Database) -> Bitstream:
    """The frames of a .bit file. Raises ReportError where it is none for the database's part or has another form."""
    part, data = _header(content)
    idcode, payload, address = None, None, None
    for register, words in _packets(np.frombuffer(data, ">u4").astype(np.uint32)):
        if register == _IDCODE:
            idcode = int(words[0])
        elif register == _FAR and payload is None:
            address = int(words[0])
        elif register == _FDRI and len(words):
            if payload is not None:
                raise ReportError(f"{_WHAT}: it writes frames twice")
            payload = words
    if idcode != database.idcode or part != database.part:
        raise ReportError(f"the bitstream is for {part} ({idcode or 0:#x}), not {database.part} ({database.idcode:#x})")
    if payload is None or address != 0 or len(payload) != WORDS * len(database.padded):
        raise ReportError(f"{_WHAT}: it does not write all frames of {part} in order")
    rows = payload.reshape(-1, WORDS)
    used = np.flatnonzero(rows.any(axis=1)).tolist()
    frames: dict[int, Words] = {}
    for index in used:
        place = database.padded[index]
        if place is None or (with_ecc(rows[index]) != rows[index]).any():
            raise Contradiction(f"the bitstream is damaged: frame {index} is not what its ECC says")
        frames[place] = rows[index]
    return Bitstream(part, idcode, frames)


def _stream(frames: Mapping[int, Words], database: Database) -> Words:
    rows = np.zeros((len(database.padded), WORDS), np.uint32)
    for index, address in enumerate(database.padded):
        if address is not None and address in frames:
            rows[index] = with_ecc(frames[address])
    before = [
        *_BUS_WIDTH, _SYNC, _NOOP, *_set(_TIMER, 0), *_set(_WBSTAR, 0), *_set(_CMD, _NULL), _NOOP, *_set(_CMD, _RCRC),
        *[_NOOP] * 2, *_set(_RESERVED, 0), *_set(_COR0, _OPTIONS), *_set(_COR1, 0), *_set(_IDCODE, database.idcode),
        *_set(_CMD, _SWITCH), _NOOP, *_set(_MASK, 0x401), *_set(_CTL0, _CONTROL), *_set(_MASK, 0), *_set(_CTL1, 0),
        *[_NOOP] * 8, *_set(_FAR, 0), *_set(_CMD, _WCFG), _NOOP, 1 << 29 | 2 << 27 | _FDRI << 13, 2 << 29 | 2 << 27
        | rows.size,
    ]  # fmt: skip
    after = [
        *_set(_CMD, _RCRC), *[_NOOP] * 2, *_set(_CMD, _GRESTORE), _NOOP, *_set(_CMD, _LFRM), *[_NOOP] * 100,
        *_set(_CMD, _START), _NOOP, *_set(_FAR, _LAST_FRAME), *_set(_MASK, _CONTROL), *_set(_CTL0, _CONTROL),
        *_set(_CMD, _RCRC), *[_NOOP] * 2, *_set(_CMD, _DESYNC), *[_NOOP] * 400,
    ]  # fmt: skip
    return np.concatenate([np.array(before, np.uint32), rows.ravel(), np.array(after, np.uint32)])


def _set(register: int, value: int) -> tuple[int, int]:
    """A packet that writes one word to a configuration register."""
    return 1 << 29 | 2 << 27 | register << 13 | 1, value


def _header(content: bytes) -> tuple[str, bytes]:
    """The part that a .bit file names, and its packets."""
    if not content.startswith(_MAGIC):
        raise ReportError(f"{_WHAT}: it does not begin as a .bit file does")
    fields, place = {}, len(_MAGIC)
    try:
        while content[place : place + 1] != b"e":
            (size,) = struct.unpack(">H", content[place + 1 : place + 3])
            fields[content[place]] = content[place + 3 : place + 3 + size]
            place += 3 + size
            if place > 4096:
                raise ReportError(f"{_WHAT}: its header does not end")
        (size,) = struct.unpack(">I", content[place + 1 : place + 5])
        data = content[place + 5 :]
        part = fields[ord("b")].rstrip(b"\0").decode("ascii")
    except (struct.error, KeyError, UnicodeDecodeError):
        raise ReportError(f"{_WHAT}: its header is cut or damaged") from None
    if len(data) != size or size % 4:
        raise ReportError(f"{_WHAT}: it has {len(data)} bytes of configuration and announces {size}")
    return part, data


def _packets(words: Words) -> Iterator[tuple[int, Words]]:
    """Register and words of each packet after the synchronisation word."""
    found = np.flatnonzero(words == _SYNC)
    if not len(found):
        raise ReportError(f"{_WHAT}: it has no synchronisation word")
    place, register = int(found[0]) + 1, 0
    while place < len(words):
        head = int(words[place])
        kind, count = head >> 29, head & 0x7FF
        if kind == 1:
            register = head >> 13 & 0x1F
        elif kind == 2:
            count = head & 0x7FFFFFF
        else:
            raise ReportError(f"{_WHAT}: word {place} is no packet")
        if place + 1 + count > len(words):
            raise ReportError(f"{_WHAT}: a packet goes beyond its end")
        if head >> 27 & 3 == 2:
            yield register, words[place + 1 : place + 1 + count]
        place += 1 + count
