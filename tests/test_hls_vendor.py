"""Vendor tools through recording fakes: arguments, believed exit codes, no stale reports, reasons for skipping."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_hls_project import PART, small_design, vectors

from flow.emit.hls4ml_project import emit_hls
from flow.errors import ToolFailed, ToolNotFound
from flow.plan import write
from flow.tools import vendor_hls

# Records its arguments and leaves what the real tool would; WRITES and STATUS steer it.
FAKE = """#!/bin/sh
echo "$(basename $0) $*" >> calls.txt
[ -f build_opt.tcl ] && grep ' 1$' build_opt.tcl >> calls.txt
if [ "${FAKE_WRITES:-1}" = 1 ]; then
    mkdir -p small_prj/solution1/syn/report small_prj/solution1/sim/report small_prj/solution1/impl/ip tb_data
    echo csim > tb_data/csim_results.log
    echo fresh > small_prj/solution1/syn/report/small_csynth.rpt
    echo cosim > small_prj/solution1/sim/report/small_cosim.rpt
    echo ip > small_prj/solution1/impl/ip/small.zip
    [ "$(basename $0)" = vivado ] && echo util > vivado_synth.rpt
fi
echo "ERROR: it says" ; exit ${FAKE_STATUS:-0}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    design = small_design()
    write(emit_hls(design, PART, vectors=vectors(design, 4)), tmp_path / "hls")
    return tmp_path / "hls"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    for variable in ("NMP_VITIS_HLS", "NMP_VIVADO_HLS", "NMP_VPP", "NMP_VITIS_RUN", "NMP_VIVADO"):
        monkeypatch.delenv(variable, raising=False)
    return folder


def install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(FAKE)
        (folder / name).chmod(0o755)


def calls(project: Path) -> list[str]:
    return (project / "calls.txt").read_text().splitlines()


def test_without_tools_the_step_is_skipped_with_a_reason(project: Path, tools: Path) -> None:
    reason = vendor_hls.try_vendor(project, "small")
    assert isinstance(reason, str)
    assert all(word in reason for word in ("vitis_hls", "NMP_VITIS_HLS", "v++", "NMP_VPP"))
    with pytest.raises(ToolNotFound, match="NMP_VIVADO_HLS"):
        vendor_hls.run_vendor(project, "small", "Vivado")


def test_vitis_hls_runs_each_step_and_leaves_its_reports(project: Path, tools: Path) -> None:
    install(tools, "vitis_hls", "vivado")
    run = vendor_hls.run_vendor(project, "small", "Vitis", vendor_hls.STEPS)
    assert (run.tool, run.steps, run.skipped) == ("vitis_hls", vendor_hls.STEPS, {})
    assert {p.name for p in run.reports} == {"small_csynth.rpt", "small_cosim.rpt", "vivado_synth.rpt"}
    assert [line.split()[0] for line in calls(project) if line.startswith("    ")] == [
        "csim",
        "synth",
        "cosim",
        "export",
        "export",
    ]
    assert calls(project)[0] == "vitis_hls -f build_prj.tcl"
    assert "vivado -mode batch -source vivado_synth.tcl" in calls(project)


def test_vivado_hls_gets_its_options_as_an_argument(project: Path, tools: Path) -> None:
    write(emit_hls(small_design(), PART, "Vivado"), project)
    install(tools, "vivado_hls")
    run = vendor_hls.run_vendor(project, "small", "Vivado", ("synth", "vsynth"))
    call = next(line for line in calls(project) if line.startswith("vivado_hls"))
    assert "csim=0 synth=1 cosim=0" in call
    assert run.steps == ("synth",) and "NMP_VIVADO" in run.skipped["vsynth"]


def test_unified_tools_get_a_configuration(project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tools, "v++", "my-vitis-run")
    monkeypatch.setenv("NMP_VITIS_RUN", str(tools / "my-vitis-run"))
    run = vendor_hls.run_vendor(project, "small", "Vitis", ("csim", "synth", "export"))
    assert run.tool == "unified" and run.steps == ("csim", "synth", "export")
    place = "--mode hls --config hls_config.cfg --work_dir small_prj"
    called = [line for line in calls(project) if "--mode" in line]
    assert called == [f"my-vitis-run {place} --csim", f"v++ -c {place}", f"my-vitis-run {place} --package"]
    config = (project / "hls_config.cfg").read_text()
    assert f"part={PART}" in config and "clock=5.0ns" in config and "syn.top=small" in config


def test_a_failing_tool_is_believed(project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tools, "vitis_hls")
    monkeypatch.setenv("FAKE_STATUS", "1")
    with pytest.raises(ToolFailed, match="ERROR: it says"):
        vendor_hls.run_vendor(project, "small")


def test_stale_reports_are_never_read(project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tools, "vitis_hls")
    vendor_hls.run_vendor(project, "small", steps=("synth",))
    monkeypatch.setenv("FAKE_WRITES", "0")
    with pytest.raises(ToolFailed, match="without a report"):
        vendor_hls.run_vendor(project, "small", steps=("synth",))
    assert vendor_hls.reports(project, "small") == ()


def test_a_wrong_variable_is_named(project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMP_VITIS_HLS", "/nonexistent/vitis_hls")
    reason = vendor_hls.try_vendor(project, "small")
    assert isinstance(reason, str) and "NMP_VITIS_HLS is set to /nonexistent" in reason
