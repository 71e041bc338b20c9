"""Register accesses of the shell's bench, and the model of the registers that every read is compared with.

What a read returns is fixed in the cycle that takes its address, and what happens in that cycle is not in it yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.axis_bench import BENCH, COUNTERS, ERRORS, PACKET, STATUS, problem

if TYPE_CHECKING:
    from sim.axis_pins import Shell


@dataclass
class Read:
    """A register read: cycles before it, and cycles for which its answer has to stand."""

    address: int
    gap: int = 0
    stall: int = 0


@dataclass
class Write(Read):
    """A register write; with ``skew`` data come so many cycles after the address, or before it where negative."""

    value: int = 0
    strobes: int = 15
    skew: int = 0


class Registers:
    """What the registers must read, from what has happened on the pins so far."""

    def __init__(self) -> None:
        self.known = dict(BENCH.about["registers"].values())
        self.packet = self.noted = 0
        self.sent = self.packets_sent = self.waited_in = self.waited_out = 0
        self.beats_in = self.collected = self.packets_collected = self.begun = 0

    def write(self, access: Write) -> None:
        """A write takes effect."""
        if access.address == PACKET:
            mask = sum(0xFF << 8 * i for i in range(4) if access.strobes >> i & 1)
            self.packet = (self.packet & ~mask) | (access.value & mask)

    def allowed(self, address: int) -> tuple[int, int]:
        """The lowest and the highest value that a read may return now."""
        if address in self.known:
            return (self.known[address],) * 2
        inside = self.beats_in > BENCH.layout["in_beats"] * self.sent
        exact = {
            STATUS: int(not inside) | 2 * (self.noted != 0), ERRORS: self.noted, PACKET: self.packet,
            COUNTERS + 4: self.sent, COUNTERS + 12: self.packets_sent, COUNTERS + 16: self.waited_in,
            COUNTERS + 20: self.waited_out,
        }  # fmt: skip
        if address == COUNTERS:
            return self.begun, self.collected
        if address == COUNTERS + 8:
            return self.packets_sent, self.packets_collected
        return (exact.get(address, 0),) * 2


class Access:
    """One side of the register bus: makes its accesses one after the other, and checks that answers stand."""

    def __init__(self, shell: Shell, todo: Iterator[Read], write: bool) -> None:
        self.shell, self.todo, self.is_write = shell, todo, write
        self.now: Read | None = None
        self.requests = ("aw", "w") if write else ("ar",)
        self.answer = "b" if write else "r"
        self.open: set[str] = set()  # requests not taken yet
        self.age = self.held = 0
        self.wanted = (0, 0)
        self.seen: str | None = None
        self.finished = False

    def drive(self) -> None:
        """Set this side's pins for the coming cycle."""
        if self.finished:
            return
        if self.now is None:
            self.now = next(self.todo, None)
            self.finished = self.now is None
            self.open, self.age, self.held, self.seen = set(self.requests if self.now else ()), 0, 0, None
        set_pin, access = self.shell.set, self.now
        for channel in self.requests:
            set_pin(f"s_axi_{channel}valid", int(access is not None and channel in self.open and self._due(channel)))
        if access is not None:
            set_pin(f"s_axi_{self.requests[0]}addr", access.address)
        if isinstance(access, Write):
            set_pin("s_axi_wdata", access.value)
            set_pin("s_axi_wstrb", access.strobes)
        answering = access is not None and not self.open
        set_pin(f"s_axi_{self.answer}ready", int(answering and access is not None and self.held >= access.stall))

    def _due(self, channel: str) -> bool:
        assert self.now is not None
        skew = self.now.skew if isinstance(self.now, Write) else 0
        return self.age >= self.now.gap + (max(skew, 0) if channel == "w" else max(-skew, 0))

    def sample(self) -> None:
        """Look at this side's pins just before the rising edge."""
        shell, access, waiting = self.shell, self.now, bool(self.open)
        self.age += 1
        if access is not None and self.age > access.gap + access.stall + 128:
            problem(f"no answer to a register access ({self.answer}valid)")
            self.now = None
            return
        for channel in list(self.open):
            if shell.last[f"s_axi_{channel}valid"] and shell.bit(f"s_axi_{channel}ready"):
                self.open.remove(channel)
        if waiting and not self.open and access is not None:  # this cycle took the last part
            self.wanted = shell.registers.allowed(access.address)
            if isinstance(access, Write):
                shell.after_edge.append(lambda: shell.registers.write(access))
        valid = shell.bit(f"s_axi_{self.answer}valid")
        if waiting or access is None:
            if valid:
                problem(f"a register answer ({self.answer}valid) came for which nothing was asked")
        else:
            self._answered(valid)

    def _answered(self, valid: bool) -> None:
        access, shell = self.now, self.shell
        assert access is not None
        if not valid:
            if self.seen is not None:
                problem(f"{self.answer}valid fell before the answer was taken")
            return
        data = shell.text("s_axi_rdata") if not self.is_write else "0"
        if shell.text(f"s_axi_{self.answer}resp") != "00":
            problem(f"{self.answer}resp is not OKAY")
        if self.seen is not None and data != self.seen:
            problem("rdata changed before it was taken")
        self.seen = data
        self.held += 1
        if self.held > access.stall:
            if not self.is_write and not ("x" not in data.lower() and self.wanted[0] <= int(data, 2) <= self.wanted[1]):
                want = f"{self.wanted[0]:#x}" if self.wanted[0] == self.wanted[1] else f"within {self.wanted}"
                problem(f"register {access.address:#x} read {data}, expected {want}")
            self.now = None
