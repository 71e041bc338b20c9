"""Where nextpnr has put every cell, from the JSON that it writes of the placed design, and the LUTs' true contents.

nextpnr 0.11 writes wrong contents into its FASM where one net or constant feeds several inputs of a LUT (its
issue 1757), and leaves out what memories in LUTs hold at first: so contents are computed here, from the cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.bitstream.database import Database
from flow.core.errors import ReportError
from flow.core.untrusted import MAX_OWN_JSON, read_json, refused

_BEL = re.compile(r"X(\d+)Y(\d+)/SLICE_(X\d)Y0\.(\w+)")
_BLOCK = re.compile(r"X(\d+)Y(\d+)/RAMB\d\d_X\d+Y(?=\d+\.(RAMB\d\dE1))(\d+)\.RAMB\d\dE1")
_DSP = re.compile(r"X(\d+)Y(\d+)/DSP48_X0Y(\d)\.(DSP48E1)")
_INIT_LINE = re.compile(r"(\w+)\.(SLICE[LM])_(X\d)\.([A-D])LUT\.INIT\[63:0\]\s*=\s*64'b([01_]+)")


@dataclass(frozen=True)
class PlacedCell:
    """A cell of a slice: its tile, slice (``X0`` or ``X1``) and place in it, such as ``A6LUT``.

    ``pins`` says for the six inputs of a LUT which inputs of the netlist's LUT lie on them; ``table`` is that one's.
    """

    name: str
    tile: str
    slice: str
    bel: str
    table: int = 0
    pins: tuple[tuple[int, ...], ...] = ()
    is_memory: bool = False

    @property
    def key(self) -> str:
        """Tile, slice and place in it."""
        return f"{self.tile}.{self.slice}.{self.bel}"

    @property
    def site(self) -> str:
        """The LUT site of a LUT: its two outputs share one."""
        return f"{self.tile}.{self.slice}.{self.bel[0]}LUT"


@dataclass(frozen=True)
class Change:
    """A LUT site whose contents in the FASM were not those of its cells."""

    site: str
    cells: tuple[str, ...]
    written: int
    right: int


def read_placement(path: Path, database: Database) -> Mapping[str, PlacedCell]:
    """The cells in slices, by their names. Raises ReportError where the file is none of nextpnr's."""
    with refused(ReportError, f"{path}: not a design placed by nextpnr", "route again"):
        (module,) = read_json(path, MAX_OWN_JSON)["modules"].values()
        cells = (_placed(name, cell, database) for name, cell in module["cells"].items())
        return {cell.name: cell for cell in cells if cell is not None}


def _placed(name: str, cell: Mapping[str, Any], database: Database) -> PlacedCell | None:
    block = _BLOCK.fullmatch(cell["attributes"].get("NEXTPNR_BEL", ""))
    if block:
        tile = database.at[int(block[1]), int(block[2])]
        return PlacedCell(name, tile, f"RAMB18_Y{int(block[4]) % 2}", block[3], is_memory=True)
    dsp = _DSP.fullmatch(cell["attributes"].get("NEXTPNR_BEL", ""))
    if dsp:
        return PlacedCell(name, database.at[int(dsp[1]), int(dsp[2])], f"DSP_{dsp[3]}", dsp[4])
    match = _BEL.fullmatch(cell["attributes"].get("NEXTPNR_BEL", ""))
    if not match:
        return None
    tile = database.at[int(match[1]), int(match[2])]
    if "X_LUT_AS_DRAM" in cell["attributes"]:
        return PlacedCell(name, tile, match[3], match[4], is_memory=True)
    if cell["type"] != "SLICE_LUTX":
        return PlacedCell(name, tile, match[3], match[4])
    init = cell["parameters"].get("INIT", 0)
    table = int(re.sub("[xz]", "0", init), 2) if isinstance(init, str) else int(init)
    shared = [cell["attributes"].get(f"X_ORIG_PORT_A{pin}", "") for pin in range(1, 7)]
    pins = tuple(tuple(int(i) for i in re.findall(r"I(\d)", ports)) for ports in shared)
    return PlacedCell(name, tile, match[3], match[4], table, pins)


