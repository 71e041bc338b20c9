"""Three hosts as network namespaces: a sweep runs over them, one host is lost, no trial is. Linux, as root.

    python benchmarks/sweep_hosts.py [--trials 6] [--out FOLDER]

The scheduler has a namespace of its own, so have the workers' three hosts; a bridge joins them. In the middle of a
trial one host's cable is pulled and everything on it is killed, so nothing can say goodbye. Exit status 0 when every
trial ended with a result, 77 with the reason where namespaces cannot be made.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCHEDULER, HOSTS = 1, (2, 3, 4)  # last parts of the addresses
NETWORK = "10.213.77"
TINY = ["--data", "breast_cancer", "--hidden", "2,3,4,5,6,7,8", "--bit-sets", "0-1.58/0-2", "--beta", "1e-3",
        "--epochs", "2", "--architecture", "parallel", "--front-engines", "none"]  # fmt: skip
SKIPPED = 77
TIMEOUT_S = 900


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def name(host: int) -> str:
    return f"nmp{os.getpid() % 10000}-{host}"


def lay_cables(bridge: str) -> None:
    """A bridge, and a namespace on it for the scheduler and for every host."""
    ip("link", "add", bridge, "type", "bridge")
    ip("addr", "add", f"{NETWORK}.254/24", "dev", bridge)
    ip("link", "set", bridge, "up")
    for host in (SCHEDULER, *HOSTS):
        ip("netns", "add", name(host))
        ip("link", "add", name(host), "type", "veth", "peer", "name", "eth0", "netns", name(host))
        ip("link", "set", name(host), "master", bridge, "up")
        ip("-n", name(host), "addr", "add", f"{NETWORK}.{host}/24", "dev", "eth0")
        ip("-n", name(host), "link", "set", "eth0", "up")
        ip("-n", name(host), "link", "set", "lo", "up")


def take_away(bridge: str) -> None:
    for host in (SCHEDULER, *HOSTS):
        kill_host(host)
        subprocess.run(["ip", "netns", "del", name(host)], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", bridge], capture_output=True, check=False)


def kill_host(host: int) -> None:
    """End every process of a namespace at once."""
    found = subprocess.run(["ip", "netns", "pids", name(host)], capture_output=True, text=True, check=False)
    for pid in found.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def start(host: int | None, words: list[str], log: Path) -> subprocess.Popen[Any]:
    place = ["ip", "netns", "exec", name(host)] if host else []
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s"}
    with log.open("w") as stream:
        return subprocess.Popen([*place, sys.executable, "-m", *words], stdout=stream, stderr=stream, env=environment)


def wait_for(condition: Any, what: str) -> Any:
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(f"error: {what} did not happen in {TIMEOUT_S} s")


def run(out: Path, trials: int) -> int:
    """The sweep with the loss of a host; gives the exit status."""
    address = f"tcp://{NETWORK}.{SCHEDULER}:8786"
    start(SCHEDULER, ["distributed.cli.dask_scheduler", "--host", f"{NETWORK}.{SCHEDULER}", "--port", "8786",
                      "--no-dashboard"], out / "scheduler.log")  # fmt: skip
    for host in HOSTS:
        start(host, ["distributed.cli.dask_worker", address, "--nthreads", "1", "--memory-limit", "0", "--no-dashboard",
                     "--host", f"{NETWORK}.{host}", "--local-directory", str(out / f"host{host}")],
              out / f"host{host}.log")  # fmt: skip
    began = time.monotonic()
    words = ["flow.sweep", *TINY, "--out", str(out), "--trials", str(trials), "--scheduler", address]
    driver = start(None, words, out / "driver.log")
    notes = out / "sweep" / "trials"
    wait_for(lambda: driver.poll() is not None or len(list(notes.glob("*/attempts/*.json"))) >= len(HOSTS), "the start")
    time.sleep(2)
    lost = HOSTS[0]
    ip("link", "set", name(lost), "down")  # first the cable: no packet tells of the end
    kill_host(lost)
    print(f"host {NETWORK}.{lost} lost after {time.monotonic() - began:.0f} s")
    status = driver.wait(timeout=TIMEOUT_S)
    print((out / "driver.log").read_text().rstrip())
    table = list(csv.DictReader((out / "sweep" / "trials.csv").read_text().splitlines()))
    done = [row for row in table if row["state"] == "done"]
    again = [row["trial"] for row in table if int(row["attempts"]) > 1]
    print(f"{len(done)} of {trials} trials have a result, started again: {', '.join(again) or 'none'}, "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    return 0 if status == 0 and len(done) == trials and again else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--out", type=Path, help="folder to keep; by default one that is removed")
    options = parser.parse_args()
    bridge = f"nmpbr{os.getpid() % 10000}"
    try:
        lay_cables(bridge)
    except (OSError, subprocess.CalledProcessError) as exc:
        take_away(bridge)
        why = getattr(exc, "stderr", "") or str(exc)
        print(f"skipped: network namespaces need root and the ip command: {why.strip()}")
        return SKIPPED
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = options.out.resolve() if options.out else Path(folder)
            out.mkdir(parents=True, exist_ok=True)
            return run(out, options.trials)
    finally:
        take_away(bridge)


if __name__ == "__main__":
    sys.exit(main())
