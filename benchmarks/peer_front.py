"""Our Pareto front beside the peer's, in LUT sites: ``python -m benchmarks.peer_front [NAME ...] [--peer PYTHON]``.

One training run per set and system keeps its whole front. Every model of ours is built, checked and synthesized; the
peer's (HGQ2 0.2.0 + alkaid 0.8.2, widths per weight) are trained by ``benchmarks/peer.py`` in the environment of
``--peer`` on the same prepared inputs, targets and parts. Both sides' Verilog goes through the build's Yosys script and
is counted in sites by the build's rule. Work goes to ``--work``; a second run reuses what is there.
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

from benchmarks.adder_graphs import NO_SELF_CHECK
from benchmarks.results_file import table, write_section
from flow.files import plan
from flow.netlist.slices import expected_sites
from flow.tools import yosys
from keras_models.data.loaders import load_dataset
from keras_models.data.preprocess import Preprocessing

SETS = {
    "kth_mesh": ("split", "32-32", 400),
    "unsw_nb15": ("split_dedup", "64-32", 200),
    "rss_5g": ("split", "64-32", 200),
}
PERIOD_NS = 10.0
NOTES = """

Losses of the test part: kth_mesh and rss_5g MSE on standardised targets, unsw_nb15 the share of wrong labels. LUT sites
are expected ones of the netlist by the build's rule, in brackets with every legal pair of functions in one site. Both
systems have the same inputs, targets and parts, one run each with seed 3, no choice among runs; points that another one
of the same system beats in both are left out. Ours: pipelined to 10 ns, checked against Keras on the test part. The
peer: combinational, of alkaid's two ways (with and without ternary fusion) the one of fewer sites."""


def prepared(name: str, work: Path) -> Path:
    """The set as both systems see it: inputs, targets and parts."""
    path = work / f"{name}.npz"
    if not path.is_file():
        dataset = load_dataset(name, split_key=SETS[name][0])
        steps = Preprocessing.fit(dataset)
        y = dataset.y if dataset.classes else steps.apply_targets(dataset.y)
        labels = np.searchsorted(dataset.classes, dataset.y) if dataset.classes else y
        np.savez(path, X=steps.apply(dataset.X).astype(np.float32), y=labels, split=dataset.split)
    return path


def run(*arguments: str) -> None:
    """A program that has to end well."""
    done = subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"{' '.join(arguments)} ended with status {done.returncode}: {last}")


def ours(name: str, work: Path) -> list[dict[str, Any]]:
    """Loss and sites of every model of one run's front, synthesized and checked."""
    split, hidden, epochs = SETS[name]
    model = work / f"{name}.h5"
    if not model.is_file():
        run(sys.executable, "-m", "keras_models.train", "--data", name, "--split-key", split, "--hidden", hidden,
            "--epochs", str(epochs), "--front", "--seed", "3", "--out", str(model), "--quiet")  # fmt: skip
    points = []
    for file in sorted(model.with_suffix(".front").glob("*.h5")):
        out = work / f"{name}_{file.stem}"
        if not (out / "report.json").is_file():
            run(sys.executable, "-m", "flow.build", "--model", str(file), "--data", name, "--split-key", split,
                "--engines", "integer", "--clock-period-ns", str(PERIOD_NS), "--out", str(out), "--quiet")  # fmt: skip
        report = json.loads((out / "report.json").read_text())
        found, score = report["synthesis"], report["score"]
        loss = 1 - score["value"] if score["metric"] == "accuracy" else score["value"]
        points.append({"loss": loss, "sites": found["lut"], "paired": found["lut_paired"], "cells": found["lut_cells"]})
    return points


