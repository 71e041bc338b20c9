"""Hostile and damaged files through the real command lines, a few of each kind; all are benchmarks/malformed.py."""

import shutil
from pathlib import Path

import pytest
from hostile import scenes
from hostile.judge import judge, verdict
from hostile.scenes import MAKERS, TURN, kind_of

COSTLY = ("checkpoint.npz",)  # it trains a model first
SEEDS = [s for s in range(10_000, 10_050) if kind_of(s) not in COSTLY]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    yield list(judge(SEEDS, folder))
    shutil.rmtree(folder, ignore_errors=True)


def test_each_file_ends_in_one_line_or_is_still_good(outcomes):
    assert [r["seed"] for r in outcomes] == SEEDS
    assert not [r for r in outcomes if r["wrong"]]


def test_each_kind_is_refused_and_some_are_still_good(outcomes):
    assert {r["kind"] for r in outcomes if r["status"] == 1} >= set(MAKERS) - {"build state", *COSTLY}
    assert {r["status"] for r in outcomes} == {0, 1}


def test_a_turn_holds_every_kind():
    assert set(TURN) == set(MAKERS)


def test_what_is_no_clear_end_is_told():
    fine = {"status": 1, "told": "error: m.h5 is empty; save it again\n", "left": []}
    assert not verdict(fine)
    for change in (
        {"status": "traceback"}, {"status": 2}, {"status": 3}, {"told": ""}, {"told": "Traceback\nerror: x"},
        {"told": "error: one\nand two"}, {"told": "error: " + "x" * 800}, {"left": ["design.json"]},
        {"told": "error: \x1b[31mred"}, {"status": 0, "told": "Traceback"},
    ):  # fmt: skip
        assert verdict({**fine, **change}), change


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise KeyError('x')", "KeyError"),
        ("while True: pass", "SIGXCPU"),
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("x = bytearray(1 << 33)", "MemoryError"),
        ("import os; os.open('pipe', os.O_RDONLY)", "blocked"),
        ("import warnings; warnings.warn('odd'); from flow.core.errors import FlowError; raise FlowError('x')", "odd"),
    ],
)
def test_the_judge_sees_every_bad_end(tmp_path, monkeypatch, code, words):
    """Each planted in a command: a traceback, a loop, a crash, too much memory, a wait for ever, a warning."""
    planted = tmp_path / "planted"
    (planted / "hostile").mkdir(parents=True)
    tests = Path(__file__).parent
    for file in (tests / "hostile").glob("*.py"):
        shutil.copy(file, planted / "hostile")
    worker = planted / "hostile" / "worker.py"
    worker.write_text(worker.read_text().replace("CPU_SECONDS = 90", "CPU_SECONDS = 2"))
    (planted / "hostile" / "scenes.py").write_text(
        "import os\nfrom hostile.scene import Scene\n"
        "def kind_of(seed): return 'planted'\n"
        "def make(seed, folder, bases):\n    (folder / str(seed)).mkdir()\n    os.mkfifo(folder / str(seed) / 'pipe')\n"
        "    return Scene('', 'planted:run', [])\n"
    )
    (planted / "planted.py").write_text(f"def run():\n    {code}\n")
    monkeypatch.setattr("hostile.judge.TESTS", planted)
    monkeypatch.setattr("hostile.judge._BLOCKED", 5)
    monkeypatch.setattr("hostile.judge.kind_of", lambda seed: "planted")
    (outcome,) = judge([7], tmp_path)
    assert words in outcome["wrong"]


def test_scenes_follow_from_the_seed(tmp_path):
    from hostile.bases import Bases

    bases = Bases(tmp_path / "base")
    seeds = [s for s in range(100) if kind_of(s) in ("design.json", "data.npz", "train.json", "report")]
    for seed in seeds[:8]:
        first, second = (scenes.make(seed, tmp_path / turn, bases) for turn in "ab")
        assert first.done == second.done
        for file in (tmp_path / "a" / str(seed)).iterdir():
            assert file.read_bytes() == (tmp_path / "b" / str(seed) / file.name).read_bytes()
