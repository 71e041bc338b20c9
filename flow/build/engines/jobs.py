"""Emits the hardware of a build and runs every engine that was asked for on the same vectors."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from flow.bench.description import Bench
from flow.bench.description import to_json as bench_json
from flow.build import hls_choices
from flow.build.architecture import Hardware, choose
from flow.build.engines import axis, folded, text_proof, vendor
from flow.build.engines import xls as xls_engine
from flow.build.engines.netlist import run_netlist
from flow.build.engines.netlist_proof import prove_synthesis
from flow.build.engines.routing import require_route, run_route
from flow.build.state import Build, leave_out, record
from flow.core.design import layer_output_formats, to_json
from flow.core.errors import UsageError
from flow.core.passes.names import hls_top
from flow.core.remarks import note
from flow.emit.rtl.testbench import describe
from flow.files import plan
from flow.files.steps import digest_of
from flow.netlist.folded_usage import folded_usage
from flow.netlist.read import read_netlist
from flow.netlist.usage import lut_usage
from flow.tools import icarus, process, verilator, xls, yosys
from flow.verify import simulate
from flow.verify.native import addends, run_native

_SYNTHESIS_TIMEOUT_S = 3600.0
_LONG_ADDENDS = 4_000_000  # addends times cycles of a long phase
_BENCH_CYCLES = 100_000  # of streaming in the cocotb benches
_HLS_PRODUCTS = 1_000_000_000  # of all vectors of the C simulation, in a minute or two


def run_engines(build: Build) -> None:
    """RTL, then hls, icarus, verilator, synthesis and netlist side by side on two cores.

    The first tool failure ends the others and is raised.
    """
    _require_tools(build)
    with build.steps.timed("rtl"):
        hardware = _hardware(build)
        rtl = hardware.rtl
        bench, build.names = describe(build.design, rtl), rtl.names
        plan.mirror({**rtl.files, "files.f": "".join(f"{name}\n" for name in rtl.files)}, build.options.out / "rtl")
        plan.write_file(build.options.out / "sim" / "bench.json", bench_json(bench))
    _facts(build, hardware)
    if "integer" in build.options.engines:
        _integer(build, hardware)
    rtl_digest = plan.digest(rtl.files)
    jobs = _jobs(build, bench, rtl_digest)
    folded_head = hardware.architecture == "folded" and "argmax" in rtl.layer_latency_cycles
    if hardware.graphs or folded_head:
        jobs.insert(1, lambda: text_proof.prove_verilog(build, hardware.graphs, rtl, rtl_digest))
    if hardware.blocks:
        jobs.insert(1, lambda: folded.prove_blocks(build, hardware.blocks, rtl_digest))
    jobs += axis.shell_jobs(build, rtl, bench, digest_of(rtl_digest, bench_json(bench), _vector_digest(build)))
    with ThreadPoolExecutor(max_workers=2) as pool:
        try:
            futures = [pool.submit(job) for job in jobs]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            process.end_all()
            pool.shutdown(cancel_futures=True)
            raise


def _hardware(build: Build) -> Hardware:
    """The build's hardware: our own, or with the RTL that XLS makes of the same design."""
    options = build.options
    xls_rtl = options.rtl_engine == "xls"
    if xls_rtl and options.architecture == "folded":
        raise UsageError("--rtl-engine xls makes parallel hardware only; drop it or --architecture folded")
    hardware = choose(
        build.design,
        options.part,
        options.clock_period_ns,
        "parallel" if xls_rtl else options.architecture,
        options.initiation_interval,
        options.results_per_second,
    )
    if not xls_rtl:
        return hardware
    # XLS makes its Verilog from the design, not from our graphs
    sampled = {name: {"design-graph": "sampled", "graph-verilog": "sampled"} for name in hardware.facts["proof"]}
    return replace(hardware, rtl=xls_engine.compiled(build), graphs=(), facts={**hardware.facts, "proof": sampled})


def _require_tools(build: Build) -> None:
    """Find every tool before the work starts: a missing one is told in the first second, not after a minute."""
    engines = build.options.engines
    if {"icarus", "netlist", "xls"} & set(engines):
        icarus.find()
    if "xls" in engines or build.options.rtl_engine == "xls":
        xls.find()
    if "verilator" in engines:
        verilator.find()
    yosys.package_folder()
    require_route(build)
    if build.options.shell != "none":
        axis.require()
    if "hls" in engines:
        process.find("g++", "NMP_CXX", "install it (Debian: apt-get install g++)")
        hls_choices.settled(build)
        build.say(*(note(f"hls: {text}") for text in build.facts["hls_project"]["notes"]))
        if reason := hls_choices.too_large(build):
            leave_out(build, "hls", reason)


