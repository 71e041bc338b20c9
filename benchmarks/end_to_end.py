"""Real data sets from training to verified hardware: ``python benchmarks/end_to_end.py [NAME ...]``.

Trains each model, builds it for xc7z020 with every engine, and writes the figures to RESULTS.md. Work goes to
``benchmarks/work`` (or ``--work``); a second run reuses what is there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from results_file import table, write_section

RUNS = {
    "kth_mesh": ["--hidden", "32-32", "--lut-budget", "600"],
    "unsw_nb15": ["--hidden", "64-32", "--split-key", "split_dedup", "--lut-budget", "1500"],
    "mnist": ["--hidden", "64-32", "--epochs", "60", "--lut-budget", "8000"],
    "digits": ["--hidden", "32", "--epochs", "150", "--lut-budget", "1500", "--seed", "1"],
}
LINKS = ("design-graph", "graph-verilog", "verilog-netlist")
NOTES = """

The four demo models, parallel hardware for xc7z020. Each link holds for every input, not for samples: the design's
matrices and quantizers against the data-flow graph by exact algebra, the graph against the emitted Verilog text signal
by signal, the text against Yosys' netlist by ABC, one cone per register and output bit. Steps run two at a time.
"""


def run(arguments: list[str]) -> float:
    """Run a Python module, echo its last line on failure; gives wall seconds."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *arguments], check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with status {done.returncode}")
    return time.monotonic() - start


def measure(name: str, work: Path) -> tuple[list[str], list[str]]:
    """The set's row of figures, and its row of proofs."""
    model, out = work / f"{name}.h5", work / name
    if not model.is_file():
        run(["keras_models.train", "--data", name, *RUNS[name], "--out", str(model)])
    build_seconds = run(["flow.build", "--model", str(model), "--data", name, "--out", str(out)])
    report = json.loads((out / "report.json").read_text())
    training = json.loads(model.with_suffix(".train.json").read_text())
    checks = report["verification"]
    synthesis, score = report["synthesis"], report["score"]
    value = f"{100 * score['value']:.2f} %" if score["metric"] == "accuracy" else f"{score['value']:.4f} MSE"
    figures = [
        name,
        value,
        f"{training['mean_weight_bits']:.2f}",
        f"{synthesis['lut']:,}",
        f"{synthesis['lut_paired']:,}",
        f"{synthesis['ff']:,}",
        str(report["latency_cycles"]),
        f"{synthesis['fmax_mhz']}",
        f"{sum(c['vectors'] for c in checks.values()):,}",
        str(sum(c["mismatches"] for c in checks.values())),
        f"{checks['native']['vectors_per_second']:,.0f}",
        f"{training['seconds']:.0f}",
        f"{build_seconds:.0f}",
    ]
    return figures, proofs(name, report)


def proofs(name: str, report: dict[str, Any]) -> list[str]:
    """Of each link of the chain, how many layers and modules are in which state; the cones, and the seconds."""
    links = [Counter(states[link] for states in report["proof"].values()) for link in LINKS]
    cones, seconds = report["netlist_proof"], report["seconds"]
    return [
        name,
        ", ".join(report["proof"]),
        *(", ".join(f"{n} {state}" for state, n in sorted(link.items())) for link in links),
        f"{cones['proved']:,} of {cones['cones']:,}",
        str(len(report["undecided"])),
        f"{seconds['text']:.1f}",
        f"{seconds['netlist proof']:.1f}",
        f"{sum(s for step, s in seconds.items() if step != 'total'):.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(RUNS), metavar="NAME", help=f"from {', '.join(RUNS)}")
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows, proved = zip(*(measure(name, options.work) for name in options.names), strict=True)
    header = ["set", "score (test, integer design)", "weight bits", "LUT sites", "paired", "FF", "cycles",
              "Fmax est. MHz", "vectors", "mismatches", "native vectors/s", "training s", "build s"]  # fmt: skip
    write_section(
        "End to end on xc7z020",
        "python benchmarks/end_to_end.py",
        table(header, list(rows))
        + "\n\nEngines: Keras, adder graphs, hls4ml project under g++, Icarus, Verilator (cocotb and "
        "native), netlist. Vectors are the sum over the engines. MSE on standardised targets.",
    )
    header = ["set", "layers and modules", "design = graph", "graph = Verilog", "Verilog = netlist", "cones proved",
              "places undecided", "s, text", "s, netlist", "s, all steps"]  # fmt: skip
    write_section("Chain of proof", "python benchmarks/end_to_end.py", table(header, list(proved)) + NOTES)


if __name__ == "__main__":
    main()
