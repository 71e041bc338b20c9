"""How much of the core's cocotb bench a build affords: its vectors, and the cycles of its long phases."""

from __future__ import annotations

from flow.build.engines.engine import Made
from flow.verify import simulate
from flow.verify.native import addends

_LONG_ADDENDS = 4_000_000  # addends times cycles of a long phase
_BENCH_CYCLES = 100_000  # of streaming


def referee(made: Made) -> slice:
    """The rows for the bench: all of the referee's, fewer where a vector takes many cycles."""
    return slice(0, min(made.build.vectors.referee, max(_BENCH_CYCLES // made.bench.initiation_interval, 8)))


def long_cycles(made: Made) -> int:
    """For the bench's long phases: fewer in large designs, where the native harness has gone further."""
    return min(simulate.LONG_CYCLES, max(500, _LONG_ADDENDS // max(addends(made.build.design), 1)))
