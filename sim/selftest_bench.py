"""The cocotb bench of a board's self test: a clock goes in, and the LEDs must show that every result is right.

Environment and files are those of ``sim.axis_bench``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

from sim.outcome import Outcome

PASSED, WRONG = 1, 2


@cocotb.test()
async def self_test(dut: Any) -> None:
    """``led[0]`` lights after a round, stays alight for another, and ``led[1]`` never does."""
    path = Path(os.environ["NMP_BENCH"])
    about, outcome = json.loads(path.read_text()), Outcome([])
    round_cycles = int(about["vectors"]) * int(about["initiation_interval"]) + int(about["latency_cycles"]) + 64
    Clock(dut.clk, 2, "ns").start(start_high=False)
    await ClockCycles(dut.clk, 20)
    for when in ("after one round", "after two rounds"):
        await ClockCycles(dut.clk, round_cycles)
        lit = dut.led.value
        text = str(lit)[-2:]
        if text != "01":
            outcome.problem(f"LEDs wrong and passed are {text} {when}")
    outcome.seen |= set(range(int(about["vectors"])))
    outcome.phases.append("self test")
    outcome.write(path.with_name("bench_result.json"), int(about["vectors"]))
    assert not outcome.faults, outcome.problems
