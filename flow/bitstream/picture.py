"""Where the layers of a design lie on the chip, as an SVG."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from html import escape

from flow.bitstream.database import Database
from flow.bitstream.placement import PlacedCell

_COLOURS = (
    "#2a78d6",
    "#e1812c",
    "#3a923a",
    "#c03d3e",
    "#9372b2",
    "#845b53",
    "#d684bd",
    "#797979",
    "#b8b836",
    "#4ab8c4",
)
_OTHER, _CHIP = "#c9c9c9", "#f2f2f2"
_WIDTH, _HEIGHT = 5, 5  # of a tile


def picture(placement: Iterable[PlacedCell], owners: Mapping[str, str], database: Database) -> str:
    """Every slice in use, coloured by the layer that has most of its cells; ``owners`` are the layers by cell."""
    slices: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for cell in placement:
        slices[cell.tile, cell.slice][owners.get(cell.name, "")] += 1
    layers = list(dict.fromkeys(owners.values()))
    colours = {layer: _COLOURS[i % len(_COLOURS)] for i, layer in enumerate(layers)} | {"": _OTHER}
    columns = 1 + max(tile.x for tile in database.tiles.values())
    rows = 1 + max(tile.y for tile in database.tiles.values())
    width, height = columns * _WIDTH, rows * _HEIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 20 + 16 * len(colours)}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{escape(database.part)}: which layer lies where</title>",
        f'<rect width="{width}" height="{height}" fill="{_CHIP}"/>',
    ]
    for (tile, place), found in sorted(slices.items()):
        at = database.tiles[tile]
        x = at.x * _WIDTH + (_WIDTH / 2 if place == "X1" else 0)
        colour = colours[found.most_common(1)[0][0]]
        out.append(f'<rect x="{x:g}" y="{at.y * _HEIGHT}" width="{_WIDTH / 2:g}" height="{_HEIGHT}" fill="{colour}"/>')
    count = Counter(found.most_common(1)[0][0] for found in slices.values())
    for i, layer in enumerate([*layers, ""]):
        y = height + 20 + 16 * i
        text = f"{escape(layer) or 'wrapper, constants, ways'}: {count[layer]} slices"
        out.append(f'<rect x="0" y="{y - 10}" width="12" height="12" fill="{colours[layer]}"/>')
        out.append(f'<text x="18" y="{y}">{text}</text>')
    return "\n".join([*out, "</svg>", ""])
