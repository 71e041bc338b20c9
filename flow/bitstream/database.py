"""Project X-Ray's database of one part: its tiles, what their bits mean, and its frames.

Everything is read when it is first asked for, within bounds, and kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flow.core.errors import ReportError
from flow.core.untrusted import is_folder, parse_json, read_bytes, read_json, read_text, refused

WORDS = 101  # of 32 bits in a frame
_MAX_FILE = 1 << 28  # bytes
_REMEDY = "run scripts/install_nextpnr.sh again"
_BUSES = {"CLB_IO_CLK": 0, "BLOCK_RAM": 1}
_SUFFIXES = (("", "CLB_IO_CLK"), (".block_ram", "BLOCK_RAM"))

Place = tuple[int, int]  # a frame of a block, and a bit in it


@dataclass(frozen=True)
class Feature:
    """A named setting of a kind of tile: bits that are 1 and bits that are 0, in the tile's block on one bus."""

    name: str
    bus: str
    ones: tuple[Place, ...]
    zeros: tuple[Place, ...]


@dataclass(frozen=True)
class Block:
    """A tile's part of the configuration memory: ``words`` of each of ``frames`` frames from address ``base`` on.

    ``shift`` bits of what the kind's features say lie before it: tiles at the ends of columns are halves of others.
    """

    base: int
    frames: int
    offset: int
    words: int
    shift: int


@dataclass(frozen=True)
class Tile:
    """One tile; ``meaning`` is the kind whose features its bits have, ``renamed`` its sites by that kind's names."""

    name: str
    kind: str
    x: int
    y: int
    meaning: str
    blocks: Mapping[str, Block]
    renamed: Mapping[str, str]
    sites: Mapping[str, str]


@dataclass(frozen=True)
class Wiring:
    """A kind of tile inside: which site pin a wire carries, switches as (to, from), and what they take to be on.

    ``pseudo`` are connections without bits: destination -> (source, "always", "default" or "hint").
    """

    sites: tuple[Mapping[str, Any], ...]
    pins: Mapping[str, tuple[tuple[str, str, str], ...]]  # wire -> (site's kind, site's place in the tile, pin)
    switches: frozenset[tuple[str, str]]
    pseudo: Mapping[str, tuple[tuple[str, str], ...]]


