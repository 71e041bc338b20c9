"""Sweeps as a user runs them, with real trainings and builds: workers and drivers are killed and nothing is lost."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
TINY = ("--data", "breast_cancer", "--hidden", "2,3,4", "--bit-sets", "0-1.58/0-2", "--beta", "1e-3", "--epochs", "2",
        "--seed", "1", "--architecture", "parallel")  # fmt: skip


def arguments(out, *more):
    return [sys.executable, "-m", "flow.sweep", "--out", str(out), *map(str, more)]


def sweep(out, *more):
    return subprocess.run(arguments(out, *more), capture_output=True, text=True, env=ENV, timeout=300, check=False)


def start(out, *more):
    """A sweep in the background, in a process group of its own."""
    return subprocess.Popen(
        arguments(out, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV,
        start_new_session=True,
    )  # fmt: skip


def rows(folder):
    return list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))


def attempts(folder, trial):
    return sorted((folder / "trials" / f"{trial:04d}" / "attempts").glob("*.json"))


def wait_for(condition, seconds=1200):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def processes(text):
    """Command lines that hold ``text``, of processes that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line and int(path.name) != os.getpid():
            found.append(line)
    return found


def end(process):
    """Whatever a failed test leaves running."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A finished sweep of two trials, one of whose workers was killed while it trained."""
    out = tmp_path_factory.mktemp("sweeps")
    process = start(out, *TINY, "--name", "a", "--trials", 2, "--front-engines", "none")
    try:
        victim = wait_for(lambda: attempts(out / "a", 0))[0]
        wait_for(lambda: processes(f"{out}/cache/models"))
        os.kill(int(json.loads(victim.read_text())["worker"].split(":")[1]), signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stdout + stderr
    finally:
        end(process)
    return out, stdout


@pytest.mark.long
def test_a_killed_workers_trial_is_run_again_under_its_number(swept):
    out, stdout = swept
    table = rows(out / "a")
    assert [row["state"] for row in table] == ["done", "done"] and [row["trial"] for row in table] == ["0", "1"]
    assert table[0]["attempts"] == "2" and "(attempt 2)" in stdout
    report = json.loads((out / "a" / table[0]["build"] / "report.json").read_text())
    assert report["status"] == "ok" and report["synthesis"]["lut"] == int(table[0]["lut"])
    front = json.loads((out / "a" / "front.json").read_text())["front"]
    assert front and {entry["trial"] for entry in front} <= {0, 1}


@pytest.mark.long
def test_a_sweep_goes_on_after_interrupt_and_kill(swept):
    out, _ = swept
    before = {n: attempts(out / "a", n) for n in (0, 1)}
    for number, sent in enumerate((signal.SIGINT, signal.SIGKILL), start=1):
        process = start(out, "--name", "a", "--trials", 3, "--front-engines", "none")
        try:
            wait_for(lambda wanted=number: len(attempts(out / "a", 2)) == wanted)
            os.killpg(process.pid, sent) if sent == signal.SIGINT else os.kill(process.pid, sent)
            _, stderr = process.communicate(timeout=1200)
        finally:
            end(process)
        assert process.returncode == (130 if sent == signal.SIGINT else -signal.SIGKILL), stderr
        if sent == signal.SIGINT:
            assert stderr.splitlines() == ["error: interrupted; run the same command again to go on"]
        wait_for(lambda: not processes(str(out)), 30)  # nothing runs on
    done = sweep(out, "--name", "a", "--trials", 3, "--front-engines", "none")
    assert done.returncode == 0, done.stdout + done.stderr
    table = {int(row["trial"]): row for row in rows(out / "a")}
    assert [table[n]["state"] for n in (0, 1, 2)] == ["done"] * 3 and table[2]["attempts"] == "3"
    assert {n: attempts(out / "a", n) for n in (0, 1)} == before, "a finished trial was run again"


@pytest.mark.long
def test_what_was_built_before_comes_from_the_cache(swept):
    out, _ = swept
    models = sorted((path, path.stat().st_mtime_ns) for path in out.glob("cache/models/*/m.h5"))
    done = sweep(out, *TINY, "--name", "b", "--trials", 2, "--front-engines", "integer,icarus")
    assert done.returncode == 0, done.stdout + done.stderr
    table = rows(out / "b")
    assert [row["cached"] for row in table if row["state"] == "done"] == ["train build"] * 2
    assert sorted((path, path.stat().st_mtime_ns) for path in out.glob("cache/models/*/m.h5")) == models
    front = json.loads((out / "b" / "front.json").read_text())["front"]
    assert all(entry["verified"] == "yes" and "icarus" in entry["engines"].split() for entry in front) and front


def test_one_error_line(tmp_path):
    for words, status in (
        (("--name", "x"), 2),
        (("--data", "digits", "--name", "../x"), 2),
        (("--data", "digits", "--scheduler", "tcp://127.0.0.1:1x"), 2),
        (("--data", "no_such_set"), 1),
    ):
        done = sweep(tmp_path / "none", *words)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert done.returncode == status and len(lines) == 1 and lines[0].startswith("error: "), done.stderr
        assert not (tmp_path / "none").exists()
