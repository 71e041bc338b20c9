"""Engine ``vendor_rtl``: the Verilog that AMD's HLS made of the project, in the same cocotb bench as our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow import plan, simulate
from flow.bench import Bench, Element, total_bits
from flow.emit.hls_layer import container
from flow.emit.vendor_wrapper import NAME, wrapper
from flow.errors import DesignError
from flow.fixed import Fixed, Ints
from flow.ir import Design
from flow.reports import read_report
from flow.reports.rtl_ports import rtl_ports


def run_rtl(
    design: Design, inputs: Ints, expected: Ints, report: Path, rtl: Path, top: str, work: Path, engine: str = "icarus"
) -> simulate.EngineResult:
    """Simulate the RTL in ``rtl`` with the ports that ``report`` (csynth.xml) lists, in an emptied ``work``.

    A vector is accepted with ap_ready, which comes interval - 1 cycles after ap_start, so the latency the report
    states is shorter by that. Raises DesignError for ports or formats that cannot be simulated.
    """
    if design.head == "argmax":
        raise DesignError("vendor RTL is simulated for the head logits only")
    if not report.is_file():
        raise DesignError(f"there is no {report.name}, which lists the ports of the RTL")
    content = report.read_text()
    stated = read_report(report)
    if stated.latency_max_cycles is None or stated.interval_max is None:
        raise DesignError(f"{report.name} states no fixed latency")
    ins, x = _tensor(design.input_formats, inputs, "input")
    outs, y = _tensor(design.output_formats, expected, "output")
    latency, interval = max(stated.latency_max_cycles - stated.interval_max + 1, 0), max(stated.interval_max, 1)
    text = wrapper(rtl_ports(content), top, total_bits(ins), total_bits(outs), latency // interval + 4)
    plan.fresh_folder(work)
    plan.write_file(work / f"{NAME}.v", text)
    bench = Bench(NAME, (), ins, outs, latency, interval, ready=True)
    sources = [work / f"{NAME}.v", *sorted(rtl.glob("*.v"))]
    return simulate.run_cocotb(engine, bench, work, x, y, work / "bench", sources=sources)


def _tensor(formats: tuple[Fixed, ...], values: Ints, what: str) -> tuple[tuple[Element, ...], Ints]:
    """Elements and mantissas in the one format that the HLS project gives a whole tensor."""
    form = container(formats, what)
    element = [Element(form.bits, form.signed, f"{what} {i}") for i in range(len(formats))]
    shifts = np.array([form.frac - f.frac if f.bits else 0 for f in formats], dtype=np.int64)
    return tuple(element), values << shifts
