"""Options of a build check themselves, and a report's command says them again."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flow.build import command as build_command
from flow.build.options import Options
from flow.build.report_detail import command
from flow.core.errors import PartError, UsageError

OTHERS = {
    "data": "digits", "split_key": "fold", "target_columns": "0,1", "preprocessing": "standard", "vectors": 7,
    "clock_period_ns": 4.5, "architecture": "folded", "initiation_interval": 9, "engines": "integer,icarus",
    "backend": "vivado", "head": "argmax", "input_format": "s8.4", "seed": 3, "waveform": True, "route": True,
    "shell": "axis", "lanes": "packed", "bus_bits": 64, "hls_io": "io_stream", "strategy": "resource",
    "reuse_factor": 2, "vendor_steps": "impl",
}  # fmt: skip


def asked_by(arguments, monkeypatch):
    """The options that the command line makes of arguments."""
    found = []
    monkeypatch.setattr(build_command, "_run", lambda options, show: found.append(options) or 0)
    done = CliRunner().invoke(build_command.app, arguments)
    assert done.exit_code == 0, done.output
    return found[0]


@pytest.mark.parametrize(
    "others",
    [
        {},
        OTHERS,
        {"engines": ["xls"], "rtl_engine": "xls", "results_per_second": 2.0},
        {"pipeline": "rows"},
        {"bitstream": True},
    ],
    ids=len,
)
def test_the_command_of_a_report_asks_for_the_same_build(others, monkeypatch):
    asked = Options.of("m.h5", "xc7z020", "some/out", **others)
    assert asked_by(command(asked)[3:], monkeypatch) == asked


def test_engines_that_were_named_are_named_again(monkeypatch):
    named = Options.of("m.h5", engines="integer,hls,icarus,verilator,netlist")
    assert named.engines == Options.of("m.h5").engines and named != Options.of("m.h5")
    assert asked_by(command(named)[3:], monkeypatch) == named


def test_files_elsewhere_are_named_by_their_last_part(tmp_path):
    options = Options.of(tmp_path / "a.json", out=tmp_path / "b", weights=tmp_path / "w.h5")
    assert str(tmp_path) not in " ".join(command(options)) and "w.h5" in command(options)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"head": "sigmoid"}, "--head sigmoid is not known; choose logits, argmax or probability"),
        ({"rtl_engine": "hls"}, "--rtl-engine hls is not known; choose own or xls"),
        ({"architecture": "serial"}, "--architecture serial is not known; choose auto, parallel, folded or streaming"),
        ({"backend": "Quartus"}, "--backend Quartus is not known; choose Vitis or Vivado"),
        ({"preprocessing": "log"}, "--preprocessing log is not known; choose none or standard"),
        ({"preprocessing": "standard"}, "name it with --data"),
        ({"engines": "spice"}, "--engines spice: choose from integer,"),
        ({"engines": ()}, "--engines : choose from integer,"),
        ({"vendor_steps": "sinth"}, "unknown vendor step 'sinth'"),
        ({"strategy": "loop"}, "loop"),
        ({"hls_io": "io_bus"}, "--hls-io io_bus is not known"),
        ({"vectors": 0}, "--vectors 0: give 1 or more"),
        ({"clock_period_ns": float("nan")}, "--clock-period-ns nan"),
        ({"clock_period_ns": 1e4}, "give 1000 or less"),
        ({"initiation_interval": 4, "results_per_second": 1e6}, "not both"),
        ({"dsp": 221}, "--dsp 221 is more than the 220 DSP blocks of xc7z020"),
        ({"dsp": 4, "architecture": "parallel"}, "--dsp is for folded hardware"),
        ({"architecture": "parallel", "initiation_interval": 4}, "gives a result every cycle"),
        ({"rtl_engine": "xls", "architecture": "folded"}, "parallel hardware only"),
        ({"pipeline": "rows", "architecture": "folded"}, "the rows of parallel hardware"),
        ({"pipeline": "rows", "initiation_interval": 4}, "the rows of parallel hardware"),
        ({"pipeline": "rows", "rtl_engine": "xls"}, "XLS places registers by the clock alone"),
        ({"pipeline": "deep"}, "--pipeline deep is not known; choose auto or rows"),
        ({"layer": "all", "data": "digits"}, "leave it out with --layer"),
        ({"layer": "all", "preprocessing": "none"}, "leave it out with --layer"),
    ],
)
def test_what_does_not_exist_or_go_together_is_refused(others, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        Options.of("m.h5", **others)


def test_a_design_has_no_layers_to_build_alone_and_a_part_must_be_known():
    with pytest.raises(UsageError, match="for Keras models"):
        Options.of(Path("design.json"), layer="all")
    with pytest.raises(UsageError, match=r"a design\.json is built as it is"):
        Options.of(Path("design.json"), quantize=True)
    with pytest.raises(PartError, match="xc7q99"):
        Options.of("m.h5", "xc7q99")
