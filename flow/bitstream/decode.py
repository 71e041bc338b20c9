"""Configuration bits back to features: what the database calls the bits that are 1, and bits that nothing explains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from flow.bitstream.database import Block, Database, Feature, Place, Tile
from flow.bitstream.frames import Bit

_COLUMN = ~0x7F  # an address without the number of the frame in its column


@dataclass(frozen=True)
class Decoded:
    """Features by tile, how many bits were read, and those that no feature has: (tile or frame, bit)."""

    features: Mapping[str, frozenset[str]]
    bits: int
    unexplained: tuple[str, ...]

    @property
    def count(self) -> int:
        """Features in all tiles."""
        return sum(map(len, self.features.values()))


def decode(bits: Mapping[int, set[int]], database: Database) -> Decoded:
    """All features whose bits are as they should be, from the bits that are 1, by frame."""
    owners = _owners(database)
    inside: dict[tuple[str, str], set[Place]] = defaultdict(set)
    lost: list[str] = []
    for address, places in bits.items():
        for place in places:
            tiles = owners.get((address & _COLUMN, place >> 5), ())
            for name, bus, block in tiles:
                if address - block.base < block.frames:
                    inside[name, bus].add((address - block.base, place - 32 * block.offset + block.shift))
            if not tiles:
                lost.append(f"frame {address:#010x} bit {place}, which belongs to no known tile")
    features: dict[str, set[str]] = defaultdict(set)
    explained: set[Bit] = set()
    for (name, bus), ones in inside.items():
        tile = database.tiles[name]
        block = tile.blocks[bus]
        for feature in _matching(ones, bus, tile, database):
            features[name].add(_as_tile(tile, feature.name))
            explained.update((block.base + f, p - block.shift + 32 * block.offset) for f, p in feature.ones)
    for address, places in bits.items():
        for place in places:
            if (address, place) not in explained:
                tiles = owners.get((address & _COLUMN, place >> 5), ())
                if tiles:
                    lost.append(f"{tiles[-1][0]}: frame {address:#010x} bit {place} is 1, which no feature explains")
    found = {name: frozenset(names) for name, names in features.items()}
    return Decoded(found, sum(map(len, bits.values())), tuple(lost))


def _owners(database: Database) -> Mapping[tuple[int, int], list[tuple[str, str, Block]]]:
    """The tiles whose blocks hold a word of the frames of a column; tiles side by side share columns."""
    found: dict[tuple[int, int], list[tuple[str, str, Block]]] = defaultdict(list)
    for name, tile in database.tiles.items():
        for bus, block in tile.blocks.items():
            for word in range(block.offset, block.offset + block.words):
                found[block.base & _COLUMN, word].append((name, bus, block))
    return found


def _matching(ones: set[Place], bus: str, tile: Tile, database: Database) -> list[Feature]:
    return [
        feature
        for place in ones
        for feature in database.by_first_bit(tile.meaning).get((bus, place), ())
        if ones.issuperset(feature.ones) and ones.isdisjoint(feature.zeros)
    ]


def _as_tile(tile: Tile, name: str) -> str:
    """A feature of another kind as a tile that is half of that kind calls it."""
    if not tile.renamed:
        return name
    back = {theirs: own for own, theirs in tile.renamed.items()}
    return ".".join(back.get(part, part) for part in name.split("."))
