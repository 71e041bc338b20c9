"""Builds killed at random moments and run again: do they end in the same bytes as one that was left alone?

``python -m benchmarks.kill_builds`` kills 50 builds of a small design with SIGKILL, half of them the process alone and
half with its whole session, runs each again, and compares every file below the build's folder with those of an
undisturbed build. Measured times and Icarus' memory addresses are taken out first: they differ between any two runs.
Writes the section "Killed builds" of ``RESULTS.md``; the record in ``benchmarks/work/kill_builds.jsonl`` lets an
interrupted campaign go on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from rich.progress import track

from benchmarks.results_file import table, write_section

HERE = Path(__file__).parent
WORK = HERE / "work" / "kill_builds"
RECORD = HERE / "work" / "kill_builds.jsonl"
# Files that consist of measured times and process numbers: they must be there, their contents are not compared.
MEASURED = re.compile(r"\.log$|results\.xml$|\.state/lock$|report\.html$|verFiles\.dat$")
_UNEQUAL = re.compile(r"seconds|per_second|^outputs$")  # ``outputs`` is a digest that logs are part of
TIMED = re.compile(r"(report|bench_result|result|native)\.json$|\.state/.*\.json$")


def _command() -> list[str]:
    return [sys.executable, "-m", "flow.build", "--model", "design.json", "--out", "build", "--vectors", "60"]


def _fresh() -> None:
    shutil.rmtree(WORK / "build", ignore_errors=True)


def _start() -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    return subprocess.Popen(
        _command(), cwd=WORK, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def _finish() -> float:
    start, build = time.monotonic(), _start()
    _, told = build.communicate()
    if build.returncode:
        raise SystemExit(f"the build ended with {build.returncode}: {told.decode()}")
    return time.monotonic() - start


def digests() -> dict[str, str]:
    """Digest by file of everything in the build's folder, without measured times."""
    found = {}
    for path in sorted((WORK / "build").rglob("*")):
        name = path.relative_to(WORK / "build").as_posix()
        if path.is_file():
            content = b"" if MEASURED.search(name) else path.read_bytes()
            if TIMED.search(name):
                content = json.dumps(_untimed(json.loads(content)), sort_keys=True).encode()
            if name.endswith(".vvp"):
                content = _without_addresses(content)
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def _without_addresses(content: bytes) -> bytes:
    names: dict[bytes, bytes] = {}
    return re.sub(rb"0x[0-9a-f]+", lambda m: names.setdefault(m[0], b"%d" % len(names)), content)


def _untimed(data: object) -> object:
    if isinstance(data, dict):
        return {k: _untimed(v) for k, v in data.items() if not _UNEQUAL.search(k)}
    return [_untimed(v) for v in data] if isinstance(data, list) else data


def _running_steps() -> str:
    done = {p.stem for p in (WORK / "build" / ".state").glob("*.json")}
    if not (WORK / "build").exists():
        return "before the first file"
    return "after " + (", ".join(sorted(done)) or "no step")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="builds to kill (default 50)")
    options = parser.parse_args()
    _prepare()
    _fresh()
    whole_s = _finish()
    reference = digests()
    results = [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.is_file() else []
    for number in track(range(len(results), options.kills), "kills"):
        rng = random.Random(number)
        _fresh()
        build = _start()
        moment_s = rng.uniform(0.0, whole_s)
        time.sleep(moment_s)
        if number % 2:
            os.killpg(build.pid, signal.SIGKILL)
        build.send_signal(signal.SIGKILL)
        build.wait()
        steps = _running_steps()
        _finish()
        now = digests()
        differing = sorted(name for name in {*reference, *now} if reference.get(name) != now.get(name))
        results.append({"number": number, "moment_s": round(moment_s, 2), "steps": steps, "differing": differing})
        with RECORD.open("a") as file:
            file.write(json.dumps(results[-1]) + "\n")
        if differing:
            print(f"kill {number} at {moment_s:.2f} s, {steps}: {differing[:5]}")
    write_section("Killed builds", "python -m benchmarks.kill_builds", _report(results, len(reference)))
    return 1 if any(r["differing"] for r in results) else 0


def _prepare() -> None:
    sys.path.insert(0, str(HERE.parent / "tests"))
    from strategies import random_design

    from flow.build.state import finish
    from flow.core.design import to_json

    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "design.json").write_text(to_json(finish(random_design(12, max_layers=2))))


def _report(results: list[dict[str, object]], files: int) -> str:
    count = Counter(str(r["steps"]) for r in results)
    bad = Counter(str(r["steps"]) for r in results if r["differing"])
    rows = [[name, str(number), str(number - bad[name])] for name, number in sorted(count.items())]
    total = ["all", str(len(results)), str(len(results) - sum(bad.values()))]
    return (
        f"{files} files per build; logs and the HTML page are compared by name, JSON files without measured times,"
        " everything else byte by byte.\n\n" + table(["killed", "builds", "same bytes after a rerun"], [*rows, total])
    )


if __name__ == "__main__":
    sys.exit(main())
