"""How a sweep scales: the same trials with one worker and with two: ``python benchmarks/sweep.py``.

Every run starts with an empty cache and the same seed, so both train and build the same trials; the front is not
verified.
Work goes to ``benchmarks/work/sweep`` (or ``--work``). With ``--repeat`` the runs alternate and the median counts.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from results_file import table, write_section

TRIALS = 10  # no more than the search's ten random ones: what is drawn does not depend on the order results come in
OPTIONS = ["--data", "digits", "--hidden", "8,16,32,16-16", "--bit-sets", "default,0-1.58-4", "--beta", "1e-4:1e-3",
           "--seed", "5", "--trials", str(TRIALS), "--front-engines", "none"]  # fmt: skip


def measure(workers: int, work: Path) -> tuple[float, list[tuple[str, ...]]]:
    """Wall seconds of a sweep, and what its trials were and gave."""
    shutil.rmtree(work, ignore_errors=True)
    start = time.monotonic()
    words = ["flow.sweep", *OPTIONS, "--workers", str(workers), "--out", str(work)]
    done = subprocess.run([sys.executable, "-m", *words], check=False)
    if done.returncode:
        raise SystemExit(f"the sweep with {workers} workers ended with status {done.returncode}")
    seconds = time.monotonic() - start
    rows = csv.DictReader((work / "sweep" / "trials.csv").read_text().splitlines())
    keys = ("trial", "hidden", "bit_set", "beta", "val", "lut")
    return seconds, [tuple(row[key] for key in keys) for row in rows if row["state"] == "done"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work") / "sweep")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print the figures, leave RESULTS.md alone")
    options = parser.parse_args()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    trials = set()
    for _ in range(options.repeat):
        for workers, found in seconds.items():
            taken, rows = measure(workers, options.work)
            found.append(taken)
            trials.add(tuple(rows))
    if len(trials) != 1:
        raise SystemExit("the runs did not try the same trials with the same results; the times cannot be compared")
    one, two = (statistics.median(found) for found in seconds.values())
    rows = [["1", str(TRIALS), f"{one:.0f}", "1.00"], ["2", str(TRIALS), f"{two:.0f}", f"{one / two:.2f}"]]
    body = table(["workers", "trials", "wall seconds", "ratio"], rows)
    print(body)
    if not options.dry:
        note = (
            "The same ten trials (100 epochs on digits, engine integer, synthesis) with the same results; start and "
            "end of the sweep included. A worker's trial has one thread, networks of one shape compile once. Measured "
            "with nothing else running: beside other work on the two cores the ratio was 1.56."
        )
        write_section("Sweep with one and two workers", "python benchmarks/sweep.py", f"{body}\n\n{note}")


if __name__ == "__main__":
    main()
