"""Vendor tools through recording fakes: arguments, believed exit codes, no stale reports, reasons for skipping."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_vendor import calls, install
from report_samples import Figures, cosim_rpt, csynth_xml, utilization_rpt
from test_hls_project import PART, small_design, vectors
from vendor_core import Kind, fabricate

from flow.build.engines.vendor import run_vendor
from flow.build.facts import Facts
from flow.build.report import plain
from flow.build.state import Vectors, record
from flow.core.design import to_json
from flow.core.errors import FlowError, ReportError, ToolFailed, ToolNotFound, UsageError
from flow.core.evaluate import evaluate
from flow.emit.hls.project import emit_hls
from flow.files.plan import write
from flow.files.steps import Steps
from flow.tools import vendor_hls

X = vectors(small_design(), 20)
VARIABLES = ("NMP_VITIS_HLS", "NMP_VIVADO_HLS", "NMP_VPP", "NMP_VITIS_RUN", "NMP_VIVADO")


@pytest.fixture(scope="module")
def emitted() -> dict[str, Any]:
    design = small_design()
    return {b: emit_hls(design, PART, b, vectors=vectors(design, 4)) for b in ("Vitis", "Vivado")}


@pytest.fixture
def out(tmp_path: Path, emitted: dict[str, Any]) -> Path:
    write(emitted["Vitis"], tmp_path / "out" / "hls")
    return tmp_path / "out"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    for variable in (*VARIABLES, "FAKE_STEP", "FAKE_HOW"):
        monkeypatch.delenv(variable, raising=False)
    return folder


def vendor(out: Path, steps: str = "csim,synth,cosim,export,vsynth,impl", backend: str = "Vitis") -> Any:
    """One build's vendor steps: its facts, reasons and differences, and what became of every step."""
    states: dict[str, str] = {}
    told: list[str] = []
    options = SimpleNamespace(out=out, backend=backend, vendor_steps=vendor_hls.chosen(steps))
    build = SimpleNamespace(
        options=options,
        steps=Steps(out, states.__setitem__, lambda step, what: told.append(f"{step}: {what}")),
        told=told,
        facts=Facts(),
        skipped={},
        differences=[],
        verification={},
        states=states,
        design=small_design(),
        vectors=Vectors(X, evaluate(small_design(), X), 20, 0),
    )
    record(build, *run_vendor(build, "tiny", "digest of the project"))  # type: ignore[arg-type]
    return build


def misbehave(monkeypatch: pytest.MonkeyPatch, step: str, how: str) -> None:
    monkeypatch.setenv("FAKE_STEP", step)
    monkeypatch.setenv("FAKE_HOW", how)


def test_without_tools_the_steps_are_skipped_with_a_reason(out: Path, tools: Path) -> None:
    build = vendor(out)
    assert all(word in build.skipped["vendor"] for word in ("vitis_hls", "NMP_VITIS_HLS", "v++", "NMP_VPP"))
    assert "NMP_VIVADO_HLS" in vendor(out, backend="Vivado").skipped["vendor"]
    assert "none" in vendor(out, "none").skipped["vendor"]
    assert build.facts == Facts() and not build.states