def _facts(build: Build, hardware: Hardware) -> None:
    rtl = hardware.rtl
    build.facts.update(
        architecture=hardware.architecture,
        rtl_engine=build.options.rtl_engine,
        latency_cycles=rtl.latency_cycles,
        layer_latency_cycles=rtl.layer_latency_cycles,
        initiation_interval=rtl.initiation_interval,
        estimated_critical_path_ns=round(rtl.critical_path_ns, 3),
        **hardware.facts,
    )


def _integer(build: Build, hardware: Hardware) -> None:
    """Engine ``integer``: the hardware's arithmetic, run as integers, against the golden model."""
    start = time.monotonic()
    with build.steps.timed("integer"):
        values = hardware.evaluate(build.vectors.inputs)
        wrong = (values != build.vectors.expected).any(axis=1)
    result: dict[str, Any] = {"vectors": len(values), "mismatches": int(wrong.sum())}
    if wrong.any():
        row = int(np.argmax(wrong))
        column = int(np.argmax(values[row] != build.vectors.expected[row]))
        expected, actual = build.vectors.expected[row, column], values[row, column]
        result["difference"] = f"vector {row}, neuron {column}: expected {expected}, got {actual}"
    record(build, "integer", {**result, "seconds": time.monotonic() - start})


def _jobs(build: Build, bench: Bench, rtl_digest: str) -> list[Callable[[], None]]:
    """The independent chains of work, longest first."""
    engines, key = build.options.engines, digest_of(rtl_digest, bench_json(bench), _vector_digest(build))
    jobs: list[Callable[[], None]] = [lambda: _synthesis(build, bench, rtl_digest, key)]
    if "verilator" in engines:
        jobs.append(lambda: _verilator(build, bench, key))
    if "icarus" in engines:
        jobs.append(lambda: _icarus(build, bench, key))
    if "hls" in engines and "hls" not in build.skipped:
        jobs.append(lambda: _hls(build))
    if "xls" in engines:
        jobs.append(lambda: xls_engine.run_xls(build, _vector_digest(build)))
    return jobs


def _vector_digest(build: Build) -> str:
    vectors = build.vectors
    return digest_of(vectors.inputs.tobytes(), vectors.expected.tobytes(), str(vectors.referee))


