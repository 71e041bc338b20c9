"""Positions of carry chains whose LUTs nextpnr would give two sites: a form of them that it places in one.

nextpnr 0.11 takes DI of every position from O5 of the LUT beside it. Where S needs six inputs it puts a feed-through
there and S into a site of its own; where S needs five and DI is no LUT of the same inputs, too.

The sixth input of a LUT chooses between its halves, O5 is the lower one, and a chain takes DI where S is 0. So if the
lower half says what DI does wherever S is 0, O5 may stand for DI, and one site holds both, as in an atom of six bits,
whose S is their parity. nextpnr's check of places still refuses a LUT beside one of six inputs: it gets S without its
sixth input, which is connected before routing, by a script in nextpnr's own Python.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flow.netlist.truth_tables import Bit, Cells, fresh_net, lut, reduced, truth_table, users_of

WAITING = "SIXTH"  # the pin that holds the sixth input while cells are placed
BESIDE = "$DI"  # behind the name of a LUT: that of the one for DI
_SCRIPT = """\
for name in NAMES:
    cell = ctx.cells[name]
    net = cell.ports["WAITING"].net.name
    ctx.disconnectPort(name, "WAITING")
    ctx.disconnectPort(name, "A6")
    ctx.connectPort(net, name, "A6")
    cell.setAttr("X_ORIG_PORT_A6", "I5")
    cell.setAttr("X_ORIG_TYPE", "LUT6")
"""


def fill_carry_sites(cells: Cells, six: bool = True) -> int:
    """Give DI a LUT of its own, of inputs of the LUT of S, at positions that nextpnr gives two sites else; how many.

    S of six inputs (where ``six``) gets that as its last one which halves it; where S has five, DI is one of them or a
    constant. What the chains compute stays what it is.
    """
    users = users_of(cells)
    driver = {
        cell["connections"]["O"][0]: name for name, cell in cells.items() if re.fullmatch(r"LUT[1-6]", cell["type"])
    }
    fresh, count, most = fresh_net(cells), 0, 6 if six else 5
    for nets in [cell["connections"] for cell in cells.values() if cell["type"] == "CARRY4"]:
        for place, (select, data) in enumerate(zip(nets["S"], nets["DI"], strict=True)):
            name = driver.get(select)
            if name is None or users[select] != 1:
                continue
            table, inputs = truth_table(cells[name], "O")
            if not 5 <= len(inputs) <= most or len(set(inputs)) < len(inputs):
                continue
            own = driver.get(data) if users.get(data) == 1 else None
            wanted = _wanted(cells, driver, data, inputs)
            if wanted is None:
                continue
            if len(inputs) == 6:
                last = next((i for i in range(6) if _stands(table, wanted, i)), None)
                if last is None:
                    continue
                turned = [*inputs[:last], *inputs[last + 1 :], inputs[last]]
                table, inputs = _over(table, inputs, turned), turned
                cells[name] = lut(cells[name], table, inputs, select)
                wanted = table & 0xFFFFFFFF
            elif own is not None:
                continue  # two LUTs of five inputs: nextpnr has one site for them
            if own is not None:
                del cells[own]
            cells[f"{name}{BESIDE}"] = lut(cells[name], wanted, inputs[:5], fresh)
            nets["DI"][place] = fresh
            fresh, count = fresh + 1, count + 1
    return count


def _wanted(cells: Cells, driver: Mapping[Bit, str], data: Bit, inputs: Sequence[Bit]) -> int | None:
    """The table over ``inputs`` of what drives DI; None where it depends on something else."""
    if data in inputs:
        return _over(0b10, [data], inputs)
    if isinstance(data, str):
        return _over(int(data == "1"), [], inputs)
    if data not in driver:
        return None
    table, own = reduced(*truth_table(cells[driver[data]], "O"))
    return _over(table, own, inputs) if set(own) <= set(inputs) else None


def _over(table: int, own: Sequence[Bit], inputs: Sequence[Bit]) -> int:
    """A function of its ``own`` inputs as a table over ``inputs``, which hold them."""
    places = [inputs.index(bit) for bit in own]
    rows = (sum((row >> place & 1) << k for k, place in enumerate(places)) for row in range(1 << len(inputs)))
    return sum((table >> found & 1) << row for row, found in enumerate(rows))


def _stands(table: int, wanted: int, last: int) -> bool:
    """Whether S's half with input ``last`` at 0 may stand for DI: wherever S is 0 it says what DI does."""
    return all((wanted >> row & 1) == (table >> (row & ~(1 << last)) & 1) for row in range(64) if not table >> row & 1)


def waiting(cells: Mapping[str, Any]) -> tuple[Cells, list[str]]:
    """The cells with every sixth input beside a LUT for DI at a pin that waits, and the names of those LUTs."""
    own = dict(cells)
    names = [name for name, cell in cells.items() if cell["type"] == "LUT6" and f"{name}{BESIDE}" in cells]
    for name in names:
        cell = cells[name]
        ports = {port: bits for port, bits in cell["connections"].items() if port != "I5"}
        own[name] = {
            **cell,
            "type": "LUT5",
            "port_directions": {**dict.fromkeys(ports, "input"), "O": "output", WAITING: "input"},
            "connections": {**ports, WAITING: cell["connections"]["I5"]},
        }
    return own, names


def script(names: Sequence[str]) -> str:
    """What nextpnr executes between placing and routing."""
    return _SCRIPT.replace("WAITING", WAITING).replace("NAMES", repr(list(names)))
