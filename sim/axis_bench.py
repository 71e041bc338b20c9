"""The cocotb bench of the AXI4-Stream shell: streams, registers, stalls, malformed packets and resets.

Environment: NMP_BENCH is the description file; inputs.bin and expected.bin lie beside it, whole vectors one after the
other as they go over the bus. The outcome is written to bench_result.json there. NMP_SEED seeds packets and stalls.
"""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, SimTimeoutError, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from sim.outcome import Outcome

RESULT = "bench_result.json"
PERIOD_NS = 2
CONTROL, STATUS, ERRORS, PACKET, COUNTERS = 0x40, 0x44, 0x48, 0x4C, 0x50
TORN, SHORT, OVERRUN, HOLES = 1, 2, 4, 8


class Bench:
    """The description, the vectors as bytes, and the outcome shared by all phases."""

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self.about = json.loads(path.read_text())
        self.layout = self.about["layout"]
        self.inputs = _rows(self.folder / "inputs.bin", self.layout["in_bytes"])
        self.expected = _rows(self.folder / "expected.bin", self.layout["out_bytes"])
        self.outcome = Outcome(self.about["outputs"])
        self.places = int(self.about["places"])
        beats = max(self.layout["in_beats"], self.layout["out_beats"])
        self.interval = max(beats, int(self.about["initiation_interval"]))
        self.fill = int(self.about["latency_cycles"]) + self.layout["in_beats"] + self.layout["out_beats"] + 16
        assert self.inputs, "no vectors"
        assert len(self.inputs) == len(self.expected), "inputs.bin and expected.bin differ in length"

    def bits(self, result: bytes) -> str:
        """The elements of a result on the bus as a bit string, most significant first."""
        value, lane, text = int.from_bytes(result, "little"), self.layout["out_lane_bits"], ""
        position = 0
        for element in self.about["outputs"]:
            low = (value >> position) & ((1 << element["bits"]) - 1)
            text = (f"{low:0{element['bits']}b}" if element["bits"] else "") + text
            position += lane or element["bits"]
        return text


def _rows(path: Path, size: int) -> list[bytes]:
    data = path.read_bytes()
    return [data[i : i + size] for i in range(0, len(data), size)]


BENCH = Bench(Path(os.environ["NMP_BENCH"]))


class Registers(Protocol):
    """Whatever reads and writes registers."""

    async def read(self, address: int) -> int:
        """A register."""

    async def write(self, address: int, value: int) -> None:
        """Write a register."""


class Pins:
    """The shell's three interfaces."""

    def __init__(self, dut: Any) -> None:
        self.dut, clock, reset = dut, dut.aclk, dut.aresetn
        logging.getLogger("cocotb").setLevel(logging.WARNING)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), clock, reset, reset_active_level=False)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), clock, reset, reset_active_level=False)
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), clock, reset, reset_active_level=False)
        for part in (self.source, self.sink, self.registers.write_if, self.registers.read_if):
            part.log.setLevel(logging.WARNING)

    async def reset(self) -> None:
        """Hold reset for four cycles."""
        self.dut.aresetn.value = 0
        await self.cycles(4)
        self.dut.aresetn.value = 1
        await self.cycles(2)

    async def cycles(self, count: int) -> None:
        """Let ``count`` clock cycles pass."""
        await ClockCycles(self.dut.aclk, count)

    async def read(self, address: int) -> int:
        """A register."""
        return int(await self.registers.read_dword(address))

    async def write(self, address: int, value: int) -> None:
        """Write a register."""
        await self.registers.write_dword(address, value)

    async def packet(self, cycles: int) -> bytes | None:
        """The next packet's bytes; None if there is none within ``cycles``."""
        try:
            frame = await with_timeout(self.sink.recv(), cycles * PERIOD_NS, "ns")
        except SimTimeoutError:
            return None
        return bytes(frame.tdata)


def problem(text: str) -> None:
    """Note what the shell did wrong."""
    BENCH.outcome.problem(text)


def send(pins: Pins, vectors: range) -> None:
    """Queue one packet."""
    pins.source.send_nowait(AxiStreamFrame(b"".join(BENCH.inputs[v] for v in vectors)))


async def receive(pins: Pins, vectors: range, phase: str, slow: int = 1) -> None:
    """One packet must come with exactly the results of ``vectors``."""
    size = BENCH.layout["out_bytes"]
    data = await pins.packet(slow * (BENCH.interval * len(vectors) + BENCH.fill) + 200)
    if data is None:
        problem(f"no packet came, or none with TLAST ({phase})")
        return
    if len(data) != size * len(vectors):
        problem(f"TLAST after {len(data)} bytes instead of {size * len(vectors)} ({phase})")
    for place, vector in enumerate(vectors):
        compare(vector, data[place * size : (place + 1) * size], phase)


