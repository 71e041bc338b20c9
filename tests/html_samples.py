"""A small build report for the page tests, with names that would break out of HTML, attributes or scripts."""

import json
from dataclasses import asdict
from typing import Any

from flow.build import report_data
from flow.build.report import plain
from flow.build.report_detail import input_columns
from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron
from flow.core.fixed import Fixed, Quantizer
from flow.folded.allocate import fold
from flow.folded.explanation import explain
from flow.folded.folding import Prices
from flow.folded.lowering import lower
from flow.parts.catalog import resolve

HOSTILE = "<script>alert('x')</script>\"&'; onfocus="


def design() -> Design:
    def neuron(weights: tuple[int, ...], bits: float, out: Quantizer | None) -> Neuron:
        return Neuron(weights, 1, bits, bias=1 if any(weights) else 0, bias_frac=2, output=out)

    inputs = tuple(Quantizer.saturating(Fixed(True, b, 2)) for b in (4, 7, 1))
    relu = Quantizer.saturating(Fixed(False, 3, 1), relu=True)
    first = [neuron((3, 0, -1), 3, relu), neuron((0, 0, 0), 0, relu), neuron((1, -1, 0), 1.58, relu)]
    first += [neuron((i % 4 - 2, 1, 3), 4, relu) for i in range(37)]
    last = [neuron(tuple(i % 3 - 1 for i in range(40)), 5, None), neuron((1,) * 40, 1, None)]
    return finish(Design("nmp", inputs, (Layer("dense", tuple(first)), Layer("output", tuple(last)))))


def report(name: str = "nmp", layer: str = "dense", **changes: Any) -> dict[str, Any]:
    """Names are put in last: a design's own must be identifiers, a report may come from anywhere."""
    made = design()
    usage = {
        "layers": {layer: {"neurons": {"0": 20, "3": 7}, "shared": 9}, "output": {"neurons": {"0": 3}, "shared": 0}}
    }
    engines = {e: {"vectors": 100, "mismatches": 0, "seconds": 0.5} for e in ("keras", "integer", "hls", "netlist")}
    data: dict[str, Any] = {
        "schema": 1, "status": "ok", "design": name, "head": "logits", "part": "xc7z020clg400-1",
        "clock_period_ns": 10.0, "architecture": "parallel", "latency_cycles": 3, "initiation_interval": 1,
        "layer_latency_cycles": {layer: 2, "output": 1}, "estimated_critical_path_ns": 9.5,
        "inputs": plain(input_columns(made)), "layers": plain(report_data.layer_rows(made, usage)),
        "verification": engines,
        "synthesis": {
            "tool": "yosys (pyosys)", "version": "0.70", "lut": 41, "lut_cells": 38, "lut_paired": 40,
            "ff": 60, "dsp": 0, "bram18": 0, "fits": True,
            "available": {"lut": 53200, "ff": 106400, "dsp": 220, "bram18": 280},
            "utilization": {"lut": 0.0008, "ff": 0.0006, "dsp": 0.0, "bram18": 0.0},
            "fmax_mhz": 80.0, "fmax_source": "estimate",
            "critical_path": {"delay_ns": 12.5, "levels": 9, "endpoint": "y"},
        },
        "skipped": {"icarus": "not asked for"}, "differences": [], "source": {"notes": ["layer folded"]},
        "score": {"data": "digits", "metric": "accuracy", "rows": 360, "value": 0.9},
        "keras_score": {"data": "digits", "metric": "accuracy", "rows": 360, "value": 0.9},
        "preprocessing": "stored", "classes": [0, 1], "warnings": [], "notes": ["layer folded"],
        "training": {"data": "digits", "metric": "accuracy", "test": 0.9, "val": 0.91},
        "model": {"file": "m.h5", "sha256": "0" * 64}, "command": ["python", "-m", "flow.build", "--model", "m.h5"],
        "versions": {"python": "3.12.1"}, "seconds": {"model": 1.5, "synthesis": 30.0, "total": 33.0},
    }  # fmt: skip
    data["layers"][0]["name"] = layer
    return json.loads(json.dumps({**data, **changes}))


def folded_report() -> dict[str, Any]:
    """A report of the same design, folded."""
    made = design()
    folding = fold(lower(made), 90, Prices(1.0, 1e3, 1e3))
    told = asdict(explain(folding, resolve("xc7z020"), 10.0))
    usage = {"layers": {la["name"]: {"parts": {g["coding"]: 30 for g in la["groups"]} | {"sequence": 4}, "shared": 2}
                        for la in told["layers"]}, "other": 5}  # fmt: skip
    found = sum(sum(la["parts"].values()) + la["shared"] for la in usage["layers"].values()) + 5
    changes = {
        "architecture": "folded", "folding": told, "layers": plain(report_data.layer_rows(made, usage)),
        "initiation_interval": folding.interval, "latency_cycles": sum(la.latency for la in folding.layers),
        "layer_latency_cycles": {la.layer.name: la.latency for la in folding.layers},
    }  # fmt: skip
    data = report(**changes)
    data["synthesis"]["lut"] = found
    return json.loads(json.dumps(data))


def sweep_page() -> str:
    """The page of a sweep of six trials, one of which failed."""
    from flow.sweep.page import front_page
    from flow.sweep.space import Settings

    settings = Settings("digits", "0", "xc7z020clg400-1", "split", None, 10.0, "lut", ("16", "32-16"), ("default",),
                        (1e-6, 1e-3), None, ("parallel",), (), 60, 0, "classification")  # fmt: skip
    names = ("metric", "ff", "dsp", "bram18", "fmax_mhz", "latency_cycles", "initiation_interval", "weight_bits")
    entries = [
        {"trial": n, "state": "done", "attempts": 1, "hidden": "32-16", "bit_set": "default", "beta": 2e-5,
         "lut_budget": None, "architecture": "parallel", "val": 0.8 + 0.02 * n, "test": 0.8, "lut": 90 * 3**n,
         "lut_cells": 80 * 3**n,
         **dict(zip(names, ("accuracy", 80, 0, 0, 110.0, 4, 1, 2.5), strict=True)), "engines": "integer keras",
         "verified": "yes", "build": "../cache/builds/0/build", "error": None}
        for n in range(5)
    ]  # fmt: skip
    failed = {**entries[0], "trial": 5, "state": "failed", "error": "no model came under 90 LUTs"}
    return front_page("digits", settings, [*entries, failed], entries[1:])