def with_true_tables(
    fasm: Iterable[str], placement: Mapping[str, PlacedCell], netlist: Mapping[str, Any]
) -> tuple[list[str], tuple[Change, ...]]:
    """The FASM with every LUT's contents as its cells say, and what had to be changed.

    ``netlist`` are the cells that place and route was given, by name; memories are looked up there.
    Raises ReportError for a placed LUT whose contents are not in the FASM.
    """
    sites, memories = _lut_sites(placement), memory_contents(placement, netlist)
    lines, changes = [], []
    for line in fasm:
        match = _INIT_LINE.fullmatch(line.strip())
        if not match:
            lines.append(line)
            continue
        tile, kind, place, letter, text = match.groups()
        site, written = f"{tile}.{place}.{letter}LUT", int(text.replace("_", ""), 2)
        cells = sites.pop((tile, place, letter), {})
        names = tuple(cell.name for _, cell in sorted(cells.items(), reverse=True))
        right = _contents(cells) if cells else written  # without cells it is a way for a net; the reader looks at it
        if site in memories:
            name, right = memories[site]
            names = (name,)
        lines.append(f"{tile}.{kind}_{place}.{letter}LUT.INIT[63:0] = 64'b{right:064b}")
        if right != written:
            changes.append(Change(site, names, written, right))
    for (tile, place, letter), cells in sites.items():
        if _contents(cells):
            raise ReportError(f"the FASM leaves {tile}.{place}.{letter}LUT empty, where a LUT was placed; route again")
    return lines, tuple(changes)


def memory_contents(placement: Mapping[str, PlacedCell], netlist: Mapping[str, Any]) -> Mapping[str, tuple[str, int]]:
    """By LUT site of a memory its cell, and the 64 bits that the site holds at first."""
    found = {}
    for name, place in placement.items():
        if place.is_memory and name.rpartition("/")[0] in netlist:
            cell = name.rpartition("/")[0]
            init = netlist[cell]["parameters"].get(f"INIT_{place.bel[0]}", 0)
            table = int(re.sub("[xz]", "0", init), 2) if isinstance(init, str) else int(init)
            if netlist[cell]["type"] == "RAM32M":  # words of two bits: the lower ones in the lower half
                halves = [sum((table >> 2 * i + bit & 1) << i for i in range(32)) for bit in (0, 1)]
                table = halves[0] | halves[1] << 32
            found[place.site] = cell, table
    return found


def contents_by_site(placement: Mapping[str, PlacedCell]) -> Mapping[str, int]:
    """The 64 bits of every LUT site that holds cells, by its tile, slice and letter: ``CLBLL_L_X2Y0.X0.ALUT``."""
    return {".".join(site[:2]) + f".{site[2]}LUT": _contents(cells) for site, cells in _lut_sites(placement).items()}


def _lut_sites(placement: Mapping[str, PlacedCell]) -> dict[tuple[str, str, str], dict[str, PlacedCell]]:
    """The LUTs of each site, by the number of their output."""
    sites: dict[tuple[str, str, str], dict[str, PlacedCell]] = {}
    for cell in placement.values():
        if cell.bel.endswith("LUT") and not cell.is_memory:
            sites.setdefault((cell.tile, cell.slice, cell.bel[0]), {})[cell.bel[1]] = cell
    return sites


def _contents(cells: Mapping[str, PlacedCell]) -> int:
    """The 64 bits of a LUT site: O5's function in the lower half where both outputs are used.

    Raises ReportError where O6 needs all inputs and its lower half is not O5's function.
    """
    found = 0
    if len(cells) == 2 and cells["6"].pins[5]:
        halves = [[cell.table >> _logical(row, cell.pins) & 1 for row in range(32)] for cell in cells.values()]
        if halves[0] != halves[1]:
            names = " and ".join(cell.name for cell in cells.values())
            raise ReportError(f"{names} lie in one LUT site, which cannot hold both; route again")
    for which, cell in cells.items():
        rows = range(64) if len(cells) == 1 else range(32) if which == "5" else range(32, 64)
        found |= sum((cell.table >> _logical(row, cell.pins) & 1) << row for row in rows)
    return found


def _logical(row: int, pins: Sequence[Sequence[int]]) -> int:
    """The row of the netlist's LUT that a row of the site is, whatever unconnected pins are."""
    found = 0
    for pin, inputs in enumerate(pins):
        if row >> pin & 1:
            for i in inputs:
                found |= 1 << i
    return found
