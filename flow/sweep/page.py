"""The page of a sweep: a plot of every trial with the front, and the front as a table; one self-contained file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flow.report.html.pages import render
from flow.report.html.plot import Canvas, line, wide
from flow.report.html.score import metric_name
from flow.report.wording import number
from flow.sweep.space import OBJECTIVES, Settings

Entry = Mapping[str, Any]


def front_page(name: str, settings: Settings, entries: Sequence[Entry], front: Sequence[Entry]) -> str:
    """The page as text: a pure function of the trials."""
    done = [e for e in entries if e["state"] == "done"]
    return render("sweep.html.j2", {
        "name": name,
        "data": settings.data,
        "part": settings.part,
        "objective": OBJECTIVES[settings.costs[0]],
        "metric": metric_name(done[0]["metric"]) if done else "score",
        "tiles": _tiles(entries, front, settings),
        "plot": _plot(done, front, settings) if done else None,
        "head": ["trial", "validation", "test", "LUT sites", "LUT cells", "FF", "BRAM18", "cycles", "pJ, estimated",
                 "interval", "hidden", "bit set", "beta or budget", "architecture", "weight bits", "engines",
                 "verified"],
        "rows": [_cells(e) for e in front],
        "failed": [(e["trial"], e["error"] or "ended") for e in entries if e["state"] == "failed"],
        "choices": _choices(settings),
    })  # fmt: skip


def _tiles(entries: Sequence[Entry], front: Sequence[Entry], settings: Settings) -> list[tuple[str, str, str]]:
    states = [e["state"] for e in entries]
    retried = sum(max(e["attempts"] - 1, 0) for e in entries)
    found = [("trials", number(states.count("done")), f"{states.count('failed')} failed, {retried} started again"),
             ("on the front", number(len(front)), f"score against {settings.cost_title}")]  # fmt: skip
    if front:
        more = settings.task == "classification"
        best, least = max(front, key=lambda e: e["val"] if more else -e["val"]), min(front, key=lambda e: e["lut"])
        found.append(("best", f"{best['val']:.4f}", f"validation score, {_luts(best)}"))
        found.append(("smallest", _luts(least), f"validation score {least['val']:.4f}"))
    return found


def _luts(e: Entry) -> str:
    return f"{number(e['lut'])} LUT sites"


def _cells(e: Entry) -> dict[str, Any]:
    strength = e["lut_budget"] if e["lut_budget"] is not None else e["beta"]
    texts = [f"{e['val']:.4f}", f"{e['test']:.4f}", number(e["lut"]), number(e["lut_cells"]),
             number(e["ff"]), number(e["bram18"]), number(e["latency_cycles"]), number(e.get("energy_pj")),
             number(e["initiation_interval"]), e["hidden"], e["bit_set"],
             number(strength), e["architecture"], number(e["weight_bits"]), e["engines"],
             e["verified"] or "not yet"]  # fmt: skip
    return {"trial": e["trial"], "texts": texts, "build": e["build"]}


def _choices(settings: Settings) -> list[tuple[str, str]]:
    cost = settings.lut_budget or settings.beta or ()
    return [
        ("hidden layers", ", ".join(settings.hidden)),
        ("bit sets", ", ".join(settings.bit_sets)),
        ("LUT budget" if settings.lut_budget else "beta", " to ".join(f"{v:g}" for v in dict.fromkeys(cost))),
        ("architecture", ", ".join(settings.architecture)),
        ("initiation interval of folded", ", ".join(map(str, settings.initiation_interval)) or "fastest that fits"),
        ("costs", settings.cost_title),
        ("latency at most", "any" if settings.max_latency_ns is None else f"{settings.max_latency_ns:g} ns"),
        ("LUT sites at most", "all" if settings.max_lut_share is None else f"{settings.max_lut_share:.0%} of the part"),
        ("epochs", str(settings.epochs)),
        ("seed", str(settings.seed)),
    ]


def _plot(done: Sequence[Entry], front: Sequence[Entry], settings: Settings) -> dict[str, Any]:
    """Coordinates of the plot: cost to the right (logarithmic where it spans much), score upwards."""
    costs, scores = [_cost(e, settings) for e in done], [e["val"] for e in done]
    canvas, log = Canvas(), wide(costs)
    x, y = canvas.across(costs, log), canvas.upwards(scores)
    on_front = {e["trial"] for e in front}
    points = [{
        "x": f"{x(_cost(e, settings)):.1f}", "y": f"{y(e['val']):.1f}", "front": e["trial"] in on_front,
        "label": f"trial {e['trial']}: {e['val']:.4f}, {number(_cost(e, settings))}, hidden {e['hidden']}",
    } for e in sorted(done, key=lambda e: e["trial"] in on_front)]  # fmt: skip
    chosen = front if len(settings.costs) == 1 else []  # several costs have no line
    path = line([(x(_cost(e, settings)), y(e["val"])) for e in chosen])
    return {**canvas.frame(costs, scores, log), "points": points, "path": path}


def _cost(e: Entry, settings: Settings) -> float:
    return float(e[settings.costs[0]])
