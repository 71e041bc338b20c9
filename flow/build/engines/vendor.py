"""AMD's tools as steps of a build: each resumable by itself, its reports read into the build's ``vendor`` section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow.build.engines.engine import resumed
from flow.build.facts import VendorFacts, VendorStep
from flow.build.state import Build
from flow.core.compare import EngineResult
from flow.core.design import to_json
from flow.core.errors import DesignError, ReportError, ToolFailed, ToolNotFound
from flow.files.steps import digest_of
from flow.tool_reports import read_report
from flow.tools import vendor_hls
from flow.verify.vendor_rtl import rtl_digest, run_rtl

_VECTORS = 500  # for the bench, in Icarus
_SECTION = {"synth": "csynth", "cosim": "cosim", "vsynth": "vivado_synthesis", "impl": "implementation"}


def run_vendor(build: Build, top: str, project_digest: str) -> Sequence[EngineResult]:
    """Run the chosen steps on the project in ``hls/`` where the tools are found; otherwise note why not.

    Returns the result of engine ``vendor_rtl`` where there is RTL that it can run.

    ``vendor`` among the facts: tool, seconds and files per step, and a section of figures per kind of report. A
    co-simulation that does not pass is a difference of the build, as any engine's. Raises ToolFailed.
    """
    steps = build.options.vendor_steps
    if not steps:
        build.skipped["vendor"] = "left out by --vendor-steps none"
        return ()
    try:
        tools = vendor_hls.find_toolset(build.options.backend)
    except ToolNotFound as missing:
        build.skipped["vendor"] = str(missing)
        return ()
    found = build.facts.vendor = VendorFacts(tools.kind)
    key = digest_of("vendor 1", project_digest, *tools.programs)
    for step in vendor_hls.ordered(steps):
        try:
            key, entry = _step(build, tools, top, step, key)
        except ToolNotFound as missing:
            build.skipped[f"vendor {step}"] = str(missing)
            continue
        found.steps[step] = VendorStep(entry["seconds"], tuple(entry["reports"]))
        if step in _SECTION:
            found.figures[_SECTION[step]] = entry["figures"]
    results = _simulate(build, tools, top) if "synth" in found.steps else ()
    status = found.figures.get("cosim", {}).get("status")
    if status is not None and status.lower() != "pass":
        build.differences.append(f"vendor cosimulation: {status}")
    return results


def _step(build: Build, tools: vendor_hls.Toolset, top: str, step: str, before: str) -> tuple[str, dict[str, Any]]:
    """Run one step or take its recorded result: the next step's key, and seconds, reports and figures."""
    project = build.options.out / "hls"
    vivado = vendor_hls.find_vivado() if step in ("vsynth", "impl") else ""
    key = digest_of(before, step, vivado)

    def work() -> dict[str, Any]:
        name = f"vendor_{step}"
        done = vendor_hls.run_step(tools, project, top, step, lambda what: build.steps.teller(name, what))
        return {
            "seconds": round(done.seconds, 3),
            "reports": list(done.reports),
            "figures": _figures(project, done.reports) if step in _SECTION else {},
        }

    kept = tuple(f"hls/{name}" for name in vendor_hls.products(tools, top, step))
    return key, build.steps.run(f"vendor_{step}", key, work, kept)


def _simulate(build: Build, tools: vendor_hls.Toolset, top: str) -> Sequence[EngineResult]:
    """Engine ``vendor_rtl`` where Icarus takes the RTL and the bench can serve its ports; otherwise note why not.

    RTL with AMD's own cores in it needs AMD's simulator, which is no fault of the design.
    """
    if build.design.nodes:
        build.skipped["vendor_rtl"] = "the bench for HLS' own RTL takes vectors, not streams of pixels"
        return ()
    syn, vectors = build.options.out / "hls" / tools.solution(top) / "syn", build.vectors
    report, rtl = syn / "report" / f"{top}_csynth.xml", syn / "verilog"
    rows = slice(0, min(vectors.referee, _VECTORS))

    def work() -> Sequence[EngineResult]:
        inputs, expected = vectors.inputs[rows], vectors.expected[rows]
        folder = build.options.out / "sim" / "vendor_rtl"
        found = run_rtl(build.design, inputs, expected, report, rtl, top, folder)
        return (replace(found, engine="vendor_rtl"),)

    data = (array[rows].tobytes() for array in (vectors.inputs, vectors.expected))
    key = digest_of("rtl 3", rtl_digest(report, rtl), to_json(build.design), *data)
    try:
        return resumed(build, "vendor_rtl", key, work)
    except (DesignError, ToolFailed) as exc:
        build.skipped["vendor_rtl"] = str(exc)
        return ()


def _figures(project: Path, reports: tuple[str, ...]) -> dict[str, Any]:
    """What a step's reports say, the first to name a figure counts. Raises ReportError where none can be read."""
    merged: dict[str, Any] = {}
    for name in reports:
        report = read_report(project / name)
        data = report.to_json()
        flat = {k: v for k, v in data.items() if k not in ("resources", "available", "details", "kind")}
        flat |= {"status": data["details"].get("status"), "design_state": data["details"].get("design_state")}
        flat |= {kind: data[kind] for kind in ("resources", "available") if any(data[kind].values())}
        merged |= {k: v for k, v in flat.items() if v is not None and k not in merged}
    if not merged:
        raise ReportError(f"{project}: {', '.join(reports)} say nothing")
    return merged
