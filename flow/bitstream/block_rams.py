"""A block RAM of 18 Kb as its features say it is; one of 36 Kb is two of them, which take turns bit by bit.

What is reset, registered at its output, or written in parts of a word is refused: no design of this flow has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from flow.bitstream.fabric import Contradiction
from flow.bitstream.netlist import Cell, outputs_of
from flow.proof.netlist.words import number

KIND = "RAMB18E1"
SITES = {"X0Y0": ("FIFO18E1", "RAMBFIFO36E1"), "X0Y1": ("RAMB18E1",)}  # of a tile, whose wires they share
OUTPUTS = {"DOADO": 16, "DOBDO": 16, "DOPADOP": 2, "DOPBDOP": 2}
_WIRES = ("BRAM_FIFO18", "BRAM_RAMB18")  # of the lower and the upper half
_OUTPUT = re.compile(r"BRAM_(FIFO18|RAMB18|FIFO36)_(DO[AB]DO|DOP[AB]DOP)([LU]?)(\d+)")
_TURNED = ("CLKARDCLK", "CLKBWRCLK", "ENARDEN", "ENBWREN")
_RESETS = ("RSTRAMARSTRAM", "RSTRAMB")
_DATA = {"DIADI": 16, "DIBDI": 16, "DIPADIP": 2, "DIPBDIP": 2}
_REFUSED = re.compile(r"FIFO_MODE|DO[AB]_REG")
_HALVED = (1, 9)  # widths of a RAMB36E1 whose words one half of it answers alone, or with one bit more than the other


def output_of(wire: str) -> tuple[int, str] | None:
    """The half (0 or 1) and the output, such as ``DOADO3``, that a wire carries; None for other outputs."""
    match = _OUTPUT.fullmatch(wire)
    if not match:
        return None
    upper = match[1] == "RAMB18" or match[3] == "U"
    return int(upper), match[2] + match[4]


def read(
    name: str, half: int, features: Collection[str], driver: Callable[[str], str], source: Callable[[str], str]
) -> Cell:
    """One half of a tile's block RAM; ``driver`` says what drives a wire, ``source`` what a signal passes on.

    Raises Contradiction for other uses.
    """
    refused = next((f for f in sorted(features) if _REFUSED.fullmatch(f)), None)
    if refused:
        raise Contradiction(f"block RAM {name} has {refused}, which no design of this flow has")

    def pins(pin: str, bits: int) -> tuple[str, ...]:
        return tuple(driver(f"{_WIRES[half]}_{pin}{i}") for i in range(bits))

    turned = {pin: f"ZINV_{pin}" not in features for pin in (*_TURNED, *_RESETS)}
    for pin in _RESETS:
        if driver(f"{_WIRES[half]}_{pin}") != str(int(turned[pin])):
            raise Contradiction(f"block RAM {name} may be reset by {pin}, which no design of this flow has")
    wide = {what: f"SDP_{what}_WIDTH_36" in features for what in ("READ", "WRITE")}
    parameters = {f"IS_{pin}_INVERTED": int(turned[pin]) for pin in _TURNED}
    for what in wide:  # a word of 36 bits is one of 18 of each port; port A reads it, port B writes it
        a, b = (_width(features, f"{what}_WIDTH_{port}") for port in "AB")
        if wide[what] and (b != 18 or (what == "WRITE" and a != 18)):
            raise Contradiction(f"block RAM {name} has SDP_{what}_WIDTH_36, but ports {a} and {b} bits wide")
        parameters[f"{what}_WIDTH_A"] = (36 if what == "READ" else 0) if wide[what] else a
        parameters[f"{what}_WIDTH_B"] = (0 if what == "READ" else 36) if wide[what] else b
    for what, rows in (("INIT", 64), ("INITP", 8)):
        for row in range(rows):
            start = f"{what}_{row:02X}["
            parameters[start[:-1]] = sum(1 << int(f[len(start) : -1]) for f in features if f.startswith(start))
    inputs: dict[str, tuple[str, ...]] = {pin: (driver(f"{_WIRES[half]}_{pin}"),) for pin in _TURNED}
    inputs |= {pin: pins(pin, 14) for pin in ("ADDRARDADDR", "ADDRBWRADDR")}
    enables = {"A": pins("WEA", 4), "B": pins("WEBWE", 8)}
    used = {"A": enables["A"], "B": enables["B"] if wide["WRITE"] else enables["B"][:4]}
    if any(len(set(map(source, found))) > 1 for found in used.values()) or (
        not wide["WRITE"] and set(enables["B"][4:]) != {"0"}
    ):
        raise Contradiction(f"block RAM {name} may be written in parts of a word, which no design of this flow has")
    inputs |= {"WEA": used["A"][:1] * 2, "WEBWE": used["B"][:1] * 4}
    if {used["A"][0], used["B"][0]} != {"0"}:
        inputs |= {pin: pins(pin, bits) for pin, bits in _DATA.items()}
    zero = dict.fromkeys(_RESETS, ("0",))
    words = {f"WRITE_MODE_{port}": _mode(features, port) for port in "AB"}
    return Cell(KIND, parameters, {**inputs, **zero}, outputs_of(name, OUTPUTS), words)


def _mode(features: Collection[str], port: str) -> str:
    """What a port shows while it is written."""
    start = f"WRITE_MODE_{port}_"
    found = sorted(f[len(start) :] for f in features if f.startswith(start))
    if len(found) > 1:
        raise Contradiction(f"a block RAM has both {start}{found[0]} and {start}{found[1]}")
    return found[0] if found else "WRITE_FIRST"


def refusal(entry: Mapping[str, Any]) -> str | None:
    """What a block RAM of a netlist has that cannot be read back; None where there is nothing."""
    p, nets = entry["parameters"], entry["connections"]
    widths = {name: number(p.get(name, 0)) for name in
              ("READ_WIDTH_A", "READ_WIDTH_B", "WRITE_WIDTH_A", "WRITE_WIDTH_B")}  # fmt: skip
    if entry["type"] == "RAMB36E1":
        # the database has BRAM36_READ_WIDTH_A_1 and others for these widths; nextpnr 0.11 never sets them
        bad = next((f"{name}={width}" for name, width in widths.items() if width in _HALVED), None)
        if bad:
            return f"{bad}, which nextpnr sets up wrong"
    for port, pin, most in (("A", "WEA", 8), ("B", "WEBWE", 8 if widths["WRITE_WIDTH_B"] > 36 else 4)):
        if len(set(nets.get(pin, ())[:most])) > 1:
            return f"enables for parts of a word at port {port}"
    for pin in (*_RESETS, "CASCADEINA", "CASCADEINB"):
        if any(bit not in ("0", "x") for bit in nets.get(pin, ())) and not number(p.get(f"IS_{pin}_INVERTED", 0)):
            return f"an input {pin}"
    return next((f"{name}=1" for name in ("DOA_REG", "DOB_REG") if number(p.get(name, 0))), None)


def _width(features: Collection[str], what: str) -> int:
    start = f"{what}_"
    return max((int(f[len(start) :]) for f in features if f.startswith(start)), default=1)
