"""What every phase of the cocotb bench stands on: the description, the ports cycle by cycle, a stream that is checked.

Every cycle has two halves: inputs change with the falling clock edge, everything is sampled just before the rising one.
Nothing is read or written at a rising edge, so both simulators see the same values, without races.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

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
        self.in_beats, self.out_beats = int(self.about.get("in_beats", 1)), int(self.about.get("out_beats", 1))
        self.streams = bool(self.about.get("streams", False))
        self.in_bits, self.out_bits = self.mask.bit_length() // self.in_beats, width // self.out_beats  # of a beat
        self.outcome = Outcome(self.about["outputs"])
        self.long_cycles = int(os.environ.get("NMP_LONG_CYCLES", "20000"))
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
        self.beat, self.began = 0, False  # the beat of the vector that is offered; whether its first was just taken
        self.beats: list[str] = []  # of the result that is coming
        self.held: str | None = None  # a beat that was not taken
        if len(self.in_data) != max(1, bench.in_bits):
            bench.outcome.problem(f"in_data has {len(self.in_data)} bits, {bench.in_bits} stated")
        if len(self.out_data) != max(1, bench.out_bits):
            bench.outcome.problem(f"out_data has {len(self.out_data)} bits, {bench.out_bits} stated")
        self.wide = bench.out_bits > 0

    def _set(self, name: str, value: int) -> None:
        if self.last.get(name) != value:
            self.last[name] = value
            getattr(self, name).value = value

    async def cycle(self, valid: int, data: int, rst: int = 0, take: int = 1) -> tuple[bool, str | None]:
        """One clock cycle. Returns whether the vector was accepted, and the result's bits if out_valid was 1.

        Of a vector of several beats the next one is offered; it is accepted with its last, and so comes a result.
        """
        bench = self.bench
        self._set("rst", rst)
        self._set("in_valid", valid)
        self._set(
            "in_data", data >> self.beat * bench.in_bits & ((1 << bench.in_bits) - 1) if bench.in_beats > 1 else data
        )
        if self.out_ready is not None:
            self._set("out_ready", take)
        self.clk.value = 0
        await self.half
        out_valid = self._bit("out_valid", rst)
        result = (str(self.out_data.value) if self.wide else "") if out_valid else None
        ready = self.in_ready is None or self._bit("in_ready", rst)
        accepted = bool(valid) and not rst and ready
        self.clk.value = 1
        await self.half
        self.cycle_number += 1
        self.began = accepted and not self.beat
        if bench.in_beats > 1:
            self.beat = 0 if rst else (self.beat + accepted) % bench.in_beats
            accepted = accepted and not self.beat
        if bench.out_beats > 1:
            result = self._collected(result, rst, take)
        return accepted, result

    def _collected(self, beat: str | None, rst: int, take: int) -> str | None:
        """The whole result once its last beat is there; a beat must stand until it is taken."""
        if rst:
            self.beats, self.held = [], None
            return beat
        if self.held is not None and beat != self.held:
            self.bench.outcome.problem("out_valid or out_data changed while out_ready was 0")
        self.held = beat if beat is not None and not take else None
        if beat is None:
            return None
        whole = [*self.beats, beat]
        if take:
            self.beats = whole if len(whole) < self.bench.out_beats else []
        return "".join(reversed(whole)) if len(whole) == self.bench.out_beats else None

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


Pause = Callable[[], bool]  # asked once per cycle


def never() -> bool:
    """No gap, no stall."""
    return False


class Stream:
    """Offers vectors and checks every result: its order, its time and all its bits."""

    def __init__(self, pins: Pins, phase: str) -> None:
        self.pins, self.bench, self.phase = pins, pins.bench, phase
        self.flying: deque[tuple[int, int]] = deque()  # (vector, cycle it was accepted in)
        self.accepts: list[int] = []
        self.results: list[int] = []  # cycles in which they were taken
        seen = self.bench.outcome.latency_seen
        self.latency = self.bench.latency if seen is None else seen  # a wrong latency is reported once, not per vector
        self.held: str | None = None
        self.taken = 0  # results so far
        self.quiet_since = pins.cycle_number  # nothing has been in flight since this cycle
        self.lone = False  # the vector in flight met an empty design and is still alone
        self.within: Pause = never  # gaps between the beats of a vector

    async def run(
        self, vectors: Sequence[int], gap: Pause = never, stall: Pause = never, drain: bool = True, longest: int = 0
    ) -> None:
        """Offer ``vectors`` with the given gaps and stalls, none above ``longest`` cycles where they are long.

        Then wait for the results unless ``drain`` is false.
        """
        bench, pins = self.bench, self.pins
        patience = bench.patience + longest
        offered = waiting = 0
        holding = False  # an offer stands until it is accepted
        while offered < len(vectors) or (drain and self.flying):
            holding = offered < len(vectors) and (holding or not gap())
            data = bench.inputs[vectors[offered]] if offered < len(vectors) else 0
            before = len(self.flying)
            pausing = pins.beat and self.within()
            accepted = await self.step(vectors[offered] if holding and not pausing else None, data, not stall())
            offered += accepted
            holding = holding and not accepted
            waiting = 0 if accepted or len(self.flying) < before else waiting + 1
            if waiting > patience:
                break
        if offered < len(vectors):
            bench.outcome.problem(f"in_ready stayed 0 for {patience} cycles")
        if drain:
            for vector, _ in self.flying:
                bench.outcome.missing(vector, self.phase)
            self.flying.clear()
            await pins.idle(self.latency + 8, "when no vector is in flight")

    async def step(self, vector: int | None = None, data: int = 0, take: bool = True) -> bool:
        """One cycle in which ``vector`` is offered, or none; whether it was accepted. What comes out is checked."""
        # Without an offer the data port carries the opposite bits: a design that looks at them anyway is found out.
        now = self.pins.cycle_number
        accepting = vector is not None and not self.bench.ready
        if accepting and vector is not None:  # a combinational result comes in the same cycle
            self.flying.append((vector, now))
        word = data if vector is not None else data ^ self.bench.mask
        accepted, result = await self.pins.cycle(int(vector is not None), word, take=int(take))
        if self.pins.began and not accepting and vector is not None:
            recovered = now - self.quiet_since > self.bench.latency + self.bench.interval
            self.lone = not self.flying and recovered and self.bench.timed
            self.flying.append((vector, now))
        if accepted:
            self.accepts.append(now)
        if self.bench.ready:
            self._handshake(result, take, now)
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

    def _handshake(self, result: str | None, take: bool, now: int) -> None:
        if self.held is not None and result != self.held:
            self.bench.outcome.problem("out_valid or out_data changed while out_ready was 0")
        if self.held is None and result is not None and self.flying and self.lone:
            if now - self.flying[0][1] != self.latency:
                self.bench.outcome.problem(f"a lone vector's result did not come after {self.latency} cycles")
            self.lone = False
        if self.flying:
            self.quiet_since = now + 1
        self.held = result if result is not None and not take else None
        if result is None or not take:
            return
        if self.flying:
            self.results.append(now)
            self._compare(result)
        else:
            self.bench.outcome.problem("a result came for which no vector was accepted")

    def _compare(self, result: str) -> None:
        vector, _ = self.flying.popleft()
        self.taken += 1
        self.bench.outcome.compare(vector, self.bench.expected[vector], result, self.phase)


def until_full(stream: Stream) -> Pause:
    """No result is taken until nothing has been accepted for so long that every place inside must be full."""
    pins, start, full = stream.pins, stream.pins.cycle_number, False

    def stall() -> bool:
        nonlocal full
        last = stream.accepts[-1] if stream.accepts else start
        full = full or pins.cycle_number - last > 3 * BENCH.interval + 8
        return not full

    return stall


def counted(counts: Iterable[int]) -> Pause:
    """A gap of so many cycles before each vector; none once the counts are used up."""
    remaining = iter(counts)
    left: int | None = None

    def gap() -> bool:
        nonlocal left
        left = next(remaining, 0) if left is None else left - 1
        if left:
            return True
        left = None
        return False

    return gap


def when_empty(stream: Stream, counts: Iterable[int]) -> Pause:
    """A gap before each vector that lasts so many cycles from when nothing is in flight."""
    pause = counted(counts)
    return lambda: bool(stream.flying) or pause()


def held_for(stream: Stream, counts: Iterable[int]) -> Pause:
    """Each result is held for so many cycles from when it is seen; not at all once the counts are used up."""
    remaining = iter(counts)
    wanted = next(remaining, 0)
    result, waited = stream.taken, 0

    def stall() -> bool:
        nonlocal wanted, result, waited
        if stream.taken != result:
            wanted, result, waited = next(remaining, 0), stream.taken, 0
        waited += stream.held is not None or stream.pins.held is not None
        return waited < wanted

    return stall


async def phase(name: str, body: Callable[[], Awaitable[None]]) -> None:
    """Run one phase and write what is known so far; it fails where it found faults."""
    outcome, faults, start = BENCH.outcome, BENCH.outcome.faults, time.perf_counter()
    await body()
    outcome.simulation_seconds += time.perf_counter() - start
    outcome.phases.append(name)
    outcome.write(BENCH.folder / RESULT, len(BENCH.inputs))
    assert outcome.faults == faults, f"{outcome.faults - faults} faults; first mismatch {outcome.first_mismatch}"
