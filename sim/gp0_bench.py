"""The cocotb bench of the processor's slave: what a Zynq's M_AXI_GP0 does, bursts and identifiers included.

Environment and files are those of ``sim.axis_bench``; NMP_BOARD is the folder that goes to the board. The same bench
runs on the Verilog and on the netlist of a bitstream, cut at the pins of the processor.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, SimTimeoutError, with_timeout
from cocotbext.axi import AxiBurstType, AxiBus, AxiMaster
from cocotbext.axi.axi_channels import AxiARSource, AxiAWSource

from sim.axis_bench import (
    BENCH,
    CONTROL,
    ERRORS,
    PACKET,
    PERIOD_NS,
    RESULT,
    SHORT,
    STATUS,
    check,
    compare,
    counters,
    flagged,
    problem,
    sometimes,
)

WINDOWS, BEATS, LAST = 0x1000, 0x8000, 0xC000
DROPPED, NOTHING = 1, 2
# The library's masters are AXI4's, whose fields are wider than those of AXI3.
AxiAWSource._signal_widths |= {"awlen": 4, "awsize": 2}
AxiARSource._signal_widths |= {"arlen": 4, "arsize": 2}
_QUIET = "awid awaddr awlen awsize awburst wdata wstrb wlast arid araddr arlen arsize arburst".split()
_MEMORY = "awready wready bid bresp bvalid arready rid rdata rresp rlast rvalid".split()  # no burst is asked for here
_SPAN = 0x1000  # of a window that one transfer uses here


class Pins:
    """The slave, as the processor sees it."""

    def __init__(self, dut: Any) -> None:
        self.dut, self.rng = dut, random.Random(int(os.environ.get("NMP_SEED", "0")))
        logging.getLogger("cocotb").setLevel(logging.WARNING)
        bus = AxiBus.from_prefix(dut, "s_axi")
        self.master = AxiMaster(bus, dut.clk, dut.resetn, reset_active_level=False, max_burst_len=16)
        for part in (self.master.write_if, self.master.read_if):
            part.log.setLevel(logging.WARNING)
        for name in _QUIET:  # in place of X, which a look-up table shows even where the input does not count
            getattr(dut, f"s_axi_{name}").value = 0
        for name in _MEMORY:
            getattr(dut, f"m_axi_{name}").value = 0

    async def reset(self) -> None:
        """Hold reset for eight cycles."""
        self.dut.resetn.value = 0
        await ClockCycles(self.dut.clk, 8)
        self.dut.resetn.value = 1
        await ClockCycles(self.dut.clk, 4)

    async def read(self, address: int) -> int:
        """A register."""
        return int.from_bytes((await self.master.read(address, 4)).data, "little")

    async def write(self, address: int, value: int) -> None:
        """Write a register."""
        await self.master.write(address, value.to_bytes(4, "little"))

    async def send(self, data: bytes, ends: bool) -> None:
        """Beats of the vectors' stream, in bursts anywhere in the windows; the last one ends the packet if it does."""
        body = data[:-4] if ends else data
        while body:
            size = min(len(body), self.rng.choice([4, 8, 20, 64, 400]))
            await self.master.write(self._place(BEATS, size), body[:size], **self._kind(size))
            body = body[size:]
        if ends:
            await self.master.write(self._place(LAST, 4), data[-4:])

    async def take(self, size: int) -> bytes:
        """Beats of the results' stream."""
        found = b""
        while len(found) < size:
            step = min(size - len(found), self.rng.choice([4, 8, 20, 64, 400]))
            found += (await self.master.read(self._place(BEATS, step), step, **self._kind(step))).data
        return found

    def _place(self, window: int, size: int) -> int:
        return window + 4 * self.rng.randrange((_SPAN - size) // 4 + 1)

    def _kind(self, size: int) -> dict[str, Any]:
        """An identifier; for what one burst holds also a burst to one address."""
        fixed = size <= 64 and self.rng.random() < 0.3
        return {"burst": AxiBurstType.FIXED if fixed else AxiBurstType.INCR}


async def exchange(pins: Pins, vectors: range, phase: str, at_once: bool = False) -> None:
    """One packet, in pieces that the results' places hold; its results must be exactly right."""
    for start in range(vectors.start, vectors.stop, BENCH.places):
        some = range(start, min(start + BENCH.places, vectors.stop))
        sending = pins.send(b"".join(BENCH.inputs[v] for v in some), some.stop == vectors.stop)
        size = BENCH.layout["out_bytes"]
        if at_once:
            task = cocotb.start_soon(sending)
            data = await pins.take(size * len(some))
            await task
        else:
            await sending
            data = await pins.take(size * len(some))
        for place, vector in enumerate(some):
            compare(vector, data[place * size : (place + 1) * size], phase)


async def phase(dut: Any, name: str, body: Callable[[Pins], Awaitable[None]]) -> None:
    """Run one phase from reset and write what is known so far."""
    outcome, faults = BENCH.outcome, BENCH.outcome.faults
    broken = f"the slave broke the bus protocol ({name})"  # what ends a test from within the masters
    problem(broken)
    outcome.phases.append(name)
    outcome.write(BENCH.folder / RESULT, len(BENCH.inputs))
    Clock(dut.clk, PERIOD_NS, "ns").start(start_high=False)
    pins = Pins(dut)
    await pins.reset()
    try:
        await with_timeout(body(pins), 100_000 * BENCH.interval * PERIOD_NS + 1_000_000, "ns")
    except SimTimeoutError:
        problem(f"the bus did not come free ({name})")
    del outcome.problems[broken]
    outcome.write(BENCH.folder / RESULT, len(BENCH.inputs))
    assert outcome.faults == faults, f"{outcome.faults - faults} faults: {outcome.first_mismatch} {outcome.problems}"


@cocotb.test()
async def registers(dut: Any) -> None:
    """What the accelerator says of itself; read-only and absent registers; byte strobes; all of it in one burst."""

    async def body(pins: Pins) -> None:
        whole = (await pins.master.read(0, 64)).data
        for name, (address, value) in BENCH.about["registers"].items():
            await check(pins, name, address, value)
            if address < 64 and int.from_bytes(whole[address : address + 4], "little") != value:
                problem(f"register {name} is another one in a burst")
            await pins.write(address, ~value & 0xFFFFFFFF)
            await check(pins, f"{name} after a write to it", address, value)
        for name, address in (("beyond the last", 0x200), ("WINDOWS", WINDOWS), ("of no use", 0x3000)):
            await check(pins, name, address, 0)
        await check(pins, "STATUS", STATUS, 1)
        await pins.write(PACKET, 0x01020304)
        await pins.master.write(PACKET + 1, b"\xaa")
        await check(pins, "PACKET", PACKET, 0x0102AA04)
        await pins.write(CONTROL, 1)
        await check(pins, "PACKET after a soft reset", PACKET, 0)

    await phase(dut, "registers", body)


@cocotb.test()
async def packets(dut: Any) -> None:
    """Every vector once, in packets of random sizes."""

    async def body(pins: Pins) -> None:
        start, count = 0, 0
        while start < len(BENCH.inputs):
            size = pins.rng.choice([1, 1, 2, 3, BENCH.places, 3 * BENCH.places])
            await exchange(pins, range(start, min(start + size, len(BENCH.inputs))), "packets")
            start, count = start + size, count + 1
        await counters(pins, len(BENCH.inputs), count)
        await check(pins, "ERRORS", ERRORS, 0)
        await check(pins, "WINDOWS", WINDOWS, 0)

    await phase(dut, "packets", body)


@cocotb.test()
async def both_ways(dut: Any) -> None:
    """Reads wait for results while their vectors are written, with pauses on all channels."""

    async def body(pins: Pins) -> None:
        write, read = pins.master.write_if, pins.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(sometimes(pins.rng, 0.3))
        count = min(len(BENCH.inputs), 2 * BENCH.places)
        await exchange(pins, range(count), "both ways", at_once=BENCH.about["patient"])
        await counters(pins, count, 1)
        await check(pins, "WINDOWS", WINDOWS, 0)

    await phase(dut, "both ways", body)


@cocotb.test()
async def misuse(dut: Any) -> None:
    """Reads of nothing and writes without room end and are noted; so is a short packet. What follows is right."""

    async def body(pins: Pins) -> None:
        await check(pins, "a result that is not there", BEATS, 0)
        await check(pins, "WINDOWS after a read of nothing", WINDOWS, NOTHING)
        await pins.write(WINDOWS, NOTHING)
        for vector in range(BENCH.places + 4):
            await pins.send(BENCH.inputs[vector % len(BENCH.inputs)], False)
        await check(pins, "WINDOWS after writes without room", WINDOWS, DROPPED)
        await pins.write(CONTROL, 1)
        await pins.write(WINDOWS, DROPPED)
        await check(pins, "WINDOWS, cleared", WINDOWS, 0)
        await pins.write(PACKET, 2)
        await exchange(pins, range(1), "misuse")
        await flagged(pins, "a short packet", SHORT)
        await pins.write(CONTROL, 1)
        await exchange(pins, range(min(2, len(BENCH.inputs))), "misuse")
        await check(pins, "ERRORS", ERRORS, 0)

    await phase(dut, "misuse", body)


@cocotb.test()
async def driver(dut: Any) -> None:
    """The board's own driver: it knows its bitstream by the digest, its self test passes, another one's is refused."""

    async def body(pins: Pins) -> None:
        folder = Path(os.environ["NMP_BOARD"])
        module = load_driver(folder / "driver.py")
        model = json.loads((folder / "accelerator.json").read_text())
        tests = json.loads((folder / "selftest.json").read_text())
        core = SimpleNamespace(read=resume(pins.read), write=resume(pins.write))

        def on_the_processor() -> str:
            accelerator = module.Accelerator(model, core)
            inputs, expected = (np.array(tests[what], np.int64) for what in ("inputs", "expected"))
            wrong = int((accelerator.infer(inputs) != expected).any(axis=1).sum())
            try:
                module.Accelerator({**model, "digest": "0" * 64}, core)
            except module.WrongBitstream:
                return f"{wrong} results of the driver are wrong" if wrong else ""
            return "the driver takes another build's bitstream for its own"

        found = await bridge(on_the_processor)()
        if found:
            problem(found)

    await phase(dut, "driver", body)


def load_driver(path: Path) -> Any:
    """The board's driver as a module."""
    spec = importlib.util.spec_from_file_location("driver", path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