def test_a_wrong_variable_is_named(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMP_VITIS_HLS", "/nonexistent/vitis_hls")
    with pytest.raises(ToolNotFound, match="NMP_VITIS_HLS is set to /nonexistent"):
        vendor_hls.find_toolset("Vitis")


def test_steps_are_chosen_with_those_they_need() -> None:
    assert vendor_hls.chosen("impl") == ("synth", "vsynth", "impl")
    assert vendor_hls.chosen(" cosim , csim") == ("csim", "synth", "cosim")
    with pytest.raises(UsageError, match="unknown vendor step 'sinth'; known: csim, synth"):
        vendor_hls.chosen("sinth")


def test_vitis_hls_and_vivado_run_every_step_and_their_figures_are_read(out: Path, tools: Path) -> None:
    install(tools, "vitis_hls", "vivado")
    build = vendor(out)
    vivado = "vivado -mode batch -nojournal -notrace -source vivado_"
    assert calls(out / "hls") == [
        *(f"{step}: vitis_hls -f build_prj.tcl" for step in ("csim", "synth", "cosim", "export")),
        f"vsynth: {vivado}vsynth.tcl",
        f"impl: {vivado}impl.tcl",
    ]
    found = plain(build.facts.vendor)
    assert (
        found["tool"] == "vitis_hls"
        and tuple(found["steps"]) == vendor_hls.STEPS
        and set(build.skipped) == {"vendor_rtl"}
    )
    assert found["csynth"]["latency_max_cycles"] == 6 and found["csynth"]["resources"]["lut"] == 431
    assert (found["cosim"]["status"], found["cosim"]["latency_max_cycles"]) == ("Pass", 6)
    assert found["vivado_synthesis"]["resources"]["lut"] == 431
    assert found["implementation"]["resources"]["lut"] == 400 and found["implementation"]["wns_ns"] == 1.234
    script = (out / "hls" / "vivado_vsynth.tcl").read_text()
    assert f"synth_design -top tiny -part {PART} -mode out_of_context" in script
    assert "tiny_prj/solution1/syn/verilog/*.v" in script
    assert "-period 5.0" in (out / "hls" / "vivado_ooc.xdc").read_text()


def test_what_a_tool_does_is_told_while_it_runs(out: Path, tools: Path) -> None:
    install(tools, "vitis_hls", "vivado")
    assert vendor(out, "vsynth").told == ["vendor_synth: Running 'vitis_hls'", "vendor_vsynth: Running 'vivado'"]
    assert vendor(out, "vsynth").told == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("INFO: [HLS 200-42] -- Implementing module 'tiny' ", "Implementing module 'tiny'"),
        ("INFO: [SCHED 204-11] Starting scheduling ...", "Starting scheduling"),
        ("***** C/RTL SYNTHESIS *****", "C/RTL SYNTHESIS"),
        ('// RTL Simulation : 3 / 10 [n/a] @ "235000"', 'RTL Simulation : 3 / 10 [n/a] @ "235000"'),
        ("Phase 1.1 Placer Initialization Netlist Sorting", "Phase 1.1 Placer Initialization Netlist Sorting"),
        ("WARNING: [HLS 200-40] Starting to worry", None),
        ("INFO: [HLS 200-10] ----------------", None),
        ("| Slice LUTs* |  431 |", None),
    ],
)
def test_stages_are_told_and_nothing_else(line: str, told: str | None) -> None:
    assert vendor_hls.stage(line) == told


