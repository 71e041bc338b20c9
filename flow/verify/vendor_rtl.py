"""Engine ``vendor_rtl``: the Verilog that AMD's HLS made of the project, in the same cocotb bench as our own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from flow.bench.description import Bench, Element
from flow.core.compare import EngineResult, output_names
from flow.core.design import Design
from flow.core.errors import DesignError, ReportError
from flow.core.fixed import MAX_BITS, Fixed, Ints, bits_for
from flow.core.integers import shifted_left
from flow.core.untrusted import read_bytes, refused
from flow.emit.hls.layer import container
from flow.emit.hls.vendor_wrapper import NAME, Timing, is_stream, wrapper
from flow.files import plan
from flow.files.steps import digest_of
from flow.tool_reports import MAX_BYTES, read_report
from flow.tool_reports.model import Report
from flow.tool_reports.rtl_ports import rtl_ports
from flow.verify import simulate

_MEMORY = re.compile(r'(\$readmem[bh]\s*\(\s*")([^"]+)(")')
_UNSTATED = 4096  # cycles to wait for a result where the report has no figure
_DATAFLOW_SLACK = 16  # vectors inside a dataflow region beyond latency / interval: its processes have buffers


def run_rtl(
    design: Design, inputs: Ints, expected: Ints, report: Path, rtl: Path, top: str, work: Path, engine: str = "icarus"
) -> EngineResult:
    """Simulate the RTL in ``rtl`` with the ports that ``report`` (csynth.xml) lists, in an emptied ``work``.

    Latency and interval are judged where the report states them for one pipeline with parallel ports; those of dataflow
    and streams are estimates, so what was seen is only reported. Raises DesignError for ports or formats that cannot be
    simulated.
    """
    if not report.is_file():
        raise DesignError(f"there is no {report.name}, which lists the ports of the RTL")
    with refused(ReportError, str(report), "run the synthesis step again"):
        content = read_bytes(report, MAX_BYTES).decode(errors="replace")
    ports, stated = rtl_ports(content), read_report(report)
    ins, x = _tensor(design.input_formats, inputs, "input")
    outs, y = _tensor(design.output_formats, expected, "output")
    if design.head == "argmax":
        index = Fixed(False, max(bits_for(0, len(design.output_formats) - 1)[1], 1), 0)
        outs, y = (Element.of(index, *output_names(design)),), expected
    exact, timing = _timing(stated, is_stream(ports))
    # Vivado HLS puts a stream's elements side by side, Vitis HLS (from 2020.2) each into bytes of its own.
    text = wrapper(ports, top, ins, outs, timing, packed=_version(stated) < (2020, 2))
    plan.fresh_folder(work)
    sources = [work / f"{NAME}.v", *_sources(rtl, work / "rtl")]
    plan.write_file(sources[0], text)
    bench = Bench(NAME, (), ins, outs, timing.latency, timing.interval, ready=True, timed=exact)
    return simulate.run_cocotb(engine, bench, work, x, y, work / "bench", sources=sources)


def rtl_digest(report: Path, rtl: Path) -> str:
    """SHA-256 over the RTL, its memories and its report: all that a result stands for, wherever they came from."""
    files = sorted(p for p in (report, *rtl.rglob("*")) if p.is_file())
    return digest_of(*(part for p in files for part in (p.name, p.read_bytes())))


def _timing(stated: Report, stream: bool) -> tuple[bool, Timing]:
    """Whether the figures are promises, and cycles from accepting a vector to its result and between vectors.

    A vector is accepted with ap_ready, interval - 1 cycles after ap_start, so the latency a report states is longer by
    that.
    """
    latency, interval = stated.latency_max_cycles, stated.interval_max
    if latency is None or interval is None:
        return False, Timing(_UNSTATED, 1, _DATAFLOW_SLACK)
    fixed = (latency, interval) == (stated.latency_min_cycles, stated.interval_min)
    interval = max(interval, 1)
    if stream or not fixed or stated.details.get("pipeline_type") == "dataflow":
        return False, Timing(latency, interval, latency // interval + _DATAFLOW_SLACK)
    latency = max(latency - interval + 1, 0)
    return True, Timing(latency, interval, latency // interval + 4)


def _version(stated: Report) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", stated.version or "")[:2]) or (9999,)


def _sources(rtl: Path, work: Path) -> list[Path]:
    """Copies whose memories are read from where the files lie: a simulator looks for them in its own folder."""

    def place(found: re.Match[str]) -> str:
        file = rtl / found[2]
        if not file.is_file():
            raise DesignError(f"the RTL reads {found[2]}, which is not in {rtl}; run the synthesis step again")
        return found[1] + file.resolve().as_posix() + found[3]

    files = {p.name: _MEMORY.sub(place, p.read_text(errors="replace")) for p in sorted(rtl.glob("*.v"))}
    plan.mirror(files, work)
    return [work / name for name in files]


def _tensor(formats: tuple[Fixed, ...], values: Ints, what: str) -> tuple[tuple[Element, ...], Ints]:
    """Elements and mantissas in the one format that the HLS project gives a whole tensor."""
    form = container(formats, what)
    if form.bits > MAX_BITS:
        raise DesignError(
            f"{what}: {form.bits} bits for each on the HLS project's common grid, more than the {MAX_BITS} that a "
            "vector's element has; leave the vendor's RTL out, or give the elements closer ranges"
        )
    element = [Element(form.bits, form.signed, f"{what} {i}") for i in range(len(formats))]
    shifts = np.array([form.frac - f.frac if f.bits else 0 for f in formats], dtype=np.int64)
    return tuple(element), shifted_left(values, shifts)
