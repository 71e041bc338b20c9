"""Training on a report page: the metrics of the epochs as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flow.report.html.plot import Canvas, line
from flow.report.html.score import metric_name
from flow.report.wording import finite, number, table

_CURVES = {  # columns of training's history that are drawn, and what they are called
    "loss": "loss", "val": "validation score", "estimated_luts": "LUT sites, estimated",
    "mean_weight_bits": "bits per weight", "mean_activation_bits": "bits per activation",
    "beta": "beta, the cost's weight",
}  # fmt: skip


def training(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Curves over the epochs; None where the model came without its training's history."""
    trained = table(report, "training")
    history = table(trained, "history")
    names, rows = history.get("names") or [], history.get("rows") or []
    if len(rows) < 2:
        return None
    epochs = [finite(row[0]) or 0.0 for row in rows]
    curves = [_curve(title, epochs, [finite(row[names.index(name)]) for row in rows])
              for name, title in _CURVES.items() if name in names]  # fmt: skip
    return {
        "curves": [curve for curve in curves if curve], "epochs": number(int(epochs[-1])),
        "metric": metric_name(trained["metric"]) if "metric" in trained else "", "best": trained.get("epoch"),
    }  # fmt: skip


def _curve(title: str, epochs: Sequence[float], values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [(e, v) for e, v in zip(epochs, values, strict=True) if v is not None]
    if len(known) < 2 or len({v for _, v in known}) < 2:
        return None
    canvas = Canvas(430, 220, 62, 32)
    ys = [v for _, v in known]
    x, y = canvas.across(epochs), canvas.upwards(ys)
    return {"title": title, "last": number(ys[-1]), "least": number(min(ys)), "most": number(max(ys)),
            "path": line([(x(e), y(v)) for e, v in known]), **canvas.frame(epochs, ys)}  # fmt: skip
