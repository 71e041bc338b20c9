"""The HLS options of a build: interface, strategy and reuse factor from the command line and from a YAML file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from test_build import command, one_error_line
from test_hls_project import small_design

from flow.build import hls_choices
from flow.build.facts import Facts
from flow.build.options import Options
from flow.core.design import to_json
from flow.core.errors import UsageError
from flow.emit.hls.schedule import Schedule, choices, resolved
from flow.hls.library import design_config
from flow.parts.catalog import resolve


@pytest.fixture
def design_file(tmp_path: Path) -> Path:
    path = tmp_path / "design.json"
    path.write_text(to_json(small_design()))
    return path


def test_a_build_between_streams_with_a_schedule_per_group(design_file: Path, tmp_path: Path) -> None:
    done = command("flow.hls_config", "--model", design_file, "--out", tmp_path / "hls.yml")
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((tmp_path / "hls.yml").read_text())
    assert config == design_config(small_design())
    config["LayerName"]["hidden"]["Groups"][3].update(Strategy="Resource", ReuseFactor=3)
    (tmp_path / "hls.yml").write_text(yaml.safe_dump(config))
    done = command("flow.build", "--model", design_file, "--out", tmp_path / "b", "--engines", "integer,hls",
                   "--vectors", 60, "--hls-io", "io_stream", "--hls-config", tmp_path / "hls.yml")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "b" / "report.json").read_text())
    assert report["verification"]["hls"]["mismatches"] == 0 and report["hls_project"]["io_type"] == "io_stream"
    assert report["hls_project"]["layers"]["hidden"][3] == {
        "WeightBits": 4.0, "Neurons": [3], "Precision": {"weight": "ap_fixed<4,1>", "result": "ap_ufixed<6,5>"},
        "Strategy": "Resource", "ReuseFactor": 2,
    }  # fmt: skip
    assert "Invalid ReuseFactor=3 in layer hidden, group of 4-bit weights" in done.stdout
    assert "Warning" not in done.stderr
    code = (tmp_path / "b" / "hls" / "firmware" / "parameters.h").read_text()
    assert "strategy resource, reuse factor 2" in code and "hls::stream" in code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hls-config", "absent.yml"), "absent.yml does not exist"),
    ],
)
def test_wrong_options_end_in_one_line(
    arguments: tuple[str, ...], message: str, design_file: Path, tmp_path: Path
) -> None:
    done = command("flow.build", "--model", design_file, "--out", tmp_path / "b", *arguments)
    assert message in one_error_line(done, done.returncode) and done.returncode in (1, 2)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "not usable YAML"),
        ("HLSConfig: {}", "HLSConfig is not known; known: LayerName, LayerType, Model"),
        ("Model: {PipelineStyle: dataflow}", "Model: PipelineStyle is not known"),
        ("[1, 2]", "expected names with values, found [1, 2]"),
        ("Model: 3", "expected names with values, found 3"),
        ("LayerName: {hidden: {Groups: [{WeightBits: 3}]}}", "no group with WeightBits 3; the layer has 0, 1, 1.58, 4"),
    ],
)
def test_wrong_files_are_told(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "hls.yml").write_text(content)
    with pytest.raises(UsageError, match=re.escape(message)):
        options = Options.of("m.h5", out=tmp_path, hls_config=tmp_path / "hls.yml")
        resolved(small_design(), options.hls_choices)


def test_what_is_nearer_to_the_group_wins() -> None:
    config = {
        "Model": {"Strategy": "Latency", "ReuseFactor": 8},
        "LayerType": {"NMPGroupedDense": {"ReuseFactor": 4}},
        "LayerName": {"logits": {"ReuseFactor": 2, "Groups": [{"WeightBits": 4, "Strategy": "Latency"}]}},
    }
    assert choices("stream", None, None, config).default == Schedule("latency", 4)
    chosen, notes = resolved(small_design(), choices("stream", "resource", 1, config))
    assert chosen.io_type == "io_stream" and not notes
    found = {name: [(g["Strategy"], g["ReuseFactor"]) for g in e["Groups"]] for name, e in chosen.layers.items()}
    assert found["hidden"] == [("Resource", 1)] * 4
    assert found["logits"] == [("Resource", 2), ("Resource", 2), ("Latency", 2)]


def test_a_large_design_keeps_weights_in_memories_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    design = small_design()

    def build(**options: object) -> SimpleNamespace:
        chosen = Options(Path("d.json"), resolve("xc7z020"), Path("out"), **options)
        return SimpleNamespace(design=design, options=chosen, facts=Facts())

    def strategies(**options: object) -> set[tuple[str, int]]:
        chosen = hls_choices.settled(build(**options))
        groups = [g for entry in chosen.layers.values() for g in entry["Groups"]]
        return {(g["Strategy"], g["ReuseFactor"]) for g in groups}

    assert strategies() == {("Latency", 1)} and not hls_choices.too_large(build())
    monkeypatch.setattr(hls_choices, "_UNROLLED_WEIGHTS", 3)
    assert strategies() == {("Resource", layer.inputs) for layer in design.layers}
    assert not hls_choices.too_large(build())
    assert strategies(strategy="latency") == {("Latency", 1)}
    assert "leave out --strategy latency" in hls_choices.too_large(build(strategy="latency"))
