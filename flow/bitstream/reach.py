"""What in a netlist depends on what: nets that count, and the LUTs that feed a cell."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from flow.bitstream.functions import is_lut
from flow.proof.netlist.cells import FLIP_FLOPS
from flow.proof.netlist.side import Bit, Side


def live(side: Side, roots: Collection[str]) -> frozenset[Bit]:
    """The nets that a flip-flop, a pad or a cell of a kind in ``roots`` depends on.

    Of a carry chain that is up to the position used.
    """
    cells, drivers = side.cells, side.drivers
    stack = [b for p in side.ports.values() if p["direction"] == "output" for b in p["bits"]]
    for cell in cells.values():
        if cell["type"] in FLIP_FLOPS or cell["type"] in roots:
            stack += [
                b for p, bits in cell["connections"].items() if cell["port_directions"][p] == "input" for b in bits
            ]
    found: set[Bit] = set()
    while stack:
        bit = stack.pop()
        if bit in found:
            continue
        found.add(bit)
        if bit not in drivers or cells[drivers[bit]]["type"] in FLIP_FLOPS:
            continue
        entry = cells[drivers[bit]]
        tops: dict[str, int] = {}  # a sum O needs the data of the positions below it, a carry CO its own too
        if entry["type"] == "CARRY4":
            pin = next(p for p in ("O", "CO") if bit in entry["connections"].get(p, ()))
            position = entry["connections"][pin].index(bit)
            tops = {"S": position + 1, "DI": position + (pin == "CO")}
        for port, bits in entry["connections"].items():
            if entry["port_directions"][port] == "input":
                stack += bits[: tops.get(port)]
    return frozenset(found)


def luts_before(side: Side, cell: str, holding: Collection[str]) -> Iterator[str]:
    """The LUTs that feed a cell, also through carry chains and multiplexers, not through the kinds ``holding``."""
    stack, seen = [cell], {cell}
    while stack:
        entry = side.cells[stack.pop()]
        for port, bits in entry["connections"].items():
            for bit in bits if entry["port_directions"][port] == "input" else ():
                driver = side.drivers.get(bit)
                if driver is None or driver in seen:
                    continue
                seen.add(driver)
                kind = side.cells[driver]["type"]
                if is_lut(kind):
                    yield driver
                elif kind not in holding:
                    stack.append(driver)


def luts_feeding(side: Side, entry: Mapping[str, Any], pin: str, holding: Collection[str]) -> Iterator[str]:
    """The LUTs that feed one pin of a cell."""
    for bit in entry["connections"].get(pin, ()):
        driver = side.drivers.get(bit)
        if driver is not None:
            kind = side.cells[driver]["type"]
            yield from [driver] if is_lut(kind) else () if kind in holding else luts_before(side, driver, holding)
