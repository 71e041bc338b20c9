"""The files of a bitstream: FASM with true LUT contents, .bit, .bin, and a manifest of what they are and rest on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.bitstream.assemble import assemble
from flow.bitstream.container import bin_file, bit_file
from flow.bitstream.database import Database
from flow.bitstream.fasm import features, read_fasm
from flow.bitstream.frames import of_bits
from flow.bitstream.placement import Change, PlacedCell, with_true_tables
from flow.files import plan

PICTURE = "placement.svg"
_CAVEATS = (
    "what reading it back has proved stands in the build's report.json; the clock is nextpnr's estimate at one corner, "
    "without hold times; no bitstream of this flow has been tried on a board"
)


@dataclass(frozen=True)
class BitstreamFiles:
    """The contents of the files, and what went into them."""

    fasm: str
    bit: bytes
    features: int
    bits: int
    frames: int
    changes: tuple[Change, ...]


def make(
    fasm: Path, placement: Mapping[str, PlacedCell], netlist: Mapping[str, Any], database: Database, name: str,
    correct: bool = True,
) -> BitstreamFiles:  # fmt: skip
    """The bitstream of a routed design, whose cells are ``netlist``.

    ``correct=False`` leaves LUT contents as place and route wrote them.

    Raises ReportError for FASM that the database does not know or that contradicts itself.
    """
    written = read_fasm(fasm)
    lines, changes = with_true_tables(written, placement, netlist) if correct else (written, ())
    text = "\n".join([*lines, *database.always, ""])
    found = assemble(features(text.splitlines()), database)
    frames = of_bits(found.bits)
    return BitstreamFiles(text, bit_file(frames, database, name), found.features, len(found.bits), len(frames), changes)


def write(
    files: BitstreamFiles, folder: Path, name: str, database: Database, picture: str, facts: Mapping[str, Any]
) -> None:
    """Write the files and their manifest into ``folder``; ``facts`` are what else the manifest says."""
    contents: dict[str, str | bytes] = {
        f"{name}.fasm": files.fasm, f"{name}.bit": files.bit, f"{name}.bin": bin_file(files.bit), PICTURE: picture,
    }  # fmt: skip
    manifest = {
        "part": database.part,
        "idcode": f"{database.idcode:#010x}",
        **facts,
        "files": {file: sha256(content) for file, content in contents.items()},
        "features": files.features,
        "bits": files.bits,
        "frames": files.frames,
        "lut_contents_corrected": changed(files.changes),
        "caveats": _CAVEATS,
    }
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    plan.mirror({**contents, "manifest.json": text}, folder)


def changed(changes: Sequence[Change]) -> list[str]:
    """Each LUT site whose contents were corrected, with its cells and both contents."""
    return [f"{c.site} ({', '.join(c.cells)}): {c.written:016x} -> {c.right:016x}" for c in changes]


def sha256(content: str | bytes) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
