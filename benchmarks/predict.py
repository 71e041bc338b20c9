"""Rows per second of ``Hardware.predict`` on the digits demo: ``python -m benchmarks.predict``.

Builds the model without its engines, asks every engine of ``predict`` for the same rows several times, and writes the
best and the median to RESULTS.md. The first call, which compiles the Verilog, is timed apart.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np

import flow
from benchmarks.results_file import table, write_section
from flow.api.hardware import ENGINES

REPEATS = 5
HEADER = ["engine", "given", "rows", "first call, s", "rows/s, median", "rows/s, best"]
NOTE = """
Floats in, floats out, in the data's own units (64 features, preprocessing included) or as model inputs ("prepared").
Engine `verilator` runs the emitted Verilog, every row through the simulated hardware; its first call compiles that
model where the build has none. One process, other processes of the machine as they were.
"""


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("demo/digits.h5"))
    parser.add_argument("--rows", type=int, default=400_000)
    arguments = parser.parse_args()
    hw = flow.hardware(arguments.model, data="digits", engines="integer")
    features = hw.preprocessing.features if hw.preprocessing else len(hw.design.inputs)
    rows = np.random.default_rng(1).integers(0, 17, (arguments.rows, features)).astype(np.float32)
    prepared = hw.preprocessing.apply(rows) if hw.preprocessing else rows
    lines, answers = [], []
    for engine in ENGINES:
        for given, X in (("raw", rows), ("prepared", prepared)):
            times = []
            for _ in range(REPEATS + 1):
                start = time.perf_counter()
                answer = hw.predict(X, engine=engine, prepared=given == "prepared")
                times.append(time.perf_counter() - start)
            answers.append(answer)
            first, *later = times
            speeds = [f"{len(X) / seconds:,.0f}" for seconds in (median(later), min(later))]
            lines.append([engine, given, f"{len(X):,}", f"{first:.1f}", *speeds])
    if any((answer != answers[0]).any() for answer in answers):
        raise SystemExit("the engines of predict disagree")
    body = table(HEADER, lines) + "\n" + NOTE
    print(body)
    write_section("Predictions per second", "python -m benchmarks.predict", body)


if __name__ == "__main__":
    main()
