"""The page of a sweep: a plot of every trial with the front, and the front as a table; one self-contained file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flow.report.html.pages import render
from flow.report.html.score import metric_name
from flow.report.wording import number
from flow.sweep.space import OBJECTIVES, Settings

Entry = Mapping[str, Any]
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 900.0, 420.0, 70.0, 50.0, 15.0, 20.0
_TICKS = 5


def front_page(name: str, settings: Settings, entries: Sequence[Entry], front: Sequence[Entry]) -> str:
    """The page as text: a pure function of the trials."""
    done = [e for e in entries if e["state"] == "done"]
    return render("sweep.html.j2", {
        "name": name,
        "data": settings.data,
        "part": settings.part,
        "objective": OBJECTIVES[settings.objective],
        "metric": metric_name(done[0]["metric"]) if done else "score",
        "tiles": _tiles(entries, front, settings),
        "plot": _plot(done, front, settings) if done else None,
        "head": ["trial", "validation", "test", "LUT sites", "LUT cells", "FF", "BRAM18", "cycles", "interval",
                 "hidden", "bit set", "beta or budget", "architecture", "weight bits", "engines", "verified"],
        "rows": [_cells(e) for e in front],
        "failed": [(e["trial"], e["error"] or "ended") for e in entries if e["state"] == "failed"],
        "choices": _choices(settings),
    })  # fmt: skip


def _tiles(entries: Sequence[Entry], front: Sequence[Entry], settings: Settings) -> list[tuple[str, str, str]]:
    states = [e["state"] for e in entries]
    retried = sum(max(e["attempts"] - 1, 0) for e in entries)
    found = [("trials", number(states.count("done")), f"{states.count('failed')} failed, {retried} started again"),
             ("on the front", number(len(front)), f"score against {OBJECTIVES[settings.objective]}")]  # fmt: skip
    if front:
        best, least = front[-1], front[0]
        found.append(("best", f"{best['val']:.4f}", f"validation score, {_luts(best)}"))
        found.append(("smallest", _luts(least), f"validation score {least['val']:.4f}"))
    return found


def _luts(e: Entry) -> str:
    return f"{number(e['lut'])} LUT sites"


def _cells(e: Entry) -> dict[str, Any]:
    strength = e["lut_budget"] if e["lut_budget"] is not None else e["beta"]
    texts = [f"{e['val']:.4f}", f"{e['test']:.4f}", number(e["lut"]), number(e["lut_cells"]),
             number(e["ff"]), number(e["bram18"]), number(e["latency_cycles"]),
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
        ("epochs", str(settings.epochs)),
        ("seed", str(settings.seed)),
    ]


def _plot(done: Sequence[Entry], front: Sequence[Entry], settings: Settings) -> dict[str, Any]:
    """Coordinates of the plot: cost to the right (logarithmic where it spans much), score upwards."""
    costs, scores = [_cost(e, settings) for e in done], [e["val"] for e in done]
    log = max(costs) > 8 * max(min(costs), 1)
    x = _scale(costs, _LEFT, _WIDTH - _RIGHT, log)
    y = _scale(scores, _HEIGHT - _BOTTOM, _TOP, False)
    on_front = {e["trial"] for e in front}
    points = [{
        "x": f"{x(_cost(e, settings)):.1f}", "y": f"{y(e['val']):.1f}", "front": e["trial"] in on_front,
        "label": f"trial {e['trial']}: {e['val']:.4f}, {number(_cost(e, settings))}, hidden {e['hidden']}",
    } for e in sorted(done, key=lambda e: e["trial"] in on_front)]  # fmt: skip
    steps = [(x(_cost(e, settings)), y(e["val"])) for e in front]
    path = "".join(f"{'L' if i else 'M'}{a:.1f} {b:.1f}" for i, (a, b) in enumerate(steps))
    return {
        "width": _WIDTH, "height": _HEIGHT, "points": points, "path": path,
        "x_ticks": [(f"{x(v):.1f}", number(_short(v))) for v in _ticks(costs, log)],
        "y_ticks": [(f"{y(v):.1f}", f"{v:.4g}") for v in _ticks(scores, False)],
        "left": _LEFT, "right": _WIDTH - _RIGHT, "top": _TOP, "bottom": _HEIGHT - _BOTTOM,
    }  # fmt: skip


def _cost(e: Entry, settings: Settings) -> float:
    return float(e[settings.objective])


def _short(value: float) -> float | int:
    """Three significant digits: what a tick has room for."""
    rounded = float(f"{value:.3g}")
    return int(rounded) if rounded.is_integer() else rounded


def _scale(values: Sequence[float], low: float, high: float, log: bool) -> Any:
    least, most = _span(values)
    a, b = (math.log(max(least, 1e-9)), math.log(max(most, 1e-9))) if log else (least, most)

    def place(value: float) -> float:
        return low + (high - low) * ((math.log(max(value, 1e-9)) if log else value) - a) / (b - a)

    return place


def _span(values: Sequence[float]) -> tuple[float, float]:
    """The values' range, widened a little and never empty."""
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
    return (low - margin if low - margin > 0 or low <= 0 else low * 0.9), high + margin


def _ticks(values: Sequence[float], log: bool) -> list[float]:
    low, high = _span(values)
    shares = [i / (_TICKS - 1) for i in range(_TICKS)]
    if log:
        return [math.exp(math.log(max(low, 1e-9)) + s * math.log(high / max(low, 1e-9))) for s in shares]
    return [low + s * (high - low) for s in shares]
