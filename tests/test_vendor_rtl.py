"""RTL with the ports of AMD's HLS in our bench: our own core behind such ports, right and with planted bugs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_hls_project import small_design, vectors
from vendor_core import Kind, fabricate

from flow.core.compare import EngineResult
from flow.core.errors import DesignError
from flow.core.evaluate import evaluate
from flow.verify.vendor_rtl import rtl_digest, run_rtl

STREAM = Kind("axis", dataflow=True, active_low=True)
KINDS = {
    "Vitis, parallel": Kind(),
    "Vivado, input without valid, II 3": Kind("ap_none", out="ap_vld", interval=3),
    "elements, done tells": Kind("ap_none", wide=False),
    "dataflow, II 4, elements at different times": Kind(dataflow=True, interval=4, control="ap_ctrl_chain"),
    "no control": Kind(control="ap_ctrl_none", active_low=True),
    "no control, no valid": Kind("ap_none", control="ap_ctrl_none"),
    "Vitis, streams": STREAM,
    "streams, started before the data": replace(STREAM, early=True, control="ap_ctrl_chain"),
    "Vivado HLS, packed streams": replace(STREAM, packed=True),
    "Vivado HLS, a stream per element": replace(STREAM, wide=False, packed=True),
    "streams without control": replace(STREAM, control="ap_ctrl_none"),
    "streams that cannot be stalled": replace(STREAM, ready=False),
    "memories": Kind(memory=True),
}


def simulate(tmp_path: Path, kind: Kind, head: str = "logits", engine: str = "icarus") -> EngineResult:
    design = small_design(head)
    x = vectors(design, 40, seed=5)
    report, source = fabricate(tmp_path, design, kind)
    return run_rtl(design, x, evaluate(design, x), report, source, "hls_tiny", tmp_path / "work", engine)


@pytest.mark.parametrize("name", KINDS)
def test_vendor_ports_are_bit_exact(tmp_path: Path, name: str) -> None:
    result = simulate(tmp_path, KINDS[name])
    assert result.agrees and result.vectors == 40, result.message


@pytest.mark.parametrize("kind", [Kind(), STREAM, replace(STREAM, packed=True, wide=False)])
def test_the_class_index_comes_through_any_port(tmp_path: Path, kind: Kind) -> None:
    result = simulate(tmp_path, kind, "argmax")
    assert result.agrees and result.vectors == 40, result.message


def test_verilator_runs_the_same_bench(tmp_path: Path) -> None:
    result = simulate(tmp_path, STREAM, engine="verilator")
    assert result.agrees and result.vectors == 40, result.message


@pytest.mark.parametrize(
    "kind",
    [
        Kind(bug="value"),
        Kind(bug="silent"),
        Kind("ap_none", bug="late"),
        Kind(dataflow=True, bug="value"),
        replace(STREAM, bug="value"),
        replace(STREAM, bug="impatient"),
        replace(STREAM, bug="impatient", wide=False, packed=True),
    ],
)
def test_planted_bugs_are_found(tmp_path: Path, kind: Kind) -> None:
    assert not simulate(tmp_path, kind).agrees


def test_a_wrong_interval_of_a_pipeline_is_found(tmp_path: Path) -> None:
    design = small_design()
    x = vectors(design, 20)
    report, source = fabricate(tmp_path, design, Kind(interval=3))
    report.write_text(report.read_text().replace("<Interval-max>3", "<Interval-max>2").replace("-min>3", "-min>2"))
    result = run_rtl(design, x, evaluate(design, x), report, source, "hls_tiny", tmp_path / "work")
    assert any("interval 3 seen, 2 stated" in problem for problem in result.problems)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (Kind(), "ap_start", "go"),
        (Kind(), "<name>ap_ready", "<name>ap_reader"),
        (Kind(), "<Bits>16<", "<Bits>15<"),
        (Kind(), "x_ap_vld", "x_ap_ack"),
        (Kind(wide=False), "<name>x_3<", "<name>x_2<"),
        (Kind("ap_none", control="ap_ctrl_none"), "<Interval-max>1", "<Interval-max>2"),
        (STREAM, "<name>x_TVALID", "<name>x_TLAST"),
        (STREAM, "<Bits>32<", "<Bits>40<"),
        (replace(STREAM, wide=False), "<name>y_V_data_2_V_TDATA", "<name>y_V_data_3_V_TDATA"),
    ],
)
def test_unknown_ports_are_refused(tmp_path: Path, kind: Kind, old: str, new: str) -> None:
    design = small_design()
    x = vectors(design, 4)
    report, source = fabricate(tmp_path, design, kind)
    assert old in report.read_text()
    report.write_text(report.read_text().replace(old, new))
    with pytest.raises(DesignError):
        run_rtl(design, x, evaluate(design, x), report, source, "hls_tiny", tmp_path / "work")


def test_a_memory_that_is_missing_is_told_before_it_reads_as_nothing(tmp_path: Path) -> None:
    design = small_design()
    report, source = fabricate(tmp_path, design, Kind(memory=True))
    (source / "zero.dat").unlink()
    x = vectors(design, 4)
    with pytest.raises(DesignError, match=r"reads \./zero\.dat, which is not in"):
        run_rtl(design, x, evaluate(design, x), report, source, "hls_tiny", tmp_path / "work")


def test_every_file_counts_for_whether_to_simulate_again(tmp_path: Path) -> None:
    report, source = fabricate(tmp_path, small_design(), Kind(memory=True))
    first = rtl_digest(report, source)
    for file in (report, source / "hls_tiny.v", source / "zero.dat"):
        content = file.read_text()
        file.write_text(content + "\n")
        assert rtl_digest(report, source) != first, file.name
        file.write_text(content)
    assert rtl_digest(report, source) == first
