"""A slice of the device as its features say it is: look-up tables, flip-flops, carry chain and wide multiplexers.

A signal is named by its tile, slice and place: ``CLBLL_L_X2Y0.X0.A6LUT``; "0" and "1" are the constants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from flow.bitstream.fabric import Contradiction, ReadError

LETTERS = "ABCD"
_UNKNOWN = re.compile(r"[A-D]LUT\.SRL|WA[78]USED|[A-D](OUT|FF)MUX\.MC31")  # shift registers, deeper memories
_SHARED = ("CEUSEDMUX", "SRUSEDMUX", "FFSYNC", "CLKINV", "NOCLKINV")  # of all flip-flops of a slice
_PLACES = {"CY": "CARRY4.CO{i}", "XOR": "CARRY4.O{i}", "O5": "{letter}5LUT", "O6": "{letter}6LUT"}
_WIDE = {"A": "F7AMUX", "B": "F8MUX", "C": "F7BMUX"}  # what is called F7 or F8 in front of a letter's outputs
PinReader = Callable[[str], str]  # a pin of the slice, such as CE -> the signal that drives it


@dataclass(frozen=True)
class FlipFlop:
    """A flip-flop: the signals at its pins, its value at the start and after a reset, and how the reset works."""

    data: str
    enable: str
    reset: str
    clock: str
    first: int
    reset_to: int
    asynchronous: bool
    falling: bool


@dataclass(frozen=True)
class Memory:
    """The four LUTs of a slice as one memory, letter by letter: address, data in and contents of each.

    ``bits`` of each word are a letter's: two of 32 words, or one of 64. The last letter's address is the one written.
    """

    bits: int
    address: tuple[tuple[str, ...], ...]
    data: tuple[tuple[str, ...], ...]
    contents: tuple[int, ...]
    enable: str
    clock: str
    falling: bool


@dataclass(frozen=True)
class Carry:
    """The carry chain of a slice, lowest bit first."""

    carry_in: str
    select: tuple[str, ...]
    data: tuple[str, ...]


class Slice:
    """One slice: ``name`` is its tile and place (``CLBLL_L_X2Y0.X0``), ``pin`` says what drives its pins.

    Raises ReadError for what no reader here knows: memories in LUTs, latches.
    """

    def __init__(self, name: str, features: Collection[str], pin: PinReader) -> None:
        self.name, self.features, self.pin = name, frozenset(features), pin
        self._looked_at: set[str] = set()
        unknown = next((f for f in sorted(self.features) if _UNKNOWN.fullmatch(f)), None)
        if unknown:
            raise ReadError(f"slice {name} has {unknown}: shift registers and deep memories cannot be read back")
        kinds = {(f"{x}LUT.RAM" in self.features, f"{x}LUT.SMALL" in self.features) for x in LETTERS}
        self.is_memory = (True, True) in kinds or (True, False) in kinds
        if self.is_memory and len(kinds) > 1:
            raise ReadError(f"slice {name} is a memory in some of its LUTs: that cannot be read back")
        if "LATCH" in self.features:
            raise ReadError(f"slice {name} holds latches, which no design of this flow has")

    def flip_flops(self) -> list[str]:
        """The places of all flip-flops in use, such as ``AFF`` and ``B5FF``."""
        found = []
        for letter in LETTERS:
            used = {f.partition(".")[0] for f in self.features if f.startswith((f"{letter}FF", f"{letter}5FF"))}
            found += [f"{letter}FF"] if used & {f"{letter}FFMUX", f"{letter}FF"} else []
            found += [f"{letter}5FF"] if used & {f"{letter}5FFMUX", f"{letter}5FF"} else []
        return found

    def table(self, letter: str) -> int:
        """The contents of a LUT."""
        start = f"{letter}LUT.INIT["
        return sum(1 << int(f[len(start) : -1]) for f in self.features if f.startswith(start))

    def idle(self) -> list[str]:
        """Features that are set and that nothing in use depends on; contents of LUTs are told of elsewhere."""
        return sorted(f for f in self.features - self._looked_at if ".INIT[" not in f)

    def memory(self) -> Memory:
        """The memory that the LUTs of this slice are."""
        bits = 2 if "ALUT.SMALL" in self.features else 1
        self._looked_at |= {f"{x}LUT.{what}" for x in LETTERS for what in ("RAM", "SMALL")} | {"WEMUX.CE", *_SHARED}
        tables = [self.table(letter) for letter in LETTERS]
        if bits == 2:  # O5 is the lower bit of a word, O6 the upper one
            tables = [sum((t >> i & 1) << 2 * i | (t >> 32 + i & 1) << 2 * i + 1 for i in range(32)) for t in tables]
        data = [(self._data(x), self.pin(f"{x}X")) if bits == 2 else (self._data(x),) for x in LETTERS]
        return Memory(
            bits,
            tuple(tuple(self.pin(f"{x}{i}") for i in range(1, 8 - bits)) for x in LETTERS),
            tuple(data),
            tuple(tables),
            self.pin("CE" if "WEMUX.CE" in self.features else "WE"),
            self.pin("CLK"),
            "CLKINV" in self.features,
        )

    def _data(self, letter: str) -> str:
        """What is written by way of a letter's own pin, or where its multiplexer is not set by that of another."""
        if letter == "D":
            return self.pin("DI")
        feature = f"{letter}LUT.DI1MUX.{letter}I"
        self._looked_at.add(feature)
        return self.pin(f"{letter}I") if feature in self.features else self._data("B" if letter == "A" else "D")

    def output(self, pin: str) -> str:
        """The signal that leaves by an output pin."""
        if pin == "COUT":
            return self._at("CARRY4.CO3")
        if pin in LETTERS:
            return self._at(f"{pin}6LUT")
        letter = pin[0]
        if pin.endswith("Q"):
            return self._at(f"{letter}FF")
        way = self._way(f"{letter}OUTMUX")
        if way is None:
            raise Contradiction(f"slice {self.name} sends nothing out of {pin}, which is used")
        return self._at(f"{letter}5FF") if way.endswith("5Q") else self._inside(letter, way)

    def flip_flop(self, place: str) -> FlipFlop:
        """The flip-flop at a place."""
        letter = place[0]
        way = self._way(f"{place}MUX")
        if way is None:
            raise Contradiction(f"the flip-flop {self.name}.{place} has no input")
        self._looked_at |= {f"{place}.ZINI", f"{place}.ZRST", *_SHARED}
        data = {"IN_A": "O5", "IN_B": f"{letter}X"}.get(way, way)
        return FlipFlop(
            data=self._inside(letter, data),
            enable=self.pin("CE") if "CEUSEDMUX" in self.features else "1",
            reset=self.pin("SR") if "SRUSEDMUX" in self.features else "0",
            clock=self.pin("CLK"),
            first=int(f"{place}.ZINI" not in self.features),
            reset_to=int(f"{place}.ZRST" not in self.features),
            asynchronous="FFSYNC" not in self.features,
            falling="CLKINV" in self.features,
        )

    def carry(self) -> Carry:
        """The carry chain, whether or not it is in use."""
        way = self._way("PRECYINIT") or "C0"
        self._looked_at |= {f"CARRY4.{letter}CY0" for letter in LETTERS}
        carry_in = {"C0": "0", "C1": "1"}.get(way) or self.pin({"AX": "AX", "CIN": "CIN"}[way])
        return Carry(
            carry_in,
            tuple(self._at(f"{letter}6LUT") for letter in LETTERS),
            tuple(
                self._at(f"{letter}5LUT") if f"CARRY4.{letter}CY0" in self.features else self.pin(f"{letter}X")
                for letter in LETTERS
            ),
        )

    def multiplexer(self, place: str) -> tuple[str, str, str]:
        """What a wide multiplexer chooses: if its select is 0, if it is 1, and its select."""
        if place == "F8MUX":
            return self._at("F7BMUX"), self._at("F7AMUX"), self.pin("BX")
        low, high = ("B", "A") if place == "F7AMUX" else ("D", "C")
        return self._at(f"{low}6LUT"), self._at(f"{high}6LUT"), self.pin(f"{high}X")

    def _inside(self, letter: str, way: str) -> str:
        """A signal of a letter by what its multiplexers call it."""
        if way == f"{letter}X":
            return self.pin(way)
        if way in ("F7", "F8"):
            return self._at(_WIDE[letter])
        return self._at(_PLACES[way].format(letter=letter, i=LETTERS.index(letter)))

    def _way(self, multiplexer: str) -> str | None:
        """What a multiplexer lets through; None where it is not set. Raises Contradiction where it is set twice."""
        ways = sorted(f.partition(".")[2] for f in self.features if f.startswith(f"{multiplexer}."))
        self._looked_at |= {f"{multiplexer}.{way}" for way in ways}
        if len(ways) > 1:
            raise Contradiction(f"{multiplexer} of slice {self.name} is set to both {ways[0]} and {ways[1]}")
        return ways[0] if ways else None

    def _at(self, place: str) -> str:
        return f"{self.name}.{place}"
