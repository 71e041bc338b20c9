"""The cocotb bench of the DMA in a board's logic: transfers from memory to memory, ordered by way of the registers.

Environment and files are those of ``sim.gp0_bench``, after whose phases these run; ``sim.hp0_port`` is the memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cocotb
import numpy as np
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles

from sim.axis_bench import BENCH, CONTROL, ERRORS, check, compare, counters, problem
from sim.gp0_bench import BEATS, NOTHING, WINDOWS, Pins, exchange, load_driver, phase
from sim.hp0_port import BASE, Port

STATUS, SOURCE, SOURCE_WORDS, _, TARGET_WORDS = (0x2000 + 4 * i for i in range(5))
START, STOP = 1, 2
BUSY, COMPLETE, READ_ERROR, WRITE_ERROR = 1, 2, 4, 8
IDENTITY = 0x444D_0000
_LATE = 64  # cycles in which a DMA that went on after a stop would show it
_PATIENT = BENCH.about["patient"]
_SHARES = (0.0, 0.3, 0.7) if _PATIENT else (0.3,)  # of paused cycles
_POLLS = 4000 + 2 * BENCH.interval * len(BENCH.inputs)  # of STATUS until a transfer has ended, however slow memory is
_MOST = max(2, 6000 // BENCH.interval)  # vectors of a packet


class TransferHangs(Exception):
    """Nothing that comes after it can be judged."""


async def prepare(pins: Pins, port: Port, vectors: Sequence[int]) -> tuple[int, int]:
    """Vectors in memory, the registers written; addresses of the vectors and of the results."""
    words = [len(vectors) * BENCH.layout[size] for size in ("in_bytes", "out_bytes")]
    # Ends of pages are met at every distance, also by the last beat.
    places = [[0, 1, 15, 16, 511, 512 - min(512, -(-w // 8)), pins.rng.randrange(512)] for w in words]
    source, target = (port.place(w, 8 * pins.rng.choice(own)) for w, own in zip(words, places, strict=True))
    data = b"".join(BENCH.inputs[v] for v in vectors)
    port.data[source - BASE : source - BASE + len(data)] = data
    port.readable = [range(source, source + -(-len(data) // 8) * 8)]
    port.writable = [range(target, target + words[1])]
    await pins.write(CONTROL, 1)
    for number, value in enumerate((source, words[0] // 4, target, words[1] // 4)):
        await pins.write(SOURCE + 4 * number, value)
    return source, target


async def ended(pins: Pins) -> int:
    """STATUS when no transfer is under way any more; its identity must be right."""
    for _ in range(_POLLS):
        status = await pins.read(STATUS)
        if status & 0xFFFF_0000 != IDENTITY:
            problem(f"STATUS of the DMA is {status:#x}")
        if not status & BUSY:
            return status & 0xFFFF
    problem("a transfer does not end")
    raise TransferHangs


async def transfer(pins: Pins, port: Port, vectors: Sequence[int], name: str) -> None:
    """One packet; its results must be exactly right, and nothing beside them may have changed."""
    _, target = await prepare(pins, port, vectors)
    before, size = bytes(port.data), BENCH.layout["out_bytes"]
    await pins.write(STATUS, START)
    status = await ended(pins)
    if status != COMPLETE:
        problem(f"STATUS of the DMA is {status:#x} after a transfer ({name})")
    start, stop = target - BASE, target - BASE + size * len(vectors)
    for place, vector in enumerate(vectors):
        compare(vector, bytes(port.data[start + place * size : start + (place + 1) * size]), name)
    if port.data[:start] != before[:start] or port.data[stop:] != before[stop:]:
        problem(f"memory beside the results has changed ({name})")
    for what, address in (("SOURCE_WORDS", SOURCE_WORDS), ("TARGET_WORDS", TARGET_WORDS)):
        await check(pins, f"{what} after a transfer", address, 0)
    await counters(pins, len(vectors), 1)
    await check(pins, "ERRORS", ERRORS, 0)


async def dma_phase(dut: Any, name: str, body: Callable[[Pins, Port], Awaitable[None]]) -> None:
    """A phase with memory behind the DMA."""

    async def with_memory(pins: Pins) -> None:
        await body(pins, Port(pins))

    await phase(dut, name, with_memory)


def some(pins: Pins, count: int) -> list[int]:
    """So many vectors from a random one on, over and over; fewer where the core is slow."""
    start = pins.rng.randrange(len(BENCH.inputs))
    return [(start + i) % len(BENCH.inputs) for i in range(min(count, _MOST))]


@cocotb.test()
async def transfers(dut: Any) -> None:
    """Every vector in one packet, then packets of all sizes with random pauses; windows work before and behind."""

    async def body(pins: Pins, port: Port) -> None:
        await exchange(pins, range(1), "transfers")
        await transfer(pins, port, range(len(BENCH.inputs)), "transfers")
        for share in _SHARES:
            port.pauses(share)
            sizes = [1, 2, 3, *(pins.rng.randrange(most // 4, most) for most in (20, 100, 400))]
            for count in sizes[: 6 if _PATIENT else 2]:
                await transfer(pins, port, some(pins, count), "transfers")
        lengths = {beats for _, beats in port.bursts}
        if _PATIENT and (16 not in lengths or len(lengths) < 4):
            problem(f"bursts of few lengths: {sorted(lengths)}")
        await pins.write(CONTROL, 1)
        await exchange(pins, range(1), "transfers")
        await check(pins, "WINDOWS", WINDOWS, 0)

    await dma_phase(dut, "transfers", body)


@cocotb.test()
async def refusals(dut: Any) -> None:
    """An error of memory, for either way and anywhere, stops the transfer and is told; the next one is right."""

    async def body(pins: Pins, port: Port) -> None:
        for share in _SHARES[:2]:
            port.pauses(share)
            for place, bit in ((0, READ_ERROR), (1, WRITE_ERROR), (0, READ_ERROR), (1, WRITE_ERROR)):
                vectors = some(pins, 40)
                address = (await prepare(pins, port, vectors))[place]
                size = len(vectors) * BENCH.layout["out_bytes" if place else "in_bytes"]
                port.bad = address + pins.rng.randrange(size)
                await pins.write(STATUS, START)
                status = await ended(pins)
                if status != bit:
                    problem(f"STATUS of the DMA is {status:#x} after an error of memory, expected {bit:#x}")
                port.bad = -1
                await transfer(pins, port, some(pins, 3), "refusals")

    await dma_phase(dut, "refusals", body)


@cocotb.test()
async def stops(dut: Any) -> None:
    """Stopped at any time, no burst is left half done; after a stop or a reset the next transfer is right."""

    async def body(pins: Pins, port: Port) -> None:
        for number in range(16 if _PATIENT else 4):
            port.pauses(0.4 * (number % 2))
            vectors = some(pins, 200)
            await prepare(pins, port, vectors)
            await pins.write(STATUS, START)
            await ClockCycles(dut.clk, pins.rng.randrange(120))
            if number % 4 == 3:
                await pins.reset()
            else:
                await pins.write(SOURCE_WORDS, 1)  # ignored, as it is busy
                await pins.write(STATUS, STOP)
                status = await ended(pins)
                if status not in (0, COMPLETE):
                    problem(f"STATUS of the DMA is {status:#x} after a stop")
                asked = len(port.bursts)
                await ClockCycles(dut.clk, _LATE)
                if len(port.bursts) != asked:
                    problem("a burst was asked for after a stop")
            await transfer(pins, port, some(pins, pins.rng.randrange(1, 6)), "stops")
        await prepare(pins, port, some(pins, 2))
        await pins.write(SOURCE_WORDS, 0)  # results will be waited for in vain
        await pins.write(STATUS, START)
        await check(pins, "a result while the streams are the DMA's", BEATS, 0)
        await check(pins, "WINDOWS", WINDOWS, NOTHING)
        await check(pins, "STATUS of a DMA that waits", STATUS, IDENTITY | BUSY)
        await pins.write(STATUS, STOP)
        await check(pins, "STATUS of a stopped DMA", STATUS, IDENTITY)
        await pins.write(WINDOWS, NOTHING)

    await dma_phase(dut, "stops", body)


@cocotb.test()
async def driver_by_dma(dut: Any) -> None:
    """The board's own driver with memory that the DMA reaches: its self test passes, an error of memory is told."""

    async def body(pins: Pins, port: Port) -> None:
        folder = Path(os.environ["NMP_BOARD"])
        module = load_driver(folder / "driver.py")
        model = json.loads((folder / "accelerator.json").read_text())
        tests = json.loads((folder / "selftest.json").read_text())
        core = SimpleNamespace(read=resume(pins.read), write=resume(pins.write))

        def on_the_processor() -> str:
            accelerator = module.Accelerator(model, core, None, port.allocate, timeout_s=60.0, max_vectors=50)
            inputs, expected = (np.array(tests[what], np.int64) for what in ("inputs", "expected"))
            wrong = int((accelerator.infer(inputs) != expected).any(axis=1).sum())
            if not port.bursts:
                return "the driver did not use the DMA"
            port.bad = accelerator._source.physical_address
            try:
                accelerator.infer(inputs[:1])
            except module.DmaError:
                port.bad = -1
                wrong += int((accelerator.infer(inputs[:1]) != expected[:1]).any())
                return f"{wrong} results of the driver are wrong" if wrong else ""
            return "the driver does not tell an error of memory"

        found = await bridge(on_the_processor)()
        if found:
            problem(found)

    await dma_phase(dut, "driver by DMA", body)
