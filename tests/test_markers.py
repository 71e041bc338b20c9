"""The markers say what they say: modules that are listed exist, and fast ones start no program."""

from pathlib import Path

from conftest import FAST, SLOW, starts_programs

HERE = Path(__file__).parent
ALLOWED = {"test_emitted_text"}  # asks Yosys' folder for its library, and starts nothing


def test_listed_modules_exist_and_are_fast_or_slow():
    assert all((HERE / f"{name}.py").is_file() for name in FAST | SLOW)
    assert not FAST & SLOW


def test_fast_modules_start_no_program(tmp_path):
    assert {name for name in FAST if starts_programs(HERE / f"{name}.py")} <= ALLOWED
    assert starts_programs(HERE / "test_netproof.py") and starts_programs(HERE / "test_build.py")


def test_a_test_carries_the_marks_of_its_module(request):
    assert {mark.name for mark in request.node.iter_markers()} == {"fast"}
