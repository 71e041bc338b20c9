"""FASM to configuration bits: the step that open flows have in Python packages of their own only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flow.bitstream.database import Block, Database, Feature, Tile
from flow.bitstream.frames import Bit
from flow.core.errors import ReportError

_SHOWN = 3


@dataclass(frozen=True)
class Assembled:
    """Configuration bits that are 1, and how many features set them."""

    bits: frozenset[Bit]
    features: int


def assemble(names: Iterable[str], database: Database) -> Assembled:
    """The bits that features such as ``CLBLL_L_X2Y0.SLICEL_X0.ALUT.INIT[3]`` set.

    Raises ReportError for features that the database does not know, or that want one bit to be 0 and 1.
    """
    ones: dict[Bit, str] = {}
    zeros: dict[Bit, str] = {}
    unknown, count = [], 0
    for name in names:
        count += 1
        found = _placed(name, database)
        if found is None:
            unknown.append(name)
            continue
        block, feature = found
        if block is not None:
            for wanted, places in ((ones, feature.ones), (zeros, feature.zeros)):
                for frame, place in places:
                    wanted[bit_at(block, frame, place, name)] = name
    if unknown:
        shown = ", ".join(unknown[:_SHOWN])
        raise ReportError(f"Project X-Ray's database lacks {len(unknown)} features ({shown}): no bitstream is made")
    clash = next(iter(ones.keys() & zeros.keys()), None)
    if clash is not None:
        raise ReportError(f"{ones[clash]} and {zeros[clash]} exclude each other: no bitstream is made")
    return Assembled(frozenset(ones), count)


def _placed(name: str, database: Database) -> tuple[Block | None, Feature] | None:
    """A feature, and the block of the tile that it lies in; no block where it is a connection without bits."""
    place, _, inner = name.partition(".")
    tile = database.tiles.get(place)
    if tile is None:
        return None
    known = database.features(tile.meaning)
    inner = _by_kind(tile, inner)
    feature = known.get(inner) or (known.get(inner.removesuffix("[0]")) if inner.endswith("[0]") else None)
    if feature is not None:
        block = tile.blocks.get(feature.bus)
        return (block, feature) if block is not None else None
    to, _, source = inner.partition(".")
    if any(source == known_source for known_source, _ in database.wiring(tile.kind).pseudo.get(to, ())):
        return None, Feature(inner, "", (), ())
    return None


def _by_kind(tile: Tile, inner: str) -> str:
    """A feature of a tile that is half of another kind, as that kind calls it."""
    if not tile.renamed:
        return inner
    return ".".join(tile.renamed.get(part, part) for part in inner.split("."))


def bit_at(block: Block, frame: int, place: int, name: str) -> Bit:
    """A bit of a tile's block as a bit of a frame. Raises ReportError where it lies outside the block."""
    inside = place - block.shift
    if not (0 <= inside < 32 * block.words and frame < block.frames):
        raise ReportError(f"{name} lies outside its tile's bits in Project X-Ray's database: no bitstream is made")
    return block.base + frame, 32 * block.offset + inside
