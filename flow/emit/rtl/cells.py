"""Behaviour of the cells a netlist may consist of, where the synthesizer's own library has none: block RAMs."""

from __future__ import annotations

import re
from typing import Any

from flow.emit.templates import render


def cell_models(library: str) -> str:
    """The text of a cell library with working block RAMs in place of its empty ones."""
    for name in ("RAMB18E1", "RAMB36E1"):
        library, count = re.subn(rf"(?ms)^module {name} \(.*?^endmodule\n", "", library)
        assert count == 1, name
    return library + "\n" + render("ramb.v.j2", cells=[_cell("RAMB18E1", 1), _cell("RAMB36E1", 2)])


def _cell(name: str, tiles: int) -> dict[str, Any]:
    return {
        "name": name,
        "wide": tiles == 2,
        "address": 14 if tiles == 1 else 16,
        "address_used": 13 + tiles,
        "half": 16 * tiles,
        "bytes": 2048 * tiles,
        "rows": [f"{i:02X}" for i in range(64 * tiles)],
        "parity": [f"{i:02X}" for i in range(8 * tiles)],
    }
