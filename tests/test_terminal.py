"""What reaches a terminal: names from files steer nothing, and no refusal is without a reason."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from strategies import random_design

from flow.build.state import finish
from flow.core.design import to_json
from flow.core.errors import FlowError, reason
from flow.extract import stored_model
from flow.extract.config import model_spec
from flow.report.terminal import SafeConsole, _Visible
from keras_models.untrusted import visible

ROOT = Path(__file__).resolve().parents[1]
EVIL = "a\x1b]0;owned\x07b\x1b[2J\r\x9b31m\u202ec\udc80"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def run(module, *arguments):
    return subprocess.run([sys.executable, "-m", module, *map(str, arguments)], capture_output=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}, timeout=1200)  # fmt: skip


def test_control_characters_become_escapes():
    shown = visible(f"{EVIL}\tü\n")
    assert not CONTROL.search(shown) and "\\x1b]0;owned\\x07b" in shown and shown.endswith("\tü\n")
    shown.encode()
    assert visible(shown) == shown
    assert not CONTROL.search(str(FlowError(EVIL))) and "owned" in str(FlowError(EVIL))


def test_a_console_shows_them_and_keeps_its_own_colours():
    console = SafeConsole(force_terminal=True, width=80)
    console.file = io.StringIO()
    table = Table("name")
    table.add_row(EVIL)
    console.print(table, f"[red]{EVIL}[/]")
    text = console.file.getvalue()
    assert "\x1b[31m" in text and "\\x1b]0;owned" in text
    assert not CONTROL.search(re.sub(r"\x1b\[[\d;]*m", "", text))
    plain = Console(force_terminal=True, width=80, file=io.StringIO(), highlight=False)
    plain.print(EVIL)
    assert "\x1b]0;" in plain.file.getvalue(), "rich alone lets them through"


def test_a_stream_shows_them():
    inner = io.StringIO()
    print(f"error: {EVIL}", file=_Visible(inner))
    assert not CONTROL.search(inner.getvalue()) and inner.getvalue().endswith("\n")


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("flow.build", ("--model", "{evil}.h5", "--out", "b")),
        ("flow.build", ("--model", "d.json", "--{evil}")),
        ("flow.report", ("{evil}",)),
        ("flow.report", ("folder",)),
        ("flow.sweep", ("--data", "{evil}.npz")),
        ("flow.hls_config", ("--model", "{evil}.h5")),
        ("flow.hls_stock", ("--model", "{evil}.h5")),
        ("keras_models.train", ("--data", "{evil}.npz", "--out", "m.h5")),
    ],
)
def test_no_command_prints_them(module, arguments, tmp_path):
    evil = "x\x1b[31mred\x07"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / f"{evil}_csynth.xml").write_text("<profile>")
    places = [a.format(evil=evil) if a.startswith("--") else tmp_path / a.format(evil=evil)
              for a in arguments]  # fmt: skip
    done = run(module, *places)
    said = (done.stdout + done.stderr).decode()
    assert "31mred" in said and not CONTROL.search(said), said


def test_a_finished_build_prints_none(tmp_path):
    folder = tmp_path / "a\x1b[31m[red]b"
    design = tmp_path / "d.json"
    design.write_text(to_json(finish(random_design(12, max_layers=2))))
    done = run("flow.build", "--model", design, "--out", folder, "--engines", "integer", "--vectors", 20)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0 and not CONTROL.search(said) and "[31m[red]b" in said.replace("\n", "")


def test_no_reason_is_empty():
    assert reason(AssertionError()) == "AssertionError" and reason(KeyError("modules")) == "'modules' is missing"
    assert reason(ValueError(" \n")) == "ValueError" and reason(ValueError("a\n b\x1b")) == "a b\\x1b"
    assert str(FlowError()) == "FlowError"


def test_reasons_are_asked_for_everywhere():
    """A refusal that quotes an exception of a library does so by ``reason``; those of our own have a text."""
    own = re.compile(r"except \(?(FlowError|ModelError|DesignError|ToolNotFound|ReportError|\w*DataError|Unusable)\b")
    for path in sorted((ROOT / "flow").rglob("*.py")):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.search(r"raise .*\{exc\}", line):
                caught = next(li for li in reversed(lines[:number]) if li.strip().startswith("except"))
                assert own.search(caught) or "KeyError" in caught, f"{path}:{number + 1}: {line.strip()}"


def test_named_variables_of_a_qdense_batchnorm_are_no_weights(tmp_path):
    """In .keras files some of its variables have names, not numbers."""
    layers = [
        {"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [None, 3]}},
        {"class_name": "QDenseBatchnorm", "config": {"name": "folded", "units": 2}},
    ]
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        group = file.create_group("layers/q_dense_batchnorm/vars")
        group["0"], group["1"], group["iteration"] = np.zeros((3, 2)), np.zeros(2), np.int64(0)
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights.getvalue())
    stored = stored_model.read(tmp_path / "m.keras")
    assert len(stored.weights["folded"]) == 2
    assert [layer.kind for layer in model_spec(stored.config).layers] == ["QDenseBatchnorm"]