def compare(vector: int, actual: bytes, phase: str) -> None:
    """Compare one result, padding and sign extension included."""
    expected = BENCH.expected[vector]
    if len(actual) != len(expected):
        BENCH.outcome.missing(vector, phase)
        return
    BENCH.outcome.compare(vector, BENCH.bits(expected), BENCH.bits(actual), phase)
    if actual != expected and BENCH.bits(expected) == BENCH.bits(actual):
        problem(f"padding or sign extension is wrong ({phase})")


async def check(pins: Registers, what: str, address: int, expected: int, mask: int = 0xFFFFFFFF) -> None:
    """A register must read as expected."""
    value = await pins.read(address) & mask
    if value != expected:
        problem(f"register {what} is {value:#x}, expected {expected:#x}")


async def counters(pins: Registers, vectors: int, packets: int) -> None:
    """In and out counters must agree with what was sent."""
    for place, (name, count) in enumerate(
        [("VECTORS_IN", vectors), ("VECTORS_OUT", vectors), ("PACKETS_IN", packets), ("PACKETS_OUT", packets)]
    ):
        await check(pins, name, COUNTERS + 4 * place, count)


async def phase(dut: Any, name: str, body: Callable[[Pins], Awaitable[None]]) -> None:
    """Run one phase from reset and write what is known so far."""
    outcome, faults = BENCH.outcome, BENCH.outcome.faults
    Clock(dut.aclk, PERIOD_NS, "ns").start(start_high=False)
    pins = Pins(dut)
    await pins.reset()
    await body(pins)
    outcome.phases.append(name)
    outcome.write(BENCH.folder / RESULT, len(BENCH.inputs))
    assert outcome.faults == faults, f"{outcome.faults - faults} faults: {outcome.first_mismatch} {outcome.problems}"


@cocotb.test()
async def registers(dut: Any) -> None:
    """What the shell says about itself; read-only and absent registers; byte strobes."""

    async def body(pins: Pins) -> None:
        for name, (address, value) in BENCH.about["registers"].items():
            await check(pins, name, address, value)
            await pins.write(address, ~value & 0xFFFFFFFF)
            await check(pins, f"{name} after a write to it", address, value)
        await check(pins, "beyond the last", 0x200, 0)
        await check(pins, "STATUS", STATUS, 1)
        await pins.write(PACKET, 0x01020304)
        await pins.registers.write(PACKET + 1, b"\xaa")
        await check(pins, "PACKET", PACKET, 0x0102AA04)
        await pins.write(CONTROL, 1)
        await check(pins, "PACKET after a soft reset", PACKET, 0)

    await phase(dut, "registers", body)


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """All vectors in one packet without pauses: every byte, and as fast as the slowest of bus and core."""

    async def body(pins: Pins) -> None:
        everything = range(len(BENCH.inputs))
        start = cocotb.utils.get_sim_time("ns")
        send(pins, everything)
        await receive(pins, everything, "full rate")
        cycles = int(cocotb.utils.get_sim_time("ns") - start) // PERIOD_NS
        BENCH.outcome.cycles = cycles
        if cycles > BENCH.interval * len(everything) + BENCH.fill:
            problem(f"{cycles} cycles for {len(everything)} vectors, {BENCH.interval} per vector promised")
        await counters(pins, len(everything), 1)
        await check(pins, "ERRORS", ERRORS, 0)
        await check(pins, "STATUS", STATUS, 1)

    await phase(dut, "full rate", body)


def sometimes(rng: random.Random, share: float) -> Iterator[bool]:
    """Random pauses, in bursts."""
    while True:
        paused = rng.random() < share
        for _ in range(rng.randint(1, 6)):
            yield paused


@cocotb.test()
async def stalls(dut: Any) -> None:
    """Packets of random sizes, random pauses on both sides."""
    rng = random.Random(int(os.environ.get("NMP_SEED", "0")))

    async def body(pins: Pins) -> None:
        pins.source.set_pause_generator(sometimes(rng, 0.3))
        pins.sink.set_pause_generator(sometimes(rng, 0.4))
        packets, start = [], 0
        while start < len(BENCH.inputs):
            size = rng.choice([1, 1, 2, 3, BENCH.places, 3 * BENCH.places])
            packets.append(range(start, min(start + size, len(BENCH.inputs))))
            start += size
        for vectors in packets:
            send(pins, vectors)
        for vectors in packets:
            await receive(pins, vectors, "stalls", slow=8)
        await counters(pins, len(BENCH.inputs), len(packets))
        await check(pins, "ERRORS", ERRORS, 0)

    await phase(dut, "stalls", body)


