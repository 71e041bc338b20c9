"""Memories and DSP slices of the synthesized netlist and of the bitstream: which is which, pin by pin, bit by bit.

A memory in LUTs is one slice. A block RAM of 36 Kb is two halves of 18 Kb: bit k of its data, and of its contents, is
bit k / 2 of the half k mod 2, and both see its address without the lowest bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flow.bitstream import dsp_slices
from flow.bitstream.netlist import Cell, Recovered
from flow.bitstream.placement import PlacedCell
from flow.proof.netlist.side import Bit
from flow.proof.netlist.words import number

LUT_MEMORIES = ("RAM32M", "RAM64M")
BLOCKS = {"RAMB18E1": 1, "RAMB36E1": 2}  # and of how many halves they are
MEMORIES = (*LUT_MEMORIES, *BLOCKS)
KINDS = (*MEMORIES, dsp_slices.KIND)
_PORTS = {
    "A": ("CLKARDCLK", "ENARDEN", "ADDRARDADDR", "WEA", "DIADI", "DIPADIP"),
    "B": ("CLKBWRCLK", "ENBWREN", "ADDRBWRADDR", "WEBWE", "DIBDI", "DIPBDIP"),
}
_ADDRESS = 14

Entry = Mapping[str, Any]  # a cell of Yosys' JSON
Wired = tuple[str, Bit, str, bool]  # a pin, its net, the signal of the bitstream, whether one of them is inverted


def places(cells: Mapping[str, Entry], placement: Mapping[str, PlacedCell]) -> Mapping[str, tuple[str, ...]]:
    """The names, in the bitstream's netlist, of the parts of every block; empty where it was not placed."""
    slices = {n.rpartition("/")[0]: f"{p.tile}.{p.slice}.RAM" for n, p in placement.items() if p.bel.endswith("LUT")
              and p.is_memory}  # fmt: skip
    found: dict[str, tuple[str, ...]] = {}
    for name, cell in cells.items():
        place = placement.get(name)
        if cell["type"] in LUT_MEMORIES:
            found[name] = (slices[name],) if name in slices else ()
        elif cell["type"] in ("RAMB18E1", dsp_slices.KIND):
            found[name] = (f"{place.tile}.{place.slice}",) if place else ()
        elif cell["type"] == "RAMB36E1":
            found[name] = tuple(f"{place.tile}.RAMB18_Y{half}" for half in (0, 1)) if place else ()
    return found


def outputs(entry: Entry, parts: tuple[str, ...], recovered: Recovered) -> Iterator[tuple[Bit, str | None]]:
    """Every net that a block drives, with the signal of the bitstream that it is; None where there is none."""
    for pin, bits in entry["connections"].items():
        for i, bit in enumerate(bits if entry["port_directions"][pin] == "output" else ()):
            part = recovered.cells.get(parts[i % len(parts)]) if parts else None
            signals = part.outputs.get(pin, ()) if part else ()
            yield bit, signals[i // len(parts)] if i // max(len(parts), 1) < len(signals) else None


def contents(entry: Entry, parts: tuple[str, ...], recovered: Recovered) -> Iterator[str]:
    """What a block holds, or how it is set, otherwise in the bitstream: names of parameters."""
    ours = entry["parameters"]
    for half, name in enumerate(parts):
        theirs = recovered.cells[name]
        if theirs.kind == dsp_slices.KIND:
            yield from dsp_slices.settings(entry, theirs)
            continue
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
            for name in (f"READ_WIDTH_{port}", f"WRITE_WIDTH_{port}"):
                width = number(ours.get(name, 0)) if name.startswith("READ") or _written(entry, port) else 0
                if width and width // len(parts) != theirs.parameters[name]:
                    yield name
            mode = f"WRITE_MODE_{port}"
            if _written(entry, port) and ours.get(mode, "WRITE_FIRST") != theirs.words[mode]:
                yield mode


def _written(entry: Entry, port: str) -> bool:
    """Whether a block RAM may be written through a port."""
    return any(bit not in ("0", "x") for bit in entry["connections"].get(_PORTS[port][3], ()))


def inputs(entry: Entry, parts: tuple[str, ...], recovered: Recovered) -> Iterator[Wired]:
    """Every input that counts, with what it is in each part; of a block RAM those of the ports that are in use."""
    for half, name in enumerate(parts):
        theirs = recovered.cells[name]
        if theirs.kind == dsp_slices.KIND:
            yield from dsp_slices.inputs(entry, theirs)
            continue
        if theirs.kind in LUT_MEMORIES:
            for pin, signals in theirs.inputs.items():
                bits = entry["connections"].get(pin, ())
                yield from ((f"{pin}[{i}]", bit, signals[i], False) for i, bit in enumerate(bits) if bit != "x")
        else:
            yield from _block_inputs(entry, theirs, half, len(parts))


def _block_inputs(entry: Entry, theirs: Cell, half: int, parts: int) -> Iterator[Wired]:
    nets, ours = entry["connections"], entry["parameters"]
    for port, (clock, enable, address, write, *_) in _PORTS.items():
        written = _written(entry, port)
        if not written and not number(ours.get(f"READ_WIDTH_{port}", 0)):
            continue
        for pin in (clock, enable):
            turned = number(ours.get(f"IS_{pin}_INVERTED", 0)) ^ theirs.parameters[f"IS_{pin}_INVERTED"]
            yield pin, nets[pin][0], theirs.inputs[pin][0], bool(turned)
        for i in range(_ADDRESS):
            yield f"{address}[{i + parts - 1}]", nets[address][i + parts - 1], theirs.inputs[address][i], False
        yield write, nets[write][0] if written else "0", theirs.inputs[write][0], False
        for pin, i in _data_pins(port, number(ours.get(f"WRITE_WIDTH_{port}", 0)), parts) if written else ():
            bit = nets[pin][i]
            if i % parts == half and bit != "x":
                yield f"{pin}[{i}]", bit, theirs.inputs[pin][i // parts], False


def _data_pins(port: str, width: int, parts: int) -> Iterator[tuple[str, int]]:
    """The data pins, with numbers, that are written through a port; a whole word of port B also takes those of A."""
    (*_, data, parity), (*_, low, low_parity) = _PORTS[port], _PORTS["A"]
    data_bits, parity_bits = (width // 9 * 8, width // 9) if width >= 9 else (width, 0)
    for pins, bits, share in (((low, data), data_bits, 16 * parts), ((low_parity, parity), parity_bits, 2 * parts)):
        if bits > share:
            yield from ((pin, i) for pin in pins for i in range(share))
        else:
            yield from ((pins[1], i) for i in range(bits))
