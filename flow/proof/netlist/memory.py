"""Memories in the comparison of a netlist with its Verilog: tables of constants, and arrays that are written.

A bit read from a written array is a free variable that belongs to the array and to the address. The two sides share it
where their arrays start alike, are written alike and are read at the same address; all of that is to be proved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flow.proof.netlist.aig import Aig, Literal, Word
from flow.proof.netlist.words import Ports, number


@dataclass(frozen=True)
class _Lettered:
    """A memory in LUTs of several letters, each with ``bits`` of every word; the last letter's address writes all."""

    letters: str
    bits: int


_LETTERED = {
    "RAM32M": _Lettered("ABCD", 2),
    "RAM64M": _Lettered("ABCD", 1),
    "RAM32M16": _Lettered("ABCDEFGH", 2),
    "RAM64M8": _Lettered("ABCDEFGH", 1),
}
_DUAL = {"RAM32X1D": 5, "RAM64X1D": 6, "RAM128X1D": 7, "RAM256X1D": 8}  # address bits of the two ports
LUT_MEMORIES = (*_LETTERED, *_DUAL)


@dataclass
class Array:
    """One bit of every word of a written memory of a netlist: what it holds at first, its write port, what is read.

    Those that start and are written alike hold the same for ever, and share what is read (`share`).
    """

    name: str
    first: int
    enable: Literal
    address: Word
    data: Literal
    clock: Any
    reads: dict[tuple[Literal, ...], Literal] = field(default_factory=dict)

    def read(self, graph: Aig, address: Sequence[Literal]) -> Literal:
        """The variable for what the array holds at ``address``."""
        key = tuple(address)
        if key not in self.reads:
            self.reads[key] = graph.variable()
        return self.reads[key]

    def share(self, arrays: Shared) -> Array:
        """This array, with the variables of one among ``arrays`` that starts and is written as it is."""
        key = (self.first, self.enable, tuple(self.address), self.data, self.clock)
        self.reads = arrays.setdefault(key, self.reads)
        return self


Shared = dict[tuple[Any, ...], dict[tuple[Literal, ...], Literal]]


