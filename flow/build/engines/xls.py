"""The XLS route: design -> DSLX -> scheduled Verilog behind our ports, and the same DSLX run as software."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow.bench import vectors
from flow.bench.description import Bench
from flow.build.engines.engine import HardwareEngine, Made, resumed
from flow.build.facts import XlsFacts
from flow.build.state import Build
from flow.core.compare import EngineResult, compared
from flow.core.design import Design, to_json
from flow.core.errors import DesignError, ToolFailed
from flow.core.fixed import Ints
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import Rtl
from flow.emit.xls.dslx import TOP, WORDS, emit_dslx
from flow.emit.xls.top import module_name, wrap
from flow.files import plan
from flow.files.steps import digest_of
from flow.tools import icarus, xls
from flow.verify import simulate

DELAY_MODEL = "sky130"
# XLS knows no FPGA: its delays are those of standard cells. This share of the clock period, in its terms, is what
# leaves paths of about the whole period after synthesis for 7-series (benchmarks/xls.py measures it).
PERIOD_SHARE = 0.23
_TIMEOUT_S = 3600.0


def compile_rtl(design: Design, folder: Path, clock_period_ns: float, timeout_s: float = _TIMEOUT_S) -> Rtl:
    """RTL of a design (all passes done) by XLS, which works in ``folder``; it is emptied first.

    Raises ToolNotFound where XLS is not installed, DesignError where an operation does not fit the clock period.
    """
    return _wrapped(design, folder, clock_period_ns, _compile(design, folder, clock_period_ns, timeout_s)["stages"])


def run_dslx(designs: Sequence[tuple[Design, Ints]], folder: Path, timeout_s: float = _TIMEOUT_S) -> list[Ints]:
    """The DSLX of each design, compiled to machine code by XLS, on its input mantissas: outputs as ``evaluate``'s."""
    jobs, benches = [], []
    for index, (design, inputs) in enumerate(designs):
        bench = describe(design, Rtl(design.name, {}, 1, {}, 0.0))
        packed = vectors.pack(inputs, bench.inputs)
        words = max(-(-bench.out_bits // 32), 1)
        jobs.append(xls.WordsJob(folder / f"words_{index}", emit_dslx(design), WORDS, packed, words))
        benches.append(bench)
    return [vectors.unpack(w, b.outputs) for w, b in zip(xls.run_words(jobs, timeout_s), benches, strict=True)]


def bench_of(design: Design, rtl: Rtl, prefix: str) -> Bench:
    """The bench description of RTL whose files lie below ``prefix``."""
    return replace(describe(design, rtl), sources=tuple(f"{prefix}/{name}" for name in rtl.files))


def compiled(build: Build) -> Rtl:
    """The build's design as RTL by XLS; compiled once while the design and the clock period stay."""
    design, period_ns, folder = build.design, build.options.clock_period_ns, build.options.out / "xls" / "compiled"
    if build.facts.xls is None:
        key = digest_of("xls 1", emit_dslx(design), module_name(design), str(_period_ps(period_ns)), xls.version())
        found = build.steps.run(
            "xls_compile", key, lambda: _compile(design, folder, period_ns, _TIMEOUT_S), ("xls/compiled",)
        )
        build.facts.xls = XlsFacts(found["stages"], found["seconds"], DELAY_MODEL)
    return _wrapped(design, folder, period_ns, build.facts.xls.latency_cycles)


def _run(made: Made) -> Sequence[EngineResult]:
    """Engine ``xls``: the RTL made by XLS in the cocotb bench; ``xls_jit``: its DSLX as software on every vector."""
    build = made.build
    rtl, out = compiled(build), build.options.out
    plan.mirror(rtl.files, out / "xls" / "rtl")
    bench, given = bench_of(build.design, rtl, "xls/rtl"), build.vectors
    rows = slice(0, given.referee)

    def work() -> Sequence[EngineResult]:
        referee = simulate.run_cocotb(
            "icarus", bench, out, given.inputs[rows], given.expected[rows], out / "sim" / "xls", timeout_s=_TIMEOUT_S
        )
        return replace(referee, engine="xls"), _software(build)

    return resumed(
        build, "xls", digest_of("xls 2", plan.digest(rtl.files), to_json(build.design), made.vector_digest), work
    )


def _software(build: Build) -> EngineResult:
    start, given = time.monotonic(), build.vectors
    outputs = run_dslx([(build.design, given.inputs)], build.options.out / "xls")[0]
    return compared("xls_jit", build.design, given.expected, outputs, time.monotonic() - start)


def _require(build: Build) -> None:
    icarus.find()
    xls.find()


def _period_ps(clock_period_ns: float) -> int:
    return max(round(1000 * PERIOD_SHARE * clock_period_ns), 1)


def _compile(design: Design, folder: Path, clock_period_ns: float, timeout_s: float) -> dict[str, Any]:
    """Verilog in ``folder``; its pipeline stages and the seconds it took."""
    period = _period_ps(clock_period_ns)
    try:
        made = xls.compile_verilog(folder, emit_dslx(design), TOP, module_name(design), period, DELAY_MODEL, timeout_s)
    except ToolFailed as exc:
        if "cannot achieve the specified clock period" in str(exc):
            raise DesignError(
                f"XLS cannot fit every operation into a clock period of {clock_period_ns:g} ns; ask for a longer "
                f"--clock-period-ns; its message is in {folder / 'xls.log'}"
            ) from None
        raise
    return {"stages": made.stages, "seconds": round(made.seconds, 3)}


def _wrapped(design: Design, folder: Path, clock_period_ns: float, stages: int) -> Rtl:
    return wrap(design, (folder / "design.v").read_text(), stages, clock_period_ns)


ENGINE = HardwareEngine(name="xls", run=_run, require=_require, seconds=10)