class Database:
    """What Project X-Ray knows of one part, such as ``xc7z020clg400-1``, in the folder of its family.

    Raises ReportError, in the constructor or later, where a file is missing, damaged or not what it should be.
    """

    def __init__(self, family: Path, part: str, device: str) -> None:
        self.family, self.part, self.device = family, part, device
        grades = sorted(p.name for p in family.glob(f"{part.partition('-')[0]}-*") if p.is_dir())
        self.folder = part if is_folder(family / part) else next(iter(grades), "")  # the same for all speed grades
        if not self.folder:
            known = sorted(p.name for p in family.glob(f"{device}*-*") if p.is_dir())
            raise ReportError(f"Project X-Ray's database has no {part}, only {', '.join(known) or 'other devices'}")
        self._features: dict[str, Mapping[str, Feature]] = {}
        self._by_first_bit: dict[str, Mapping[tuple[str, Place], tuple[Feature, ...]]] = {}
        self._wiring: dict[str, Wiring] = {}
        self._outputs: dict[str, frozenset[str]] = {}

    @cached_property
    def fabric(self) -> str:
        """The die that the part is made from, whose tiles are its tiles."""
        text = self._text("mapping/devices.yaml")
        found = re.search(rf'^"?{self.device}"?:\s*\n\s+fabric:\s*"?(\w+)', text, re.MULTILINE)
        if not found:
            raise ReportError(f"{self.family}/mapping/devices.yaml does not name the die of {self.device}; {_REMEDY}")
        return found[1]

    @cached_property
    def tiles(self) -> Mapping[str, Tile]:
        """All tiles by name."""
        with self._reading(f"{self.fabric}/tilegrid.json") as path:
            return {name: _tile(name, entry) for name, entry in read_json(path, _MAX_FILE).items()}

    @cached_property
    def at(self) -> Mapping[Place, str]:
        """The tile at a place of the grid."""
        return {(tile.x, tile.y): name for name, tile in self.tiles.items()}

    @cached_property
    def connections(self) -> Mapping[tuple[str, str], tuple[tuple[int, int, str, str], ...]]:
        """What a wire of a kind of tile is one piece with: (steps in x, steps in y, kind of tile there, its wire)."""
        found: dict[tuple[str, str], list[tuple[int, int, str, str]]] = {}
        with self._reading(f"{self.fabric}/tileconn.json") as path:
            for entry in read_json(path, _MAX_FILE):
                (a, b), (dx, dy) = entry["tile_types"], entry["grid_deltas"]
                for one, other in entry["wire_pairs"]:
                    found.setdefault((a, one), []).append((dx, dy, b, other))
                    found.setdefault((b, other), []).append((-dx, -dy, a, one))
        return {wire: tuple(pieces) for wire, pieces in found.items()}

    @cached_property
    def idcode(self) -> int:
        """What the device's JTAG says it is."""
        return int(self._layout[0])

    @cached_property
    def frames(self) -> tuple[int, ...]:
        """Addresses of all frames in the order of a bitstream, with None after each row: see ``padded``."""
        return tuple(address for address in self.padded if address is not None)

    @cached_property
    def padded(self) -> tuple[int | None, ...]:
        """Addresses of all frames in the order of a bitstream; each None is a frame of zeros that ends a row's bus."""
        found: list[int | None] = []
        rows = self._layout[1]
        for bus, number in sorted(_BUSES.items(), key=lambda item: item[1]):
            for half, name in enumerate(("top", "bottom")):
                for row in sorted(rows[name]):
                    columns = rows[name][row].get(bus, {})
                    for column, count in sorted(columns.items()):
                        start = number << 23 | half << 22 | row << 17 | column << 7
                        found += range(start, start + count)
                    found += [None, None] if columns else []
        return tuple(found)

    @cached_property
    def always(self) -> tuple[str, ...]:
        """Lines of FASM that every bitstream of the die needs; the database has them for one of its packages."""
        names = [self.folder, *sorted(p.name for p in self.family.glob(f"{self.fabric}*-*"))]
        for name in names:
            path = self.family / name / "required_features.fasm"
            if path.is_file():
                with refused(ReportError, str(path), _REMEDY):
                    return tuple(line for line in read_text(path, 1 << 16).splitlines() if line.strip())
        return ()

    @cached_property
    def pads(self) -> Mapping[tuple[str, str], str]:
        """The package's pin at a site of a tile: (tile, site such as IOB_X0Y1) -> pin."""
        lines = self._text(f"{self.folder}/package_pins.csv").splitlines()[1:]
        rows = [line.split(",") for line in lines if line]
        with refused(ReportError, f"{self.family}/{self.folder}/package_pins.csv", _REMEDY):
            return {(row[3], row[2]): row[0] for row in rows}

    def features(self, kind: str) -> Mapping[str, Feature]:
        """What the bits of a kind of tile mean, by name without the tile: ``SLICEL_X0.ALUT.INIT[5]``."""
        if kind not in self._features:
            found: dict[str, Feature] = {}
            for suffix, bus in _SUFFIXES:
                text = self._text(f"segbits_{kind.lower()}{suffix}.db", optional=True)
                with refused(ReportError, f"{self.family}/segbits_{kind.lower()}{suffix}.db", _REMEDY):
                    found |= {f.name: f for f in _features(text, bus)}
            self._features[kind] = found
        return self._features[kind]

    def by_first_bit(self, kind: str) -> Mapping[tuple[str, Place], tuple[Feature, ...]]:
        """The features of a kind of tile by their bus and the first of their bits that are 1."""
        if kind not in self._by_first_bit:
            found: dict[tuple[str, Place], list[Feature]] = {}
            for feature in self.features(kind).values():
                if feature.ones:
                    found.setdefault((feature.bus, feature.ones[0]), []).append(feature)
            self._by_first_bit[kind] = {place: tuple(features) for place, features in found.items()}
        return self._by_first_bit[kind]

    def wiring(self, kind: str) -> Wiring:
        """A kind of tile inside."""
        if kind not in self._wiring:
            pseudo = self._text(f"ppips_{kind.lower()}.db", optional=True)
            with self._reading(f"tile_type_{kind}.json") as path:
                self._wiring[kind] = _wiring(parse_json(read_bytes(path, _MAX_FILE), str(path)), pseudo)
        return self._wiring[kind]

    def outputs(self, kind: str) -> frozenset[str]:
        """The output pins of a kind of site."""
        if kind not in self._outputs:
            with self._reading(f"site_type_{kind}.json") as path:
                pins = read_json(path)["site_pins"]
                found = frozenset(name for name, pin in pins.items() if pin["direction"] != "IN")
            self._outputs[kind] = found
        return self._outputs[kind]

    @cached_property
    def _layout(self) -> tuple[int, dict[str, dict[int, dict[str, dict[int, int]]]]]:
        """The IDCODE, and frames by half, row, bus and column."""
        with self._reading(f"{self.folder}/part.json") as path:
            data = read_json(path)
            halves = data["global_clock_regions"]
            rows = {
                half: {
                    int(row): {
                        bus: {int(c): int(v["frame_count"]) for c, v in entry["configuration_columns"].items()}
                        for bus, entry in content["configuration_buses"].items()
                    }
                    for row, content in halves[half]["rows"].items()
                }
                for half in ("top", "bottom")
            }
            return int(data["idcode"]), rows

    def _text(self, name: str, optional: bool = False) -> str:
        path = self.family / name
        if optional and not path.is_file():
            return ""
        with refused(ReportError, str(path), _REMEDY):
            return read_text(path, _MAX_FILE)

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        path = self.family / name
        with refused(ReportError, f"{path}: not as Project X-Ray writes it", _REMEDY):
            yield path