def _referee(build: Build, bench: Bench) -> slice:
    """The rows for the cocotb benches: all of the referee's, fewer where a vector takes many cycles."""
    return slice(0, min(build.vectors.referee, max(_BENCH_CYCLES // bench.initiation_interval, 8)))


def _long_cycles(build: Build) -> int:
    """For the long phases of the cocotb benches: fewer in large designs, where the native harness has gone further."""
    return min(simulate.LONG_CYCLES, max(500, _LONG_ADDENDS // max(addends(build.design), 1)))


def _icarus(build: Build, bench: Bench, key: str) -> None:
    vectors, out = build.vectors, build.options.out
    rows = _referee(build, bench)

    def work() -> dict[str, Any]:
        result = simulate.run_cocotb(
            "icarus", bench, out, vectors.inputs[rows], vectors.expected[rows], out / "sim" / "icarus",
            timeout_s=simulate.TIMEOUT_S, waveform=build.options.waveform, long_cycles=_long_cycles(build),
        )  # fmt: skip
        return simulate.entry(result)

    record(build, "icarus", build.steps.run("icarus", digest_of("icarus 2", key, str(build.options.waveform)), work))


def _verilator(build: Build, bench: Bench, key: str) -> None:
    """Verilator twice on one model: the cocotb bench as referee, then bulk vectors and long pauses at full speed."""
    vectors, out = build.vectors, build.options.out
    rows = _referee(build, bench)
    folder = out / "sim" / "verilator"

    def work() -> dict[str, Any]:
        plan.fresh_folder(folder)
        model = simulate.build_verilator(bench, out, folder / "model")
        referee = simulate.run_cocotb(
            "verilator", bench, out, vectors.inputs[rows], vectors.expected[rows], folder / "bench",
            model=model, timeout_s=simulate.TIMEOUT_S, long_cycles=_long_cycles(build),
        )  # fmt: skip
        native = run_native(build.design, bench, vectors.inputs, build.options.seed, folder / "native", model)
        return {"verilator": simulate.entry(referee), "native": native}

    both = build.steps.run("verilator", digest_of("verilator 2", key), work)
    record(build, "verilator", both["verilator"])
    record(build, "native", both["native"])


def _synthesis(build: Build, bench: Bench, rtl_digest: str, key: str) -> None:
    """Yosys for the part's family and the proof of its netlist; engine ``netlist`` and place and route if asked for."""
    out, part = build.options.out, build.options.part
    parallel = build.facts["architecture"] == "parallel"
    script = yosys.synthesis_script([f"../{s}" for s in bench.sources], bench.top, part.yosys_family, dsp=not parallel)

    def work() -> dict[str, Any]:
        plan.fresh_folder(out / "synth")
        yosys.synthesize(out / "synth", script, _SYNTHESIS_TIMEOUT_S)
        found = read_netlist(out / "synth" / "netlist.json", bench.top, build.options.part.family.routed)
        return {**asdict(found.resources), "path": asdict(found.longest_path), "usage": _usage(build, bench)}

    found = build.steps.run(
        "synthesis", digest_of("synthesis 7", rtl_digest, script, yosys.version()), work, ("synth",)
    )
    build.synthesis.update(found)
    prove_synthesis(build, bench, rtl_digest)
    if "netlist" in build.options.engines:
        run_netlist(build, bench, key)
    run_route(build, bench)


def _usage(build: Build, bench: Bench) -> dict[str, Any]:
    """The netlist's LUTs by neuron or, folded, by group. XLS merges layers: nothing can be told of its logic."""
    out = build.options.out
    netlist = out / "synth" / "netlist.json"
    if build.options.rtl_engine != "own":
        return {}
    if build.facts["architecture"] == "folded":
        layers = build.facts["folding"]["layers"]
        return folded_usage(netlist, bench.top, {la["name"]: [g["coding"] for g in la["groups"]] for la in layers})
    outputs = {la.name: [f.bits for f in layer_output_formats(la)] for la in build.design.layers}
    return lut_usage(netlist, bench.top, outputs, build.names)


def _hls(build: Build) -> None:
    """Emit the hls4ml project and run its C simulation, compiled by g++, on integers."""
    from flow.emit.hls.project import emit_hls  # imports hls4ml: only where this engine is asked for
    from flow.tools.hls_compile import compile_bench
    from flow.verify.hls import first_mismatch, run_hls

    options, vectors = build.options, build.vectors
    weights = max(sum(layer.matrix.size for layer in build.design.layers), 1)
    count = min(len(vectors.inputs), max(vectors.referee, 5000), max(_HLS_PRODUCTS // weights, 8))
    project, top = options.out / "hls", hls_top(build.design)

    def work() -> dict[str, Any]:
        start = time.monotonic()
        outputs = run_hls(build.design, vectors.inputs[:count], project)
        wrong = (outputs != vectors.expected[:count]).any(axis=1)
        entry: dict[str, Any] = {"vectors": count, "mismatches": int(wrong.sum()), "seconds": time.monotonic() - start}
        if wrong.any():
            row = slice(int(np.argmax(wrong)), int(np.argmax(wrong)) + 1)
            found = first_mismatch(build.design, vectors.inputs[row], compile_bench(project, top))
            entry["difference"] = str(found or f"vector {row.start}: the outputs differ")
        return entry

    checked = vectors.inputs[: min(vectors.referee, 200)]
    chosen = hls_choices.settled(build)
    files = emit_hls(
        build.design, options.part.name, options.backend, options.clock_period_ns, checked, chosen=chosen
    )  # fmt: skip
    if build.steps.changed("hls project", plan.digest(files)):
        plan.fresh_folder(project)
    plan.write(files, project)
    build.steps.keep("hls project", plan.digest(files))
    key = digest_of("hls 1", plan.digest(files), to_json(build.design), _vector_digest(build), str(count))
    record(build, "hls", build.steps.run("hls", key, work))
    vendor.run_vendor(build, top, plan.digest(files))
