"""The scores on a build's page: of the integer design, of the model itself on the same rows, and those of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow.core.compare import same_score
from flow.core.engines import model_kind
from flow.report.wording import DASH, finite, number, table

PREPARED = {
    "stored": "The rows are prepared by the preprocessing stored with the model.",
    "none": "The rows are taken as they are in the data, without preprocessing.",
    "standard": "The rows are prepared by --preprocessing standard, fitted on the training part.",
}


def metric_name(metric: Any) -> str:
    """A metric as people write it."""
    return {"mse": "mean squared error"}.get(str(metric), str(metric))


def score_tile(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The key figure of the design's score with the model's own beside it; ``bad`` where they differ."""
    scored, own = table(report, "score"), table(report, "keras_score")
    if not scored:
        return []
    beside = f"integer design, {number(scored.get('rows'))} test rows of {scored.get('data')}"
    if own:
        beside += f"; {model_kind(report.get('source'))} model {own.get('value', 0):.4f}"
    left_out = table(report, "source").get("left_out")
    differs = bool(own) and not same_score(scored.get("metric"), own.get("value"), scored.get("value"), left_out)
    return [(metric_name(scored.get("metric")), f"{scored.get('value', 0):.4f}", beside, "bad" if differs else "")]


def score(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """All scores in a table; training's is compared only where both mean the same."""
    mine, own, trained = (table(report, key) for key in ("score", "keras_score", "training"))
    if not mine and not trained:
        return None
    model = f"{model_kind(report.get('source'))} model"
    rows = [(f"{what} of this build, test part", metric_name(found.get("metric")), _score(found.get("value")))
            for what, found in (("integer design", mine), (model, own)) if found]  # fmt: skip
    rows += [(f"model in training, {what}", metric_name(trained.get("metric")), _score(trained.get(key)))
             for key, what in (("test", "test part"), ("val", "validation part")) if key in trained]  # fmt: skip
    return {
        "rows": rows, "model": model, "verdict": _verdict(mine, trained), "labels": _labels(report),
        "prepared": PREPARED.get(str(report.get("preprocessing")), "") if mine else "",
    }  # fmt: skip


def _labels(report: Mapping[str, Any]) -> str:
    """Which output is which label, where that is not plain."""
    classes = report.get("class_names") or report.get("classes") or []
    if classes == list(range(len(classes))):
        return ""
    return "Outputs and their labels: " + ", ".join(f"{i} is {label}" for i, label in enumerate(classes)) + "."


def _score(value: Any) -> str:
    return DASH if finite(value) is None else f"{value:.6f}"


def _verdict(mine: Mapping[str, Any], trained: Mapping[str, Any]) -> str:
    value, recorded = finite(mine.get("value")), finite(trained.get("test"))
    if value is None or recorded is None:
        return ""
    if mine.get("metric") != trained.get("metric") or mine.get("data") != trained.get("data"):
        return "The training score is of other data or another metric and is not compared."
    if abs(value - recorded) <= 1e-6:
        return "The hardware scores what the trained model scored."
    return f"The hardware's score differs from the trained model's by {number(value - recorded, 3)}."
