"""A block RAM of 18 Kb as its features say it is; one of 36 Kb is two of them, which take turns bit by bit.

Only memories that are read are known here: what may be written, reset or registered at its output is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from flow.bitstream.fabric import ReadError

KIND = "RAMB18E1"
SITES = {"X0Y0": ("FIFO18E1", "RAMBFIFO36E1"), "X0Y1": ("RAMB18E1",)}  # of a tile, whose wires they share
OUTPUTS = {"DOADO": 16, "DOBDO": 16, "DOPADOP": 2, "DOPBDOP": 2}
_WIRES = ("BRAM_FIFO18", "BRAM_RAMB18")  # of the lower and the upper half
_OUTPUT = re.compile(r"BRAM_(FIFO18|RAMB18|FIFO36)_(DO[AB]DO|DOP[AB]DOP)([LU]?)(\d+)")
_TURNED = ("CLKARDCLK", "CLKBWRCLK", "ENARDEN", "ENBWREN")
_NEVER = {"WEA": 4, "WEBWE": 8, "RSTRAMARSTRAM": 0, "RSTRAMB": 0}
_REFUSED = re.compile(r"FIFO_MODE|DO[AB]_REG|SDP_WRITE_WIDTH_36")


@dataclass(frozen=True)
class BlockRam:
    """Parameters and input signals of a RAMB18E1."""

    parameters: Mapping[str, int]
    inputs: Mapping[str, tuple[str, ...]]


def output_of(wire: str) -> tuple[int, str] | None:
    """The half (0 or 1) and the output, such as ``DOADO3``, that a wire carries; None for other outputs."""
    match = _OUTPUT.fullmatch(wire)
    if not match:
        return None
    upper = match[1] == "RAMB18" or match[3] == "U"
    return int(upper), match[2] + match[4]


def read(name: str, half: int, features: Collection[str], driver: Callable[[str], str]) -> BlockRam:
    """One half of a tile's block RAM; ``driver`` says what drives a wire. Raises ReadError for other uses."""
    refused = next((f for f in sorted(features) if _REFUSED.fullmatch(f)), None)
    if refused:
        raise ReadError(f"block RAM {name} has {refused}, which cannot be read back")
    turned = {pin: f"ZINV_{pin}" not in features for pin in (*_TURNED, "RSTRAMARSTRAM", "RSTRAMB")}
    for pin, width in _NEVER.items():
        for i in range(width) if width else ("",):
            if driver(f"{_WIRES[half]}_{pin}{i}") != str(int(turned.get(pin, False))):
                raise ReadError(f"block RAM {name} may be written or reset by {pin}{i}, which cannot be read back")
    wide = "SDP_READ_WIDTH_36" in features
    parameters = {f"IS_{pin}_INVERTED": int(turned[pin]) for pin in _TURNED}
    parameters["READ_WIDTH_A"] = 36 if wide else _width(features, "A")
    parameters["READ_WIDTH_B"] = 0 if wide else _width(features, "B")
    for what, rows in (("INIT", 64), ("INITP", 8)):
        for row in range(rows):
            start = f"{what}_{row:02X}["
            parameters[start[:-1]] = sum(1 << int(f[len(start) : -1]) for f in features if f.startswith(start))
    inputs: dict[str, tuple[str, ...]] = {pin: (driver(f"{_WIRES[half]}_{pin}"),) for pin in _TURNED}
    for pin in ("ADDRARDADDR", "ADDRBWRADDR"):
        inputs[pin] = tuple(driver(f"{_WIRES[half]}_{pin}{i}") for i in range(14))
    never = {"WEA": ("0",) * 2, "WEBWE": ("0",) * 4, "RSTRAMARSTRAM": ("0",), "RSTRAMB": ("0",)}
    return BlockRam(parameters, {**inputs, **never})


def _width(features: Collection[str], port: str) -> int:
    start = f"READ_WIDTH_{port}_"
    return max((int(f[len(start) :]) for f in features if f.startswith(start)), default=1)
