"""Table, verdicts and plots of the methods benchmark, from the JSON files of its runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from methods_runs import METHODS, OURS, ROWS, slug
from results_file import table, write_section

PLOT = Path(__file__).with_name("methods.png")
PAPER = {"covertype_93k": 94.7, "higgs_23k": 74.58}  # of 581,012 and of 11,000,000 rows
SHOWN = {"best": np.inf, "at most 3 bits": 3.0}  # models shown of a front: widest mean weight width
Run = dict[str, Any]
Runs = dict[str, list[Run]]


def load(work: Path, name: str, seeds: Sequence[int]) -> Runs:
    """The finished runs of a set by method; LUT counts joined to their points."""
    found: Runs = {}
    for method in METHODS:
        files = [work / f"{slug(name, method, seed)}.json" for seed in seeds]
        runs = [json.loads(file.read_text()) for file in files if file.is_file()]
        for run in runs:
            for point in run["points"]:
                luts = work / point.get("design", "none").replace(".design.", ".luts.")
                point |= json.loads(luts.read_text()) if luts.is_file() else {}
        if runs:
            found[method] = runs
    return found


def merit(run: Run, point: dict[str, Any], part: str) -> float:
    """A point's score, greater is better."""
    return point[part] if run["task"] == "classification" else -point[part]


def chosen(run: Run, widest: float) -> dict[str, Any] | None:
    """The point of best validation score whose mean weight width is at most ``widest``."""
    points = [p for p in run["points"] if p["mean_weight_bits"] <= widest + 1e-6]
    return max(points, key=lambda p: merit(run, p, "val")) if points else None


def verdict(runs: Runs, method: str) -> tuple[str, float, float]:
    """Ours beside a baseline at no more weight bits: "above", "on" (within the standard error) or "below", and both.

    Ours is, seed by seed, the model of best validation score among all of ours that are no wider.
    """
    baseline = runs[method]
    widest = float(np.mean([run["points"][0]["mean_weight_bits"] for run in baseline]))
    ours = []
    for seed in {run["seed"] for run in baseline}:
        options = [(run, chosen(run, widest)) for m in OURS for run in runs.get(m, []) if run["seed"] == seed]
        found = [(run, point) for run, point in options if point]
        if found:
            best = max(found, key=lambda pair: merit(*pair, "val"))
            ours.append(merit(*best, "test"))
    theirs = [merit(run, run["points"][0], "test") for run in baseline]
    if len(ours) < len(theirs):
        return "below (no model of ours is as narrow)", float("nan"), float(np.mean(theirs))
    difference = float(np.mean(ours) - np.mean(theirs))
    error = float(np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / len(ours))) if len(ours) > 1 else 0.0
    word = "above" if difference >= 0 else "on" if difference >= -error else "below"
    return word, float(np.mean(ours)), float(np.mean(theirs))


def text(values: Sequence[float], task: str) -> str:
    """Mean and standard deviation over the seeds."""
    scale, digits = (100, 2) if task == "classification" else (1, 4)
    spread = f" +- {scale * np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{scale * np.mean(values):.{digits}f}{spread}"


def rows_of(runs: Runs) -> list[list[str]]:
    """The table rows of a set."""
    rows = []
    for method, found in runs.items():
        front = len(found[0]["points"]) > 1
        for label, widest in SHOWN.items() if front else (("", np.inf),):
            points = [chosen(run, widest) for run in found]
            if all(points) and not (np.isfinite(widest) and points == [chosen(run, np.inf) for run in found]):
                rows.append(_row(found, points, f"{method}, {label}" if front else method))
    return rows


def _row(found: list[Run], points: list[Any], label: str) -> list[str]:
    task = found[0]["task"]
    mean = {k: [p[k] for p in points] for k in ("mean_weight_bits", "mean_activation_bits", "model_bytes")}
    counted = next((p for p in points if "luts" in p), None)
    return [
        found[0]["set"], label, text([p["test"] for p in points], task),
        f"{np.mean(mean['mean_weight_bits']):.2f}",
        f"{np.mean([b or 0 for b in mean['mean_activation_bits']]):.2f}",
        f"{np.mean(mean['model_bytes']):,.0f}",
        *([f"{counted['luts']:,}", f"{counted['adders']:,}", f"{counted['energy_pj']:.1f}"] if counted else
          ["no" if found[0]["obstacle"] else "not counted", "", ""]),
        f"{np.mean([run['seconds'] for run in found]):.1f}", str(len(found)),
    ]  # fmt: skip


