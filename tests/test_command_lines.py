"""The command lines as one family: help, versions, choices, options from a file, and folders with names like ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from strategies import random_design
from typer.testing import CliRunner

from flow import family
from flow.bench.bus_layout import LANES
from flow.build import choices, command, config_file
from flow.build.architecture import ARCHITECTURES
from flow.build.options import Options
from flow.build.state import finish
from flow.core.design import to_json
from flow.emit.hls.schedule import IO_TYPES
from flow.sweep.space import OBJECTIVES
from keras_models import train
from keras_models.version import __version__

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("train", "quantize", "build", "sweep", "report", "hls-config", "hls-stock")
NO_KERAS = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run(*arguments: object) -> Any:
    return CliRunner().invoke(family.app, [str(a) for a in arguments], prog_name="nmp", env={"COLUMNS": "80"})


def blocked(folder: Path, *packages: str) -> dict[str, str]:
    """An environment whose Pythons find our packages, and none of ``packages``."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(NO_KERAS.format(blocked=packages))
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_and_tells_its_version(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    for flag in ("-h", "--help"):
        shown = run(name, flag)
        assert shown.exit_code == 0 and f"nmp {name}" in shown.output, shown.output
        assert max(map(len, shown.output.splitlines())) <= 80
    version = run(name, "--version")
    assert version.exit_code == 0 and version.output == f"nmp-flow {__version__}\n"
    assert "--quiet" in shown.output and "``" not in shown.output
    for words, told in (
        (["--no-such-option"], "error: No such option: --no-such-option"), (["--out", ""], "error: --out: the name is"),
        (["--out="], "error: --out=: the name is empty"), (["--out"], "error: Option '--out' requires an argument"),
    ):  # fmt: skip
        wrong = run(name, *words)
        assert wrong.exit_code == 2 and wrong.output.startswith(told), wrong.output
        assert wrong.output.endswith(f"; nmp {name} -h tells more\n") and wrong.output.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("train --data digits --out m.h5 --seed -1", "--seed -1: give 0 to 4294967295"),
        ("train --data digits --out m.h5 --mode x", "'x' is not one of 'hardware', 'paper'"),
        ("train --data digits", "Missing option '--out'"),
        ("quantize m.h5 --data digits --out n.h5 --seed -1", "--seed -1: give 0 to 4294967295"),
        ("quantize --data digits --out n.h5", "Missing argument 'float.h5'"),
        ("build --model m.h5 --seed -1", "--seed -1: give 0 or more"),
        ("build --model m.h5 --vectors x", "Invalid value for '--vectors': Input should be a valid integer"),
        ("sweep --data digits --seed -1", "Invalid value for '--seed'"),
        ("report", "give a report file or folder"), ("hls-stock --model m.h5 --backend x", "'x' is not one of"),
        ("hls-config --model m.h5 --strategy x", "'x' is not one of"), ("bulid", "No such command 'bulid'"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_status_2(words: str, told: str) -> None:
    wrong = run(*words.split())
    assert wrong.exit_code == 2 and told in wrong.output, wrong.output
    assert wrong.output.startswith("error: ") and wrong.output.count("\n") == 1 and "Value error" not in wrong.output


INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {at!r}:
            sys.meta_path.remove(self)
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000): pass
            except BaseException:
                if not {swallowed}: raise

sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize(
    ("words", "at", "told"),
    [
        *((["nmp", name], "typer", "interrupted") for name in COMMANDS),
        *((["-m", name], "typer", "interrupted") for name in (
            "keras_models.train", "keras_models.quantize", "flow.build", "flow.sweep", "flow.report",
            "flow.hls_config", "flow.hls_stock",
        )),
        (["nmp", "train", "--data", "digits", "--out", "m.h5"], "keras", "interrupted; its files are not complete"),
        (["nmp", "build", "--model", "d.json"], "flow.build.run", "interrupted; run the same command again to go on"),
        (["-m", "flow.sweep", "--data", "digits"], "flow.sweep.cluster", "interrupted; run the same command again to"),
        (["nmp", "report", "."], "flow.report.html", "interrupted; run the same"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else None,
)  # fmt: skip
def test_an_interrupt_at_any_import_ends_with_its_line(
    words: list[str], at: str, told: str, crowded: Path, tmp_path: Path
) -> None:
    """Also where a library swallows it, as long as the command has something left to do."""
    if at == "flow.report.html":
        words, at = ["nmp", "report", "--compare", "d.json", "d.json"], "flow.report.html.pages"
    program = ["-c", "from flow.nmp import main; main()", *words[1:]] if words[0] == "nmp" else words
    for swallowed in {"keras": (True,), "flow.build.run": (False, True)}.get(at, (False,)):
        (tmp_path / "sitecustomize.py").write_text(INTERRUPTED.format(at=at, swallowed=swallowed))
        done = subprocess.run(
            [sys.executable, *program], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        )  # fmt: skip
        assert done.returncode == 130 and done.stderr.startswith(f"error: {told}"), (done.returncode, done.stderr)
        assert done.stderr.count("\n") == 1 and not done.stdout, done.stderr


def test_the_family_is_listed_and_completed() -> None:
    shown = run("-h")
    assert shown.exit_code == 0 and all(name in shown.output for name in COMMANDS) and "--version" in shown.output
    assert run("--version").output == f"nmp-flow {__version__}\n" and run("bulid").exit_code == 2
    code = "from flow.nmp import main; main()"
    for words, found in (
        ("nmp hls-", {"hls-config", "hls-stock"}), ("nmp build --arch", {"--architecture"}),
        ("nmp build --head ", {"logits", "argmax"}), ("nmp train --meth", {"--method"}),
        ("nmp train --mode ", {"hardware", "paper"}), ("nmp quantize --preprocessing ", {"none", "standard"}),
        ("nmp train --method ", {"nmp", "uniform", "cmpq"}),
    ):  # fmt: skip
        completion = {"_NMP_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **completion}, capture_output=True,
                              text=True, check=False)  # fmt: skip
        assert found <= set(done.stdout.replace('"', " ").replace(":", " ").split()), done


def test_choices_are_those_that_a_build_knows() -> None:
    assert get_args(choices.Architecture) == ARCHITECTURES and get_args(choices.Lanes) == LANES
    assert get_args(choices.HlsIo) == IO_TYPES and set(choices.ALL) <= {field.name for field in fields(Options)}
    for literal, name in (("strategy", "choices.Strategy"), ("hls_io", "choices.HlsIo")):
        assert command.main.__annotations__[literal].count(name) == 1
    for word in get_args(choices.Strategy):
        assert Options.of("m.h5", strategy=word).hls_choices.default
    shown = run("sweep", "-h").output
    assert all(word in shown for word in OBJECTIVES)
    for option, word in (("--head", "sigmoid"), ("--shell", "usb"), ("--preprocessing", "log"), ("--hls-io", "axi")):
        wrong = run("build", "--model", "m.h5", option, word)
        assert wrong.exit_code == 2 and f"'{word}' is not one of" in wrong.output


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The options that a command line asks for; nothing is built."""
    found: list[Options] = []
    monkeypatch.setattr(command, "_run", lambda options, show: found.append(options) or 0)

    def of(*arguments: object) -> Options:
        done = run("build", *arguments)
        assert done.exit_code == 0, done.output
        return found.pop()

    return of


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "data": st.sampled_from(["digits", "my data.npz", "1e5", "yes", "ü: [x"]), "vectors": st.integers(1, 99),
        "clock_period_ns": st.floats(1, 1000), "architecture": st.sampled_from(["auto", "folded"]),
        "initiation_interval": st.integers(2, 99), "engines": st.sampled_from(["integer", "hls,icarus", "verilator"]),
        "backend": st.sampled_from(["vitis", "Vivado"]), "head": st.sampled_from(["logits", "argmax"]),
        "input_format": st.sampled_from(["s8.4", "u8.0"]), "seed": st.integers(0, 10**6), "waveform": st.booleans(),
        "route": st.booleans(), "shell": st.sampled_from(["none", "axis"]), "lanes": st.sampled_from(["packed"]),
        "bus_bits": st.sampled_from([32, 64]), "strategy": st.sampled_from(["latency", "resource"]),
        "reuse_factor": st.integers(1, 9), "vendor_steps": st.sampled_from(["none", "csim", "synth,impl"]),
        "split_key": st.sampled_from(["fold", "null", "~"]), "target_columns": st.sampled_from(["0", "0,1"]),
    },
)  # fmt: skip


@given(SETTINGS)
def test_a_build_reads_again_what_it_wrote(settings: dict[str, Any]) -> None:
    """Whatever a build is asked for, its ``build.yml`` asks for the same."""
    wanted = Options.of("a model.h5", "pynq-z2", "some/out", **settings)
    found: list[Options] = []
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(command, "_run", lambda options, show: found.append(options) or 0)
        path = Path(folder, "build.yml")
        path.write_text(config_file.text(wanted))
        done = run("build", "--config", path)
    assert done.exit_code == 0, done.output
    assert found == [wanted]


def test_the_command_line_wins_over_the_file(asked: Any, tmp_path: Path) -> None:
    path = tmp_path / "b.yml"
    path.write_text("model: m.h5\nclock-period-ns: 5\nengines: [integer, icarus]\nseed: 3\nwaveform: true\nhead:\n")
    found = asked("--config", path, "--seed", 4, "--no-waveform")
    assert (found.seed, found.waveform, found.clock_period_ns) == (4, False, 5.0) and found.model == Path("m.h5")
    assert found.engines == ("integer", "icarus") and found.head == "logits"
    assert asked("--seed", 9, "--config", path).seed == 9


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("clock: 5", "option 'clock' is not known"),
        ("model: m.h5\nquiet: true", "option 'quiet' is not known"),
        ("config: other.yml", "option 'config' is not known"),
        ("seed: 1.5", "option 'seed': '1.5': Input should be a valid integer"),
        ("head: sigmoid", "option 'head': 'sigmoid': 'sigmoid' is not one of 'logits', 'argmax'"),
        ("vectors: 0", "option 'vectors': '0': Input should be greater than or equal to 1"),
        ("clock_period_ns: 5\nclock-period-ns: 6", "stands there twice"),
        ("data: {a: 1}", "option 'data' is dict"),
        ("- seed", "not a list of options"),
        ("seed: [", "not usable YAML"),
        ("seed: 12:30:00", "12:30:00 is a number of base 60"),
        ("seed: 010", "010 is a number of base 8"),
        ('model: m.h5\nout: ""', "option 'out': the name is empty"),
        ("seed: &a 1\nvectors: *a", "the alias *a"),
        ("1: 2", "option '1' is not known"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "b.yml"
    path.write_text(content)
    done = run("build", "--model", "m.h5", "--config", path)
    assert done.exit_code == 1 and len(done.output.splitlines()) == 1, done.output
    assert done.output.startswith(f"error: {path}") and words in done.output
    absent = run("build", "--config", tmp_path / "absent.yml")
    assert absent.exit_code == 1 and "absent.yml does not exist" in absent.output


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a user keeps a design, a ``flow.py``, and a ``sim`` package that must not be taken for ours."""
    folder = tmp_path_factory.mktemp("crowded")
    (folder / "flow.py").write_text("raise SystemExit('the flow.py of the user')\n")
    (folder / "sim").mkdir()
    (folder / "sim" / "__init__.py").write_text("raise SystemExit('the sim of the user')\n")
    (folder / "d.json").write_text(to_json(finish(random_design(7))))
    return folder


def test_a_design_is_built_without_keras_beside_names_like_ours(crowded: Path, tmp_path: Path) -> None:
    """The quicker engines, in Pythons that find no Keras, TensorFlow or JAX; the report is on standard output."""
    environment = blocked(tmp_path / "site", "keras", "tensorflow", "jax", "qkeras", "optuna", "distributed", "sklearn")
    words = ["build", "--model", "d.json", "--engines", "integer,hls,icarus", "--vectors", "20", "--out", "b", "--json"]
    start = [sys.executable, "-P", "-c", "from flow.nmp import main; main()"]
    done = subprocess.run([*start, *words], cwd=crowded, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == (crowded / "b" / "report.json").read_text() and json.loads(done.stdout)["status"] == "ok"
    assert json.loads(done.stdout)["verification"]["icarus"]["vectors"] == 20
    written = yaml.safe_load((crowded / "b" / "build.yml").read_text())
    assert written["model"] == "d.json" and written["engines"] == "integer,hls,icarus" and written["vectors"] == 20
    again = [*start, "build", "--config", "b/build.yml", "--quiet"]
    done = subprocess.run(again, cwd=crowded, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_package_that_is_missing_is_told_with_its_remedy(crowded: Path, tmp_path: Path) -> None:
    keras = blocked(tmp_path / "keras", "keras")
    sweep = blocked(tmp_path / "sweep", "optuna", "distributed")
    board = blocked(tmp_path / "board", "tensorboard", "sklearn")
    model = ROOT / "tests" / "fixtures" / "old_functional.h5"
    for environment, words, remedy in (
        (keras, ["build", "--model", model, "--out", tmp_path / "b"], "keras is missing, as in a minimal installation"),
        (keras, ["train", "--data", "digits", "--out", tmp_path / "m.h5"], "pip install nmp-flow"),
        (sweep, ["sweep", "--data", "digits", "--out", tmp_path / "s"], "pip install 'nmp-flow[sweep]'"),
        (board, ["train", "--data", "digits", "--out", tmp_path / "m.h5"], "pip install nmp-flow"),
    ):
        code = "from flow.nmp import main; main()"
        done = subprocess.run([sys.executable, "-P", "-c", code, *map(str, words)], cwd=crowded, env=environment,
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("error: ") and remedy in done.stderr, done.stderr


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_training_prints_its_record_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", "breast_cancer", "--hidden", "2", "--epochs", "1", "--out", str(tmp_path / "m.h5"), "--json"]
    assert train.main(words) == 0
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "m.train.json").read_text() and json.loads(shown)["epochs"] == 1
    with pytest.raises(SystemExit) as end:
        train.main(["--version"])
    assert not end.value.code and capsys.readouterr().out == f"nmp-flow {__version__}\n"
