"""The generic cocotb bench: reads the build's description file and checks the top module against the golden outputs.

Environment: NMP_BENCH is the description file; inputs.hex and expected.hex lie beside it, the outcome is written to
bench_result.json there. NMP_SEED seeds gaps and stalls, NMP_LONG_CYCLES bounds the clock cycles of each long phase.
"""

from __future__ import annotations

import itertools
import os
import random
from typing import Any

import cocotb

from sim.core_pins import BENCH, Pins, Stream, counted, held_for, never, phase, until_full, when_empty
from sim.lengths import lengths


def _pins(dut: Any) -> Pins:
    return Pins(dut, BENCH)


@cocotb.test()
async def reset(dut: Any) -> None:
    """Reset keeps out_valid low, and flushes what is in flight."""
    pins = _pins(dut)

    async def body() -> None:
        some = range(min(len(BENCH.inputs), max(2, BENCH.latency // 2)))
        for cycles in (1, 4):  # one cycle of it must do, from what stands in the registers when power comes
            await pins.reset(cycles)
            await pins.idle(BENCH.patience, "after reset, before any vector")
            await Stream(pins, "reset").run(some, drain=False)
            await pins.reset()
            await pins.idle(BENCH.patience, "after a reset that should have flushed it")

    await phase("reset", body)


@cocotb.test()
async def latency(dut: Any) -> None:
    """A lone vector's result comes exactly latency_cycles clock edges later."""
    pins = _pins(dut)

    async def body() -> None:
        await pins.reset()
        for vector in range(min(3, len(BENCH.inputs))):
            if BENCH.streams:  # zeros around a map enter meanwhile, and what nobody reads of a vector leaves
                await pins.idle(BENCH.latency + BENCH.interval, "before a lone vector")
            seen = await _lone(pins, vector)
            if BENCH.outcome.latency_seen is None:
                BENCH.outcome.latency_seen = seen
            if seen is None:
                BENCH.outcome.problem(f"no result within {BENCH.patience} cycles of a lone vector")
            elif BENCH.timed and seen != BENCH.latency:
                BENCH.outcome.problem(f"latency {seen} seen, {BENCH.latency} stated")

    await phase("latency", body)


async def _lone(pins: Pins, vector: int) -> int | None:
    """Cycles from accepting one vector to its result; None if there is none."""
    accepted_at: int | None = None
    seen: int | None = None
    for _ in range(BENCH.patience):
        now, offer = pins.cycle_number, accepted_at is None
        data = BENCH.inputs[vector]
        offer = offer or bool(pins.beat)
        _, result = await pins.cycle(int(offer), data if offer else data ^ BENCH.mask)
        if pins.began:
            accepted_at = now
        if result is not None and accepted_at is None:
            BENCH.outcome.problem("out_valid is 1 before a vector was accepted")
        elif result is not None and accepted_at is not None:
            seen = now - accepted_at
        if seen is not None and not pins.beat:  # a result may come before the last beat of its vector
            return seen
    return seen


@cocotb.test()
async def back_to_back(dut: Any) -> None:
    """Every vector, offered without gaps: every bit of every result, and the interval between accepted vectors."""
    pins = _pins(dut)

    async def body() -> None:
        await pins.reset()
        stream = Stream(pins, "back to back")
        await stream.run(range(len(BENCH.inputs)))
        # Buffers may fill faster than the design works, so the interval is judged once they are full.
        steady = stream.accepts[BENCH.latency // BENCH.interval + 2 :] if BENCH.ready else stream.accepts
        if BENCH.streams:  # how many vectors its queues take is not known: what leaves it tells the pace at once
            steady = stream.results[2:]
        intervals = [b - a for a, b in itertools.pairwise(steady)]
        if intervals:
            BENCH.outcome.interval_seen = max(intervals)
        for wrong in sorted({i for i in intervals if BENCH.timed and i != BENCH.interval}):
            BENCH.outcome.problem(f"initiation interval {wrong} seen, {BENCH.interval} stated")

    await phase("back to back", body)


@cocotb.test()
async def gaps(dut: Any) -> None:
    """Random gaps and stalls, and a reset in the middle after which everything works as before.

    With handshakes, also an output that is not taken until the design is full: the input stops, and nothing is lost.
    """
    pins = _pins(dut)
    rng = random.Random(int(os.environ.get("NMP_SEED", "0")))

    def sometimes() -> bool:
        return rng.random() < 0.4

    async def body() -> None:
        await pins.reset()
        count = min(len(BENCH.inputs), 128)
        for part, drain in ((range(count // 2), False), (range(count // 2, count), True)):
            stream = Stream(pins, "gaps")
            stream.within = sometimes
            await stream.run(part, sometimes, sometimes, drain=drain)
            if not drain:
                await pins.reset()
        if BENCH.ready:
            held = Stream(pins, "held output")
            await held.run(range(count), never, until_full(held))
        BENCH.outcome.cycles = pins.cycle_number

    await phase("gaps", body)


def _pairs(counts: list[int]) -> list[int]:
    """A pause before the first of every two vectors: a fault may show on either."""
    return [count for pause in counts for count in (pause, 0)]


def _some(count: int) -> list[int]:
    """So many vectors, from the first one again once all were used."""
    return [i % len(BENCH.inputs) for i in range(count)]


def _pauses(cycles: int) -> list[int]:
    """Pauses before pairs of vectors that take at most so many cycles."""
    work = 2 * BENCH.interval + BENCH.latency if BENCH.ready else 2
    return _pairs(lengths(cycles, overhead=work))


@cocotb.test()
async def long_gaps(dut: Any) -> None:
    """Idle times of many lengths, counted from the vector before and from the result before."""
    pins = _pins(dut)

    async def body() -> None:
        await pins.reset()
        for cycles, empty in ((BENCH.long_cycles, BENCH.ready), (BENCH.long_cycles // 4, not BENCH.ready)):
            pauses = _pauses(cycles)
            stream = Stream(pins, "long gaps")
            gap = when_empty(stream, pauses) if empty else counted(pauses)
            await stream.run(_some(len(pauses)), gap, longest=max(pauses, default=0))

    await phase("long gaps", body)


@cocotb.test()
async def long_stalls(dut: Any) -> None:
    """Results held for many lengths, with a full design behind them and with nothing; they must stand all the time."""
    pins = _pins(dut)

    async def body() -> None:
        await pins.reset()
        for cycles, alone in ((BENCH.long_cycles, False), (BENCH.long_cycles // 4, True)) if BENCH.ready else ():
            pauses = _pauses(cycles)
            stream = Stream(pins, "long stalls")
            gap = when_empty(stream, ()) if alone else never
            await stream.run(_some(len(pauses)), gap, held_for(stream, pauses), longest=max(pauses, default=0))

    await phase("long stalls", body)


@cocotb.test()
async def long_run(dut: Any) -> None:
    """Thousands of results without a pause; blocks of one vector, so that the design's logic has little to do."""
    pins = _pins(dut)

    async def body() -> None:
        await pins.reset()
        count = min(5500, BENCH.long_cycles // BENCH.interval)
        await Stream(pins, "long run").run([(i // 32) % len(BENCH.inputs) for i in range(count)])

    await phase("long run", body)


@cocotb.test()
async def resets(dut: Any) -> None:
    """Resets at every moment after a vector, of many lengths, after long idle times, and close to each other."""
    pins = _pins(dut)
    work, last = 2 * BENCH.latency + BENCH.interval + 16, BENCH.latency + BENCH.interval + 3

    async def reset_at(moment: int, cycles: int, idle: int) -> None:
        stream = Stream(pins, "resets")
        await stream.run(_some(2), drain=False)
        for _ in range(moment):
            await stream.step()
        await pins.reset(cycles)
        await pins.idle(idle, "after a reset, before any vector")

    async def body() -> None:
        await pins.reset()
        step = max(1, 4 * last * work // max(BENCH.long_cycles, 1))
        some = lengths(BENCH.long_cycles // 3, longest=130, overhead=work)
        events = [(moment, 1, 0) for moment in range(0, last, step)]
        events += [(length % last, length, 0) for length in some] + [(length % last, 1, length) for length in some]
        events += [(length, 1, 0) for length in lengths(BENCH.long_cycles // 4, overhead=work)[-6:]]
        for number, event in enumerate(events):
            await reset_at(*event)
            await Stream(pins, "resets").run(_some(3))
            if number % 8 == 7:  # two more, the second one before anything can have come out
                await pins.reset()
                await Stream(pins, "resets").run(_some(1), drain=False)
                await pins.reset()

    await phase("resets", body)
