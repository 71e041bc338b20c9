"""The shell's pins, one clock cycle at a time: streams, register accesses, and what must hold in every cycle.

As in the core's bench inputs change with the falling clock edge and everything is sampled just before the rising one.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cocotb.triggers import Timer

from sim.axis_access import Access, Read, Registers
from sim.axis_bench import BENCH, PERIOD_NS, compare, problem

Pause = Callable[[], bool]  # asked once per cycle
STALLED = ("m_axis_tvalid", "m_axis_tdata", "m_axis_tkeep", "m_axis_tlast")
INPUTS = (
    "aresetn", "s_axis_tdata", "s_axis_tkeep", "s_axis_tvalid", "s_axis_tlast", "m_axis_tready", "s_axi_awaddr",
    "s_axi_awvalid", "s_axi_wdata", "s_axi_wstrb", "s_axi_wvalid", "s_axi_bready", "s_axi_araddr", "s_axi_arvalid",
    "s_axi_rready",
)  # fmt: skip
OUTPUTS = (
    "s_axis_tready", "s_axi_awready", "s_axi_wready", "s_axi_bresp", "s_axi_bvalid", "s_axi_arready", "s_axi_rdata",
    "s_axi_rresp", "s_axi_rvalid",
)  # fmt: skip
CYCLES = int(os.environ.get("NMP_LONG_CYCLES", "20000"))  # of a long phase; long packets may take five times as many
MOST_CYCLES = 40 * CYCLES + 20_000  # with gaps and stalls: what has not ended by then never will
KEEP = "1" * (BENCH.layout["bus_bits"] // 8)


def never() -> bool:
    """No gap, no stall."""
    return False


class Shell:
    """The shell and everything around it, cycle by cycle."""

    def __init__(self, dut: Any, phase: str) -> None:
        self.dut, self.phase = dut, phase
        self.pins = {name: getattr(dut, name) for name in (*STALLED, *INPUTS, *OUTPUTS)}
        self.half = Timer(PERIOD_NS // 2, "ns")
        self.last: dict[str, int] = {}
        self.after_edge: list[Callable[[], None]] = []
        self.beats: deque[tuple[int, int, int]] = deque()  # vector or -1 before its last beat, data, TLAST
        self.due: deque[tuple[int, int]] = deque()  # vectors inside: number, whether it ends its packet
        self.gap: Pause = never
        self.stall: Pause = never
        self.new()

    def new(self) -> None:
        """Forget everything, as a reset makes the shell do."""
        self.registers = Registers()
        self.beats.clear()
        self.due.clear()
        self.after_edge.clear()
        self.offering = self.in_packet = False
        self.standing: list[str] | None = None
        self.got: list[str] = []
        self.taken = self.held = self.silent = 0
        self.access(iter(()), iter(()))

    def access(self, reads: Iterator[Read], writes: Iterator[Read]) -> None:
        """Register accesses to make from now on, both sides at once."""
        self.sides = Access(self, reads, False), Access(self, writes, True)

    def set(self, name: str, value: int) -> None:
        """Set an input pin."""
        if self.last.get(name) != value:
            self.last[name] = value
            self.pins[name].value = value

    def text(self, name: str) -> str:
        """An output pin's bits."""
        return str(self.pins[name].value)

    def bit(self, name: str) -> bool:
        """An output pin of one bit, which must be known."""
        value = self.text(name)
        if value not in ("0", "1"):
            problem(f"{name} is {value}")
        return value == "1"

    def send(self, vectors: list[int]) -> None:
        """Queue one packet."""
        size = BENCH.layout["bus_bits"] // 8
        for place, vector in enumerate(vectors):
            data, ends = BENCH.inputs[vector], place == len(vectors) - 1
            for start in range(0, len(data), size):
                final = start + size >= len(data)
                word = int.from_bytes(data[start : start + size], "little")
                self.beats.append((vector if final else -1, word, int(final and ends)))

    async def reset(self, cycles: int) -> None:
        """Hold aresetn low while everything is offered and taken; nothing may come out after its first edge."""
        self.set("aresetn", 0)
        for name in ("s_axis_tvalid", "m_axis_tready", "s_axi_arvalid", "s_axi_awvalid", "s_axi_wvalid"):
            self.set(name, 1)
        for number in range(cycles):
            await self._low()
            for name in ("m_axis_tvalid", "s_axi_rvalid", "s_axi_bvalid"):
                if number and self.bit(name):
                    problem(f"{name} is 1 during reset")
            await self._high()
        for name in ("s_axis_tvalid", "s_axi_arvalid", "s_axi_awvalid", "s_axi_wvalid"):
            self.set(name, 0)
        self.new()
        self.set("aresetn", 1)

    async def _low(self) -> None:
        self.dut.aclk.value = 0
        await self.half

    async def _high(self) -> None:
        self.dut.aclk.value = 1
        await self.half

    async def cycle(self) -> None:
        """One clock cycle: drive, sample, check."""
        self._drive_streams()
        for side in self.sides:
            side.drive()
        await self._low()
        for side in self.sides:
            side.sample()
        self._sample_input()
        self._sample_output()
        for change in self.after_edge:
            change()
        self.after_edge.clear()
        await self._high()

    def _drive_streams(self) -> None:
        self.offering = bool(self.beats) and (self.offering or not self.gap())
        _, word, last = self.beats[0] if self.beats else (0, 0, 0)
        everything = (1 << BENCH.layout["bus_bits"]) - 1
        self.set("s_axis_tvalid", int(self.offering))
        self.set("s_axis_tdata", word if self.offering else word ^ everything)  # what is not offered is garbage
        self.set("s_axis_tlast", last if self.offering else 1 - last)
        self.set("s_axis_tkeep", (1 << len(KEEP)) - 1 if self.offering else 0)
        self.set("m_axis_tready", int(not self.stall()))

    def _sample_input(self) -> None:
        model = self.registers
        ready = self.bit("s_axis_tready")
        if not self.offering:
            return
        if not ready:
            self.after_edge.append(lambda: setattr(model, "waited_in", model.waited_in + 1))
            self.silent += 1
            return
        vector, _, last = self.beats.popleft()
        self.offering, self.silent = False, 0
        if vector >= 0:
            self.due.append((vector, last))

        def took() -> None:
            model.beats_in += 1
            model.collected += vector >= 0
            model.packets_collected += last

        self.after_edge.append(took)

    def _sample_output(self) -> None:
        model, take = self.registers, self.last["m_axis_tready"] == 1
        valid = self.bit("m_axis_tvalid")
        now = [self.text(name) for name in STALLED] if valid else ["0"]
        if self.standing is not None and now != self.standing:
            problem(f"m_axis changed while tready was 0 ({self.phase})")
        self.standing = now if valid and not take else None
        self.held = self.held + 1 if self.standing else 0
        if not valid:
            self.silent += bool(self.due)
            return
        if not self.got and self.held <= 1:
            begun = self.taken + 1
            self.after_edge.append(lambda: setattr(model, "begun", begun))
        if not take:
            self.after_edge.append(lambda: setattr(model, "waited_out", model.waited_out + 1))
            return
        self.silent = 0
        self._beat(now)

    def _beat(self, now: list[str]) -> None:
        model = self.registers
        _, data, keep, last = now
        self.got.append(data)
        final = len(self.got) == BENCH.layout["out_beats"]
        if keep != KEEP:
            problem(f"m_axis_tkeep is {keep} ({self.phase})")
        ends = 0
        if final:
            bits = "".join(reversed(self.got))
            self.got = []
            self.taken += 1
            if not self.due:
                problem(f"a result came for which no vector had entered ({self.phase})")
            else:
                vector, ends = self.due.popleft()
                self._compare(vector, bits)
            self.after_edge.append(lambda: setattr(model, "sent", model.sent + 1))
            if ends:
                self.after_edge.append(lambda: setattr(model, "packets_sent", model.packets_sent + 1))
        if last != str(ends):
            problem(f"TLAST is {last} where {ends} was due ({self.phase})")

    def _compare(self, vector: int, bits: str) -> None:
        if set(bits) <= {"0", "1"}:
            compare(vector, int(bits, 2).to_bytes(len(bits) // 8, "little"), self.phase)
        else:
            BENCH.outcome.compare(vector, BENCH.bits(BENCH.expected[vector]), bits, self.phase)

    async def finish(self, longest: int = 0) -> None:
        """Cycles until every result and every register answer has come, then a few more in which nothing may."""
        patience = 4 * (BENCH.interval + BENCH.fill) + 64 + longest
        left = MOST_CYCLES
        while self.beats or self.due or not all(side.finished for side in self.sides):
            await self.cycle()
            left -= 1
            if not left:  # something goes on for ever, so that it is never silent
                problem(f"the streams did not end within {MOST_CYCLES} cycles ({self.phase})")
                return
            if self.silent > patience:
                problem(f"the streams stood still for {patience} cycles ({self.phase})")
                return
        for _ in range(BENCH.fill):
            await self.cycle()
