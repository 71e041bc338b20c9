"""The clock estimate against place and route: ``python benchmarks/route.py``.

Builds the trained models of end_to_end.py (train them first, or they are left out) and random mixed-width networks for
xc7z020 at several clock periods, routes each with nextpnr, and writes estimate and post-route Fmax to RESULTS.md. Work
goes to ``benchmarks/work/route``; a second run reuses the builds that are there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from results_file import table, write_section

from flow.fixed import Fixed, Quantizer
from flow.ir import Design, Layer, Neuron, to_json

TRAINED = [("kth_mesh", 6.0), ("kth_mesh", 10.0), ("unsw_nb15", 6.0), ("unsw_nb15", 10.0), ("digits", 7.0)]
# name, seed, layer sizes, weight widths to draw from, clock periods in ns
RANDOM: list[tuple[str, int, tuple[int, ...], tuple[float, ...], tuple[float, ...]]] = [
    ("low bits", 1, (8, 12, 6), (1, 1.58, 2, 3), (6.0, 10.0)),
    ("three layers", 2, (12, 16, 8, 4), (1, 2, 4), (7.0,)),
    ("one layer", 3, (16, 16), (2, 3, 4, 6), (7.0,)),
    ("wide weights", 4, (10, 8, 8, 3), (3, 4, 5), (5.0, 10.0)),
    ("ternary", 5, (24, 12, 4), (1, 1.58), (5.0,)),
    ("six bits", 6, (6, 10, 10, 2), (4, 6), (6.0,)),
]


def mixed(seed: int, sizes: tuple[int, ...], widths: tuple[float, ...]) -> Design:
    """A network whose inputs, neurons and outputs have widths of their own."""
    rng = np.random.default_rng(seed)
    inputs = tuple(Quantizer.saturating(Fixed(True, int(rng.integers(3, 8)), 3)) for _ in range(sizes[0]))
    layers = []
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        last = index == len(sizes) - 2
        neurons = tuple(_neuron(rng, fan_in, float(rng.choice(widths)), last) for _ in range(fan_out))
        layers.append(Layer(f"dense_{index}", neurons))
    return Design("net", inputs, tuple(layers))


def _neuron(rng: np.random.Generator, fan_in: int, bits: float, last: bool) -> Neuron:
    limit = 1 if bits < 2 else (1 << (int(bits) - 1)) - 1
    weights = rng.choice([-1, 1], fan_in) if bits == 1 else rng.integers(-limit, limit + 1, fan_in)
    bias = int(rng.integers(-20, 20))
    output = None if last else Quantizer.saturating(Fixed(False, int(rng.integers(2, 7)), 2), relu=True)
    return Neuron(tuple(int(w) for w in weights), int(max(bits - 1, 0)), bits, bias, 3, output)


def build(model: Path, period: float, out: Path) -> dict[str, Any]:
    """The report of a routed build."""
    command = ["flow.build", "--model", str(model), "--out", str(out), "--clock-period-ns", f"{period:g}"]
    done = subprocess.run([sys.executable, "-m", *command, "--engines", "integer", "--route"], check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {done.returncode}")
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def row(name: str, period: float, report: dict[str, Any]) -> tuple[float, list[str]]:
    """Relative error of the estimate, and the table's row."""
    synthesis = report["synthesis"]
    routed, estimate = synthesis["fmax_mhz"], synthesis["fmax_estimate_mhz"]
    planned = 1000 / report["estimated_critical_path_ns"]
    error = estimate / routed - 1
    seeds = len(synthesis["route"]["attempts"])
    path = synthesis["critical_path"]
    cells = [name, f"{period:g}", str(report["latency_cycles"]), f"{synthesis['lut']:,}", f"{synthesis['ff']:,}",
             f"{planned:.0f}", f"{estimate:.0f}", f"{routed:.0f}", f"{100 * error:+.1f} %", str(seeds),
             f"{path['start']} to {path['endpoint']}"]  # fmt: skip
    print(" | ".join(cells), flush=True)
    return error, cells


def main() -> None:
    """Build, route, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work"))
    work = parser.parse_args().work
    (work / "route").mkdir(parents=True, exist_ok=True)
    results = []
    for name, period in TRAINED:
        if (work / f"{name}.h5").is_file():
            out = work / "route" / f"{name}_{period:g}"
            results.append(row(name, period, build(work / f"{name}.h5", period, out)))
    for name, seed, sizes, widths, periods in RANDOM:
        model = work / "route" / f"random_{seed}.json"
        model.write_text(to_json(mixed(seed, sizes, widths)))
        for period in periods:
            label = f"{name} {'-'.join(map(str, sizes))}"
            results.append(row(label, period, build(model, period, work / "route" / f"random_{seed}_{period:g}")))
    errors = [abs(error) for error, _ in results]
    header = ["design", "asked ns", "cycles", "LUT", "FF", "pipelined for MHz", "netlist estimate MHz",
              "post-route MHz", "estimate's error", "seeds tried", "slowest path"]  # fmt: skip
    write_section(
        "Clock estimate against place and route on xc7z020",
        "python benchmarks/route.py",
        table(header, [cells for _, cells in results])
        + f"\n\nError of the netlist estimate over {len(errors)} designs: mean {100 * np.mean(errors):.1f} %, largest "
        f"{100 * max(errors):.1f} %. Post-route: nextpnr-himbaechel-xilinx, xc7z020clg400-1.\n\nThe estimate's "
        "net delays were fitted to nine earlier routed builds of some of the same networks; the slice and carry "
        "delays were not.",
    )


if __name__ == "__main__":
    main()