def peers(name: str, work: Path, python: Path | None) -> list[dict[str, Any]]:
    """Loss and sites of the peer's front."""
    _, hidden, epochs = SETS[name]
    folder = work / f"{name}_peer"
    if not (folder / "points.json").is_file():
        if python is None:
            raise SystemExit(f"{folder} holds no front of the peer; name the Python of its environment with --peer")
        script = Path(__file__).with_name("peer.py")
        run(str(python), str(script), str(prepared(name, work)), "--hidden", hidden, "--epochs", str(epochs),
            "--out", str(folder))  # fmt: skip
    points = []
    for point in json.loads((folder / "points.json").read_text())["points"]:
        ways = [_counted(folder / str(point["point"]) / way) for way in ("plain", "fused")]
        points.append({"loss": point["loss"], **min(ways, key=lambda way: (way["sites"], way["paired"]))})
    return points


def _counted(folder: Path) -> dict[str, int]:
    """Sites of a folder of alkaid's Verilog."""
    kept = folder / "sites.json"
    if not kept.is_file():
        sources = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.v"))
        for memory in folder.rglob("*.mem"):  # they are read by their bare names
            plan.write_file(folder / memory.name, memory.read_text())
        script = NO_SELF_CHECK + yosys.synthesis_script(sources, "dut", "xc7", dsp=False)
        yosys.synthesize(folder, script, 7200)
        module = json.loads((folder / "netlist.json").read_text())["modules"]["dut"]
        found, kinds = expected_sites(module), [cell["type"] for cell in module["cells"].values()]
        cells = sum(kind.startswith("LUT") for kind in kinds)
        kept.write_text(json.dumps({"sites": found.total, "paired": found.paired, "cells": cells}))
    return dict(json.loads(kept.read_text()))


def front(points: list[dict[str, Any]], cost: str) -> list[tuple[float, float]]:
    """(cost, loss) of the points that no other one beats in both, from the cheapest on."""
    best: list[tuple[float, float]] = []
    for value, loss in sorted((max(point[cost], 1), point["loss"]) for point in points):
        if not best or loss < best[-1][1]:
            best.append((value, loss))
    return best


def ratio(mine: list[tuple[float, float]], theirs: list[tuple[float, float]]) -> float | None:
    """Our cost over the peer's at equal loss, the geometric mean over the losses that both fronts reach.

    Between points of a front the logarithm of the cost is interpolated over the loss.
    """
    low, high = max(mine[-1][1], theirs[-1][1]), min(mine[0][1], theirs[0][1])
    if low >= high:
        return None
    losses = np.linspace(low, high, 200)
    costs = [
        np.interp(losses, [loss for _, loss in reversed(own)], np.log([cost for cost, _ in reversed(own)]))
        for own in (mine, theirs)
    ]
    return float(np.exp((costs[0] - costs[1]).mean()))


def main() -> None:
    """Measure the sets and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(SETS), metavar="NAME", help=f"from {', '.join(SETS)}")
    parser.add_argument("--peer", type=Path, help="Python of the peer's environment; without it its files are read")
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work") / "front")
    options = parser.parse_args()
    plan.folder(options.work)
    rows, ratios = [], []
    for name in options.names:
        found = {"this project": ours(name, options.work), "HGQ2 + alkaid": peers(name, options.work, options.peer)}
        for system, points in found.items():
            pairs = {(max(p["sites"], 1), p["loss"]): p["paired"] for p in points}
            texts = [f"{loss:.4f} @ {int(n):,} ({pairs[n, loss]:,})" for n, loss in front(points, "sites")]
            rows.append([name, SETS[name][0], system, "; ".join(texts)])
        for cost, shown in (("sites", "LUT sites"), ("paired", "with pairs")):
            mean = ratio(*(front(points, cost) for points in found.values()))
            ratios.append([name, shown, "no common losses" if mean is None else f"{mean:.2f}"])
        print(*itertools.chain(rows[-2:], ratios[-2:]), sep="\n", flush=True)
    write_section(
        "Score against LUT sites, beside HGQ2 + alkaid",
        "python -m benchmarks.peer_front --peer peer/bin/python",
        table(["set", "split", "system", "test loss @ LUT sites"], rows)
        + "\n\nOur cost over the peer's at equal loss, mean over the common range:\n\n"
        + table(["set", "cost", "ratio"], ratios) + NOTES,
    )  # fmt: skip


if __name__ == "__main__":
    main()
