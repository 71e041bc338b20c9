"""Where ``--lut-budget`` ends after synthesis: ``python -m benchmarks.budgets [--only NAME ...]``.

Trains three data sets at two budgets each. The LUTs are those of the chosen model after synthesis, which a build with
the default settings reports too (a test compares them). What is done already in ``--work`` is not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.results_file import table, write_section

RUNS = {
    "digits": (["--hidden", "32", "--epochs", "150", "--seed", "1"], (500, 1500)),
    "kth_mesh": (["--hidden", "32-32", "--epochs", "150"], (400, 1000)),
    "unsw_nb15": (["--hidden", "64-32", "--epochs", "120", "--split-key", "split_dedup"], (600, 1500)),
}
NOTES = """
LUT: Yosys, of the model that training chose, as its build reports them. Estimate: of
`keras_models.layers.cost`, which steers. Seconds are of training with its counts, on two cores with a load of 13.
"""


def run(*words: str) -> None:
    """Run one of the project's commands."""
    subprocess.run([sys.executable, "-m", *words], check=True)


def measure(name: str, budget: int, work: Path) -> list[str]:
    """Train and build one model; its line of the table."""
    model = work / f"{name}-{budget}.h5"
    if not model.is_file():
        words = ["--data", name, *RUNS[name][0], "--lut-budget", str(budget), "--out", str(model), "--quiet"]
        run("keras_models.train", *words)
    found = json.loads(model.with_suffix(".train.json").read_text())
    luts = found["counted_luts"]
    score = f"{100 * found['test']:.2f} %" if found["metric"] == "accuracy" else f"{found['test']:.4f} MSE"
    return [name, f"{budget:,}", f"{luts:,.0f}", f"{luts / budget:.1%}", f"{found['estimated_luts']:,.0f}", score,
            f"{found['seconds']:.0f}"]  # fmt: skip


def main() -> None:
    """Measure what is missing and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(RUNS), choices=list(RUNS), metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work") / "budgets")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = [measure(name, budget, options.work) for name in options.only for budget in RUNS[name][1]]
    header = ["set", "budget", "LUT after synthesis", "of the budget", "estimate", "test score", "training s"]
    write_section("LUT budgets after synthesis", "python -m benchmarks.budgets", table(header, rows) + "\n" + NOTES)


if __name__ == "__main__":
    main()
