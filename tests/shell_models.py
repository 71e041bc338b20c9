"""A PYNQ board in software: memory, an AXI DMA in simple mode and the accelerator's registers, which can misbehave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flow.emit.shell.axis import MAGIC, VERSION

HALTED, IDLE = 1, 2
SEND, RECEIVE = 0x00, 0x30


@dataclass
class Faults:
    """What goes wrong. Byte counts are from the end of the stream; numbers of polls are how long a thing takes."""

    missing_output: int = 0  # the last results do not come, TLAST is on an earlier one
    no_output_last: bool = False  # TLAST never comes, so the receiving channel never finishes
    missing_input: int = 0  # the DMA sends less than it was told, with TLAST
    no_input_last: bool = False  # the accelerator sees no TLAST at the end
    slow: int = 0  # polls until a transfer is done
    stalled_input: bool = False  # the accelerator takes nothing
    dma_error: dict[int, int] = field(default_factory=dict)  # channel -> status bits
    stuck_reset: bool = False
    stays_halted: bool = False
    halts: bool = False  # in the middle of a transfer, without an error noted
    noted: int = 0  # error bits of the accelerator after the transfer
    extra_vectors: int = 0  # the accelerator counts vectors that were never sent
    registers: dict[int, int] = field(default_factory=dict)  # address -> what it wrongly reads


class Buffer(np.ndarray):
    """Memory that the DMA reaches, as pynq.allocate gives it; what was not flushed or invalidated is not seen."""

    physical_address: int = 0
    board: Board

    def flush(self) -> None:
        self.board.memory[self.physical_address] = np.array(self)

    def invalidate(self) -> None:
        self[:] = self.board.memory[self.physical_address]


class Board:
    """The hardware. ``answer`` gives the bytes of the results for the bytes of whole vectors."""

    def __init__(self, model: dict[str, Any], answer: Callable[[np.ndarray], np.ndarray]) -> None:
        self.model, self.answer, self.faults = model, answer, Faults()
        self.memory: dict[int, np.ndarray] = {}
        self.core, self.dma = Core(self), Dma(self)

    def allocate(self, size: int) -> Buffer:
        buffer = np.full(size, 0xA5, np.uint8).view(Buffer)
        buffer.physical_address, buffer.board = 0x1000_0000 * (len(self.memory) + 1), self
        self.memory[buffer.physical_address] = np.full(size, 0x5A, np.uint8)
        return buffer

    def run(self, data: np.ndarray) -> np.ndarray:
        """What the accelerator makes of one packet; keeps its counters as the hardware does."""
        size, core, faults = self.model["layout"]["in_bytes"], self.core, self.faults
        whole, rest = divmod(len(data), size)
        results = self.answer(np.pad(data, (0, -len(data) % size)).reshape(-1, size))
        count = whole + bool(rest)
        core.errors |= (1 if rest else 0) | faults.noted
        if core.packet:
            core.errors |= (2 if count < core.packet else 0) | (4 if faults.no_input_last else 0)
        core.counters = [
            count + faults.extra_vectors,
            count,
            int(not faults.no_input_last),
            int(not faults.no_input_last),
        ]
        return results.reshape(-1)


class Core:
    """The accelerator's registers."""

    def __init__(self, board: Board) -> None:
        self.board, self.errors, self.packet, self.counters = board, 0, 0, [0, 0, 0, 0]
        self.resets = 0

    def read(self, offset: int) -> int:
        digest = self.board.model["digest"]
        known = {0x00: MAGIC, 0x04: VERSION, 0x48: self.errors, 0x4C: self.packet}
        known.update({0x20 + 4 * i: int(digest[8 * i : 8 * i + 8], 16) for i in range(8)})
        known.update({0x50 + 4 * i: c for i, c in enumerate(self.counters)})
        known.update(self.board.faults.registers)
        return known[offset]

    def write(self, offset: int, value: int) -> None:
        if offset == 0x40 and value & 1:
            self.errors, self.packet, self.counters = 0, 0, [0, 0, 0, 0]
            self.resets += 1
        elif offset == 0x4C:
            self.packet = value
        else:
            raise AssertionError(f"a write to {offset:#x}")


class Dma:
    """An AXI DMA in simple mode: the registers of its product guide."""

    def __init__(self, board: Board) -> None:
        self.board, self.busy = board, {SEND: 0, RECEIVE: 0}
        self.registers = {offset: 0 for base in (SEND, RECEIVE) for offset in (base, base + 0x18, base + 0x28)}
        self.polls = 0

    def read(self, offset: int) -> int:
        if offset in (SEND + 4, RECEIVE + 4):
            return self._status(offset - 4)
        value = self.registers[offset]
        return value | 4 if offset == SEND and self.board.faults.stuck_reset else value

    def _status(self, channel: int) -> int:
        if not self.registers[channel] & 1 or self.board.faults.stays_halted:
            return HALTED
        error = self.board.faults.dma_error.get(channel, 0) if self.busy[channel] else 0
        if error:
            return error | HALTED
        if self.board.faults.halts and self.busy[channel]:
            return HALTED
        if self.busy[channel] > 0:
            self.busy[channel] -= 1
        return 0 if self.busy[channel] else IDLE

    def write(self, offset: int, value: int) -> None:
        if offset in (SEND, RECEIVE) and value & 4:
            assert value == 4, "a reset that also starts the channel"
            self.registers = dict.fromkeys(self.registers, 0)
            self.busy = {SEND: 0, RECEIVE: 0}
            return
        assert offset not in (SEND, RECEIVE) or value == 1, f"a channel's control register is set to {value:#x}"
        self.registers[offset] = value
        if offset == RECEIVE + 0x28:
            assert self.registers[RECEIVE] & 1, "the receiving channel does not run"
            self.busy[RECEIVE] = -1  # until a packet comes
        if offset == SEND + 0x28:
            assert self.registers[SEND] & 1, "the sending channel does not run"
            self._send(value)

    def _send(self, size: int) -> None:
        faults, memory = self.board.faults, self.board.memory
        if faults.stalled_input:
            self.busy[SEND] = -1
            return
        self.busy[SEND] = 1 + faults.slow
        data = memory[self.registers[SEND + 0x18]][: size - faults.missing_input]
        results = self.board.run(data)
        results = results[: len(results) - faults.missing_output]
        room = self.registers[RECEIVE + 0x28]
        memory[self.registers[RECEIVE + 0x18]][: min(room, len(results))] = results[:room]
        self.busy[RECEIVE] = -1 if faults.no_output_last or faults.no_input_last else 2 + faults.slow
        self.registers[RECEIVE + 0x28] = min(room, len(results))
