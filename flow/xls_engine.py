"""The XLS route: design -> DSLX -> scheduled Verilog in our ports, and the same DSLX as software."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flow import plan, vectors
from flow.bench import Bench
from flow.emit.dslx import TOP, WORDS, emit_dslx
from flow.emit.testbench import describe
from flow.emit.verilog import Rtl
from flow.emit.xls_top import module_name, wrap
from flow.errors import DesignError, ToolFailed
from flow.fixed import Ints
from flow.ir import Design
from flow.tools import xls

DELAY_MODEL = "sky130"
# XLS knows no FPGA: its delays are those of standard cells. This share of the clock period, in its terms, is what
# leaves paths of about the whole period after synthesis for 7-series (benchmarks/xls.py measures it).
PERIOD_SHARE = 0.15
_LONGEST_PERIOD_PS = 100_000


@dataclass(frozen=True)
class Route:
    """RTL made by XLS and what it took."""

    rtl: Rtl
    dslx: str
    seconds: float


def xls_route(design: Design, folder: Path, clock_period_ns: float, timeout_s: float = 3600.0) -> Route:
    """Compile a design (all passes done) with XLS in ``folder``, which is emptied.

    Raises ToolNotFound where XLS is not installed, DesignError where an operation does not fit the clock period.
    """
    dslx = emit_dslx(design)
    period = min(max(round(1000 * PERIOD_SHARE * clock_period_ns), 1), _LONGEST_PERIOD_PS)
    try:
        made = xls.compile_verilog(folder, dslx, TOP, module_name(design), period, DELAY_MODEL, timeout_s)
    except ToolFailed as exc:
        if "cannot achieve" in str(exc) or "Impossible to schedule" in str(exc):
            raise DesignError(
                f"XLS cannot fit every operation into a clock period of {clock_period_ns:g} ns; ask for a longer "
                f"--clock-period-ns; its message is in {folder / 'xls.log'}"
            ) from None
        raise
    rtl = wrap(design, made.verilog, made.stages, clock_period_ns)
    plan.write({f"rtl/{name}": text for name, text in rtl.files.items()}, folder)
    return Route(rtl, dslx, made.seconds)


def run_dslx(designs: list[tuple[Design, Ints]], folder: Path, timeout_s: float = 3600.0) -> list[Ints]:
    """The DSLX of each design, compiled to machine code by XLS, on its input mantissas: outputs as ``evaluate``'s."""
    jobs, benches = [], []
    for index, (design, inputs) in enumerate(designs):
        bench = _ports(design)
        packed = vectors.pack(inputs, bench.inputs)
        words = max(-(-bench.out_bits // 32), 1)
        jobs.append(xls.WordsJob(folder / f"words_{index}", emit_dslx(design), WORDS, packed, words))
        benches.append(bench)
    return [vectors.unpack(w, b.outputs) for w, b in zip(xls.run_words(jobs, timeout_s), benches, strict=True)]


def bench_of(design: Design, rtl: Rtl, prefix: str) -> Bench:
    """The bench description of RTL whose files lie below ``prefix``."""
    bench = describe(design, rtl)
    sources = tuple(f"{prefix}/{name}" for name in rtl.files)
    return Bench(bench.top, sources, bench.inputs, bench.outputs, bench.latency_cycles)


def _ports(design: Design) -> Bench:
    return describe(design, Rtl(design.name, {}, 1, {}, 0.0))
