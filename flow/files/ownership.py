"""What in a folder is a build's own. Nothing else is ever removed or replaced.

A build records the names of its files in ``.state/own.json`` before it makes them, so that a kill at any moment leaves
no file without an owner. Programs that are started name their files themselves: theirs are known by the patterns below,
and only inside folders that a build made. What a user lays beside them stays.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from flow.core.errors import NotOurs
from flow.core.untrusted import DAMAGE, MAX_JSON, parse_json, read_text, refused

STATE = ".state"
RECORD = f"{STATE}/own.json"
_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}")  # of an atomic write that was killed
_SYNTHESIS = ("yosys.log", "netlist.json", "netlist.v")
# By folder: what programs write there by themselves.
_BY_PROGRAMS: dict[str, tuple[str, ...]] = {
    "synth": _SYNTHESIS,
    "sim/axis_synth": _SYNTHESIS,
    "proof": ("*.log", "*.json", "*.v", "*.il"),
    "route": ("*.log", "routed.json", "shell.json", "shell.v", "placed.*json", "routed.*.fasm", "nextpnr.*.json"),
    "sim/*": (
        "*.log", "sim.vvp", "results.xml", "bench_result.json", ".bench_result.json.part", "native.json", "outputs.bin",
        "states.bin", "waves.fst", "waves.vcd",
    ),
    "hls/csim": ("bench", "*.log", "inputs.bin", "outputs.bin"),
    "hls": ("vendor_*.log", "vitis_hls.log", "vivado_hls.log", "v++.log", "vivado.log", "vivado_*.rpt", "vivado_*.dcp"),
    "hls/tb_data": ("csim_results.log", "rtl_cosim_results.log"),
    "xls/*": ("xls.log", "design.ir", "design.v", "outputs.bin"),
}  # fmt: skip
# What builds from before there was a record made; files.f lists the rest.
_EARLIER = {
    "": (
        "design.json", "report.json", "report.html", "unfinished.json",
        "sweep.json", "token.json", "study.db", "trials.csv", "front.csv", "front.json", "front.html",
    ),
    "trials*": ("*.json",),
    "sim": ("bench.json", "cells.v"),
    "shell": ("files.f", "shell.json"),
    "pynq": ("package_ip.tcl", "block_design.tcl", "driver.py", "accelerator.json", "selftest.json", "example.ipynb"),
    "hls": ("*.tcl", "*.cpp", "*.yml", "build_lib.sh", "vivado_ooc.xdc", "hls_config.cfg"),
    "hls/firmware*": ("*",),
    "hls/tb_data": ("*.dat",),
    "synth": ("synth.ys",),
    "proof": ("proof.ys",),
    "route": ("*.ys", "*.xdc", "*.v", "netlist.json"),
    "sim/*": ("*.json", "*.hex", "*.f", "*.v", "*.ys", "*.bin", "*.vlt"),
    "xls/*": ("*.v", "*.x", "*.json", "*.bin"),
}  # fmt: skip


@dataclass
class Own:
    """The record of one folder: names relative to it, with ``/``."""

    root: Path
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)  # made by builds; a user's files in them stay
    trees: set[str] = field(default_factory=set)  # folders that are a program's own with all that is in them
    kind: str = ""  # what the folder is: a build, a sweep

    def holds(self, name: str) -> bool:
        """Whether the file ``name`` is a build's own."""
        if name in self.files or name.split("/")[0] == STATE or self._in_tree(name):
            return True
        if self.leftover(name):
            return True
        place, base = str(PurePosixPath(name).parent), PurePosixPath(name).name
        return place in self.folders and _matches(_BY_PROGRAMS, place, base)

    def leftover(self, name: str) -> bool:
        """Whether ``name`` is what a kill left of the writing of a file of ours."""
        match = _TEMPORARY.fullmatch(PurePosixPath(name).name)
        return bool(match) and str(PurePosixPath(name).with_name(match[1] if match else "")) in self.files

    def own_folder(self, name: str) -> bool:
        """Whether the folder ``name`` was made by a build."""
        return name in self.folders or name.split("/")[0] == STATE or self._in_tree(f"{name}/")

    def _in_tree(self, name: str) -> bool:
        return any(name.startswith(f"{tree}/") for tree in self.trees)

    def to_json(self) -> str:
        """The record's text."""
        names = {"files": sorted(self.files), "folders": sorted(self.folders), "trees": sorted(self.trees)}
        return json.dumps({"kind": self.kind, **names}, indent=1) + "\n"


