"""What a report page shows, worded and scaled: a view of ``report.json``, so that the template only lays out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from flow.core.engines import BY_NAME, in_order
from flow.report.html.chip_map import bitstream
from flow.report.html.folding import folding
from flow.report.html.formats import files, formats, paths, power
from flow.report.html.heat_map import heat
from flow.report.html.lut_strip import luts
from flow.report.html.outcomes import outcomes
from flow.report.html.score import score, score_tile
from flow.report.html.streaming import streaming
from flow.report.html.training import training
from flow.report.proof_chain import LINKS, chain, undecided
from flow.report.vendor_rows import vendor
from flow.report.wording import (
    DASH,
    RESOURCES,
    TITLES,
    bits,
    finite,
    number,
    percent,
    ratio,
    seconds,
    step,
    table,
    width,
)

VERDICTS = {
    "ok": ("ok", "verified", "Every engine agrees on every vector."),
    "mismatch": (
        "bad",
        "mismatch",
        "Engines or proofs disagree: this hardware does not compute what the model computes.",
    ),
    "failed": ("bad", "failed", "The build ended in an error."),
}


def view(report: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the report template needs."""
    status = str(report.get("status"))
    return {
        "title": str(report.get("design", "build")),
        "part": str(report.get("part", "")),
        "architecture": report.get("architecture"),
        "verdict": VERDICTS.get(status, ("bad", status, "")),
        "error": report.get("error"),
        "tiles": tiles(report),
        "heat": heat(report),
        "groups": [groups(layer, widest(report)) for layer in report.get("layers", [])],
        "folding": folding(report),
        "stream": streaming(report),
        "resources": resources(report),
        "fits": table(report, "synthesis").get("fits"),
        "synthesis": table(report, "synthesis"),
        "luts": luts(report),
        "timing": timing(report),
        "waterfall": waterfall(report),
        "verification": verification(report),
        "chain": proof(report),
        "bitstream": bitstream(report),
        "training": training(report),
        "outcomes": outcomes(report),
        "formats": formats(report),
        "power": power(report),
        "paths": paths(report),
        "files": files(report),
        "undecided": undecided(report),
        "vendor": vendor(report),
        "differences": report.get("differences", []),
        "score": score(report),
        "warnings": [str(line) for line in report.get("warnings") or []],
        "notes": [str(n) for n in report.get("notes") or table(report, "source").get("notes") or []],
        "steps": steps(report),
        "skipped": [(TITLES.get(k, k), v) for k, v in sorted(table(report, "skipped").items())],
        "versions": sorted(table(report, "versions").items()),
        "command": shlex.join(str(word) for word in report.get("command") or []),
        "model": table(report, "model"),
    }


