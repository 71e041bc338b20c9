"""Estimates of clock and LUT sites against place and route: ``python -m benchmarks.route [--folded NAME ...]``.

Builds the trained models of end_to_end.py (train them first, or they are left out) and random mixed-width networks
for xc7z020 at several clock periods, routes each with nextpnr, and writes estimate and post-route Fmax to RESULTS.md.
Work goes to ``benchmarks/work/route``; a second run reuses the builds that are there. ``--folded`` does the same for
networks of ``benchmarks/folded.py`` (``mlp``, ``mnist``; 5 to 10 minutes each) and rewrites their section instead.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import folded
from benchmarks.results_file import table, write_section
from flow.core.design import Design, Layer, Neuron, to_json
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.folded import emit_folded
from flow.files import plan
from flow.files.steps import digest_of
from flow.folded.lowering import lower
from flow.folded.search import interval_for, smallest
from flow.netlist import place_and_route
from flow.netlist.read import read_netlist
from flow.parts import catalog
from flow.tools import yosys

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
    sites = f"{synthesis['lut_cells']:,} / {synthesis['lut']:,} / {synthesis['route']['lut_sites']['design']:,}"
    cells = [name, f"{period:g}", str(report["latency_cycles"]), sites, f"{synthesis['ff']:,}",
             f"{planned:.0f}", f"{estimate:.0f}", f"{routed:.0f}", f"{100 * error:+.1f} %", str(seeds),
             f"{path['start']} to {path['endpoint']}"]  # fmt: skip
    print(" | ".join(cells), flush=True)
    return error, cells


FITTED = """The estimate's three net delays (0.40 ns to two users, 0.325 ns within a row, 1.2 ns once per path for its
long nets) were fitted to eleven designs of these kinds when their sums were rows of two and three operands, none of
them to chains of atoms; the slice, carry and memory delays were not fitted."""
PLANNED = """The pipeliner plans with longer nets (0.62 ns each), so that a period asked for is met, and near 10 ns is
cautious: it also counts the whole carry chain of every row in a stage, although only the last one's top bits wait for
it."""
SITES = """LUT cells are `synthesis.lut_cells` (a LUT6_2 counts one); sites are LUTs of slices, with both their outputs,
that hold logic of the design. The expected figure (`synthesis.lut`) counts what the ways in and out of a slice allow;
nextpnr gets the LUTs beside carry chains in a form that it packs so (docs/architecture.md), and pairs some others."""

FOLDED = {
    "mlp": ("mlp_learned", folded.COVERTYPE, interval_for(10_000, folded.CLOCK_NS)),
    "mnist": ("mnist_learned", folded.MNIST, 4_000),
}


def folded_row(name: str, out: Path) -> list[str]:
    """Synthesize and route a folded network; finished figures are kept beside the work, by the RTL's digest."""
    title, sizes, interval = FOLDED[name]
    folding = smallest(lower(folded.trained_like(sizes, title)), catalog.resolve("xc7z020"), interval)
    rtl = emit_folded(folding, folded.CLOCK_NS)
    key, store = digest_of(*rtl.files.values()), plan.folder(out) / "figures.json"
    figures = json.loads(store.read_text()) if store.is_file() else {}
    if figures.get("key") != key:
        plan.mirror(dict(rtl.files), out / "rtl")
        script = yosys.synthesis_script([f"../rtl/{file}" for file in rtl.files], rtl.top, "xc7", dsp=True)
        yosys.synthesize(plan.folder(out / "synth"), script, 7200.0)
        net = out / "synth" / "netlist.json"
        found = read_netlist(net, rtl.top)
        routed = place_and_route.route(
            plan.fresh_folder(out / "route"), net, rtl.top, catalog.resolve("xc7z020"), folded.CLOCK_NS, 3600.0,
            lambda _: None, seeds=(1,),
        )  # fmt: skip
        figures = {"key": key, **asdict(found.resources), "estimate_ns": found.longest_path.delay_ns, **asdict(routed)}
        plan.write_file(store, json.dumps(figures))
    estimate, fmax = 1000 / figures["estimate_ns"], figures["fmax_mhz"]
    path, seconds = figures["path"], sum(a["seconds"] for a in figures["attempts"])
    return [title, str(folding.interval), f"{figures['lut_cells']:,} / {figures['lut']:,} / "
            f"{figures['lut_sites']['design']:,}", f"{figures['ff']:,}", str(figures["bram18"]), f"{estimate:.0f}",
            f"{fmax:.0f}", f"{100 * (estimate / fmax - 1):+.1f} %", f"{fmax * 1e6 / folding.interval:,.0f}",
            f"{path['logic_ns']:.1f} + {path['routing_ns']:.1f}", f"{seconds:.0f}"]  # fmt: skip


EARLIER = {
    "mnist": "mnist_learned at 3,930 cycles was routed in an earlier folding only (6,097 LUT, the solver's choice "
    "before its estimates were fitted by part): 122 MHz post-route, 130 estimated."
}


def write_folded(names: list[str], rows: list[list[str]]) -> None:
    """Replace the section of folded networks; what was not routed this time is told from an earlier one."""
    earlier = "".join(f"\n\n{text}" for name, text in EARLIER.items() if name not in names)
    header = ["design", "cycles per result", "LUT cells / sites expected / sites placed", "FF", "BRAM18",
              "netlist estimate MHz", "post-route MHz", "estimate's error", "results/s at that clock",
              "slowest path, logic + routing ns", "place and route s"]  # fmt: skip
    write_section(
        "Folded networks, placed and routed on xc7z020",
        f"python -m benchmarks.route --folded {' '.join(names)}",
        table(header, rows)
        + "\n\n10 ns asked, first seed, nextpnr-himbaechel-xilinx, xc7z020clg400-1, block RAMs placed and routed. The "
        "networks are those of the section on the folded architecture." + earlier,
    )


def main() -> None:
    """Build, route, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work"))
    parser.add_argument("--folded", nargs="+", choices=list(FOLDED), default=[], help="folded networks instead")
    options = parser.parse_args()
    work = options.work
    (work / "route").mkdir(parents=True, exist_ok=True)
    if options.folded:
        rows = [folded_row(name, work / "route" / f"folded_{name}") for name in options.folded]
        write_folded(options.folded, rows)
        return
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
    header = ["design", "asked ns", "cycles", "LUT cells / sites expected / sites placed", "FF",
              "pipelined for MHz", "netlist estimate MHz",
              "post-route MHz", "estimate's error", "seeds tried", "slowest path"]  # fmt: skip
    write_section(
        "Clock estimate against place and route on xc7z020",
        "python -m benchmarks.route",
        table(header, [cells for _, cells in results])
        + f"\n\nError of the netlist estimate over {len(errors)} designs: mean {100 * np.mean(errors):.1f} %, largest "
        f"{100 * max(errors):.1f} %. Post-route: nextpnr-himbaechel-xilinx, xc7z020clg400-1.\n\n"
        + FITTED
        + "\n\n"
        + PLANNED
        + "\n\n"
        + SITES,
    )


if __name__ == "__main__":
    main()