def _matches(table: dict[str, tuple[str, ...]], place: str, base: str) -> bool:
    return any(
        fnmatchcase(base, pattern)
        for folder, patterns in table.items()
        if fnmatchcase(place, folder)
        for pattern in patterns
    )


def load(root: Path) -> Own:
    """The record of ``root``; empty where no build was. Raises NotOurs for a record that cannot be read."""
    path = root / RECORD
    if not path.exists():
        lock = root / STATE / "lock"
        return _earlier(root) if lock.is_file() and lock.stat().st_size else Own(root)
    try:
        data = parse_json(read_text(path, MAX_JSON), str(path))
        names = [data[part] for part in ("files", "folders", "trees")]
        if not all(isinstance(part, list) and all(isinstance(name, str) for name in part) for part in names):
            raise TypeError
        if any(name.startswith("/") or ".." in name.split("/") for part in names for name in part):
            raise ValueError
        files, folders, trees = (set(part) for part in names)
        return Own(root, files, folders, trees, str(data["kind"]))
    except (OSError, *DAMAGE):
        raise NotOurs(
            f"{path} is damaged, so what a build made in {root} is not known; choose another folder"
        ) from None


def _earlier(root: Path) -> Own:
    """What a build from before there was a record left in ``root``."""
    own = Own(root)
    listed = {
        f"{place}/{line}"
        for place in ("rtl", "shell")
        if (root / place / "files.f").is_file()
        for line in [*(root / place / "files.f").read_text(errors="replace").splitlines(), "files.f"]
    }
    places = {name.split("/")[0] for name in [*_EARLIER, *_BY_PROGRAMS, "rtl"] if name}
    for name in files_below(root, places):
        place, base = str(PurePosixPath(name).parent), PurePosixPath(name).name
        if "/model/" in name and name.startswith("sim/"):  # Verilator's
            own.trees.add(name[: name.index("/model/") + 6])
        elif name in listed or _matches(_EARLIER, "" if place == "." else place, base):
            own.files.add(name)
        elif not _matches(_BY_PROGRAMS, place, base):
            continue
        own.folders.update(str(p) for p in PurePosixPath(name).parents if str(p) != ".")
    return own


def files_below(root: Path, places: Iterable[str] | None = None) -> Iterator[str]:
    """Everything below ``root`` but folders, as names; in ``root`` itself and in its folders ``places``, or in all.

    Links are not followed.
    """
    for folder, inside, files in os.walk(root):
        here = Path(folder)
        if here == root and places is not None:
            inside[:] = [name for name in inside if name in places]
        links = [name for name in inside if (here / name).is_symlink()]
        for name in (*files, *links):
            yield (here / name).relative_to(root).as_posix()


def refuse_foreign(root: Path, kind: str, files: Iterable[str] = (), folders: Iterable[str] = ()) -> None:
    """Raise NotOurs for the first of ``files`` and ``folders`` in ``root`` that is there and no build's own.

    So is a ``root`` that holds something of another ``kind``. A folder without a file in it is in nobody's way.
    Nothing is changed.
    """
    with refused(NotOurs, f"cannot write {root}", "choose another folder with --out"):
        _refuse_foreign(root, kind, files, folders)


def _refuse_foreign(root: Path, kind: str, files: Iterable[str], folders: Iterable[str]) -> None:
    state = root / STATE
    if state.is_symlink() or (state.exists() and not state.is_dir()):
        raise foreign(state)
    if state.is_dir() and any(state.iterdir()) and not (root / RECORD).exists() and not (state / "lock").is_file():
        raise foreign(state)
    own = load(root)
    if own.kind not in ("", kind):
        raise NotOurs(f"{root} holds a {own.kind}; choose another folder with --out")
    for name in files:
        path = root / name
        if (path.exists() or path.is_symlink()) and (path.is_symlink() or path.is_dir() or not own.holds(name)):
            raise foreign(path)
    for name in folders:
        check_folder(own, name)


def check_folder(own: Own, name: str) -> None:
    """Raise NotOurs unless a build may write into the folder ``name``: made by it, without a file, or not there."""
    for part in (*reversed(PurePosixPath(name).parents), PurePosixPath(name)):
        path = own.root / part
        if str(part) == ".":
            continue
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise foreign(path)
        if path.is_dir() and not own.own_folder(str(part)):
            first = next(iter(sorted(files_below(path))), None)
            if first is not None:
                raise foreign(path / first)


def foreign(path: Path) -> NotOurs:
    """The error for what is in the way."""
    why = "is a link, which no build makes" if path.is_symlink() else "was not made by a build of this folder"
    return NotOurs(f"{path} {why}; move it away or choose another folder with --out")