def plot(everything: dict[str, Runs]) -> None:
    """Test score against mean weight width, one panel per set, with error bars over the seeds."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(16, 7.5))
    colours = dict(zip([m for m in METHODS if m != "float"], plt.get_cmap("tab20").colors, strict=False))
    for axis, (name, runs) in zip(axes.flat, everything.items(), strict=False):
        for method, found in runs.items():
            if method == "float":
                axis.axhline(np.mean([run["points"][0]["test"] for run in found]), color="grey", lw=0.8, ls=":")
                continue
            _draw(axis, method, found, colours[method])
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("mean weight bits")
        axis.set_ylabel("accuracy" if next(iter(runs.values()))[0]["task"] == "classification" else "MSE")
    for axis in axes.flat[len(everything) :]:
        axis.set_axis_off()
    handles = {text: h for axis in axes.flat for h, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), ncol=7, loc="lower center", fontsize=9)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(PLOT, dpi=70)
    plt.close(figure)


def _draw(axis: Any, method: str, found: list[Run], colour: Any) -> None:
    if max(len(run["points"]) for run in found) > 1:
        marks = np.unique(np.round([p["mean_weight_bits"] for run in found for p in run["points"]], 1))
        pairs = [(mark, [chosen(run, mark) for run in found]) for mark in marks]
        pairs = [(mark, [p["test"] for p in points if p]) for mark, points in pairs if all(points)]
        if pairs:
            axis.errorbar([m for m, _ in pairs], [np.mean(v) for _, v in pairs], [np.std(v) for _, v in pairs],
                          color=colour, lw=1.6, capsize=2, elinewidth=0.7, label=method)  # fmt: skip
        return
    points = [run["points"][0] for run in found]
    bits, scores = [p["mean_weight_bits"] for p in points], [p["test"] for p in points]
    marker = "*" if method in OURS else "o"
    axis.errorbar(np.mean(bits), np.mean(scores), np.std(scores), np.std(bits), fmt=marker, color=colour,
                  capsize=2, ms=9 if method in OURS else 5, label=method)  # fmt: skip


def write_report(work: Path, names: Sequence[str], seeds: Sequence[int]) -> None:
    """Put all into RESULTS.md and the plot beside it."""
    everything = {name: runs for name in names if (runs := load(work, name, seeds))}
    if not everything:
        return
    plot(everything)
    header = ["set", "method", "test score", "weight bits", "activation bits", "bytes", "LUT", "adders", "pJ",
              "training s", "seeds"]  # fmt: skip
    rows = table(header, [row for runs in everything.values() for row in rows_of(runs)])
    picture = "![scores against weight bits](methods.png)"
    body = f"{_verdicts(everything, len(seeds))}\n\n{picture}\n\n{rows}\n{NOTES}"
    write_section("Methods on eight data sets", "python benchmarks/methods.py", body)


def _verdicts(everything: dict[str, Runs], count: int) -> str:
    lines, good = [], 0
    complete = {n: runs for n, runs in everything.items() if all(len(runs.get(m, ())) == count for m in METHODS)}
    for name, runs in complete.items():
        baselines = [m for m in runs if m not in OURS and m != "float"]
        words = {m: verdict(runs, m)[0] for m in baselines}
        bad = {m: w for m, w in words.items() if w.startswith("below")}
        good += not bad
        on = [m for m, w in words.items() if w == "on"]
        lines.append(
            [
                name,
                "yes" if not bad else "no",
                str(len(words) - len(bad) - len(on)),
                ", ".join(on) or "none",
                ", ".join(f"{m}{w.removeprefix('below')}" for m, w in bad.items()) or "none",
                _paper(name, runs),
            ]
        )
    head = (
        f"NMP-QAT is on or above the front of every baseline on {good} of the {len(complete)} sets that are finished."
    )
    if not complete:
        head = "No set is finished yet."
    partial = ", ".join(name for name in everything if name not in complete)
    head += f" Not finished, so without a verdict: {partial}." if partial else ""
    columns = ["set", "on or above all", "above", "on (within the standard error)", "below", "beside the paper"]
    return f"{head}\n\n{table(columns, lines)}" if lines else head


def _paper(name: str, runs: Runs) -> str:
    if name not in PAPER:
        return ""
    ours = [[chosen(run, np.inf)["test"] for run in runs[m]] for m in OURS if m in runs]
    if not ours:
        return ""
    return f"{text(max(ours, key=np.mean), 'classification')} %; the paper {PAPER[name]} % on all rows"


NOTES = f"""

Scores: accuracy in % or MSE on standardised targets, mean +- standard deviation over the seeds, test part whole. At
most {ROWS:,} training rows of each set (a fixed sample), MLP 32-32, Adam, 60 epochs (NMP: 100, or 160 for the front
down to the fewest LUTs; SigmaQuant, ReLeQ and ADQ train longer than 60 by their search, which the seconds include).
These are small
networks on samples: rankings of methods, not the best scores of the sets; the paper's Covertype and Higgs figures are
of 581,012 and 11,000,000 rows and 4 x 512 networks. Paper mode is trained by Adam like the others; the paper's SGD
gives less in so few epochs. Of a front the rows show the model of best validation score, overall and among those at
most so wide. A verdict compares, seed by seed, the model of ours with the best validation score among those no wider
than the baseline's mean weight width; activation widths are given but not part of it. LUTs, carry chains ("adders")
and pJ per result (45 nm, 32-bit addition 0.1 pJ) are of the first seed's proved adder graphs by `flow.cost`; "no" is a
method whose weights have no integer form. Training seconds were taken on busy cores and hold compilation, shared by
the seeds.
"""
