"""The generic cocotb bench: reads the build's description file and checks the top module against the golden outputs.

Every cycle has two halves: inputs change with the falling clock edge, everything is sampled just before the rising one.
Nothing is read or written at a rising edge, so both simulators see the same values, without races.

Environment: NMP_BENCH is the description file; inputs.hex and expected.hex lie beside it, the outcome is written to
bench_result.json there. NMP_SEED seeds gaps and stalls.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

from sim.outcome import Outcome

RESULT = "bench_result.json"


class Bench:
    """The description, the vectors as integers, and the outcome shared by all phases."""

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self.about = json.loads(path.read_text())
        self.inputs = [int(line, 16) for line in (self.folder / "inputs.hex").read_text().split()]
        width = sum(e["bits"] for e in self.about["outputs"])
        lines = (self.folder / "expected.hex").read_text().split()
        self.expected = [f"{int(line, 16):0{width}b}" if width else "" for line in lines]
        self.mask = (1 << sum(e["bits"] for e in self.about["inputs"])) - 1
        self.latency = int(self.about["latency_cycles"])
        self.interval = int(self.about["initiation_interval"])
        self.ready = bool(self.about["ready"])
        self.timed = bool(self.about["timed"])
        self.outcome = Outcome(self.about["outputs"])
        self.patience = 2 * self.latency + 4 * self.interval + 64  # cycles without a result before it counts as lost
        assert self.inputs, "no vectors"
        assert len(self.inputs) == len(self.expected), "inputs.hex and expected.hex differ in length"


BENCH = Bench(Path(os.environ["NMP_BENCH"]))


class Pins:
    """The ports of the top module, one clock cycle at a time."""

    def __init__(self, dut: Any, bench: Bench) -> None:
        self.bench, self.cycle_number = bench, 0
        self.clk, self.rst = dut.clk, dut.rst
        self.in_valid, self.in_data = dut.in_valid, dut.in_data
        self.out_valid, self.out_data = dut.out_valid, dut.out_data
        self.in_ready = dut.in_ready if bench.ready else None
        self.out_ready = dut.out_ready if bench.ready else None
        self.half = Timer(1, "ns")
        self.last: dict[str, int] = {}
        if len(self.in_data) != max(1, bench.mask.bit_length()):
            bench.outcome.problem(f"in_data has {len(self.in_data)} bits, {bench.mask.bit_length()} stated")
        width = sum(e["bits"] for e in bench.about["outputs"])
        if len(self.out_data) != max(1, width):
            bench.outcome.problem(f"out_data has {len(self.out_data)} bits, {width} stated")
        self.wide = width > 0

    def _set(self, name: str, value: int) -> None:
        if self.last.get(name) != value:
            self.last[name] = value
            getattr(self, name).value = value

    async def cycle(self, valid: int, data: int, rst: int = 0, take: int = 1) -> tuple[bool, str | None]:
        """One clock cycle. Returns whether the vector was accepted, and the result's bits if out_valid was 1."""
        self._set("rst", rst)
        self._set("in_valid", valid)
        self._set("in_data", data)
        if self.out_ready is not None:
            self._set("out_ready", take)
        self.clk.value = 0
        await self.half
        out_valid = self._bit("out_valid", rst)
        result = (str(self.out_data.value) if self.wide else "") if out_valid else None
        accepted = bool(valid) and not rst and (self.in_ready is None or self._bit("in_ready", rst))
        self.clk.value = 1
        await self.half
        self.cycle_number += 1
        return accepted, result

    def _bit(self, name: str, rst: int) -> bool:
        value = str(getattr(self, name).value)
        if value not in ("0", "1") and not rst:
            self.bench.outcome.problem(f"{name} is {value}")
        return value == "1"

    async def idle(self, cycles: int, what: str) -> None:
        """Cycles without an offer, in which no result may come."""
        for _ in range(cycles):
            _, result = await self.cycle(0, self.bench.mask)
            if result is not None:
                self.bench.outcome.problem(f"out_valid is 1 {what}")

    async def reset(self, cycles: int = 1) -> None:
        """Hold reset while vectors are offered, none of which may be taken; after its first edge no result may come."""
        offer = int(self.bench.latency > 0)  # a combinational path has nothing that a reset could hold back
        for number in range(cycles):
            _, result = await self.cycle(offer, self.bench.inputs[0], rst=1)
            if number and result is not None:
                self.bench.outcome.problem("out_valid is 1 during reset")


