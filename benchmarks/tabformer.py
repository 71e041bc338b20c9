"""The tabular transformer under every method: ``python benchmarks/tabformer.py [--seeds 2] [--build kth_vod]``.

With ``--build`` all dense projections of the quantized models of seed 0 are built, checked and synthesized by
``flow.build --layer all``. Runs that have ended are kept in ``--work`` and not repeated, so an interrupted benchmark
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from results_file import table, write_section
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SETS = {
    "kth_vod": ("--window", "4"),
    "qoe_poqemon": ("--batch-size", "64"),
}
COMMON = ("--model", "tabformer", "--hidden", "8-16", "--epochs", "40", "--learning-rate", "3e-3",
          "--optimizer", "adam", "--quiet")  # fmt: skip
HARDWARE, PAPER = ("--mode", "hardware", "--beta", "2e-6"), ("--mode", "paper", "--rates", "published")
METHODS = {
    "float": ("--method", "float"),
    "uniform 16": ("--method", "uniform", "--bits", "16"),
    "uniform 8": ("--method", "uniform", "--bits", "8"),
    "uniform 4": ("--method", "uniform", "--bits", "4"),
    "NMP hardware, weights": (*HARDWARE, "--weights-only"),
    "NMP hardware, weights + activations": HARDWARE,
    "NMP paper, weights": (*PAPER, "--weights-only"),
    "NMP paper, weights + activations": PAPER,
}
BUILT = ("uniform 8", "NMP hardware, weights + activations", "NMP paper, weights + activations")
NOTES = """

Token width 8, row width 16, 2 heads, one encoder block over columns and, for kth_vod with its windows of 4 rows, one
over rows; 40 epochs of Adam at 3e-3 for all methods. Paper mode keeps that rate constant, as published, the others let
it fall; its published SGD settings need more epochs than this. Bits are over the dense projections; embeddings, layer
norms and softmax are float in all methods. Mean over the seeds, with the standard deviation where there is more than
one; seconds were taken with other jobs beside, compilation included.

kth_vod: MSE in its own units (frames/s squared), less is better; random split, so a window holds inputs (not targets)
of rows from other parts. qoe_poqemon: accuracy on 232 rows, one row is 0.0043, and half of all rows are of one class:
differences of a percent say nothing. The LUT estimate counts every projection once, in parallel.

The paper's TabFormer (arXiv 2605.25054), weights and activations, on its own key-value-store data: uniform QAT MSE
2.295 to 426.7, NMP-QAT 4.559; 4:45 minutes of training there, 90:09 on Higgs. Its data were not published in full; the
sets here are public stand-ins of another size, so compare methods within this table, not numbers across papers.
"""


def model_file(name: str, method: str, seed: int, work: Path) -> Path:
    """Where a run's model lies."""
    return work / f"{name}-{method.replace(' ', '_').replace(',', '')}-{seed}.h5"


def build(model: Path) -> str:
    """LUTs, flip-flops and mismatches of all dense projections of a model together, as text."""
    out = model.with_suffix(".build")
    command = [sys.executable, "-m", "flow.build", "--model", str(model), "--layer", "all", "--out", str(out),
               "--engines", "integer,verilator"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1]}"
    reports = [json.loads(path.read_text()) for path in sorted(out.glob("*/report.json"))]
    lut, ff = (sum(report["synthesis"][key] for report in reports) for key in ("lut", "ff"))
    engines = [engine for report in reports for engine in report["verification"].values()]
    vectors, mismatches = (sum(engine[key] for engine in engines) for key in ("vectors", "mismatches"))
    return (
        f"{len(reports)} projections, {lut:,} LUT, {ff:,} FF, no DSP or block memory; {mismatches} mismatches in "
        f"{vectors:,} vectors (Keras, adder graphs, Verilator)"
    )


def train(name: str, method: str, seed: int, work: Path) -> dict[str, float] | None:
    """The record of one run, trained unless it is there; None (and a line) when training fails."""
    out = model_file(name, method, seed, work)
    record = out.with_suffix(".train.json")
    if not record.is_file():
        command = [sys.executable, "-m", "keras_models.train", "--data", name, "--seed", str(seed), "--out", str(out),
                   *COMMON, *SETS[name], *METHODS[method]]  # fmt: skip
        cache = {"JAX_COMPILATION_CACHE_DIR": str(work / "compiled"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        done = subprocess.run(command, env={**os.environ, **cache}, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name}, {method}, seed {seed}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
    return json.loads(record.read_text())


def row(name: str, method: str, records: list[dict[str, float]]) -> list[str]:
    """One line of the table from the records of all seeds."""

    def over(key: str, digits: int, spread: bool = False) -> str:
        values = np.array([r[key] for r in records], float)
        text = f"{values.mean():,.{digits}f}"
        return f"{text} ± {values.std():.{digits}f}" if spread and len(values) > 1 else text

    regression = "test_raw" in records[0]
    luts = over("estimated_luts", 0) if records[0].get("estimated_luts") else "-"
    return [
        name, method, over("test_raw" if regression else "test", 2 if regression else 4, spread=True),
        over("mean_weight_bits", 2), over("mean_activation_bits", 2), luts, over("seconds", 0), str(len(records)),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--build", nargs="*", default=[], choices=list(SETS), metavar="NAME", help="from these sets")
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work") / "tabformer")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    jobs = [(s, name, method) for s in range(options.seeds) for name in SETS for method in METHODS]
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with bar:
        task = bar.add_task("", total=len(jobs))
        for seed, name, method in jobs:
            bar.update(task, description=f"{name}, {method}, seed {seed}")
            record = train(name, method, seed, options.work)
            if record:
                found.setdefault((name, method), []).append(record)
            bar.advance(task)
    rows = [row(*key, found[key]) for key in ((n, m) for n in SETS for m in METHODS) if key in found]
    header = ["set", "method", "test score", "weight bits", "activation bits", "estimated LUTs", "seconds", "runs"]
    builds = [
        [name, method, build(model_file(name, method, 0, options.work))] for name in options.build for method in BUILT
    ]
    built = "\n\n" + table(["set", "method, seed 0", "all projections built"], builds) if builds else ""
    flags = "".join(f" --build {' '.join(options.build)}" if options.build else "")
    write_section("Tabular transformer (TabFormer)", f"python benchmarks/tabformer.py --seeds {options.seeds}{flags}",
                  table(header, rows) + built + NOTES)  # fmt: skip


if __name__ == "__main__":
    main()
