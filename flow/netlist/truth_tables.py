"""Look-up tables of a Yosys netlist as truth tables: which inputs count, and the same function in fewer cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

Bit = int | str  # a net, or the constant "0", "1", "x"
Cells = dict[str, Any]


def truth_table(cell: dict[str, Any], output: str) -> tuple[int, list[Bit]]:
    """A LUT output's truth table and its inputs, lowest first. ``O5`` of a LUT6_2 sees its first five inputs only."""
    text = cell["parameters"]["INIT"]
    table = int(re.sub("[xz]", "0", text), 2) if isinstance(text, str) else int(text)
    names = sorted(port for port in cell["connections"] if re.fullmatch(r"I\d", port))
    inputs = [cell["connections"][name][0] for name in names]
    return (table & 0xFFFFFFFF, inputs[:5]) if output == "O5" else (table, inputs)


def reduced(table: int, inputs: Sequence[Bit]) -> tuple[int, list[int]]:
    """The same function without constant inputs, inputs it does not depend on, and inputs that repeat another."""
    table, rest = _without_repeated(table, list(inputs))
    index = 0
    while index < len(rest):
        low, high = _cofactors(table, index, len(rest))
        if isinstance(rest[index], int) and low != high:
            index += 1
            continue
        table = high if rest[index] == "1" else low
        del rest[index]
    return table, [bit for bit in rest if isinstance(bit, int)]


def _without_repeated(table: int, inputs: list[Bit]) -> tuple[int, list[Bit]]:
    for index in range(len(inputs) - 1, 0, -1):
        if isinstance(inputs[index], int) and (first := inputs.index(inputs[index])) < index:
            low, high = _cofactors(table, index, len(inputs))
            chosen = (high if row >> first & 1 else low for row in range(1 << len(inputs) - 1))
            table = sum((half >> row & 1) << row for row, half in enumerate(chosen))
            del inputs[index]
    return table, inputs


def _cofactors(table: int, index: int, inputs: int) -> tuple[int, int]:
    """The table with input ``index`` at 0 and at 1."""
    halves = []
    for value in (0, 1):
        rows = (r for r in range(1 << inputs) if r >> index & 1 == value)
        halves.append(sum((table >> row & 1) << i for i, row in enumerate(rows)))
    return halves[0], halves[1]


def split_double_luts(cells: Cells) -> None:
    """Replace every LUT6_2 by two LUTs, which place and route may put into one site again; nextpnr knows no LUT6_2."""
    for name in [name for name, cell in cells.items() if cell["type"] == "LUT6_2"]:
        cell = cells.pop(name)
        for output in ("O5", "O6"):
            net = cell["connections"].get(output, [])
            if net:
                table, inputs = reduced(*truth_table(cell, output))
                cells[f"{name}${output}"] = lut(cell, table, inputs, net[0])


def reduce_carry_luts(cells: Cells) -> bool:
    """Leave out what inputs of LUTs beside carry chains repeat or need not have, where what lies around a core makes
    nets one; whether any.

    nextpnr counts nets where it puts the LUT of a carry input beside another, and pins where it judges the place: a
    chain with a LUT of six inputs, of which two are one net, would have no place.
    """
    chains = [cell["connections"] for cell in cells.values() if cell["type"] == "CARRY4"]
    beside = {bit for nets in chains for port in ("S", "DI") for bit in nets[port]}
    changed = False
    for name, cell in cells.items():
        if re.fullmatch(r"LUT[2-6]", cell["type"]) and cell["connections"]["O"][0] in beside:
            table, inputs = truth_table(cell, "O")
            fewer, rest = reduced(table, inputs)
            if len(rest) < len(inputs):
                cells[name], changed = lut(cell, fewer, rest, cell["connections"]["O"][0]), True
    return changed


def lut(like: dict[str, Any], table: int, inputs: Sequence[Bit], output: Bit) -> dict[str, Any]:
    """A cell of Yosys for a function, with the attributes of another one."""
    if not inputs:  # a constant: nextpnr takes it as a LUT1 whose input does not matter
        table, inputs = 3 * (table & 1), ["0"]
    ports: dict[str, list[Bit]] = {f"I{i}": [bit] for i, bit in enumerate(inputs)}
    return {
        "hide_name": 0,
        "type": f"LUT{len(inputs)}",
        "parameters": {"INIT": f"{table:0{1 << len(inputs)}b}"},
        "attributes": dict(like.get("attributes", {})),
        "port_directions": {**dict.fromkeys(ports, "input"), "O": "output"},
        "connections": {**ports, "O": [output]},
    }


def users_of(cells: Cells) -> Counter[Bit]:
    """How many inputs of cells each net enters."""
    return Counter(
        bit for cell in cells.values() for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "input" for bit in bits if isinstance(bit, int)
    )  # fmt: skip


def fresh_net(cells: Cells) -> int:
    """A number from which on nets are free."""
    wires = (bit for cell in cells.values() for bits in cell["connections"].values() for bit in bits)
    return max((bit for bit in wires if isinstance(bit, int)), default=0) + 1


def own_carry_luts(cells: Cells) -> None:
    """Give every carry input that a shared LUT drives a LUT of its own, with the same function.

    A carry chain's S input is fed by the LUT beside it. nextpnr puts a feed-through there if that LUT also drives
    other logic: the same area, but one more LUT and net in the path.
    """
    driver = {c["connections"]["O"][0]: name for name, c in cells.items() if re.fullmatch(r"LUT[1-6]|INV", c["type"])}
    users, fresh = users_of(cells), fresh_net(cells)
    for chain in [c for c in cells.values() if c["type"] == "CARRY4"]:
        select = chain["connections"]["S"]
        for i, bit in enumerate(select):
            if users[bit] > 1 and bit in driver:
                copy = deepcopy(cells[driver[bit]])
                copy["connections"]["O"] = [fresh]
                users[bit] -= 1
                cells[f"{driver[bit]}$copy{fresh}"] = copy
                select[i], fresh = fresh, fresh + 1
