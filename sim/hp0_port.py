"""The processor's memory behind the DMA of a board's logic: AXI3 with checks of every burst, pauses and errors."""

from __future__ import annotations

import logging

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiSlave
from cocotbext.axi.axi_channels import AxiARSink, AxiAWSink

from sim.axis_bench import problem, sometimes
from sim.gp0_bench import Pins

BASE = 0x0010_0000
# The library's slaves are AXI4's, whose fields are wider than those of AXI3.
AxiAWSink._signal_widths |= {"awlen": 4, "awsize": 2}
AxiARSink._signal_widths |= {"arlen": 4, "arsize": 2}
_PAYLOADS = {
    "ar": "arid araddr arlen arsize arburst arcache".split(),
    "aw": "awid awaddr awlen awsize awburst awcache".split(),
    "w": "wid wdata wstrb wlast".split(),
}
_ANSWERS = "bid bresp rid rdata rresp rlast".split()
_BEAT = 8  # bytes


class Refused(Exception):
    """Memory answers an access with an error."""


class Memory(np.ndarray):
    """Bytes that the DMA can reach, as pynq.allocate gives them."""

    physical_address: int
    port: Port

    def flush(self) -> None:
        """To the memory."""
        at = self.physical_address - BASE
        self.port.data[at : at + len(self)] = bytes(self)

    def invalidate(self) -> None:
        """From the memory."""
        at = self.physical_address - BASE
        self[:] = np.frombuffer(bytes(self.port.data[at : at + len(self)]), np.uint8)


class Port:
    """The processor's slave with its memory. ``bad`` is an address that answers with an error."""

    def __init__(self, pins: Pins) -> None:
        self.pins, self.dut, self.rng = pins, pins.dut, pins.rng
        self.data = bytearray()
        self.bad = -1
        self.readable: list[range] = []
        self.writable: list[range] = []
        self.bursts: list[tuple[int, int]] = []  # address and beats of every one
        bus = AxiBus.from_prefix(self.dut, "m_axi")
        self.slave = AxiSlave(bus, self.dut.clk, self.dut.resetn, self, reset_active_level=False)
        for part in (self.slave.write_if, self.slave.read_if):
            part.log.setLevel(logging.ERROR)
        for name in _ANSWERS:  # in place of X, which a netlist shows even where the input does not count
            getattr(self.dut, f"m_axi_{name}").value = 0
        cocotb.start_soon(self._watch())

    def pauses(self, share: float) -> None:
        """Random pauses on all five channels; none with 0."""
        write, read = self.slave.write_if, self.slave.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            if share:
                channel.set_pause_generator(sometimes(self.rng, share))
            else:
                channel.clear_pause_generator()
                channel.pause = False

    def place(self, size: int, offset: int) -> int:
        """The address of so many bytes more, ``offset`` bytes behind a multiple of 4 KB; noise around them."""
        at = -(-len(self.data) // 4096) * 4096 + offset
        self.data += self.rng.randbytes(at + size + 64 - len(self.data))
        return BASE + at

    def allocate(self, size: int) -> Memory:
        """As pynq.allocate."""
        found = np.zeros(size, np.uint8).view(Memory)
        found.physical_address, found.port = self.place(size, 0), self
        whole = range(found.physical_address, found.physical_address + -(-size // _BEAT) * _BEAT)
        self.readable.append(whole)
        self.writable.append(whole)
        return found

    async def read(self, address: int, size: int) -> bytes:
        """What memory answers."""
        if address <= self.bad < address + size:
            raise Refused
        if not any(address in area and address + size <= area.stop for area in self.readable):
            problem("the DMA read what is not its own")
        return bytes(self.data[address - BASE : address - BASE + size])

    async def write(self, address: int, data: bytes) -> None:
        """What memory does."""
        if address <= self.bad < address + len(data):
            raise Refused
        if not any(address in area and address + len(data) <= area.stop for area in self.writable):
            problem("the DMA wrote where nothing is its own")
            raise Refused
        self.data[address - BASE : address - BASE + len(data)] = data

    async def _watch(self) -> None:
        """AXI3, cycle by cycle: what stands until it is taken, shapes of bursts, order and identifiers."""
        held: dict[str, tuple[int, ...]] = {}
        open_reads = open_writes = beats = 0
        answered = True  # the write before this one
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if not dut.resetn.value:
                held, open_reads, open_writes, beats, answered = {}, 0, 0, 0, True
                continue
            taken: dict[str, tuple[int, ...]] = {}
            for channel, names in _PAYLOADS.items():
                valid = str(getattr(dut, f"m_axi_{channel}valid").value)
                if valid not in "01":
                    problem(f"{channel}valid is {valid}")
                now = tuple(int(getattr(dut, f"m_axi_{n}").value) for n in names) if valid == "1" else ()
                if channel in held and now != held.pop(channel):
                    problem(f"{channel}valid or what comes with it did not stand until it was taken")
                if now:
                    ready = bool(getattr(dut, f"m_axi_{channel}ready").value)
                    (taken if ready else held)[channel] = now
            if "ar" in taken:
                self._burst("ar", taken["ar"], open_reads)
                open_reads = 1
            if "w" in taken:
                wid, _, strobes, last = taken["w"]
                if not open_writes:
                    problem("write data without an address")
                if wid != 0 or last != (beats == 1) or strobes not in (0xFF, 0x0F) or (strobes == 0x0F and not last):
                    problem("WID, WLAST or WSTRB is wrong")
                beats -= 1
                open_writes = open_writes and not last
            if "aw" in taken:
                self._burst("aw", taken["aw"], open_writes or not answered)
                open_writes, beats, answered = 1, taken["aw"][2] + 1, False
            if dut.m_axi_bvalid.value and dut.m_axi_bready.value:
                answered = True
            if dut.m_axi_rvalid.value and dut.m_axi_rready.value and dut.m_axi_rlast.value:
                open_reads = 0

    def _burst(self, channel: str, fields: tuple[int, ...], crowded: int) -> None:
        identifier, address, length, size, burst, cache = fields
        if (identifier, size, burst, cache) != (0, 3, 1, 3) or address % _BEAT:
            problem(f"{channel} asks for a burst of another kind: {fields}")
        if address // 4096 != (address + _BEAT * length) // 4096:
            problem(f"{channel} asks for a burst across 4 KB")
        if crowded:
            problem(f"{channel} asks for a burst while one is under way")
        self.bursts.append((address, length + 1))
