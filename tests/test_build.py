"""The build command as a user runs it: a trained model to verified hardware, and every kind of bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import strategies

from flow.build.state import leave_out
from flow.core.design import from_json, to_json
from flow.files.ownership import files_below, load

ROOT = Path(__file__).resolve().parents[1]
HANG_S = 1200  # what stands still so long hangs, however loaded the machine is
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def command(module, *arguments, env=None, timeout=HANG_S):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True, text=True, env={**ENV, **(env or {})}, timeout=timeout, check=False,
    )  # fmt: skip


def one_error_line(done, status=1):
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == status, done.stdout + done.stderr
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small model trained for a moment on bundled data."""
    folder = tmp_path_factory.mktemp("trained")
    done = command("keras_models.train", "--data", "breast_cancer", "--hidden", "4", "--epochs", "15",
                   "--out", folder / "m.h5", "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "m.h5"


@pytest.fixture(scope="module")
def built(trained, tmp_path_factory):
    """The finished build of that model."""
    out = tmp_path_factory.mktemp("built") / "build"
    done = command("flow.build", "--model", trained, "--data", "breast_cancer", "--vectors", 150, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture
def design_file(tmp_path):
    """A design of four neurons in a file: builds from it need no Keras, and take a few seconds."""
    hidden, last = (design := strategies.random_design(41)).layers
    (tmp_path / "design.json").write_text(to_json(replace(design, layers=(hidden, replace(last, name="output")))))
    return tmp_path / "design.json"


def fast(model, out, *more):
    """Arguments of a build with the quickest engines."""
    return ("flow.build", "--model", model, "--out", out, "--engines", "integer,icarus", "--vectors", 60, *more)


def test_report_holds_what_the_contract_says(built):
    report = json.loads((built / "report.json").read_text())
    assert report["status"] == "ok" and report["part"] == "xc7z020clg400-1" and report["architecture"] == "parallel"
    assert report["initiation_interval"] == 1 and report["latency_cycles"] >= 1
    checks = report["verification"]
    assert set(checks) >= {"keras", "integer", "hls", "icarus", "verilator", "native", "netlist"}
    assert all(c["mismatches"] == 0 and c["vectors"] > 0 and c["seconds"] >= 0 for c in checks.values())
    synthesis = report["synthesis"]
    assert synthesis["lut"] > 0 and synthesis["ff"] > 0 and synthesis["fmax_mhz"] > 0 and synthesis["fmax_source"]
    assert 0 < synthesis["utilization"]["lut"] < 1
    layer = report["layers"][0]
    assert sum(g["neurons"] for g in layer["groups"]) == layer["neurons"] == 4
    assert report["score"]["metric"] == "accuracy" and 0.5 < report["score"]["value"] <= 1
    assert report["seconds"]["total"] > 0 and "keras" in report["versions"]


def test_score_is_the_one_training_measured(trained, built):
    training = json.loads(trained.with_suffix(".train.json").read_text())
    report = json.loads((built / "report.json").read_text())
    assert report["score"]["value"] == pytest.approx(training["test"], abs=1e-6)


def test_everything_the_contract_lists_is_there(built):
    for name in (
        "design.json",
        "report.json",
        "report.html",
        "rtl/files.f",
        "sim/bench.json",
        "synth/netlist.v",
        "hls/build_prj.tcl",
    ):
        assert (built / name).is_file(), name


def test_every_file_of_a_build_is_on_its_record(built):
    own = load(built)
    assert [name for name in files_below(built) if not own.holds(name)] == []


def test_builds_again_elsewhere_and_after_damage(design_file, tmp_path):
    """A second build skips unchanged steps, a damaged result is made again, and no place is in the hardware."""
    first, second = (command(*fast(design_file, tmp_path / "b")) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "unchanged" not in first.stdout and second.stdout.count("unchanged") >= 3
    netlist = tmp_path / "b" / "synth" / "netlist.v"
    good = netlist.read_bytes()
    netlist.write_bytes(good[: len(good) // 2])
    assert command(*fast(design_file, tmp_path / "b")).returncode == 0
    assert netlist.read_bytes() == good
    done = command(*fast(design_file, tmp_path / "elsewhere"))
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "b" / "rtl").iterdir():
        assert path.read_bytes() == (tmp_path / "elsewhere" / "rtl" / path.name).read_bytes(), path.name


def test_a_mismatch_ends_with_status_3_and_names_the_neuron(design_file, tmp_path, monkeypatch):
    plant = tmp_path / "sitecustomize.py"
    plant.write_text(
        "import flow.emit.rtl.verilog as v\n"
        "real = v.emit_parallel\n"
        "def planted(*a, **k):\n"
        "    rtl = real(*a, **k)\n"
        "    name = next(n for n in rtl.files if n.endswith('_output.v'))\n"
        "    lines = rtl.files[name].splitlines()\n"
        "    i = max(i for i, l in enumerate(lines) if 'assign y[' in l)\n"
        "    lines[i] = lines[i].replace('= ', '= ~', 1)\n"
        "    rtl.files[name] = '\\n'.join(lines) + '\\n'\n"
        "    return rtl\n"
        "v.emit_parallel = planted\n"
    )
    done = command(*fast(design_file, tmp_path / "b"), env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
    assert done.returncode == 3, done.stdout + done.stderr
    assert "neuron" in done.stdout and "expected" in done.stdout
    assert json.loads((tmp_path / "b" / "report.json").read_text())["status"] == "mismatch"


@pytest.mark.parametrize("content", [b"this is a text file\n", b"", b"\x89HDF\r\n\x1a\n" + bytes(64)])
def test_a_file_that_is_no_model(tmp_path, content):
    path = tmp_path / "m.h5"
    path.write_bytes(content)
    assert str(path) in one_error_line(command("flow.build", "--model", path, "--out", tmp_path / "b"))
    assert not (tmp_path / "b").exists()


def test_a_truncated_model(trained, tmp_path):
    path = tmp_path / "m.h5"
    path.write_bytes(trained.read_bytes()[:-3000])
    assert str(path) in one_error_line(command("flow.build", "--model", path, "--out", tmp_path / "b"))
    assert not (tmp_path / "b").exists()


def test_a_missing_model(tmp_path):
    assert "m.h5" in one_error_line(command("flow.build", "--model", tmp_path / "m.h5", "--out", tmp_path / "b"))


def make_keras(path, body):
    code = f"import keras, numpy as np\nimport keras_models\n{body}\nm.save({str(path)!r})\n"
    done = subprocess.run([sys.executable, "-c", code], env={**ENV, "KERAS_BACKEND": "jax"}, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_plain_dense_is_refused_with_its_name(tmp_path):
    path = tmp_path / "m.keras"
    make_keras(path, "m = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name='plain_one')])")
    line = one_error_line(command("flow.build", "--model", path, "--out", tmp_path / "b"))
    assert "plain_one" in line and "NMPDense" in line


def test_nan_weights_are_refused_with_the_neuron(tmp_path):
    path = tmp_path / "m.keras"
    make_keras(
        path,
        "layers = [keras_models.NMPInputQuantizer(), keras_models.NMPDense(3, name='broken')]\n"
        "m = keras.Sequential([keras.Input((4,)), *layers])\n"
        "k = m.layers[-1].kernel; v = np.array(k); v[1, 2] = np.nan; k.assign(v)",
    )
    line = one_error_line(command("flow.build", "--model", path, "--out", tmp_path / "b"))
    assert "layer broken, neuron 2" in line and "nan" in line


def test_an_unknown_part_offers_the_nearest(design_file, tmp_path):
    line = one_error_line(command(*fast(design_file, tmp_path / "b", "--part", "xc7z021")))
    assert "xc7z020" in line and not (tmp_path / "b").exists()


def test_a_file_in_the_way_of_the_output_folder(design_file, tmp_path):
    (tmp_path / "b").write_text("precious")
    assert "--out" in one_error_line(command(*fast(design_file, tmp_path / "b")))
    assert (tmp_path / "b").read_text() == "precious"


def test_an_output_folder_without_write_permission(design_file, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    target = folder / "b" if os.getuid() else Path("/proc/nmp_build")
    assert "cannot write" in one_error_line(command(*fast(design_file, target)))


def test_a_full_disk(design_file, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True, check=False
    ).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        line = one_error_line(command(*fast(design_file, disk / "b")))
        assert "full" in line or "No space" in line
        report = disk / "b" / "report.json"
        assert not report.is_file() or json.loads(report.read_text())["status"] == "failed"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_missing_simulator_is_named_with_its_remedy(design_file, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("g++", "make", "perl"):
        (tools / name).symlink_to(shutil.which(name) or name)
    done = command(*fast(design_file, tmp_path / "b"), env={"PATH": str(tools)})
    line = one_error_line(done)
    assert "iverilog" in line and "apt-get install" in line


@pytest.mark.parametrize(
    "arguments", [("--engines", "spice"), ("--head", "sigmoid"), ("--backend", "Quartus"), ("--vectors", "0")]
)
def test_wrong_usage_is_status_2(design_file, tmp_path, arguments):
    assert command(*fast(design_file, tmp_path / "b", *arguments)).returncode == 2


def test_an_engine_that_was_named_runs_or_the_build_fails(design_file, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "from flow.build import hls_choices\nhls_choices._UNROLLED_WEIGHTS = 0\n"
    )
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    named = command("flow.build", "--model", design_file, "--vectors", 8, "--out", tmp_path / "named",
                    "--engines", "integer,hls", "--strategy", "latency", env=path)  # fmt: skip
    assert "engine hls cannot run" in one_error_line(named)
    assert json.loads((tmp_path / "named" / "report.json").read_text())["status"] == "failed"
    by_size = SimpleNamespace(options=SimpleNamespace(engines_named=False), skipped={})
    leave_out(by_size, "hls", "too many weights")
    assert by_size.skipped == {"hls": "too many weights"}


def test_data_that_does_not_fit(design_file, tmp_path):
    np.savez(tmp_path / "d.npz", X=np.zeros((9, 3), np.float32), y=np.arange(9) % 2, split=np.arange(9) % 3)
    line = one_error_line(command(*fast(design_file, tmp_path / "b", "--data", tmp_path / "d.npz")))
    assert "inputs" in line


def test_a_folder_in_use_is_refused(design_file, tmp_path):
    arguments = [sys.executable, "-m", *map(str, fast(design_file, tmp_path / "b"))]
    with subprocess.Popen(arguments, env=ENV, stdout=subprocess.DEVNULL) as first:
        lock = tmp_path / "b" / ".state" / "lock"
        deadline = time.monotonic() + HANG_S
        while not (lock.is_file() and lock.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        line = one_error_line(command(*fast(design_file, tmp_path / "b")))
        assert "in use" in line
        assert first.wait(HANG_S) == 0


@pytest.mark.parametrize("step", ["synthesis", "icarus"])
def test_an_interrupt_leaves_nothing_that_passes_for_a_result(design_file, tmp_path, step):
    arguments = [sys.executable, "-m", *map(str, fast(design_file, tmp_path / "b"))]
    process = subprocess.Popen(arguments, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    running = {"synthesis": "synth/yosys.log", "icarus": "sim/icarus/icarus_run.log"}[step]
    deadline = time.monotonic() + HANG_S
    while not (tmp_path / "b" / running).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    shown, errors = process.communicate(timeout=HANG_S)
    if process.returncode == 0:
        pytest.skip("the build was faster than the interrupt")
    assert ": interrupted (" in shown and ": failed (" not in shown, shown
    assert process.returncode == 130 and "interrupted" in errors and "Traceback" not in errors
    assert not (tmp_path / "b" / "report.json").exists()
    again = command(*fast(design_file, tmp_path / "b"))
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "b" / "report.json").read_text())["status"] == "ok"


def test_a_design_file_with_a_wrong_field(design_file, tmp_path):
    data = json.loads(design_file.read_text())
    data["layers"][0]["neurons"][0]["weights"][0] = 0.5
    design_file.write_text(json.dumps(data))
    assert "0.5" in one_error_line(command(*fast(design_file, tmp_path / "b")))


def test_a_design_survives_json(built):
    text = (built / "design.json").read_text()
    assert to_json(from_json(text)) == text


def test_an_interrupt_that_a_library_swallows_still_stops_the_build(design_file, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\n"
        "import flow.bench.vectors as v\n"
        "real = v.make_vectors\n"
        "def planted(*a, **k):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        for _ in range(10**6): pass\n"
        "    except BaseException:\n"
        "        pass\n"
        "    return real(*a, **k)\n"
        "v.make_vectors = planted\n"
    )
    done = command(*fast(design_file, tmp_path / "b"), env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
    assert done.returncode in (130, -signal.SIGINT) and "interrupted" in done.stderr
    assert not (tmp_path / "b" / "report.json").exists()
