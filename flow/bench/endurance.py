"""The schedule of the native harness' second run: idle times, stalls and resets of every length that its cycles allow.

A row precedes one vector and follows its result: must the design be empty before it, idle cycles, cycles of reset, idle
cycles after the reset, cycles for which the result is held.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow.bench.description import Bench

COLUMNS = ("empty", "before", "reset", "after", "stall")
_VERY_LONG = (1 << 16) + 1  # one pause of this length of each kind, where the cycles allow
_MOMENTS = 400  # cycles after a vector in which a reset comes, at most so many of them

Row = tuple[int, int, int, int, int]
_PLAIN: Row = (0, 0, 0, 0, 0)


def _of_the_benches() -> Callable[..., list[int]]:
    """``sim.lengths.lengths``, by its place: the folder a user works in may hold a `sim` that Python finds first."""
    spec = importlib.util.spec_from_file_location(
        "flow.bench.sim_lengths", Path(__file__).resolve().parents[2] / "sim" / "lengths.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., list[int]] = module.lengths
    return found


lengths = _of_the_benches()


def schedule(bench: Bench, cycles: int) -> NDArray[np.uint32]:
    """Rows (vectors x 5) that take about ``cycles`` clock cycles, a few rows of each kind at least; deterministic."""
    rows = [_PLAIN] * 4 + _gaps(bench, cycles * 3 // 10, 0) + _gaps(bench, cycles * 2 // 10, 1)
    if bench.ready:
        rows += _stalls(bench, cycles * 2 // 10, 0) + _stalls(bench, cycles // 10, 1)
    rows += _resets(bench, cycles // 10) + _mixture(bench, cycles // 10)
    if cycles > 6 * _VERY_LONG:
        very = [(1, _VERY_LONG, 0, 0, 0), _PLAIN, (1, _VERY_LONG, 1, 0, 0), _PLAIN]
        rows += very + ([(0, 0, 0, 0, _VERY_LONG), _PLAIN, _PLAIN] if bench.ready else [])
    return np.array(rows, np.uint32)


def _work(bench: Bench) -> int:
    """Cycles that a vector costs on its own."""
    return bench.latency_cycles + 2 * bench.initiation_interval


def _gaps(bench: Bench, cycles: int, empty: int) -> list[Row]:
    """Two vectors after every gap, since a fault may show on either; with ``empty`` each is alone in the design."""
    found = lengths(cycles, overhead=_work(bench)) or [1]
    return [row for gap in found for row in ((empty, gap, 0, 0, 0), (empty, 0, 0, 0, 0))]


def _stalls(bench: Bench, cycles: int, alone: int) -> list[Row]:
    """A held result with vectors pressing behind it, or alone in the design; two more results after it."""
    found = lengths(cycles, overhead=2 * _work(bench)) or [1]
    return [row for stall in found for row in ((alone, 0, 0, 0, stall), (alone, 0, 0, 0, 0), _PLAIN)]


def _resets(bench: Bench, cycles: int) -> list[Row]:
    """Resets at every moment after a vector, of many lengths, after long idle times, before long idle times."""
    work, last = _work(bench), bench.latency_cycles + bench.initiation_interval + 3
    step = max(1, -(-last // max(1, min(_MOMENTS, cycles // (3 * work)))))
    rows: list[Row] = [(0, moment, 1, 0, 0) for moment in range(0, last, step)]
    some = lengths(cycles // 3, overhead=work)
    rows += [(0, length % last, length, 0, 0) for length in some]
    rows += [(1, length, 1, 0, 0) for length in some]
    rows += [(0, length % last, 1, length, 0) for length in some]
    return [entry for row in rows for entry in (row, _PLAIN, _PLAIN)]


def _mixture(bench: Bench, cycles: int) -> list[Row]:
    """Everything at once, at random: pauses from none to thousands of cycles, one reset in twenty."""
    rng, rows, left = np.random.default_rng(1), [_PLAIN], cycles
    while left > 0:
        before, after, stall, reset = (int(2.0**x) - 1 for x in rng.random(4) * (11, 6, 9, 5))
        chosen = rng.random(5) < (0.3, 0.3, 0.05, 0.5, 0.3 if bench.ready else 0)
        row = (int(chosen[0]), before * int(chosen[1]), (reset + 1) * int(chosen[2]), 0, stall * int(chosen[4]))
        rows.append((row[0], row[1], row[2], after if row[2] and chosen[3] else 0, row[4]))
        left -= sum(rows[-1]) + _work(bench)
    return rows
