"""A build with the board's shell, as a user runs it: files, report, and its steps kept for the next run."""

import json

import pytest
import strategies
from typer.testing import CliRunner

from flow.build.command import app
from flow.core.design import to_json
from flow.files.ownership import files_below, load


@pytest.fixture
def design_file(tmp_path):
    (tmp_path / "design.json").write_text(to_json(strategies.random_design(22, max_size=5)))
    return tmp_path / "design.json"


def build(design_file, *more):
    out = design_file.parent / "build"
    arguments = ["--model", str(design_file), "--out", str(out), "--engines", "integer", "--vectors", "24", *more]
    return out, CliRunner().invoke(app, arguments)


def test_build_with_shell(design_file):
    out, done = build(design_file, "--shell", "pynq", "--lanes", "packed")
    assert done.exit_code == 0, done.output
    report = json.loads((out / "report.json").read_text())
    shell, checked = report["shell"], report["verification"]["axis"]
    assert (checked["vectors"], checked["mismatches"]) == (24, 0)
    assert (shell["kind"], shell["lanes"], shell["bus_bits"]) == ("pynq", "packed", 32)
    assert shell["synthesis"]["lut"] > 100 and shell["synthesis"]["ff"] > 100
    assert json.loads((out / "pynq" / "accelerator.json").read_text())["digest"] == shell["digest"]
    for name in (out / "shell" / "files.f").read_text().split():
        assert (out / "shell" / name).is_file(), name
    assert "--shell pynq --lanes packed" in " ".join(report["command"])
    own = load(out)
    assert [name for name in files_below(out) if not own.holds(name)] == []
    (out / "pynq" / "random.bit").write_text("made by the user")

    first = {p.relative_to(out): p.read_bytes() for p in (out / "shell").rglob("*") if p.is_file()}
    out, done = build(design_file, "--shell", "axis", "--lanes", "packed")
    assert done.exit_code == 0, done.output
    again = json.loads((out / "report.json").read_text())
    assert again["verification"]["axis"] == checked | {"seconds": again["verification"]["axis"]["seconds"]}
    assert first == {p.relative_to(out): p.read_bytes() for p in (out / "shell").rglob("*") if p.is_file()}
    assert [p.name for p in (out / "pynq").iterdir()] == ["random.bit"]
    out, done = build(design_file)
    assert done.exit_code == 0, done.output
    assert not (out / "shell").exists() and "shell" not in json.loads((out / "report.json").read_text())


def test_wrong_options_are_one_line(design_file):
    _, done = build(design_file, "--shell", "pynq", "--part", "kv260")
    assert done.exit_code == 2
    assert "error: --shell pynq is for the PYNQ-Z1 and PYNQ-Z2" in done.output