def _tile(name: str, entry: Mapping[str, Any]) -> Tile:
    meaning, renamed, blocks = str(entry["type"]), {}, {}
    for bus, bits in entry["bits"].items():
        alias = bits.get("alias")
        if alias:
            meaning, renamed = str(alias["type"]), dict(alias["sites"])
        base, frames, offset, words = int(bits["baseaddr"], 16), *(int(bits[k]) for k in ("frames", "offset", "words"))
        if offset < 0 or offset + words > WORDS:
            raise ValueError(f"tile {name} has words {offset} to {offset + words}")
        blocks[str(bus)] = Block(base, frames, offset, words, 32 * int(alias["start_offset"]) if alias else 0)
    return Tile(name, str(entry["type"]), entry["grid_x"], entry["grid_y"], meaning, blocks, renamed, entry["sites"])


def _features(text: str, bus: str) -> Iterator[Feature]:
    for line in text.splitlines():
        name, *bits = line.split()
        if not bits or bits == ["<const0>"]:
            continue
        ones: list[Place] = []
        zeros: list[Place] = []
        for bit in bits:
            frame, place = bit.lstrip("!").split("_")
            (zeros if bit[0] == "!" else ones).append((int(frame), int(place)))
        yield Feature(plain(name.partition(".")[2]), bus, tuple(ones), tuple(zeros))


def plain(name: str) -> str:
    """A feature's name with its index as it is written without zeros before it: ``INIT[05]`` -> ``INIT[5]``."""
    return re.sub(r"\[0+(\d+)\]$", r"[\1]", name)


def _wiring(data: Mapping[str, Any], pseudo_text: str) -> Wiring:
    pins: dict[str, list[tuple[str, str, str]]] = {}
    for site in data["sites"]:
        for pin, carried in site["site_pins"].items():
            if carried:
                pins.setdefault(carried["wire"], []).append((site["type"], site["name"], pin))
    switches = set()
    for switch in data["pips"].values():
        switches.add((switch["dst_wire"], switch["src_wire"]))
        if switch["is_directional"] != "1":
            switches.add((switch["src_wire"], switch["dst_wire"]))
    pseudo: dict[str, list[tuple[str, str]]] = {}
    for line in pseudo_text.splitlines():
        name, sort = line.split()
        parts = name.split(".")
        if len(parts) == 3:
            pseudo.setdefault(parts[1], []).append((parts[2], sort))
    return Wiring(
        tuple(data["sites"]),
        {wire: tuple(found) for wire, found in pins.items()},
        frozenset(switches),
        {to: tuple(found) for to, found in pseudo.items()},
    )
