"""Every kind of report, written from figures and read back to the same figures."""

from __future__ import annotations

import json

import pytest
import report_samples as samples
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import Figures

from flow.core.errors import ReportError
from flow.tool_reports import Report, Resources, parse_report

counts = st.integers(0, 10**9)
spans = st.none() | st.tuples(counts, counts).map(lambda pair: (min(pair), max(pair)))
slacks = st.none() | st.integers(-99_999, 99_999).map(lambda n: n / 1000)
figures = st.builds(Figures, spans, spans, counts, counts, counts, st.integers(0, 9999), counts, slacks)


def read(text: str) -> Report:
    return parse_report(text.encode(), "sample")


def bounds(report: Report) -> tuple[object, ...]:
    return (report.latency_min_cycles, report.latency_max_cycles, report.interval_min, report.interval_max)


def expected_bounds(f: Figures) -> tuple[object, ...]:
    return (*(f.latency or (None, None)), *(f.interval or (None, None)))


def everything(f: Figures) -> Resources:
    return Resources(f.lut, f.ff, f.dsp, f.tiles_x2, f.uram)


Z020 = Resources(53200, 106400, 220, 280, 0)


@given(figures, st.sampled_from(["DSP", "DSP48E"]))
def test_csynth_xml(f: Figures, dsp: str) -> None:
    report = read(samples.csynth_xml(f, dsp))
    assert (report.kind, report.tool, report.version) == ("hls_csynth_xml", None, "2023.1")
    assert (report.part, report.top) == ("xc7z020-clg400-1", "demo")
    assert (report.clock_target_ns, report.clock_estimated_ns) == (5.0, 4.35)
    assert bounds(report) == expected_bounds(f)
    assert (report.resources, report.available) == (everything(f), Z020)


@given(figures, st.sampled_from(["DSP", "DSP48E"]), st.sampled_from(["Vitis", "Vivado"]), st.booleans())
def test_csynth_rpt(f: Figures, dsp: str, tool: str, windows_lines: bool) -> None:
    text = samples.csynth_rpt(f, dsp, tool)
    report = read(text.replace("\n", "\r\n") if windows_lines else text)
    assert (report.kind, report.tool, report.version) == ("hls_csynth_rpt", f"{tool} HLS", "2023.1")
    assert (report.part, report.top) == ("xc7z020-clg400-1", "demo")
    assert (report.clock_target_ns, report.clock_estimated_ns) == (5.0, 4.35)
    assert bounds(report) == expected_bounds(f)
    assert (report.resources, report.available) == (everything(f), Z020)


@given(figures, st.booleans())
def test_summary_rpt(f: Figures, merged_header: bool) -> None:
    report = read(samples.summary_rpt(f, merged_header))
    high, slow = (pair and pair[1] for pair in (f.latency, f.interval))
    assert (report.kind, report.tool, report.version, report.top) == ("hls_summary_rpt", "Vitis HLS", "2025.1", "demo")
    assert bounds(report) == (high, high, slow, slow)
    assert report.resources == Resources(f.lut, f.ff, None, f.tiles_x2, f.uram)
    assert (report.wns_ns, report.details["slack_ns"], report.clock_target_ns) == (None, 0.09, None)


@given(figures, st.sampled_from(["Verilog", "VHDL"]))
def test_cosim_rpt(f: Figures, language: str) -> None:
    report = read(samples.cosim_rpt(f, language))
    assert bounds(report) == expected_bounds(f)
    assert report.details == {"status": "Pass", "rtl": language, "total_cycles": 2129}
    assert (report.tool, report.part, report.resources) == (None, None, Resources())


@given(figures, st.booleans())
def test_export_rpt(f: Figures, implemented: bool) -> None:
    report = read(samples.export_rpt(f, implemented))
    assert (report.tool, report.version, report.clock_target_ns) == ("Vivado", "2023.2", 5.0)
    assert report.resources == everything(f)
    assert report.details["clock_achieved_ns"] == (3.1 if implemented else 2.648)
    assert report.details["stage"] == ("post-implementation" if implemented else "post-synthesis")


@given(figures, st.booleans())
def test_utilization_counts_half_tiles_as_one_block(f: Figures, prohibited: bool) -> None:
    report = read(samples.utilization_rpt(f, prohibited))
    assert (report.tool, report.version, report.part, report.top) == ("Vivado", "2022.2", "xc7z020clg400-1", "demo")
    assert (report.resources, report.available) == (everything(f), Z020)


