"""The second half of the shell's bench: register traffic beside streams, long stalls, long packets, resets anywhere.

NMP_LONG_CYCLES bounds the clock cycles of each phase; long packets may take five times as many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import cocotb

from sim.axis_access import Read, Write
from sim.axis_bench import BENCH, CONTROL, COUNTERS, ERRORS, OVERRUN, PACKET, RESULT, SHORT, STATUS
from sim.axis_pins import CYCLES, Pause, Shell, never
from sim.lengths import lengths

COUNTS = [COUNTERS + 4 * i for i in range(6)]
KNOWN = [address for address, _ in BENCH.about["registers"].values()]
READABLE = [*KNOWN, CONTROL, STATUS, ERRORS, PACKET, *COUNTS, 0x68, 0x200, 0xFFC]


async def phase(dut: Any, name: str, body: Callable[[Shell], Awaitable[None]]) -> None:
    """Run one phase from reset, read all registers at its end, and write what is known so far."""
    outcome, faults = BENCH.outcome, BENCH.outcome.faults
    shell = Shell(dut, name)
    await shell.reset(4)
    await body(shell)
    shell.gap = shell.stall = never
    shell.access(iter([Read(address) for address in READABLE]), iter(()))
    await shell.finish()
    outcome.phases.append(name)
    outcome.write(BENCH.folder / RESULT, len(BENCH.inputs))
    assert outcome.faults == faults, f"{outcome.faults - faults} faults: {outcome.first_mismatch} {outcome.problems}"


def some(start: int, count: int, block: int = 1) -> list[int]:
    """So many vectors from the ``start``th on, in blocks of one vector, from the first one again once all were used."""
    return [(start + i) // block % len(BENCH.inputs) for i in range(count)]


def bursts(rng: random.Random, share: float) -> Pause:
    """Random pauses of a few cycles."""
    left, paused = 0, False

    def pause() -> bool:
        nonlocal left, paused
        if not left:
            left, paused = rng.randint(1, 6), rng.random() < share
        left -= 1
        return paused

    return pause


def harmless(rng: random.Random, packet: int) -> Write:
    """A write that changes nothing while packets of ``packet`` vectors stream."""
    address, value, strobes = rng.choice(
        [
            (rng.choice([*KNOWN, STATUS, *COUNTS, 0x68, 0x200]), rng.getrandbits(32), rng.getrandbits(4)),
            (PACKET, packet, rng.getrandbits(4)),
            (PACKET, rng.getrandbits(32), 0),
            (CONTROL, rng.getrandbits(32) & ~1, 15),
            (CONTROL, rng.getrandbits(32), rng.getrandbits(4) & ~1),
            (ERRORS, rng.getrandbits(32), rng.getrandbits(4)),
        ]
    )
    return Write(address, rng.choice([0, 0, 1, 3]), rng.choice([0, 0, 1, 5]), value, strobes, rng.randint(-3, 3))


def random_read(rng: random.Random) -> Read:
    """Any register, often one that changes; its answer sometimes has to wait."""
    address = rng.choice([*COUNTS, STATUS, PACKET]) if rng.random() < 0.6 else rng.choice(READABLE)
    return Read(address, rng.choice([0, 0, 0, 1, 2, 7]), rng.choice([0, 0, 0, 1, 2, 9, 40]))


@cocotb.test()
async def register_traffic(dut: Any) -> None:
    """Reads and writes at once, with answers that wait: of PACKET while nothing streams, of all while it does."""
    rng = random.Random(f"traffic {os.environ.get('NMP_SEED', '0')}")

    def packet_writes(count: int) -> Iterator[Write]:
        for _ in range(count):
            stall, skew = rng.choice([0, 0, 2, 30]), rng.randint(-2, 2)
            yield Write(PACKET, rng.randint(0, 2), stall, rng.getrandbits(32), rng.getrandbits(4), skew)
        yield Write(PACKET, 0, 0, 3)

    def while_streaming(shell: Shell, access: Callable[[], Read]) -> Iterator[Read]:
        while shell.beats or shell.due:
            yield access()

    async def body(shell: Shell) -> None:
        count = min(400, CYCLES // 16)
        shell.access(
            (Read(PACKET, rng.randint(0, 2), rng.choice([0, 0, 3])) for _ in range(count)), packet_writes(count)
        )
        await shell.finish()
        packets = max(2, min(len(BENCH.inputs) + 60, CYCLES // BENCH.interval // 4) // 3)
        for number in range(packets):
            shell.send(some(3 * number, 3))
        shell.gap, shell.stall = bursts(rng, 0.3), bursts(rng, 0.4)
        shell.access(while_streaming(shell, lambda: random_read(rng)), while_streaming(shell, lambda: harmless(rng, 3)))
        await shell.finish()

    await phase(dut, "register traffic", body)


@cocotb.test()
async def every_address(dut: Any) -> None:
    """All 1,024 addresses, and in PACKET every pattern of 12 bits at every place, beside packets of one vector.

    Errors that were noted before stay noted; whatever PACKET says, data are not changed by it.
    """
    rng = random.Random(f"addresses {os.environ.get('NMP_SEED', '0')}")
    kept = {CONTROL: ~1, ERRORS: ~0x1F, PACKET: 0}  # bits that may be written without an effect

    def anywhere(address: int) -> Write:
        return Write(address, 0, 0, rng.getrandbits(32) & kept.get(address, ~0))

    def promise(pattern: int) -> Write:
        return Write(PACKET, max(0, BENCH.interval - 4), 0, (pattern | pattern << 12 | pattern << 24) & 0xFFFFFFFF)

    async def body(shell: Shell) -> None:
        for promised, count in ((7, 1), (1, 2)):
            shell.access(iter(()), iter([Write(PACKET, 0, 0, promised)]))
            await shell.finish()
            shell.send(some(0, count))
            await shell.finish()
        shell.registers.noted = SHORT | OVERRUN
        addresses, patterns = list(range(0, 0x1000, 4)), list(range(1, 1 << 12))
        rng.shuffle(addresses)
        rng.shuffle(patterns)
        patterns = patterns[: CYCLES // max(4, BENCH.interval)]
        addresses = addresses[: CYCLES // max(4, BENCH.interval)]
        for write, todo, reads in ((anywhere, addresses, [*addresses[::-1], ERRORS]), (promise, patterns, [])):
            for packet in range(len(todo) * max(4, BENCH.interval) // BENCH.interval):
                shell.send(some(packet, 1, block=32))
            shell.access((Read(address) for address in reads), (write(each) for each in todo))
            await shell.finish()

    await phase(dut, "every address", body)


def held_before(shell: Shell, counts: Iterable[int]) -> Pause:
    """Each beat of the output has to stand for so many cycles; not at all once the counts are used up."""
    remaining = iter(counts)
    wanted, beats = next(remaining, 0), -1

    def stall() -> bool:
        nonlocal wanted, beats
        place = shell.taken * 1000 + len(shell.got)
        if place != beats and beats >= 0:
            wanted = next(remaining, 0)
        beats = place
        return shell.held < wanted

    return stall


@cocotb.test()
async def long_stalls(dut: Any) -> None:
    """Output that waits and input that pauses for many lengths, in packets of several vectors."""

    async def body(shell: Shell) -> None:
        size = BENCH.layout["out_beats"]
        found = lengths(CYCLES, overhead=2 * BENCH.interval + size)
        for pausing in ("out", "in"):
            pauses: list[int] = []  # before every beat; at the first of a packet's beats, or at the one with TLAST
            for number, count in enumerate([*found, *found[-1:]]):
                pauses += [count, *[0] * (2 * size - 1)] if number % 2 else [*[0] * (2 * size - 1), count]
                shell.send(some(number, 2))
            if pausing == "out":
                shell.stall = held_before(shell, pauses)
            else:
                shell.gap = counted(pauses)
            await shell.finish(max(pauses, default=0))
            shell.gap = shell.stall = never

    await phase(dut, "long stalls", body)


def counted(counts: Iterable[int]) -> Pause:
    """A gap of so many cycles before each beat; none once the counts are used up."""
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


@cocotb.test()
async def long_packets(dut: Any) -> None:
    """Packets of many lengths back to back, one of thousands of vectors, and many after it."""

    results = min(12_000, 5 * CYCLES // BENCH.interval)
    around = {(1 << k) + d for k in range(11) for d in (-1, 0, 1) if 10 << k <= results} - {0}

    async def body(shell: Shell) -> None:
        start = 0
        for count in [*sorted(around | set(range(1, min(20, results // 40)))), max(1, results // 2), *([1, 2, 3] * 8)]:
            shell.send(some(start, count, block=32))  # blocks, so that the core's logic has little to do
            start += count
        reads = [Read(address, 50) for address in (*COUNTS, STATUS, ERRORS) * 4]
        shell.access(iter(reads), iter(()))
        await shell.finish()

    await phase(dut, "long packets", body)


@cocotb.test()
async def resets_anywhere(dut: Any) -> None:
    """Resets of many lengths at any moment of streams and register accesses; everything is as new after them."""
    rng = random.Random(f"resets {os.environ.get('NMP_SEED', '0')}")

    async def body(shell: Shell) -> None:
        work = 8 * BENCH.interval + 2 * BENCH.fill + 40
        held = lengths(CYCLES // 4, longest=70, overhead=work)
        for number, cycles in enumerate([*range(1, 8), *held, 1, 1]):
            shell.send(some(number, 4))
            shell.gap, shell.stall = bursts(rng, 0.2), bursts(rng, 0.8 if number % 2 else 0.1)
            reads = (random_read(rng) for _ in range(20))
            shell.access(reads, (harmless(rng, 4) for _ in range(20)))
            for _ in range(rng.randint(1, 2 * BENCH.interval + BENCH.fill)):
                await shell.cycle()
            await shell.reset(cycles)
            shell.access((Read(address) for address in (*COUNTS, STATUS, PACKET)), iter(()))
            if number % 3:
                await shell.finish()
            shell.gap = shell.stall = never
            shell.send(some(number, 3))
            await shell.finish()

    await phase(dut, "resets anywhere", body)