class Stream:
    """Offers vectors and checks every result: its order, its time and all its bits."""

    def __init__(self, pins: Pins, phase: str) -> None:
        self.pins, self.bench, self.phase = pins, pins.bench, phase
        self.flying: deque[tuple[int, int]] = deque()  # (vector, cycle it was accepted in)
        self.accepts: list[int] = []
        seen = self.bench.outcome.latency_seen
        self.latency = self.bench.latency if seen is None else seen  # a wrong latency is told once, not per vector
        self.held: str | None = None

    async def run(self, vectors: range, gap: Callable[[], bool], stall: Callable[[], bool], drain: bool = True) -> None:
        """Offer ``vectors`` with the given gaps and stalls, then wait for the results unless ``drain`` is false."""
        bench, pins = self.bench, self.pins
        offered = waiting = 0
        holding = False  # an offer stands until it is accepted
        while offered < len(vectors) or (drain and self.flying):
            holding = offered < len(vectors) and (holding or not gap())
            data = bench.inputs[vectors[offered]] if offered < len(vectors) else 0
            before = len(self.flying)
            accepted = await self._step(vectors[offered] if holding else None, data, not stall())
            offered += accepted
            holding = holding and not accepted
            waiting = 0 if accepted or len(self.flying) < before else waiting + 1
            if waiting > bench.patience:
                break
        if offered < len(vectors):
            bench.outcome.problem(f"in_ready stayed 0 for {bench.patience} cycles")
        if drain:
            for vector, _ in self.flying:
                bench.outcome.missing(vector, self.phase)
            self.flying.clear()
            await pins.idle(self.latency + 8, "when no vector is in flight")

    async def _step(self, vector: int | None, data: int, take: bool) -> bool:
        # Without an offer the data port carries the opposite bits: a design that looks at them anyway is found out.
        now = self.pins.cycle_number
        accepting = vector is not None and not self.bench.ready
        if accepting and vector is not None:  # a combinational result comes in the same cycle
            self.flying.append((vector, now))
        word = data if vector is not None else data ^ self.bench.mask
        accepted, result = await self.pins.cycle(int(vector is not None), word, take=int(take))
        if accepted and not accepting and vector is not None:
            self.flying.append((vector, now))
        if accepted:
            self.accepts.append(now)
        if self.bench.ready:
            self._handshake(result, take)
        else:
            self._on_time(result, now)
        return accepted

    def _on_time(self, result: str | None, now: int) -> None:
        due = bool(self.flying) and self.flying[0][1] + self.latency == now
        if result is not None and due:
            self._compare(result)
        elif result is not None:
            self.bench.outcome.problem(f"out_valid is 1 when no result is due ({self.phase})")
        elif due:
            self.bench.outcome.missing(self.flying.popleft()[0], self.phase)

    def _handshake(self, result: str | None, take: bool) -> None:
        if self.held is not None and result != self.held:
            self.bench.outcome.problem("out_valid or out_data changed while out_ready was 0")
        self.held = result if result is not None and not take else None
        if result is None or not take:
            return
        if self.flying:
            self._compare(result)
        else:
            self.bench.outcome.problem("a result came for which no vector was accepted")

    def _compare(self, result: str) -> None:
        vector, _ = self.flying.popleft()
        self.bench.outcome.compare(vector, self.bench.expected[vector], result, self.phase)


def never() -> bool:
    """No gap, no stall."""
    return False


