"""What a sweep leaves behind: every trial as CSV, the front as CSV, JSON and a page."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flow.files import plan
from flow.sweep.page import front_page
from flow.sweep.study import Row, Study

_FIGURES = ("val", "test", "metric", "lut", "lut_cells", "ff", "dsp", "bram18", "fmax_mhz", "fits",
            "latency_cycles", "initiation_interval", "latency", "energy", "energy_pj",
            "weight_bits")  # fmt: skip
_PARAMETERS = ("hidden", "bit_set", "beta", "lut_budget")


def write_tables(folder: Path, study: Study) -> None:
    """Write ``trials.csv``, ``front.csv``, ``front.json`` and ``front.html`` as things stand."""
    rows = study.rows()
    front = study.front(rows)
    entries = [entry(folder, row, study.verified(row.number)) for row in rows]
    on_front = {row.number for row in front}
    chosen = {e["trial"]: e for e in entries if e["trial"] in on_front}
    ordered = [chosen[row.number] for row in front]
    plan.write_file(folder / "trials.csv", _csv(entries))
    plan.write_file(folder / "front.csv", _csv(ordered))
    data = {"settings": json.loads(study.settings.to_json()), "front": ordered}
    plan.write_file(folder / "front.json", json.dumps(data, indent=1, sort_keys=True) + "\n")
    plan.write_file(folder / "front.html", front_page(folder.name, study.settings, entries, ordered))


def entry(folder: Path, row: Row, verified: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the tables: what was tried, what came out, where it lies and how it came about."""
    figures, result = row.result.get("figures", {}), row.result
    cached = result.get("cached", [])
    seconds = result.get("seconds", {})
    return {
        "trial": row.number,
        "state": row.state,
        "attempts": row.attempts,
        "same_as": row.same_as,
        **{name: row.parameters.get(name) for name in _PARAMETERS},
        "architecture": figures.get("architecture") or row.parameters.get("architecture"),
        **{name: figures.get(name) for name in _FIGURES},
        "train_s": seconds.get("train"),
        "build_s": seconds.get("build"),
        "cached": " ".join(cached),
        "engines": " ".join(verified.get("engines") or figures.get("engines", {})),
        "verified": _verdict(verified),
        "worker": result.get("worker"),
        "build": os.path.relpath(Path(result["report"]).parent, folder) if result.get("report") else None,
        "error": row.error or None,
    }


def _verdict(verified: Mapping[str, Any]) -> str | None:
    if not verified:
        return None
    return verified["error"] or "yes"


def _csv(entries: Sequence[Mapping[str, Any]]) -> str:
    """As CSV; a sweep without a front has an empty table."""
    stream = io.StringIO()
    names = list(entries[0]) if entries else ["trial"]
    table = csv.DictWriter(stream, fieldnames=names, lineterminator="\n")
    table.writeheader()
    table.writerows(entries)
    return stream.getvalue()
