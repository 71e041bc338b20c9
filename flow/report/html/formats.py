"""How weights and activations use their formats, layer by layer; the energy estimate; the longest paths; the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow.report.wording import number, percent, ratio, table, width

_NEVER = 0.001  # share of saturated outputs from which a neuron is named
_NAMED = 5


def formats(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Profiles of all layers; None of reports that have none."""
    layers = [layer for layer in report.get("layers", []) if layer.get("profile")]
    if not layers:
        return None
    return {"vectors": str(report.get("profiled") or "the vectors"), "layers": [_layer(layer) for layer in layers]}


def _layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    found = layer["profile"]
    weights, outputs = found["weights_by_bits"], found["outputs_by_tenth"]
    total, made = sum(weights), sum(outputs)
    saturated, rows = found["saturated"], found["rows"]
    worst = sorted((n, j) for j, n in enumerate(saturated) if n > _NEVER * rows)[::-1][:_NAMED]
    return {
        "name": layer["name"],
        "weights": [(str(bits), number(n), percent(ratio(n, total)), width(ratio(n, max(weights))))
                    for bits, n in enumerate(weights)],
        "end": number(found["weights_at_end"]), "of": number(found["weights_of_them"]),
        "end_share": percent(ratio(found["weights_at_end"], found["weights_of_them"])),
        "outputs": [(f"{10 * i} to {10 * i + 10} %", percent(ratio(n, made)), width(ratio(n, max(outputs))))
                    for i, n in enumerate(outputs)] if made else [],
        "zeros": percent(ratio(found["zeros"], made)) if made else None,
        "saturated": number(sum(saturated)), "made": number(made),
        "saturated_share": percent(ratio(sum(saturated), made)),
        "worst": ", ".join(f"{j} ({percent(n / rows)})" for n, j in worst),
    }  # fmt: skip


def power(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The energy estimate with its limits; None where there is none."""
    found = table(report, "power")
    if not found:
        return None
    spent, factor = found["pj_per_result"], found["factor"]
    layers, known = found["layers"], sum(found["layers"].values())
    rows = [(name, number(pj), percent(ratio(pj, spent)), width(ratio(pj, spent))) for name, pj in layers.items()]
    rest = spent - known
    if layers and rest > 0:
        rows.append(("outside the layers, and inputs", number(rest), percent(ratio(rest, spent)), width(rest / spent)))
    return {
        "pj": number(spent, 3), "mw": number(found["mw"], 3), "mhz": number(found["clock_mhz"]),
        "low": number(spent / factor, 2), "high": number(spent * factor, 2), "factor": number(factor),
        "changes": number(found["changes_per_cycle"]), "nets": number(found["nets"]), "cycles": number(found["cycles"]),
        "vectors": found["vectors"], "source": found["source"], "left_out": found["left_out"], "rows": rows,
    }  # fmt: skip


def paths(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """The longest paths: delay, slack, levels and their course by layer and neuron."""
    synthesis, period = table(report, "synthesis"), report.get("clock_period_ns")
    rows = []
    for path in synthesis.get("paths") or ():
        slack = f"{period - path['delay_ns']:.2f} ns".replace("-", "\u2212") if period else ""
        through = [str(name) for name in path.get("through") or ()]
        rows.append((f"{path['delay_ns']:.2f} ns", slack, number(path["levels"]), " \u2192 ".join(through)))
    return rows


def files(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Files of the build's folder, to be opened from the page, which lies there too."""
    found = table(report, "files")
    return [(path, str(what)) for path, what in found.items() if _inside(path)]


def _inside(path: str) -> bool:
    """Whether a path stays below the page's folder: reports may come from anywhere."""
    return not path.startswith("/") and ".." not in path.split("/") and ":" not in path and "\\" not in path
