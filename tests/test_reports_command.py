"""``python -m flow.report`` and whole folders of reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import report_samples as samples
from report_samples import Figures
from typer.testing import CliRunner

from flow.core.errors import ReportError
from flow.report.command import app
from flow.tool_reports import Resources, read_folder

runner = CliRunner()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An HLS project as the tools leave it: top and sub-module reports, cosimulation, Vivado synthesis and timing."""
    reports = tmp_path / "solution1" / "syn" / "report"
    reports.mkdir(parents=True)
    (reports / "demo_csynth.xml").write_text(samples.csynth_xml(Figures()))
    (reports / "csynth.xml").write_text(samples.csynth_xml(Figures()))
    (reports / "csynth.rpt").write_text(samples.summary_rpt(Figures()))
    inner = Figures(latency=(1, 1), lut=5)
    (reports / "inner_csynth.xml").write_text(samples.csynth_xml(inner).replace("demo", "inner"))
    (tmp_path / "cosim.rpt").write_text(samples.cosim_rpt(Figures(latency=(20, 21), interval=None)))
    (tmp_path / "vivado_synth.rpt").write_text(samples.utilization_rpt(Figures(lut=777)))
    (tmp_path / "timing.rpt").write_text(samples.timing_rpt(Figures()))
    (tmp_path / "notes.xml").write_text("<notes/>")
    return tmp_path


def test_folder_merges_the_best_source_of_each_figure(project: Path) -> None:
    folder = read_folder(project)
    merged = folder.merged
    assert (merged.latency_min_cycles, merged.latency_max_cycles) == (20, 21)
    assert (merged.interval_min, merged.interval_max) == (3, 4)
    assert merged.resources == Resources(777, 2428, 7, 5, 2)
    assert (merged.clock_estimated_ns, merged.wns_ns, merged.top) == (4.35, -0.394, "demo")
    assert (len(folder.reports), folder.errors, folder.ambiguous) == (7, {}, ())


def test_damaged_files_are_named_beside_the_good_ones(project: Path) -> None:
    cut = project / "cut.rpt"
    cut.write_text(samples.csynth_rpt(Figures())[:300])
    assert list(read_folder(project).errors) == ["cut.rpt"]


def test_reports_of_different_designs_are_not_merged(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(samples.csynth_xml(Figures()))
    (tmp_path / "b.xml").write_text(samples.csynth_xml(Figures()).replace("demo", "other"))
    folder = read_folder(tmp_path)
    assert folder.ambiguous == ("top",)
    assert folder.merged.to_json()["resources"]["lut"] is None


def test_equally_good_reports_that_differ_leave_the_figure_open(tmp_path: Path) -> None:
    for name, slack in (("a.rpt", 0.1), ("b.rpt", 0.2)):
        (tmp_path / name).write_text(samples.timing_rpt(Figures(slack=slack)))
    folder = read_folder(tmp_path)
    assert (folder.merged.wns_ns, folder.merged.clock_target_ns, folder.ambiguous) == (None, 5.0, ("wns_ns",))


def test_routed_figures_outrank_synthesized_ones(tmp_path: Path) -> None:
    (tmp_path / "synth.rpt").write_text(samples.timing_rpt(Figures(slack=1.0)))
    (tmp_path / "route.rpt").write_text(samples.timing_rpt(Figures(slack=0.5)).replace("Synthesized", "Routed"))
    assert read_folder(tmp_path).merged.wns_ns == 0.5


def test_own_build_report_is_the_record_of_its_folder(project: Path) -> None:
    build = {"status": "ok", "part": "xc7z020clg400-1", "latency_cycles": 6, "synthesis": {"lut": 100, "tool": "yosys"}}
    (project / "report.json").write_text(json.dumps(build))
    folder = read_folder(project)
    assert (folder.merged.kind, folder.merged.resources.lut, folder.merged.latency_min_cycles) == ("flow_build", 100, 6)
    assert len(folder.reports) == 8
    assert "report" not in folder.merged.details
    (project / "unfinished.json").write_text("{}")
    assert "a later one did not finish" in read_folder(project).merged.details["report"]


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no report found"):
        read_folder(tmp_path)


def test_command_prints_json_for_a_file_and_a_folder(project: Path) -> None:
    result = runner.invoke(app, ["--json", str(project / "vivado_synth.rpt")])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["resources"] == {"lut": 777, "ff": 2428, "dsp": 7, "bram18": 5, "uram": 2}
    data = json.loads(runner.invoke(app, [str(project), "--json"]).stdout)
    assert data["wns_ns"] == -0.394
    assert [entry["file"] for entry in data["reports"]][:2] == ["cosim.rpt", "timing.rpt"]


def test_command_prints_a_table(project: Path) -> None:
    result = runner.invoke(app, [str(project)])
    assert result.exit_code == 0
    for text in ("777", "53,200", "20 to 21 cycles", "-0.394 ns", "inner_csynth.xml"):
        assert text in result.stdout


@pytest.mark.parametrize("content", ["", "hello", samples.csynth_rpt(Figures())[:300]])
def test_command_ends_in_one_line_for_bad_files(tmp_path: Path, content: str) -> None:
    bad = tmp_path / "bad.rpt"
    bad.write_text(content)
    result = runner.invoke(app, [str(bad)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_command_from_the_shell_and_a_missing_file() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "flow.report", "no-such-file"], capture_output=True, text=True, timeout=1200,
        cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: no-such-file does not exist; give a report file\n"
