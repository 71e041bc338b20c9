"""The processor of a Zynq-7000 (PS7) in both netlists: its pins, one by one. It has no configuration bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flow.bitstream.netlist import Recovered
from flow.proof.netlist.side import Bit

KIND = "PS7"

Entry = Mapping[str, Any]  # a cell of Yosys' JSON


def outputs(entry: Entry) -> Iterator[tuple[Bit, str]]:
    """Every net that the processor drives, with the signal of the bitstream that it is."""
    for name, bit in _pins(entry, "output"):
        yield bit, f"{KIND}.{name}"


def inputs(entry: Entry, recovered: Recovered) -> Iterator[tuple[str, Bit | None, str | None]]:
    """Every input that either netlist drives: its pin, its net, and the signal of the bitstream that drives it."""
    ours = dict(_pins(entry, "input"))
    found = recovered.cells[KIND].inputs if KIND in recovered.cells else {}
    for name in sorted(ours.keys() | found.keys()):
        signals = found.get(name)
        yield name, ours.get(name), signals[0] if signals else None


def _pins(entry: Entry, direction: str) -> Iterator[tuple[str, Bit]]:
    """Pins as the device calls them, FCLKCLK0 for bit 0 of FCLKCLK, and their nets."""
    for port, bits in entry["connections"].items():
        if entry["port_directions"][port] == direction:
            for i, bit in enumerate(bits):
                if bit != "x":
                    yield (f"{port}{i}" if len(bits) > 1 else port), bit
