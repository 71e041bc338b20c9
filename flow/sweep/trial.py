"""One trial, on whichever machine a worker runs: train, build, read the figures; finished parts come from the cache."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flow.core.errors import BuildLocked, FlowError, Mismatch, ModelError, ToolFailed
from flow.core.untrusted import MAX_MODEL, MAX_OWN_JSON, Unusable, digest, read_json, refused
from flow.files import plan
from flow.files.steps import Steps, build_lock, digest_of
from flow.sweep.space import figures
from flow.tool_reports.open_json import UNFINISHED
from flow.tools import process

_TIMEOUT_S = 6 * 3600.0  # of a training, and of a build
_TURN_S = 1.0  # between looks whether another worker has finished the same piece
_ROOT = str(Path(__file__).resolve().parents[2])
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",
)  # NPROC: XLA's thread pool; fmt: skip


@dataclass(frozen=True)
class Job:
    """A trial as data: where the sweep lies (a folder every worker sees), what to train, what to build."""

    number: int
    folder: Path
    token: str
    cache: Path
    train: tuple[str, ...]
    build: tuple[str, ...]
    engines: str
    data_digest: str
    kind: str = "attempts"  # or "verifications", of a trial of the front


@dataclass
class Outcome:
    """What became of a trial: its figures, or an error; ``fatal`` where no trial could work on this machine."""

    number: int
    worker: str
    figures: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    fatal: bool = False
    mismatch: bool = False
    cached: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    report: str = ""


class _Elsewhere(FlowError):
    """This machine does not see the sweep's folder."""


def trial_folder(sweep: Path, number: int) -> Path:
    """Where a trial's attempts are noted."""
    return sweep / "trials" / f"{number:04d}"


def attempts(sweep: Path, number: int) -> int:
    """How often a trial was started."""
    return len(list((trial_folder(sweep, number) / "attempts").glob("*.json")))


def run_trial(job: Job) -> Outcome:
    """Train and build one trial; never raises for what a trial can cause."""
    outcome = Outcome(job.number, f"{socket.gethostname()}:{os.getpid()}")
    try:
        _note_attempt(job, outcome.worker)
        model, training = _trained(job, outcome)
        report = _built(job, model, outcome)
        outcome.figures = figures(training, report)
    except FlowError as exc:
        outcome.error, outcome.fatal = str(exc), isinstance(exc, _Elsewhere)
        outcome.mismatch = isinstance(exc, Mismatch)
    return outcome


def _note_attempt(job: Job, worker: str) -> None:
    token = None
    with suppress(Unusable):
        token = read_json(job.folder / "token.json")
    if token != job.token:
        raise _Elsewhere(
            f"worker {worker} does not see the sweep's folder {job.folder}; "
            "use --out on a file system that all hosts share"
        )
    note = {"worker": worker, "started": time.strftime("%Y-%m-%dT%H:%M:%S"), "engines": job.engines}
    place = trial_folder(job.folder, job.number) / job.kind
    plan.write_file(place / f"{uuid.uuid4().hex}.json", json.dumps(note) + "\n")


def _trained(job: Job, outcome: Outcome) -> tuple[Path, dict[str, Any]]:
    """The trained model and its record; the same arguments on the same data train once."""
    key = digest_of("sweep model 1", json.dumps(job.train), job.data_digest)
    place = job.cache / "models" / key[:24]

    def work() -> dict[str, Any]:
        arguments = ["keras_models.train", *job.train, "--out", str(place / "m.h5")]
        _python(arguments, place, place / "train.log", job.cache)
        with refused(ModelError, str(place / "m.train.json"), "remove the folder"):
            return dict(read_json(place / "m.train.json", finite=False))

    with _turn(place):
        return place / "m.h5", _step(place, "train", key, work, ("m.h5",), outcome)


def _built(job: Job, model: Path, outcome: Outcome) -> dict[str, Any]:
    """The build's report; further engines go on from the finished steps of the same build."""
    with refused(ModelError, str(model), "remove the folder"):
        content = digest(model, MAX_MODEL)
    key = digest_of("sweep build 1", content, json.dumps(job.build), job.data_digest)
    place = job.cache / "builds" / key[:24]
    out = place / "build"
    outcome.report = str(out / "report.html")

    def work() -> dict[str, Any]:
        arguments = ["flow.build", "--model", str(model), *job.build, "--engines", job.engines, "--out", str(out)]
        try:
            _python(arguments, place, place / "build.log", job.cache)
        except ToolFailed as exc:
            report = _report(out)
            if report.get("status") == "mismatch" and not (out / UNFINISHED).exists():
                raise Mismatch(f"{'; '.join(report['differences'])}; see {out / 'report.html'}") from exc
            raise
        return _report(out)

    with _turn(place):
        step = "build-" + job.engines.replace(",", "-")
        return _step(place, step, key, work, ("build/design.json", "build/synth/netlist.json"), outcome)


def _report(out: Path) -> dict[str, Any]:
    with suppress(Unusable, TypeError, ValueError):
        return dict(read_json(out / "report.json", MAX_OWN_JSON, finite=False))
    return {}


def _step(place: Path, name: str, key: str, work: Any, outputs: tuple[str, ...], outcome: Outcome) -> dict[str, Any]:
    def observe(step: str, state: str) -> None:
        if state == "cached":
            outcome.cached += (step.partition("-")[0],)

    steps = Steps(place, observe)
    result: dict[str, Any] = steps.run(name, key, work, outputs)
    outcome.seconds[name.partition("-")[0]] = steps.seconds[name]
    return result


@contextmanager
def _turn(place: Path) -> Iterator[None]:
    """Hold ``place``, waiting while another worker makes the same piece; a dead worker's hold ends with it."""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(build_lock(place))
                break
            except BuildLocked:
                time.sleep(_TURN_S)
        yield


def _python(arguments: list[str], cwd: Path, log: Path, cache: Path) -> None:
    """Run a Python module with one thread, in a process that ends with this worker.

    Networks of one shape compile once per host: half the time of a short training (for each host apart, since compiled
    code is for one kind of processor).
    """
    path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    environment: Mapping[str, str] = {
        **dict.fromkeys(_THREADS, "1"),
        "PYTHONPATH": path,
        "XLA_FLAGS": flags,
        "JAX_COMPILATION_CACHE_DIR": str(cache / "compiled" / socket.gethostname()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    try:
        process.run([sys.executable, "-m", *arguments], cwd, log, _TIMEOUT_S, environment)
    except ToolFailed as exc:
        raise ToolFailed(re.sub(r"ended with exit status \d+: error: ", "failed: ", str(exc))) from exc
