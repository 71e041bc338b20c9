"""Memories of the synthesized netlist and of the bitstream: which part is which, pin by pin and bit by bit.

A memory in LUTs is one slice. A block RAM of 36 Kb is two halves of 18 Kb: bit k of its data, and of its contents, is
bit k / 2 of the half k mod 2, and both see its address without the lowest bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flow.bitstream.netlist import Cell, Recovered
from flow.bitstream.placement import PlacedCell
from flow.proof.netlist.side import Bit
from flow.proof.netlist.words import number

LUT_MEMORIES = ("RAM32M", "RAM64M")
BLOCKS = {"RAMB18E1": 1, "RAMB36E1": 2}  # and of how many halves they are
KINDS = (*LUT_MEMORIES, *BLOCKS)
_PORTS = {"A": ("CLKARDCLK", "ENARDEN", "ADDRARDADDR"), "B": ("CLKBWRCLK", "ENBWREN", "ADDRBWRADDR")}
_ADDRESS = 14

Entry = Mapping[str, Any]  # a cell of Yosys' JSON
Wired = tuple[str, Bit, str, bool]  # a pin, its net, the signal of the bitstream, whether one of them is inverted


def places(cells: Mapping[str, Entry], placement: Mapping[str, PlacedCell]) -> Mapping[str, tuple[str, ...]]:
    """The names, in the bitstream's netlist, of the parts of every memory; empty where it was not placed."""
    slices = {n.rpartition("/")[0]: f"{p.tile}.{p.slice}.RAM" for n, p in placement.items() if p.bel.endswith("LUT")
              and p.is_memory}  # fmt: skip
    found: dict[str, tuple[str, ...]] = {}
    for name, cell in cells.items():
        place = placement.get(name)
        if cell["type"] in LUT_MEMORIES:
            found[name] = (slices[name],) if name in slices else ()
        elif cell["type"] == "RAMB18E1":
            found[name] = (f"{place.tile}.{place.slice}",) if place else ()
        elif cell["type"] == "RAMB36E1":
            found[name] = tuple(f"{place.tile}.RAMB18_Y{half}" for half in (0, 1)) if place else ()
    return found


def outputs(entry: Entry, parts: tuple[str, ...], recovered: Recovered) -> Iterator[tuple[Bit, str | None]]:
    """Every net that a memory drives, with the signal of the bitstream that it is; None where there is none."""
    for pin, bits in entry["connections"].items():
        for i, bit in enumerate(bits if entry["port_directions"][pin] == "output" else ()):
            part = recovered.cells.get(parts[i % len(parts)]) if parts else None
            signals = part.outputs.get(pin, ()) if part else ()
            yield bit, signals[i // len(parts)] if i // max(len(parts), 1) < len(signals) else None


def contents(entry: Entry, parts: tuple[str, ...], recovered: Recovered) -> Iterator[str]:
    """What a memory holds, or how it is set, otherwise in the bitstream: names of parameters."""
    ours = entry["parameters"]
    for half, name in enumerate(parts):
        theirs = recovered.cells[name]
        if theirs.kind in LUT_MEMORIES:
            yield from (n for n, value in theirs.parameters.items() if number(ours.get(n, 0)) != value)
            continue
        for what, rows in (("INIT", 64), ("INITP", 8)):
            whole = "".join(
                f"{number(ours.get(f'{what}_{i:02X}', 0)):0256b}" for i in reversed(range(rows * len(parts)))
            )
            found = "".join(f"{theirs.parameters[f'{what}_{i:02X}']:0256b}" for i in reversed(range(rows)))
            if whole[::-1][half :: len(parts)] != found[::-1]:
                yield what
        for port in _PORTS:
            width = number(ours.get(f"READ_WIDTH_{port}", 0))
            if width and max(width // len(parts), 1) != theirs.parameters[f"READ_WIDTH_{port}"]:
                yield f"READ_WIDTH_{port}"


def inputs(entry: Entry, parts: tuple[str, ...], recovered: Recovered) -> Iterator[Wired]:
    """Every input that counts, with what it is in each part; of a block RAM those of the ports that read."""
    for name in parts:
        theirs = recovered.cells[name]
        if theirs.kind in LUT_MEMORIES:
            for pin, signals in theirs.inputs.items():
                bits = entry["connections"].get(pin, ())
                yield from ((f"{pin}[{i}]", bit, signals[i], False) for i, bit in enumerate(bits) if bit != "x")
        else:
            yield from _block_inputs(entry, theirs, len(parts))


def _block_inputs(entry: Entry, theirs: Cell, parts: int) -> Iterator[Wired]:
    nets, ours = entry["connections"], entry["parameters"]
    for port, (clock, enable, address) in _PORTS.items():
        if not number(ours.get(f"READ_WIDTH_{port}", 0)):
            continue
        for pin in (clock, enable):
            turned = number(ours.get(f"IS_{pin}_INVERTED", 0)) ^ theirs.parameters[f"IS_{pin}_INVERTED"]
            yield pin, nets[pin][0], theirs.inputs[pin][0], bool(turned)
        for i in range(_ADDRESS):
            yield f"{address}[{i + parts - 1}]", nets[address][i + parts - 1], theirs.inputs[address][i], False
