"""What the design makes of the test part: a table of classes with figures for each, or predictions against targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flow.report.html.plot import Canvas
from flow.report.wording import DASH, number, percent, ratio, step, table

_MOST = 40  # classes whose table is shown as a whole


def outcomes(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The view; None where the build had no data, or too many classes."""
    found = table(report, "predictions")
    classes, targets = found.get("classes"), found.get("targets") or ()
    if not classes and not targets:
        return None
    return {"classes": _classes(classes) if classes else None, "targets": [_target(t) for t in targets],
            "standardised": bool(targets) and any(t.get("mse_own_unit") is not None for t in targets)}  # fmt: skip


def _classes(found: Mapping[str, Any]) -> dict[str, Any]:
    names, matrix = [str(name) for name in found["names"]], found["matrix"]
    support = [sum(row) for row in matrix]
    predicted = [sum(row[j] for row in matrix) for j in range(len(names))]
    hits = [matrix[j][j] for j in range(len(names))]
    scores = [_figures(*entry) for entry in zip(hits, support, predicted, strict=True)]
    rows = [(name, *(_share(v) for v in own), number(count))
            for name, own, count in zip(names, scores, support, strict=True)]  # fmt: skip
    shown = len(names) <= _MOST
    return {
        "names": names, "rows": rows, "mean": [_share(_mean([own[i] for own in scores])) for i in range(3)],
        "total": number(sum(support)), "unknown": found.get("unknown") or 0,
        "matrix": [
            {"name": name, "cells": [(number(n) if n else "", step(ratio(n, of), 1.0),
                                      f"{name} taken for {names[j]}: {number(n)} of {number(of)} rows")
                                     for j, n in enumerate(row)]}
            for name, row, of in zip(names, matrix, support, strict=True)
        ] if shown else [],
        "mixed": _mixed(names, matrix),
    }  # fmt: skip


def _figures(hits: int, support: int, predicted: int) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1; None where there is nothing to divide by."""
    precision = hits / predicted if predicted else None
    recall = hits / support if support else None
    return precision, recall, 2 * hits / (support + predicted) if support + predicted else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _share(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _mixed(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[tuple[str, str, str, str]]:
    """The five classes that are most often taken for another one."""
    pairs = [(n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n]
    return [(names[i], names[j], number(n), percent(ratio(n, sum(matrix[i])))) for n, i, j in sorted(pairs)[:-6:-1]]


def _target(found: Mapping[str, Any]) -> dict[str, Any]:
    points = [(float(a), float(b)) for a, b in found["points"]]
    canvas, values = Canvas(430, 320, 66, 44), [v for point in points for v in point] or [0.0]
    x, y = canvas.across(values), canvas.upwards(values)
    ends = (min(values), max(values))
    return {
        "name": str(found["name"]), "mse": number(found["mse"]), "own": number(found.get("mse_own_unit")),
        "mae": number(found["mean_absolute_error"]), "bias": number(found["bias"]),
        "points": [(f"{x(a):.1f}", f"{y(b):.1f}") for a, b in points],
        "line": [f"{place:.1f}" for v in ends for place in (x(v), y(v))], **canvas.frame(values, values),
    }  # fmt: skip