def tiles(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The key figures: (name, figure, what stands beside it), and ``bad`` where it is below what was asked."""
    synthesis = table(report, "synthesis")
    found = score_tile(report)
    if "lut" in synthesis:
        share = ratio(synthesis["lut"], table(synthesis, "available").get("lut"))
        placed = table(table(synthesis, "route"), "lut_sites").get("design")
        beside = "expected" if placed is None else f"expected, {number(placed)} placed"
        found.append(("LUT sites", number(synthesis["lut"]), f"{beside}, {percent(share)} of the part",
                      "bad" if share > 1 else ""))  # fmt: skip
    cycles, period = report.get("latency_cycles"), report.get("clock_period_ns")
    if cycles is not None and period:
        found.append(("latency", f"{number(cycles * period)} ns", f"{cycles} cycles, one result every "
                      f"{_cycles(report.get('initiation_interval', 1))}"))  # fmt: skip
    if synthesis.get("fmax_mhz") and period:
        found.append(("clock, estimated", f"{synthesis['fmax_mhz']:.0f} MHz", f"{1000 / period:.0f} MHz asked",
                      "bad" if synthesis["fmax_mhz"] * period < 1000 else ""))  # fmt: skip
    power = table(report, "power")
    if power:
        found.append(("energy per result, estimated", f"{number(power['pj_per_result'], 3)} pJ",
                      f"within a factor of {number(power['factor'])} at best"))  # fmt: skip
    if report.get("layers"):
        weights = sum(layer["weights"] for layer in report["layers"])
        mean = ratio(sum(layer["mean_weight_bits"] * layer["weights"] for layer in report["layers"]), weights)
        zeros = ratio(sum(layer["zero_weights"] for layer in report["layers"]), weights)
        found.append(("bits per weight", f"{mean:.2f}", f"{percent(zeros, 0)} of {number(weights)} weights are zero"))
    engines = table(report, "verification")
    if engines:
        vectors = sum(entry["vectors"] for entry in engines.values())
        wrong = sum(entry["mismatches"] for entry in engines.values())
        found.append(("mismatches", number(wrong), f"{number(vectors)} vectors compared on {len(engines)} engines",
                      "bad" if wrong else ""))  # fmt: skip
    return found


def _cycles(count: Any) -> str:
    return "cycle" if count == 1 else f"{number(count)} cycles"


def widest(report: Mapping[str, Any]) -> float:
    """Largest learned weight width of the design."""
    return float(max((g["weight_bits"] for la in report.get("layers", []) for g in la["groups"]), default=0))


def groups(layer: Mapping[str, Any], most: float = 0.0) -> dict[str, Any]:
    """A layer's neurons by learned weight width, with the LUTs and zero weights of each group."""
    top = most or float(max((g["weight_bits"] for g in layer["groups"]), default=0))
    neurons, rows = table(layer, "per_neuron"), []
    for group in layer["groups"]:
        members = [j for j, w in enumerate(neurons.get("weight_bits", ())) if w == group["weight_bits"]]
        zeros = sum(neurons["zero_weights"][j] for j in members)
        own = sum(neurons["luts"][j] for j in members) if "luts" in neurons else None
        rows.append({
            "bits": bits(group["weight_bits"]), "neurons": number(group["neurons"]),
            "share": percent(group["neurons"] / layer["neurons"], 0),
            "width": width(group["neurons"] / layer["neurons"]), "step": step(group["weight_bits"], top),
            "zeros": percent(zeros / (len(members) * layer["inputs"]), 0) if members and layer["inputs"] else DASH,
            "luts": number(own), "each": DASH if own is None or not members else f"{own / len(members):.1f}",
        })  # fmt: skip
    low, high = layer["accumulator_bits"]
    return {
        "name": layer["name"], "inputs": number(layer["inputs"]), "neurons": number(layer["neurons"]), "rows": rows,
        "mean": f"{layer['mean_weight_bits']:.2f}", "output": bits(layer["mean_activation_bits"]),
        "sum": f"{low}" if low == high else f"{low} to {high}", "proved": layer.get("proof") == "proved",
    }  # fmt: skip


def resources(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Used against available, in the part's own kinds."""
    synthesis = table(report, "synthesis")
    available, rows = table(synthesis, "available"), []
    for key, label in RESOURCES.items():
        if key in synthesis:
            there = available.get(key)
            share = ratio(synthesis[key], there)
            rows.append({
                "name": label, "used": number(synthesis[key]), "available": number(there),
                "share": percent(share if there else None), "width": width(share), "over": share > 1,
            })  # fmt: skip
    return rows


def timing(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The clock asked for beside what the longest path allows."""
    synthesis, period = table(report, "synthesis"), finite(report.get("clock_period_ns"))
    path = table(synthesis, "critical_path")
    delay, planned = finite(path.get("delay_ns")), finite(report.get("estimated_critical_path_ns"))
    if period is None:
        return None
    rows = [("clock period asked for", period, ""), ("planned when pipelining", planned, ""),
            ("longest path of the netlist", delay, "over" if delay and delay > period else "")]  # fmt: skip
    most = max(value for _, value, _ in rows if value is not None)
    return {
        "rows": [(name, f"{value:.2f} ns", f"{1000 / value:.1f} MHz" if value else DASH, width(value / most), kind)
                 for name, value, kind in rows if value is not None],
        "slack": None if delay is None else f"{abs(period - delay):.2f} ns",
        "met": None if delay is None else delay <= period,
        "source": synthesis.get("fmax_source"), "levels": path.get("levels"), "endpoint": path.get("endpoint"),
        "through": ", ".join(str(t["where"] if isinstance(t, Mapping) else t) for t in path.get("through") or ()),
    }  # fmt: skip


def waterfall(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Each layer's cycles, one after the other; of a folded layer also those in which it reads and multiplies.

    None of a streamed network, whose layers work at the same time.
    """
    layers, total = table(report, "layer_latency_cycles"), report.get("latency_cycles")
    if not layers or not total or report.get("stream"):
        return None
    period = finite(report.get("clock_period_ns")) or 0.0
    order = [la["name"] for la in report.get("layers", []) if la["name"] in layers]
    order += [name for name in layers if name not in order]
    works = {la["name"]: la["cycles"] for la in table(report, "folding").get("layers", [])}
    start, rows = 0, []
    for name in order:
        cycles = layers[name]
        work = min(works.get(name, cycles), cycles)
        rows.append({"name": name, "cycles": number(cycles), "from": number(start), "to": number(start + cycles),
                     "left": width(start / total), "width": width(work / total), "work": number(work),
                     "rest": width((cycles - work) / total), "ns": f"{cycles * period:.1f}"})  # fmt: skip
        start += cycles
    return {"rows": rows, "total": number(total), "ns": f"{total * period:.1f}", "ticks": _ticks(total),
            "folded": bool(works), "interval": number(report.get("initiation_interval"))}  # fmt: skip


def _ticks(total: int) -> list[tuple[str, str]]:
    every = max(1, -(-total // 12))
    return [(str(c), width(c / total)) for c in range(0, total + 1, every)]


def verification(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per engine, in the order of the flow; engines of later versions come last."""
    found, rows = table(report, "verification"), []
    for name in in_order(found):
        entry = found[name]
        rate = entry.get("vectors_per_second")
        rows.append({
            "name": name, "what": BY_NAME[name].runs if name in BY_NAME else "", "vectors": number(entry["vectors"]),
            "mismatches": number(entry["mismatches"]), "agrees": not entry["mismatches"],
            "latency": number(entry.get("latency_cycles_seen")), "seconds": seconds(entry.get("seconds")),
            "rate": f"{rate:,.{int(rate < 10)}f}" if finite(rate) is not None else DASH,
            "first": entry.get("first_mismatch"),
        })  # fmt: skip
    return rows


def proof(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The links of the chain from design to hardware, layer by layer: proved or compared on vectors."""
    links, rows = chain(report)
    marks = {"proved": ("good", "✓ proved"), "refuted": ("bad", "✗ refuted"), "": ("", DASH)}
    if not links:
        return None
    states = [(name, [marks.get(state, ("", state)) for state in found]) for name, found in rows]
    return {"links": [LINKS[link] for link in links], "rows": states, "folded": report.get("architecture") == "folded"}


def steps(report: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds per step against the longest one."""
    found = dict(table(report, "seconds"))
    total = found.pop("total", None)
    most = max(found.values(), default=0)
    order = [*(s for s in TITLES if s in found), *(s for s in sorted(found) if s not in TITLES)]
    rows = [(TITLES.get(s, s), seconds(found[s]), width(ratio(found[s], most))) for s in order]
    return {"rows": rows, "total": None if total is None else seconds(total)}
