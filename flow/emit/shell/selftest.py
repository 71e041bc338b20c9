"""A core that tests itself on a board without a processor: vectors in the logic, LEDs that show what came of them."""

from __future__ import annotations

from dataclasses import dataclass

from flow.bench.description import Bench, Element
from flow.bench.vectors import pack
from flow.core.errors import DesignError
from flow.core.fixed import Ints
from flow.emit.rtl.verilog import Rtl
from flow.emit.templates import render

VECTORS = 16


@dataclass(frozen=True)
class Board:
    """A board: its oscillator, and the pads of that and of three LEDs for passed, failed and running."""

    title: str
    oscillator_mhz: int
    clock: str
    leds: tuple[str, str, str]

    def pins(self) -> dict[str, str]:
        """The pad of every port of the top."""
        return {"clk_pad": self.clock, **{f"led_{i}": pin for i, pin in enumerate(self.leds)}}

    def divided(self, clock_period_ns: float) -> int:
        """By what power of two the oscillator is divided for a clock period that is longer than its own."""
        found = 1
        while found * 1000 / self.oscillator_mhz < clock_period_ns:
            found *= 2
        return found


_ARTY = Board("Arty A7", 100, "E3", ("H5", "J5", "T9"))  # LD4 to LD6
BOARDS = {
    **dict.fromkeys(("arty-a7", "arty-a7-35", "arty-a7-100", "arty", "arty-35t"), _ARTY),
    "basys3": Board("Basys 3", 100, "W5", ("U16", "E19", "U19")),  # LD0 to LD2
}


@dataclass(frozen=True)
class SelfTest:
    """Module names, and Verilog of the logic and of the top around it."""

    logic: str
    top: str
    text: str
    top_text: str


def emit_selftest(
    design: str, rtl: Rtl, bench: Bench, board: Board, clock_period_ns: float, inputs: Ints, expected: Ints
) -> SelfTest:
    """The self test of a core with vectors (rows) of input and result mantissas.

    Raises DesignError for a core without a register stage.
    """
    if rtl.latency_cycles < 1:
        raise DesignError(f"{rtl.top}: a self test needs a core with at least one register stage")
    logic, top, divided = f"{rtl.top}_selftest", f"{rtl.top}_board", board.divided(clock_period_ns)
    text = render(
        "selftest_top.v.j2", design=design, board=board.title, module=logic, core=rtl.top, ready=rtl.ready,
        count=len(inputs), place_bits=max((len(inputs) - 1).bit_length(), 1), in_bits=max(bench.in_bits, 1),
        out_bits=max(bench.out_bits, 1), inputs=_words(inputs, bench.inputs), expected=_words(expected, bench.outputs),
    )  # fmt: skip
    top_text = render(
        "artix_top.v.j2", board=board.title, module=top, logic=logic, oscillator=board.oscillator_mhz, divided=divided,
        divider_bits=divided.bit_length() - 1,
    )  # fmt: skip
    return SelfTest(logic, top, text, top_text)


def _words(values: Ints, elements: tuple[Element, ...]) -> list[str]:
    """Vectors as the core's port takes them, in hexadecimal."""
    return [f"{int.from_bytes(row.astype('<u4').tobytes(), 'little'):x}" for row in pack(values, elements)]
