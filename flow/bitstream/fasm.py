"""FASM, the text form of a bitstream: a line for each feature, or for several of one name by their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from flow.bitstream.database import plain
from flow.core.errors import ReportError
from flow.core.untrusted import read_text, refused

_LINE = re.compile(r"([\w.]+)(?:\[(\d+)(?::(\d+))?\])?(?:\s*=\s*(?:(\d+)'([bhd]))?([0-9a-fA-F_]+))?")
_BASES = {"b": 2, "h": 16, "d": 10, None: 10}
_MAX_FASM, _MAX_BITS = 1 << 28, 4096


def read_fasm(path: Path) -> list[str]:
    """The lines of a FASM file. Raises ReportError where it is none."""
    with refused(ReportError, f"{path}: not FASM", "route again"):
        return read_text(path, _MAX_FASM).splitlines()


def features(lines: Iterable[str]) -> Iterator[str]:
    """The single features that lines of FASM set: ``A.INIT[3:0] = 4'b0101`` sets ``A.INIT[0]`` and ``A.INIT[2]``.

    Raises ReportError for a line that is not FASM.
    """
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if not match:
            raise ReportError(f"line {number} of the FASM is not FASM: {text[:80]!r}; route again")
        name, high, low, _, base, value = match.groups()
        if value is None:
            yield plain(text)
            continue
        bits = int(value.replace("_", ""), _BASES[base])
        first = int(low or high or 0)
        last = int(high or 0)
        if not first <= last < _MAX_BITS or bits >> (last - first + 1):
            raise ReportError(f"line {number} of the FASM has more bits than places: {text[:80]!r}; route again")
        if high is None:
            yield from [name] * bits
        else:
            yield from (f"{name}[{first + i}]" for i in range(last - first + 1) if bits >> i & 1)
