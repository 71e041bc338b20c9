"""Where the layers of a design lie on the chip, slice by slice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from flow.bitstream.database import Database
from flow.bitstream.placement import PlacedCell


def layout(placement: Iterable[PlacedCell], owners: Mapping[str, str], database: Database) -> dict[str, Any]:
    """``{"columns", "rows", "layers": {layer: [[column, row], ...]}}``; two slices lie side by side in a tile.

    A slice is the layer's that has most of its cells; ``owners`` are the layers by cell, "" is what belongs to none.
    """
    slices: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for cell in placement:
        slices[cell.tile, cell.slice][owners.get(cell.name, "")] += 1
    layers: dict[str, list[list[int]]] = {layer: [] for layer in [*dict.fromkeys(owners.values()), ""]}
    for (tile, place), found in sorted(slices.items()):
        at = database.tiles[tile]
        layers[found.most_common(1)[0][0]].append([2 * at.x + (place == "X1"), at.y])
    return {
        "columns": 2 + 2 * max(tile.x for tile in database.tiles.values()),
        "rows": 1 + max(tile.y for tile in database.tiles.values()),
        "layers": layers,
    }