def lut_memory(
    graph: Aig, name: str, cell: Mapping[str, Any], ports: Ports, shared: Shared
) -> tuple[list[Array], dict[str, Word]]:
    """The arrays of a memory in LUTs, and what its outputs show; ``shared`` are variables of memories before it."""
    kind, parameters = cell["type"], cell["parameters"]
    clock = None if number(parameters.get("IS_WCLK_INVERTED", 0)) else cell["connections"]["WCLK"][0]
    arrays: list[Array] = []
    if kind in _DUAL:
        own, other = (_address(ports, prefix, _DUAL[kind]) for prefix in ("A", "DPRA"))
        first = number(parameters.get("INIT", 0))
        arrays.append(Array(name, first, ports["WE"][0], own, ports["D"][0], clock).share(shared))
        return arrays, {"SPO": [arrays[0].read(graph, own)], "DPO": [arrays[0].read(graph, other)]}
    shape, shown = _LETTERED[kind], dict[str, Word]()
    for letter in shape.letters:
        init = number(parameters.get(f"INIT_{letter}", 0))
        shown[f"DO{letter}"] = []
        data = ports.get(f"DI{letter}") or [graph.undefined() for _ in range(shape.bits)]
        for bit in range(shape.bits):
            first = sum((init >> shape.bits * i + bit & 1) << i for i in range(64 // shape.bits))
            write = ports[f"ADDR{shape.letters[-1]}"]
            arrays.append(Array(f"{name}.{letter}", first, ports["WE"][0], write, data[bit], clock).share(shared))
            if f"ADDR{letter}" in ports:
                shown[f"DO{letter}"].append(arrays[-1].read(graph, ports[f"ADDR{letter}"]))
    return arrays, shown


def _address(ports: Ports, prefix: str, bits: int) -> Word:
    return ports[prefix] if prefix in ports else [ports[f"{prefix}{i}"][0] for i in range(bits)]


def columns(contents: str, words: int, width: int) -> tuple[list[int], list[int]]:
    """Of a memory's contents, highest bit first: per bit of a word its values and which are defined, bit i = word i."""
    text = contents.rjust(words * width, "x")[-words * width :]
    bits = np.frombuffer(text.encode(), np.uint8)[::-1].reshape(words, width)
    return _packed(bits == ord("1")), _packed((bits == ord("0")) | (bits == ord("1")))


def _packed(bits: np.typing.NDArray[np.bool_]) -> list[int]:
    packed = np.packbits(bits, axis=0, bitorder="little")
    return [int.from_bytes(packed[:, k].tobytes(), "little") for k in range(bits.shape[1])]


@dataclass(frozen=True)
class _Block:
    """Pins of a block RAM, for each half of its outputs the data and the parity, and its tiles of 18 Kb."""

    tiles: int
    data: tuple[str, str]
    parity: tuple[str, str]


BLOCK_MEMORIES = {
    **{f"RAMB{18 * t}E1": _Block(t, ("DOADO", "DOBDO"), ("DOPADOP", "DOPBDOP")) for t in (1, 2)},
    **{f"RAMB{18 * t}E2": _Block(t, ("DOUTADOUT", "DOUTBDOUT"), ("DOUTPADOUTP", "DOUTPBDOUTP")) for t in (1, 2)},
}
_PORTS = (("ADDRARDADDR", "ENARDEN", "CLKARDCLK"), ("ADDRBWRADDR", "ENBWREN", "CLKBWRCLK"))
_NEVER = ("WEA", "WEBWE", "RSTRAMARSTRAM", "RSTRAMB", "SLEEP")  # pins that nothing is known for where they are used
_REGISTERS = ("DOA_REG", "DOB_REG", "IS_CLKARDCLK_INVERTED", "IS_CLKBWRCLK_INVERTED", "IS_ENARDEN_INVERTED")


@dataclass(frozen=True)
class BlockOutput:
    """One output bit of a block RAM: it becomes ``word`` at an edge of the pin ``clock`` where ``enable`` is true."""

    enable: Literal
    word: Literal
    clock: str


def block_outputs(graph: Aig, cell: Mapping[str, Any], ports: Ports) -> dict[tuple[str, int], BlockOutput]:
    """The outputs of a block RAM that is only read, by pin and bit.

    Empty where the block is used in a way that is not understood.
    """
    block, p = BLOCK_MEMORIES[cell["type"]], cell["parameters"]
    if any(bit for pin in _NEVER for bit in ports.get(pin, ())) or any(number(p.get(r, 0)) for r in _REGISTERS):
        return {}
    found: dict[tuple[str, int], BlockOutput] = {}
    for side, (address, enable, clock) in enumerate(_PORTS):
        width = number(p.get(f"READ_WIDTH_{'AB'[side]}", 0))
        if not width:
            continue
        data_bits = width if width < 9 else width // 9 * 8
        for what, names, unit, share in (
            ("INIT", block.data, data_bits, 16 * block.tiles), ("INITP", block.parity, width // 9, 2 * block.tiles),
        ):  # fmt: skip
            if not unit:
                continue
            rows = (64 if what == "INIT" else 8) * block.tiles
            text = "".join(_row(p.get(f"{what}_{i:02X}", 0)) for i in reversed(range(rows)))
            values, _ = columns(text, len(text) // unit, unit)
            pins = ports[address][data_bits.bit_length() - 1 : 13 + block.tiles]
            for bit, value in enumerate(values):
                pin = names[min(side + bit // share, 1)]
                found[pin, bit % share] = BlockOutput(ports[enable][0], graph.lookup(value, pins), clock)
    return found


def _row(value: Any) -> str:
    return f"{number(value):0256b}"
