"""From the .bit file alone to a netlist, and what it has in common with the one that was synthesized."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow.bitstream.compare import Compared, Comparison, Namer
from flow.bitstream.container import read_bit
from flow.bitstream.database import Database
from flow.bitstream.decode import decode
from flow.bitstream.fabric import Contradiction
from flow.bitstream.frames import Bit, bits_of
from flow.bitstream.netlist import Recovered
from flow.bitstream.placement import PlacedCell
from flow.bitstream.recover import recover
from flow.bitstream.verilog import core_verilog


@dataclass(frozen=True)
class Core:
    """A part of what was routed: its module, the ports of it, and the nets of the routed netlist that these are."""

    top: str
    ports: Mapping[str, Any]
    places: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class ReadBack:
    """What was read: counts, the comparison, every difference in words, and each core as Verilog where they are there.

    ``compared`` is None where the bits contradict themselves, so that there is no netlist to compare.
    """

    features: int
    bits: int
    switches: int
    compared: Compared | None
    differences: tuple[str, ...]
    verilog: tuple[str, ...]


def read_back(
    bit: bytes, database: Database, netlist: Mapping[str, Any], placement: Mapping[str, PlacedCell],
    pads: Mapping[str, str], cores: Sequence[Core], name: Namer, expected: Collection[Bit] | None = None,
) -> ReadBack:  # fmt: skip
    """Read a .bit file and compare it with ``netlist``, what place and route was given, whose ports lie on ``pads``.

    Bits that are not those ``expected`` are told of where nothing else is: they have no effect. Raises ReportError for
    a file that is no bitstream of the part, ReadError for what the reader does not know.
    """
    decoded = None
    try:
        bits_by_frame = bits_of(read_bit(bit, database).frames)
        decoded = decode(bits_by_frame, database)
        recovered = recover(decoded, database)
        comparison = Comparison(netlist, recovered, placement, pads, name)
        compared = comparison.run()
        idle = _idle(recovered, placement)
        found = [*compared.differences, *decoded.unexplained, *recovered.astray, *idle]
    except Contradiction as broken:
        features, bits = (decoded.count, decoded.bits) if decoded else (0, 0)
        return ReadBack(features, bits, 0, None, (_placed(str(broken), placement, name),), ())
    verilog: tuple[str, ...] = ()
    try:
        verilog = tuple(core_verilog(core.top, core.ports, core.places, comparison) for core in cores)
    except Contradiction as broken:
        found.append(str(broken))
    if not found and expected is not None:
        found += _without_effect({(a, b) for a, places in bits_by_frame.items() for b in places}, expected)
    return ReadBack(decoded.count, decoded.bits, recovered.switches, compared, tuple(found), verilog)


def _placed(text: str, placement: Mapping[str, PlacedCell], name: Namer) -> str:
    """A contradiction, with the cell that lies where it is, and what that belongs to."""
    places = set(re.findall(r"\w+\.\w+", text))
    cell = next((cell for cell, place in placement.items() if f"{place.tile}.{place.slice}" in places), None)
    return text if cell is None else f"{name(cell) or 'wrapper'}: {cell}: {text}"


def _idle(recovered: Recovered, placement: Mapping[str, PlacedCell]) -> list[str]:
    """Settings of slices without effect, but those of carry chains that were placed, and ways out of what was placed.

    Some chains end in nothing, and so do the LUTs, sums and flip-flops that lead to what they would add there.
    """
    placed = {f"{p.tile}.{p.slice} {p.bel}" for p in placement.values()}
    return [
        f"slice {name} has {feature}, on which nothing depends"
        for name, feature in recovered.idle
        if not any(f"{name} {bel}" in placed for bel in _belongs_to(feature))
    ]


def _belongs_to(feature: str) -> list[str]:
    """The places whose cells have a setting: a carry chain's own, or the way out of a chain, LUT or flip-flop."""
    if feature.startswith(("CARRY4.", "PRECYINIT.")):
        return ["CARRY4"]
    way = re.fullmatch(r"([A-D])OUTMUX\.(?:(XOR|CY)|O([56])|[A-D](5Q))", feature)
    if way is None:
        return []
    return ["CARRY4"] if way[2] else [f"{way[1]}{way[3]}LUT"] if way[3] else [f"{way[1]}5FF"]


def _without_effect(bits: Collection[Bit], expected: Collection[Bit]) -> list[str]:
    different = sorted(set(bits) ^ set(expected))
    return [f"frame {a:#010x} bit {b} is not as the FASM says, without effect" for a, b in different]


def layers_of(differences: Sequence[str], layers: Sequence[str]) -> list[str]:
    """The layers that differences name."""
    return [layer for layer in layers if any(text.startswith((f"{layer} ", f"{layer}:")) for text in differences)]