@given(figures)
def test_timing(f: Figures) -> None:
    report = read(samples.timing_rpt(f))
    assert (report.wns_ns, report.clock_target_ns, report.top) == (f.slack, 5.0, "demo")
    assert report.details["timing_met"] is False


def test_several_clocks_give_no_single_target() -> None:
    report = read(samples.timing_rpt(Figures(), clocks=2))
    assert report.clock_target_ns is None
    assert report.details["clock_periods_ns"] == {"clk0": 5.0, "clk1": 6.0}


@pytest.mark.parametrize(
    ("cell", "ns"), [("5.00 ns", 5.0), ("0.005 us", 5.0), ("5000 ps", 5.0), ("9.452 sec", 9.452e9)]
)
def test_clock_periods_follow_their_unit(cell: str, ns: float) -> None:
    report = read(samples.csynth_rpt(Figures(), target=cell))
    assert report.clock_target_ns == pytest.approx(ns)


@pytest.mark.parametrize("unit", ["parsec", "kHz", "clk"])
def test_an_unknown_unit_is_refused(unit: str) -> None:
    with pytest.raises(ReportError, match="unit"):
        read(samples.csynth_xml(Figures()).replace("<unit>ns</unit>", f"<unit>{unit}</unit>", 1))
    with pytest.raises(ReportError, match="unit"):
        read(samples.csynth_rpt(Figures(), target=f"5.00 {unit}"))


BUILD = {
    "status": "ok",
    "design": "demo",
    "part": "xc7z020clg400-1",
    "clock_period_ns": 10.0,
    "latency_cycles": 6,
    "initiation_interval": 1,
    "synthesis": {"tool": "yosys", "version": "0.66", "lut": 100, "ff": 50, "dsp": 0, "bram18": 0, "fmax_mhz": 200.0},
}


def test_own_build_report() -> None:
    report = read(json.dumps(BUILD))
    assert bounds(report) == (6, 6, 1, 1)
    assert (report.clock_target_ns, report.clock_estimated_ns) == (10.0, 5.0)
    assert (report.resources, report.available) == (Resources(100, 50, 0, 0, None), Z020)


def test_failed_build_has_no_figures() -> None:
    report = read(json.dumps({"status": "failed", "part": "xc7z020clg400-1", "error": "disk full"}))
    assert (report.resources, report.available, bounds(report)) == (Resources(), Resources(), (None,) * 4)
    assert report.details["error"] == "disk full"


def test_nextpnr_report() -> None:
    data = {"fmax": {"clk": {"achieved": 160.0, "constraint": 100.0}}, "utilization": {"SLICE_LUTX": {"used": 3}}}
    report = read(json.dumps(data))
    assert (report.clock_target_ns, report.wns_ns, report.resources) == (10.0, 3.75, Resources())
    # names and totals as nextpnr-himbaechel-xilinx 0.11.1 writes them for xc7z020
    used = {"SLICE_LUTX": (5499, 106400), "SLICE_FFX": (569, 106400), "DSP48E1_DSP48E1": (3, 220),
            "RAMB18E1_RAMB18E1": (5, 280), "RAMB36E1_RAMB36E1": (2, 140), "PAD": (3, 392)}  # fmt: skip
    data["utilization"] = {site: {"used": n, "available": total} for site, (n, total) in used.items()}
    report = read(json.dumps(data))
    assert report.resources == Resources(ff=569, dsp=3, bram18=9)
    assert report.available == Resources(ff=106400, dsp=220, bram18=280)


@settings(max_examples=20)
@given(figures, st.sampled_from(sorted(samples.SAMPLES)))
def test_json_has_the_agreed_keys(f: Figures, kind: str) -> None:
    data = read(samples.SAMPLES[kind](f)).to_json()
    keys = "tool version part top clock_target_ns clock_estimated_ns latency_min_cycles latency_max_cycles interval_min"
    assert list(data) == [*keys.split(), "interval_max", "resources", "available", "wns_ns", "kind", "details"]
    assert list(data["resources"]) == list(data["available"]) == ["lut", "ff", "dsp", "bram18", "uram"]
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["kind"] == kind