def until_full(stream: Stream) -> Callable[[], bool]:
    """No result is taken until nothing has been accepted for so long that every place inside must be full."""
    pins, start, full = stream.pins, stream.pins.cycle_number, False

    def stall() -> bool:
        nonlocal full
        last = stream.accepts[-1] if stream.accepts else start
        full = full or pins.cycle_number - last > 3 * BENCH.interval + 8
        return not full

    return stall


async def _phase(name: str, body: Callable[[], Awaitable[None]]) -> None:
    outcome, faults, start = BENCH.outcome, BENCH.outcome.faults, time.perf_counter()
    await body()
    outcome.simulation_seconds += time.perf_counter() - start
    outcome.phases.append(name)
    outcome.write(BENCH.folder / RESULT, len(BENCH.inputs))
    assert outcome.faults == faults, f"{outcome.faults - faults} faults; first mismatch {outcome.first_mismatch}"


def _pins(dut: Any) -> Pins:
    return Pins(dut, BENCH)


@cocotb.test()
async def reset(dut: Any) -> None:
    """Reset keeps out_valid low, and flushes what is in flight."""
    pins = _pins(dut)

    async def body() -> None:
        await pins.reset(4)
        await pins.idle(BENCH.patience, "after reset, before any vector")
        some = range(min(len(BENCH.inputs), max(2, BENCH.latency // 2)))
        await Stream(pins, "reset").run(some, never, never, drain=False)
        await pins.reset()
        await pins.idle(BENCH.patience, "after a reset that should have flushed it")

    await _phase("reset", body)


@cocotb.test()
async def latency(dut: Any) -> None:
    """A lone vector's result comes exactly latency_cycles clock edges later."""
    pins = _pins(dut)

    async def body() -> None:
        await pins.reset()
        for vector in range(min(3, len(BENCH.inputs))):
            seen = await _lone(pins, vector)
            if BENCH.outcome.latency_seen is None:
                BENCH.outcome.latency_seen = seen
            if seen is None:
                BENCH.outcome.problem(f"no result within {BENCH.patience} cycles of a lone vector")
            elif BENCH.timed and seen != BENCH.latency:
                BENCH.outcome.problem(f"latency {seen} seen, {BENCH.latency} stated")

    await _phase("latency", body)


async def _lone(pins: Pins, vector: int) -> int | None:
    """Cycles from accepting one vector to its result; None if there is none."""
    accepted_at: int | None = None
    for _ in range(BENCH.patience):
        now, offer = pins.cycle_number, accepted_at is None
        data = BENCH.inputs[vector]
        accepted, result = await pins.cycle(int(offer), data if offer else data ^ BENCH.mask)
        if accepted:
            accepted_at = now
        if result is not None and accepted_at is None:
            BENCH.outcome.problem("out_valid is 1 before a vector was accepted")
        elif result is not None and accepted_at is not None:
            return now - accepted_at
    return None


@cocotb.test()
async def back_to_back(dut: Any) -> None:
    """Every vector, offered without gaps: every bit of every result, and the interval between accepted vectors."""
    pins = _pins(dut)

    async def body() -> None:
        await pins.reset()
        stream = Stream(pins, "back to back")
        await stream.run(range(len(BENCH.inputs)), never, never)
        # Buffers may fill faster than the design works, so the interval is judged once they are full.
        steady = stream.accepts[BENCH.latency // BENCH.interval + 2 :] if BENCH.ready else stream.accepts
        intervals = [b - a for a, b in itertools.pairwise(steady)]
        if intervals:
            BENCH.outcome.interval_seen = max(intervals)
        for wrong in sorted({i for i in intervals if BENCH.timed and i != BENCH.interval}):
            BENCH.outcome.problem(f"initiation interval {wrong} seen, {BENCH.interval} stated")

    await _phase("back to back", body)


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
        await Stream(pins, "gaps").run(range(count // 2), sometimes, sometimes, drain=False)
        await pins.reset()
        await Stream(pins, "gaps").run(range(count // 2, count), sometimes, sometimes)
        if BENCH.ready:
            held = Stream(pins, "held output")
            await held.run(range(count), never, until_full(held))
        BENCH.outcome.cycles = pins.cycle_number

    await _phase("gaps", body)
