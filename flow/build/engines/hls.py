"""Engine ``hls``: the hls4ml project's C simulation, compiled by g++, on integers; then AMD's tools on the project."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from flow.build import hls_choices
from flow.build.engines.engine import HardwareEngine, Made, resumed
from flow.build.engines.vendor import run_vendor
from flow.build.state import Build, leave_out
from flow.core.compare import EngineResult, compared
from flow.core.design import to_json
from flow.core.evaluate import positions
from flow.core.passes.names import hls_top
from flow.core.remarks import note
from flow.files import plan
from flow.files.steps import digest_of
from flow.tools import process

_PRODUCTS = 1_000_000_000  # of all vectors of the C simulation, in a minute or two


def _require(build: Build) -> None:
    process.find("g++", "NMP_CXX", "install it (Debian: apt-get install g++)")
    hls_choices.settled(build)
    project = build.facts.hls_project
    build.say(*(note(f"hls: {text}") for text in (project.notes if project else ())))
    if reason := hls_choices.too_large(build):
        leave_out(build, "hls", reason)


def _run(made: Made) -> Sequence[EngineResult]:
    build = made.build
    if "hls" in build.skipped:
        return ()
    project_digest = _emit(build)
    vectors, top = build.vectors, hls_top(build.design)
    design = build.design
    weights = max(sum(la.matrix.size * n for la, n in zip(design.layers, positions(design), strict=True)), 1)
    count = min(len(vectors.inputs), max(vectors.referee, 5000), max(_PRODUCTS // weights, 8))
    key = digest_of("hls 2", project_digest, to_json(build.design), made.vector_digest, str(count))
    results = resumed(build, "hls", key, lambda: (_compared(build, count, top),))
    return [*results, *run_vendor(build, top, project_digest)]


def _emit(build: Build) -> str:
    """Write the project into ``hls/``; its digest."""
    from flow.emit.hls.project import emit_hls  # imports hls4ml: only where this engine is asked for

    options, vectors = build.options, build.vectors
    checked, chosen = vectors.inputs[: min(vectors.referee, 200)], hls_choices.settled(build)
    files = emit_hls(
        build.design, options.part.name, options.backend, options.clock_period_ns, checked, chosen=chosen
    )  # fmt: skip
    digest, project = plan.digest(files), options.out / "hls"
    if build.steps.changed("hls project", digest):
        plan.fresh_folder(project)
    plan.write(files, project)
    build.steps.keep("hls project", digest)
    return digest


def _compared(build: Build, count: int, top: str) -> EngineResult:
    """The C simulation of ``count`` vectors; the first that differs is run again, layer by layer."""
    from flow.tools.hls_compile import compile_bench
    from flow.verify.hls import first_mismatch, run_hls

    vectors, project, start = build.vectors, build.options.out / "hls", time.monotonic()
    outputs = run_hls(build.design, vectors.inputs[:count], project)
    result = compared("hls", build.design, vectors.expected[:count], outputs, time.monotonic() - start)
    if result.first_mismatch is None or build.design.nodes:  # a stream's bench sees what leaves it alone
        return result
    row = result.first_mismatch.vector
    inner = first_mismatch(build.design, vectors.inputs[row : row + 1], compile_bench(project, top))
    return replace(result, first_mismatch=replace(inner, vector=row)) if inner else result


ENGINE = HardwareEngine(name="hls", run=_run, require=_require, seconds=15)