@cocotb.test()
async def held_output(dut: Any) -> None:
    """Output that is not taken for a long time stops the input and loses nothing."""

    async def body(pins: Pins) -> None:
        count = min(len(BENCH.inputs), 3 * BENCH.places + 6)
        pins.sink.pause = True
        send(pins, range(count))
        await pins.cycles(count * BENCH.interval + BENCH.fill + 4 * BENCH.places * BENCH.interval)
        # The sender holds one result, the places the others; one more vector waits before the core.
        entered = await pins.read(COUNTERS)
        if count > BENCH.places + 1 and entered != BENCH.places + 1:
            problem(f"{entered} vectors entered while {BENCH.places} places and the sender could hold results")
        if not await pins.read(COUNTERS + 20) or (count > entered + 2 and not await pins.read(COUNTERS + 16)):
            problem("the stall counters did not count")
        pins.sink.pause = False
        await receive(pins, range(count), "held output")
        await counters(pins, count, 1)

    await phase(dut, "held output", body)


async def flagged(pins: Registers, what: str, bits: int) -> None:
    """Exactly the error ``bits`` are noted, and can be cleared."""
    await check(pins, f"ERRORS after {what}", ERRORS, bits)
    await check(pins, f"STATUS after {what}", STATUS, 3)
    await pins.write(ERRORS, bits)
    await check(pins, f"ERRORS after {what}, cleared", ERRORS, 0)


async def torn_packet(pins: Pins) -> None:
    """A packet that ends inside its second vector: its first result is right, its second one carries TLAST."""
    step = BENCH.layout["bus_bits"] // 8
    beats = BENCH.layout["in_beats"]
    if beats == 1:
        return
    some = BENCH.inputs[1 % len(BENCH.inputs)][: step * (beats - 1)]
    pins.source.send_nowait(AxiStreamFrame(BENCH.inputs[0] + some))
    data = await pins.packet(2 * BENCH.interval + BENCH.fill + 200)
    if data is None or len(data) != 2 * BENCH.layout["out_bytes"]:
        problem("a torn packet gave no packet of two results")
    else:
        compare(0, data[: BENCH.layout["out_bytes"]], "malformed")
    await flagged(pins, "a torn packet", TORN)


async def packet_with_holes(pins: Pins) -> None:
    """A data byte that TKEEP leaves out is noted; a padding byte that it leaves out is not."""
    used, size = BENCH.layout["in_data_bytes"], BENCH.layout["in_bytes"]
    data = BENCH.inputs[0]
    if used:
        pins.source.send_nowait(AxiStreamFrame(data, tkeep=[int(i != used - 1) for i in range(size)]))
        await pins.packet(BENCH.interval + BENCH.fill + 200)
        await flagged(pins, "a hole", HOLES)
        pins.source.send_nowait(AxiStreamFrame(data, tkeep=[int(i < used) for i in range(size)]))
        compare(0, await pins.packet(BENCH.interval + BENCH.fill + 200) or b"", "malformed")
        await check(pins, "ERRORS after padding was left out", ERRORS, 0)


@cocotb.test()
async def malformed(dut: Any) -> None:
    """Each malformed packet is noted as what it is, and what follows it is right."""

    async def body(pins: Pins) -> None:
        await torn_packet(pins)
        await packet_with_holes(pins)
        promised = min(3, len(BENCH.inputs) - 1)
        if promised > 0:
            await pins.write(PACKET, promised)
            for count, what, bits in ((promised, "", 0), (promised + 1, "a late TLAST", OVERRUN)):
                send(pins, range(count))
                await receive(pins, range(count), "malformed")
                await (flagged(pins, what, bits) if bits else check(pins, "ERRORS", ERRORS, 0))
            await pins.write(PACKET, promised + 1)
            send(pins, range(promised))
            await receive(pins, range(promised), "malformed")
            await flagged(pins, "a short packet", SHORT)

    await phase(dut, "malformed", body)


@cocotb.test()
async def resets(dut: Any) -> None:
    """Soft reset and reset drop everything inside and leave the shell as new."""

    async def body(pins: Pins) -> None:
        count = min(len(BENCH.inputs), BENCH.places + 1)
        for hard in (False, True):
            pins.sink.pause = True
            send(pins, range(count))
            await pins.cycles(count * BENCH.interval + BENCH.fill)
            if await pins.read(STATUS) & 1:
                problem("STATUS is idle while results wait")
            await (pins.reset() if hard else pins.write(CONTROL, 1))
            pins.sink.pause = False
            if await pins.packet(BENCH.fill + BENCH.interval * count) is not None:
                problem("a result outlived a reset")
            await check(pins, "STATUS after a reset", STATUS, 1)
            await counters(pins, 0, 0)
            send(pins, range(count))
            await receive(pins, range(count), "resets")

    await phase(dut, "resets", body)
