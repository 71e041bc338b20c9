"""``python -m flow.sweep``: searches architectures, bit sets, cost weights and folding for the best designs."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from flow.core.engines import DEFAULT
from flow.core.errors import BuildLocked, FlowError, ReportError, UsageError
from flow.report.command_line import Quiet, Version, application, ending
from flow.report.terminal import SafeConsole
from keras_models import interrupts

app = application()
_DEFAULTS: dict[str, Any] = {
    "part": "xc7z020", "split_key": "split", "target_columns": None, "clock_period_ns": 10.0, "objective": "lut",
    "hidden": "16,32,64,16-16,32-16,32-32,64-32", "bit_sets": "default", "beta": None, "lut_budget": None,
    "architecture": "auto", "initiation_interval": None, "epochs": 100, "seed": 0,
    "max_latency_ns": None, "max_lut_share": None,
}  # fmt: skip
_BETA = "2e-6:1e-3"
_TURN_S = 30.0  # that a worker waits for the folder of a sweep


@app.command()
def main(
    data: Annotated[
        str | None, typer.Option(help="Data set: a name or an .npz file; needed on the first start.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the sweep; the same name goes on where it ended.")] = "sweep",
    out: Annotated[Path, typer.Option(help="Folder of all sweeps; every worker must see it.")] = Path("sweeps"),
    trials: Annotated[int, typer.Option(min=1, help="Different trials in all, those of earlier starts included.")] = 30,
    timeout_minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Start no more trials after so many minutes; those running end.")
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="One or more costs beside the score: lut, latency (ns), energy, bram18; default lut."),
    ] = None,
    max_latency_ns: Annotated[
        float | None, typer.Option(min=0.0, help="Only designs of at most this latency are on the front.")
    ] = None,
    max_lut_share: Annotated[
        float | None, typer.Option(help="Only designs of at most this share of the part's LUT sites, such as 0.5.")
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(
            help="Hidden layers to choose from, or between semicolons networks of convolutions, as keras_models.train "
            f"--layers takes them; default {_DEFAULTS['hidden']}."
        ),
    ] = None,
    bit_sets: Annotated[
        str | None,
        typer.Option(help="Widths of weights, after a slash of activations: default,0-1.58-4,0-2-4-8/0-4; or default."),
    ] = None,
    beta: Annotated[
        str | None, typer.Option(help=f"Limits of the hardware cost's weight, LOW:HIGH; default {_BETA}.")
    ] = None,
    lut_budget: Annotated[
        str | None, typer.Option(help="Limits of a LUT budget to train for, LOW:HIGH, in place of --beta.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Architectures to choose from: parallel, folded, auto; default auto.")
    ] = None,
    initiation_interval: Annotated[
        str | None, typer.Option(help="Clock cycles per result of folded trials to choose from, such as 16,64.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of every training; default 100.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of search and trainings; default 0.")] = None,
    part: Annotated[str | None, typer.Option(help="Device or board; default xc7z020.")] = None,
    clock_period_ns: Annotated[
        float | None, typer.Option(min=1.0, max=1000.0, help="Clock period to build for, ns; default 10.")
    ] = None,
    split_key: Annotated[str | None, typer.Option(help="Array of the data set that holds the split.")] = None,
    target_columns: Annotated[str | None, typer.Option(help="Columns of y to learn, such as 0,1.")] = None,
    engines: Annotated[
        str, typer.Option(help="Engines every trial is compared in, beside Keras; synthesis always runs.")
    ] = "integer",
    front_engines: Annotated[str, typer.Option(help="Engines the final front is verified with, or none.")] = ",".join(
        DEFAULT
    ),
    workers: Annotated[
        int, typer.Option(min=1, help="Local processes, or jobs of a batch system; each runs one trial at a time.")
    ] = 2,
    scheduler: Annotated[
        str | None, typer.Option(help="A running Dask scheduler, tcp://HOST:PORT, or slurm, lsf, htcondor.")
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker", help="Run trials in this process, with no scheduler; start many, on any hosts.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of trained models and builds to share; default OUT/cache.")
    ] = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print front.json and nothing else.")] = False,
    version: Version = False,
) -> None:
    """Search for the best designs, by score against cost.

    Every trial trains a model and builds its hardware. OUT/NAME gets trials.csv, front.csv, front.json and front.html;
    the same command, or just the name, goes on after a
    kill. The score that is searched for is that of the validation rows; the test rows' is reported beside it.

    Exit status: 0 when all went well, 1 for an error you can fix, 2 for wrong usage, 3 for a mismatch of engines, 130
    when interrupted.
    """
    given = {
        "data": data, "part": part, "split_key": split_key, "target_columns": target_columns,
        "clock_period_ns": clock_period_ns, "objective": objective, "hidden": hidden, "bit_sets": bit_sets,
        "beta": beta, "lut_budget": lut_budget, "architecture": architecture,
        "initiation_interval": initiation_interval, "epochs": epochs, "seed": seed,
        "max_latency_ns": max_latency_ns, "max_lut_share": max_lut_share,
    }  # fmt: skip
    run = {"trials": trials, "timeout_minutes": timeout_minutes, "engines": engines, "front_engines": front_engines,
           "workers": workers, "scheduler": scheduler, "worker": worker, "cache": cache or out / "cache",
           "quiet": quiet or as_json}  # fmt: skip
    with ending("run the same command again to go on", stdout_is_kept=as_json):
        try:
            status = _sweep(name, out, given, run)
        except BuildLocked:
            text = f"sweep {name} in {out} is running already; wait for it or choose another --name"
            raise BuildLocked(text) from None
    if as_json:
        print((out / name / "front.json").read_text(), end="")
    raise typer.Exit(status)


def _sweep(name: str, out: Path, given: dict[str, Any], run: dict[str, Any]) -> int:
    from flow.files import plan  # after the arguments are parsed: --help stays instant
    from flow.files.ownership import STATE, refuse_foreign
    from flow.files.steps import build_lock
    from flow.sweep import cluster
    from flow.sweep.settings import check_engines, settle
    from flow.sweep.study import FILES

    if not name or name.startswith(".") or "/" in name or name == "cache":
        raise UsageError(f"--name {name!r}: give a plain name; it becomes a folder below --out")
    cluster.check_scheduler(run["scheduler"])
    check_engines(run["engines"], run["front_engines"])
    folder = (out / name).resolve()
    refuse_foreign(folder, "sweep", FILES)
    kept = _kept(folder)
    settings = settle({**_DEFAULTS, "beta_default": _BETA}, given, kept, name)
    existed, fresh = os.path.lexists(folder), not os.path.lexists(folder / STATE)
    if run["worker"]:
        return _work(name, folder, given, run)
    with build_lock(folder, "sweep", FILES):
        try:
            if kept is None:
                plan.write_file(folder / "sweep.json", settings.to_json())
            _mark(folder)
            return _run(folder, settings, run)
        except UsageError:
            if fresh:
                plan.withdraw(folder, existed)
            raise


def _work(name: str, folder: Path, given: dict[str, Any], run: dict[str, Any]) -> int:
    """Be one of many workers that share a sweep's journal: the first one makes its folder, the last one verifies."""
    from flow.files import plan
    from flow.sweep.settings import settle
    from flow.sweep.study import FILES

    with _turn(folder, "sweep", FILES):
        kept = _kept(folder)
        settings = settle({**_DEFAULTS, "beta_default": _BETA}, given, kept, name)
        if kept is None:
            plan.write_file(folder / "sweep.json", settings.to_json())
        _mark(folder)
    plan.release(folder)  # its record is one process's at a time, and what workers write is on it
    return _run(folder, settings, run)