def test_a_planted_report_is_never_read(out: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports that lie there from elsewhere, newer than anything and of every step."""
    install(tools, "vitis_hls", "vivado")
    found = vendor_hls.find_toolset("Vitis")
    stale = {
        "tiny_prj/solution1/syn/report/tiny_csynth.xml": csynth_xml(Figures(lut=7)),
        "tiny_prj/solution1/syn/report/csynth.xml": csynth_xml(Figures(lut=7)),
        "tiny_prj/solution1/syn/verilog/old.v": "module old; endmodule\n",
        "tiny_prj/solution1/sim/report/tiny_cosim.rpt": cosim_rpt(Figures(latency=(99, 99))),
        "vivado_synth.rpt": utilization_rpt(Figures(lut=7)),
        "vivado_impl.rpt": utilization_rpt(Figures(lut=7)),
    }

    def plant() -> None:
        for name, content in stale.items():
            (out / "hls" / name).parent.mkdir(parents=True, exist_ok=True)
            (out / "hls" / name).write_text(content)
            os.utime(out / "hls" / name, (4e9, 4e9))

    plant()
    facts = plain(vendor(out).facts.vendor)
    assert {s: facts[s]["resources"]["lut"] for s in ("csynth", "vivado_synthesis", "implementation")} == {
        "csynth": 431, "vivado_synthesis": 431, "implementation": 400}  # fmt: skip
    assert facts["cosim"]["latency_max_cycles"] == 6
    assert not (out / "hls" / "tiny_prj" / "solution1" / "syn" / "verilog" / "old.v").exists()
    for step in ("synth", "cosim", "vsynth", "impl"):
        plant()
        misbehave(monkeypatch, step, "silent")
        with pytest.raises(ToolFailed, match="without a report"):
            vendor_hls.run_step(found, out / "hls", "tiny", step)


def test_vivado_hls_gets_its_options_as_an_argument(out: Path, tools: Path, emitted: dict[str, Any]) -> None:
    write(emitted["Vivado"], out / "hls")
    install(tools, "vivado_hls")
    build = vendor(out, "synth,vsynth", "Vivado")
    assert "vivado_hls -f build_prj.tcl csim=0 synth=1 cosim=0" in calls(out / "hls")[0]
    assert list(plain(build.facts.vendor)["steps"]) == ["synth"] and "NMP_VIVADO" in build.skipped["vendor vsynth"]


def test_unified_tools_get_a_configuration(out: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tools, "v++", "my-vitis-run", "vivado")
    monkeypatch.setenv("NMP_VITIS_RUN", str(tools / "my-vitis-run"))
    build = vendor(out)
    place = "--mode hls --config hls_config.cfg --work_dir tiny_prj"
    assert calls(out / "hls")[:4] == [
        f"csim: my-vitis-run {place} --csim", f"synth: v++ -c {place}",
        f"cosim: my-vitis-run {place} --cosim", f"export: my-vitis-run {place} --package",
    ]  # fmt: skip
    assert (
        plain(build.facts.vendor)["tool"] == "unified" and tuple(plain(build.facts.vendor)["steps"]) == vendor_hls.STEPS
    )
    assert plain(build.facts.vendor)["steps"]["synth"]["reports"][0] == "tiny_prj/hls/syn/report/tiny_csynth.xml"
    assert "tb.cflags=-std=c++14 -DRTL_SIM\n" in (out / "hls" / "config_of_cosim").read_text()
    assert "tb.cflags=-std=c++14\n" in (out / "hls" / "config_of_csim").read_text()
    config = (out / "hls" / "hls_config.cfg").read_text()
    assert f"part={PART}" in config and "clock=5.0ns" in config and "syn.top=tiny" in config
    assert "tiny_prj/hls/syn/verilog" in (out / "hls" / "vivado_vsynth.tcl").read_text()


@pytest.mark.parametrize("step", vendor_hls.STEPS)
@pytest.mark.parametrize(("how", "told"), [("fails", "exit status 1.*it went wrong"), ("lies", "it went wrong"),
                                           ("silent", "without a report")])  # fmt: skip
def test_a_failing_step_is_believed_and_leaves_no_report(
    out: Path, tools: Path, monkeypatch: pytest.MonkeyPatch, step: str, how: str, told: str
) -> None:
    install(tools, "vitis_hls", "vivado")
    vendor(out)  # leaves good reports of every step, which must not be read again
    (out / ".state" / f"vendor_{step}.json").unlink()
    misbehave(monkeypatch, step, how)
    with pytest.raises(ToolFailed, match=told):
        vendor(out)
    tools_found = vendor_hls.find_toolset("Vitis")
    assert not [n for n in vendor_hls.products(tools_found, "tiny", step) if (out / "hls" / n).exists()]
    assert (out / "hls" / f"vendor_{step}.log").is_file()


def test_finished_steps_do_not_start_a_tool_again(out: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tools, "vitis_hls", "vivado")
    misbehave(monkeypatch, "cosim", "fails")
    with pytest.raises(ToolFailed):
        vendor(out)
    monkeypatch.delenv("FAKE_STEP")
    first = vendor(out)
    assert [line.split(":")[0] for line in calls(out / "hls")] == [
        "csim", "synth", "cosim", "cosim", "export", "vsynth", "impl",
    ]  # fmt: skip
    again = vendor(out)
    assert again.facts == first.facts and {v for k, v in again.states.items() if k != "vendor_rtl"} == {"cached"}
    assert len(calls(out / "hls")) == 7


def test_a_report_that_was_touched_is_not_believed(out: Path, tools: Path) -> None:
    install(tools, "vitis_hls")
    vendor(out, "synth")
    report = out / "hls" / "tiny_prj" / "solution1" / "syn" / "report" / "tiny_csynth.xml"
    report.write_text(report.read_text().replace("431", "1"))
    assert plain(vendor(out, "synth").facts.vendor)["csynth"]["resources"]["lut"] == 431
    assert len(calls(out / "hls")) == 2


def test_a_killed_tool_leaves_no_half_report(out: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tools, "vitis_hls")
    misbehave(monkeypatch, "synth", "killed")
    with pytest.raises(ToolFailed, match="signal 9"):
        vendor(out, "synth")
    assert not (out / "hls" / "tiny_prj" / "solution1" / "syn").exists()
    monkeypatch.delenv("FAKE_STEP")
    assert vendor(out, "synth").states["vendor_synth"] == "done"


def test_an_unreadable_report_is_an_error(out: Path, tools: Path) -> None:
    install(tools, "vitis_hls", xml="<profile><half")
    with pytest.raises(ReportError):
        vendor(out, "synth")
    with pytest.raises(FlowError):
        vendor(out, "synth")


def test_a_failed_cosimulation_is_a_difference(out: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tools, "vitis_hls")
    misbehave(monkeypatch, "cosim", "cosim")
    build = vendor(out, "cosim")
    assert build.differences == ["vendor cosimulation: Fail"]
    assert plain(build.facts.vendor)["cosim"]["status"] == "Fail"


def test_rtl_of_a_run_is_simulated_and_again_when_it_changes(out: Path, tools: Path) -> None:
    def leave(folder: str, kind: Kind) -> None:
        report, rtl = fabricate(tools / folder, small_design(), kind, "tiny")
        install(tools, "vitis_hls", xml=report.read_text(), rtl={f.name: f.read_text() for f in rtl.iterdir()})

    streams = Kind("axis", dataflow=True, active_low=True)
    leave("right", streams)
    first = vendor(out, "synth")
    assert first.verification["vendor_rtl"].mismatches == 0 and first.verification["vendor_rtl"].vectors == 20
    assert vendor(out, "synth").states["vendor_rtl"] == "cached" and not first.skipped
    leave("wrong", replace(streams, bug="value"))
    (out / ".state" / "vendor_synth.json").unlink()
    second = vendor(out, "synth")
    assert second.states["vendor_rtl"] == "done" and second.verification["vendor_rtl"].mismatches >= 20
    assert "vendor_rtl" in second.differences[0]


def test_rtl_around_a_core_of_amds_is_left_to_amds_simulator(out: Path, tools: Path) -> None:
    report, rtl = fabricate(tools / "core", small_design(), Kind(), "tiny")
    files = {f.name: f.read_text() for f in rtl.iterdir()}
    files["tiny.v"] = files["tiny.v"].replace("endmodule", "tiny_fadd_ip amds();\nendmodule")
    install(tools, "vitis_hls", xml=report.read_text(), rtl=files)
    build = vendor(out, "synth")
    assert "tiny_fadd_ip" in build.skipped["vendor_rtl"] and not build.verification and not build.differences


def test_real_reports_give_their_true_figures(out: Path, tools: Path) -> None:
    shared = Path(__file__).resolve().parents[2] / "shared" / "reports"
    if not shared.is_dir():
        pytest.skip("the collection of vendor reports is not at ../shared/reports")
    install(tools, "vitis_hls", "vivado", xml=(shared / "vitis2024_2_jetz020_csynth.xml").read_text())
    samples = tools / "samples"
    (samples / "vsynth.rpt").write_text((shared / "vivado2024_2_z020_synth.rpt").read_text())
    (samples / "timing.rpt").write_text((shared / "vivado2024_1_kana100_timing.rpt").read_text())
    found = plain(vendor(out, "vsynth").facts.vendor)
    assert found["csynth"]["latency_max_cycles"] == 41 and found["csynth"]["version"] == "2024.2"
    assert found["vivado_synthesis"]["resources"]["lut"] == 43833


def test_a_build_reports_what_the_tools_found(tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tools, "vitis_hls", "vivado")
    (tmp_path / "design.json").write_text(to_json(small_design()))
    monkeypatch.chdir(tmp_path)
    arguments = ["--model", "design.json", "--out", "b", "--engines", "hls", "--vectors", "20"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}

    def build(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "flow.build", *arguments, *more], env=environment,
                              capture_output=True, text=True, timeout=300, check=False)  # fmt: skip

    done = build("--vendor-steps", "cosim,impl")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "b" / "report.json").read_text())
    assert set(report["vendor"]["steps"]) == {"synth", "cosim", "vsynth", "impl"}
    assert "vitis_hls on the HLS project" in done.stdout
    assert re.search(r"HLS estimate +6 +1 +431 +207 .*\n", done.stdout)
    assert re.search(r"Vivado routed +400 +200 +0 +0 +\+1\.234 ns *\n", done.stdout)
    assert "cosim" in report["command"][report["command"].index("--vendor-steps") + 1]
    page = (tmp_path / "b" / "report.html").read_text()
    assert "Vivado place and route" in page and "+1.234 ns slack" in page and "<td>Pass</td>" in page
    assert len(calls(tmp_path / "b" / "hls")) == 4
    wrong = build("--vendor-steps", "place")
    assert wrong.returncode == 2 and "unknown vendor step 'place'" in wrong.stderr
