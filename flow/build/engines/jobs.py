"""Emits the hardware of a build and runs every engine that was asked for on the same vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial

from flow.bench.description import to_json as bench_json
from flow.build.architecture import choose
from flow.build.engines import folded, text_proof
from flow.build.engines import xls as xls_engine
from flow.build.engines.engine import HardwareEngine, Made
from flow.build.engines.netlist_proof import prove_synthesis
from flow.build.engines.pipelining import can_go_deeper, settle
from flow.build.engines.power import estimate_power
from flow.build.engines.registry import hardware_engines, model_engines
from flow.build.engines.routing import require_route, run_route
from flow.build.engines.shell import emit_shell
from flow.build.engines.synthesis import synthesize
from flow.build.hardware import Hardware
from flow.build.state import Build, record
from flow.core.remarks import note
from flow.emit.rtl.testbench import describe
from flow.files import plan
from flow.tools import process, xls, yosys

_LISTEN_S = 0.5  # an interrupt that comes just before a wait begins is seen when it ends


def run_model_engines(build: Build) -> None:
    """Run the engines that need no hardware."""
    for engine in model_engines(build.options):
        record(build, *engine.run(build))


def run_hardware_engines(build: Build) -> None:
    """Emit the hardware, then run engines, synthesis and proofs side by side on two cores.

    The first tool failure ends the others and is raised.
    """
    engines = hardware_engines(build.options)
    _require_tools(build, engines)
    made = emit(build, build.options.clock_period_ns)
    is_routed = can_go_deeper(build)
    if is_routed:
        made = settle(build, made, lambda planned_ns: emit(build, planned_ns))
    jobs = _jobs(made, engines, is_routed)
    with ThreadPoolExecutor(max_workers=2) as pool:
        try:
            futures = [pool.submit(job) for job in jobs]
            rest = set(futures)
            while rest:
                done, rest = wait(rest, timeout=_LISTEN_S, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
        except BaseException:
            process.end_all()
            pool.shutdown(cancel_futures=True)
            raise


def emit(build: Build, planned_ns: float) -> Made:
    """Emit the hardware, its registers planned for a clock period, and its shell."""
    with build.steps.timed("rtl"):
        hardware = _hardware(build, planned_ns)
        rtl = hardware.rtl
        bench, build.names = describe(build.design, rtl), rtl.names
        plan.mirror({**rtl.files, "files.f": "".join(f"{name}\n" for name in rtl.files)}, build.options.out / "rtl")
        plan.write_file(build.options.out / "sim" / "bench.json", bench_json(bench))
    if hardware.hint:
        build.say(note(hardware.hint))
    build.hardware = hardware
    build.facts.proof = {layer: dict(links) for layer, links in hardware.proof.items()}
    return Made(build, hardware, bench, *emit_shell(build, hardware, bench))


def _hardware(build: Build, planned_ns: float) -> Hardware:
    """The build's hardware: our own, or with the RTL that XLS makes of the same design."""
    options = build.options
    xls_rtl = options.rtl_engine == "xls"
    hardware = choose(
        build.design,
        options.part,
        planned_ns,
        "parallel" if xls_rtl else options.architecture,
        options.initiation_interval,
        options.results_per_second,
        options.pipeline,
        options.dsp,
    )
    if not xls_rtl:
        return hardware
    # XLS makes its Verilog from the design, not from our graphs
    sampled = {name: {"design-graph": "sampled", "graph-verilog": "sampled"} for name in hardware.proof}
    return replace(hardware, rtl=xls_engine.compiled(build), graphs=(), proof=sampled)


def _require_tools(build: Build, engines: Sequence[HardwareEngine]) -> None:
    """Find every tool before the work starts: a missing one is reported in the first second, not after a minute."""
    if build.options.rtl_engine == "xls":
        xls.find()
    yosys.package_folder()
    require_route(build)
    for engine in engines:
        engine.require(build)


def _jobs(made: Made, engines: Sequence[HardwareEngine], is_routed: bool) -> list[Callable[[], None]]:
    """The independent chains of work: the longest ones first, and the proofs beside them.

    Synthesis, and place and route, are done where ``is_routed``.
    """
    build, hardware = made.build, made.hardware
    rtl = hardware.rtl

    def run(engine: HardwareEngine) -> None:
        record(build, *engine.run(made))

    def run_after(step: str) -> None:
        for engine in engines:
            if engine.after == step:
                run(engine)

    def synthesis() -> None:
        if not is_routed:
            synthesize(made)
        prove_synthesis(build, made.bench, made.rtl_digest)
        estimate_power(made)
        run_after("synthesis")
        if not is_routed:
            run_route(made)
        run_after("route")

    jobs: list[Callable[[], None]] = [synthesis]
    if hardware.blocks:
        jobs.append(lambda: folded.prove_blocks(build, hardware.blocks, made.rtl_digest))
    if hardware.cores:
        jobs.append(lambda: text_proof.prove_cores(build, hardware.cores, made.rtl_digest))
    if hardware.graphs or (hardware.architecture == "folded" and "argmax" in rtl.layer_latency_cycles):
        jobs.append(lambda: text_proof.prove_verilog(build, hardware.graphs, rtl, made.rtl_digest))
    for engine in sorted(engines, key=lambda e: -e.seconds):
        if engine.after == "rtl":
            jobs.append(partial(run, engine))
    return jobs