def _mark(folder: Path) -> None:
    """Leave what workers know the sweep's folder by, on whatever host they are."""
    from flow.files import plan

    if not os.path.lexists(folder / "token.json"):
        plan.write_file(folder / "token.json", json.dumps(uuid.uuid4().hex))


@contextmanager
def _turn(folder: Path, kind: str, files: Collection[str]) -> Iterator[None]:
    """The lock of a sweep's folder, which workers hold for a moment only. Raises BuildLocked where a driver does."""
    from flow.files.steps import build_lock

    end = time.monotonic() + _TURN_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(build_lock(folder, kind, files))
                break
            except BuildLocked:
                if time.monotonic() > end:
                    raise
                time.sleep(_TURN_S / 100)
        yield


def _kept(folder: Path) -> dict[str, Any] | None:
    """The settings of a sweep that was started before."""
    from flow.core.untrusted import read_json, refused

    path = folder / "sweep.json"
    if not os.path.lexists(path):
        return None
    with refused(ReportError, str(path), "remove the folder or choose another --name"):
        return dict(read_json(path))


def _run(folder: Path, settings: Any, run: dict[str, Any]) -> int:
    """Search, verify the front, print it. The exit status."""
    from flow.core.untrusted import read_json, refused
    from flow.report.console import shown
    from flow.sweep import cluster
    from flow.sweep.run import Sweep
    from flow.sweep.study import Study
    from flow.sweep.tables import write_tables
    from flow.sweep.view import View, front_table

    console = SafeConsole(quiet=run["quiet"])
    study = Study(folder, settings, shared=run["worker"])
    with refused(ReportError, f"{folder}: its trials cannot be read", "remove the folder or choose another --name"):
        write_tables(folder, study)
    with refused(ReportError, str(folder / "token.json"), "start the sweep again"):
        token = str(read_json(folder / "token.json"))
    limit = run["timeout_minutes"]
    deadline = None if limit is None else time.monotonic() + 60 * limit
    with (
        cluster.connected(run["scheduler"], run["workers"], run["worker"]) as client,
        View(console, settings.costs, cluster.dashboard(client)) as view,
    ):
        sweep = Sweep(folder, run["cache"].resolve(), token, settings, study, client, view, run["trials"],
                      run["engines"], deadline, lambda: write_tables(folder, study),
                      interrupts.seen)  # fmt: skip
        try:
            sweep.search()
            if run["front_engines"] != "none" and study.verifier():
                sweep.verify(run["front_engines"])
        finally:
            sweep.abandon()
            write_tables(folder, study)
    rows = study.rows()
    front = study.front(rows)
    verdicts = {row.number: study.verified(row.number) for row in front}
    said = {n: v["error"] or "yes" for n, v in verdicts.items() if v}
    console.print(front_table(front, settings.costs, said))
    console.print(
        f"{sum(r.state == 'done' for r in rows)} trials; front in {shown(str(folder))}/front.html", soft_wrap=True
    )
    if sweep.mismatch:
        return 3
    wrong = [f"trial {n}: {v['error']}" for n, v in verdicts.items() if v.get("error")]
    if wrong or not front:
        failed = [r.error for r in rows if r.state == "failed"]
        raise FlowError(
            wrong[0] if wrong else f"no trial gave a design that fits; {failed[0] if failed else 'try more'}"
        )
    return 0
