"""What the changing nets of a netlist cost: dynamic energy per result, from their activity and a capacitance per wire.

A connection from slice to slice counts as one wire of four logic blocks with the switches at its ends, as the open
40 nm architecture of the VTR project has them (``vtr_flow/arch/timing/k6_N10_40nm.xml``: 22.5 fF per block, 4 fF where
a switch drives, 0.77 fF where one listens); a connection inside a slice counts as the two switches alone. Core voltages
are those of AMD's data sheets (DS187, DS892, DS925).

Not in it: the clock's tree, glitches, what changes inside look-up tables, pins, leakage, block RAMs and multipliers.
Sinks of one net share wires on a chip, and here they do not. AMD publishes no capacitances, and nothing was measured
on a board: compare designs by this figure, and take its size as right within a factor of three at best.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flow.netlist.activity import Activity
from flow.parts.family import Family

_BLOCK_FF, _DRIVER_FF, _LISTENER_FF, _BLOCKS = 22.5, 4.0, 0.77, 4
WIRE_FF = _BLOCKS * _BLOCK_FF + _DRIVER_FF + _LISTENER_FF
LOCAL_FF = _DRIVER_FF + _LISTENER_FF
SOURCE = (
    f"{WIRE_FF:.1f} fF per connection between slices, {LOCAL_FF:.2f} fF inside one, as in VTR's 40 nm architecture "
    "k6_N10_40nm.xml"
)
LEFT_OUT = "clock tree, glitches, insides of look-up tables, pins and leakage are not counted"
FACTOR = 3.0  # by which the figure may be off, up or down


@dataclass(frozen=True)
class Energy:
    """Dynamic energy of one clock cycle, in fJ: in all, and by the cell that drives a net; ``changes`` per cycle."""

    total_fj: float
    by_cell: Mapping[str, float]
    changes: float
    nets: int


def energy(module: Mapping[str, Any], found: Activity, family: Family) -> Energy:
    """The mean energy per clock cycle of a netlist whose nets change as ``found`` says."""
    loads, drivers = _loads(module)
    by_cell: defaultdict[str, float] = defaultdict(float)
    per_cycle = family.core_v**2 / 2 / found.cycles
    total = 0.0
    for net, changes in found.changes.items():
        spent = changes * loads.get(net, 0.0) * per_cycle
        total += spent
        if net in drivers:
            by_cell[drivers[net]] += spent
    changing = sum(found.changes.values()) / found.cycles
    return Energy(total, by_cell, changing, len(found.changes))


def _loads(module: Mapping[str, Any]) -> tuple[dict[int, float], dict[int, str]]:
    """Capacitance in fF and driving cell of every net."""
    kinds, drivers = dict[int, str](), dict[int, str]()
    cells = {name: cell for name, cell in module["cells"].items() if cell["type"] != "$scopeinfo"}
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "output":
                kinds.update({bit: cell["type"] for bit in bits if isinstance(bit, int)})
                drivers.update({bit: name for bit in bits if isinstance(bit, int)})
    loads: defaultdict[int, float] = defaultdict(float)
    for cell in cells.values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input" and port not in ("C", "CLK"):
                for bit in bits:
                    if isinstance(bit, int):
                        loads[bit] += LOCAL_FF if _beside(kinds.get(bit, ""), cell["type"], port) else WIRE_FF
    for port in module["ports"].values():
        if port["direction"] == "output":
            for bit in port["bits"]:
                loads[bit] += WIRE_FF
    return dict(loads), drivers


def _beside(driver: str, user: str, port: str) -> bool:
    """Whether a connection stays within a slice: into a register, a chain or a multiplexer beside what drives it."""
    logic = re.fullmatch(r"LUT\w*|INV|CARRY\d|MUXF\d", driver) is not None
    if re.fullmatch(r"FD[RS]E", user):
        return logic and port == "D"
    if user.startswith("CARRY"):
        return (driver.startswith("CARRY") and port == "CI") or (driver.startswith("LUT") and port == "S")
    return user.startswith("MUXF") and logic and port in ("I0", "I1")
