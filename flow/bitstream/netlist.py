"""The netlist that a bitstream holds, as data: primitives of the device, and functions of LUTs as truth tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A primitive of the device: its type as Xilinx calls it, parameters, and the signals at its pins.

    ``words`` are the parameters that are text.
    """

    kind: str
    parameters: Mapping[str, int]
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    words: Mapping[str, str] = field(default_factory=dict)


def outputs_of(name: str, pins: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """The signals of a cell whose outputs are words of so many bits, named after it."""
    return {pin: tuple(f"{name}.{pin}{i}" for i in range(bits)) for pin, bits in pins.items()}


@dataclass
class Recovered:
    """A netlist: cells by the signal or place that they are named after, and pads by pin with what drives them.

    ``tables`` are the contents of all LUT sites that are not empty, whether or not anything uses them. ``switches``
    counts those that are on, and ``astray`` tells of each that no net goes through. ``idle`` are settings of slices on
    which nothing depends.
    """

    cells: dict[str, Cell] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)
    outputs: dict[str, str] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    switches: int = 0
    astray: tuple[str, ...] = ()
    idle: tuple[tuple[str, str], ...] = ()


def depends(table: int, index: int, size: int) -> bool:
    """Whether a function of ``size`` inputs depends on one of them."""
    return bool((table ^ table >> (1 << index)) & _rows_of_zero(index, size))


def fixed(table: int, index: int, size: int, value: bool) -> int:
    """The function where one of its inputs always has the same value."""
    half = (table >> (1 << index) if value else table) & _rows_of_zero(index, size)
    return half | half << (1 << index)


@cache
def _rows_of_zero(index: int, size: int) -> int:
    """The rows of a table in which one input is 0, as a mask."""
    block = (1 << (1 << index)) - 1
    return sum(block << start for start in range(0, 1 << size, 2 << index))


def as_module(recovered: Recovered) -> tuple[dict[str, Any], dict[str, int]]:
    """What was recovered as a module of Yosys' JSON, and the number of each signal's net in it."""
    driven = (s for cell in recovered.cells.values() for bits in cell.outputs.values() for s in bits)
    nets = {signal: 2 + i for i, signal in enumerate(dict.fromkeys([*sorted(recovered.inputs), *driven]))}
    cells = {
        name: {
            "type": cell.kind,
            "parameters": dict(cell.parameters),
            "port_directions": {**dict.fromkeys(cell.inputs, "input"), **dict.fromkeys(cell.outputs, "output")},
            "connections": {
                pin: [nets.get(s, s) for s in bits] for pin, bits in [*cell.inputs.items(), *cell.outputs.items()]
            },
        }
        for name, cell in recovered.cells.items()
    }
    return {"ports": {}, "cells": cells, "netnames": {}}, nets
