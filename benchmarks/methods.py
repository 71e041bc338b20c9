"""Methods x data sets x seeds: ``python benchmarks/methods.py [SET ...]``, or ``--data FILE ...`` on unseen ground.

Trains every method on every set with every seed, counts the LUTs of what can become hardware (first seed), and writes
table, verdicts and plots. Every finished run is one JSON file under ``--work``; a rerun does only what is missing.
With ``--data`` the sets are files of the contract's form (an ``.npz`` of X, y and split) that nobody tuned on, all
settings stay as they are, and table and verdicts are printed and put below ``--work``, not into RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from methods_report import load, shown, unseen_report, write_report
from methods_runs import BASELINES, METHODS, OURS, SETS, Runner, hardware, slug
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LIBRARIES = {  # for the workers: one thread each, and what one process compiled is there for the others
    "KERAS_BACKEND": "jax",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
Task = tuple[Callable[..., None], tuple[object, ...]]


def train_seeds(name: str, method: str, seeds: Sequence[int], work: Path, more: Sequence[str]) -> None:
    """Train the seeds, one JSON file each, written whole; ``more`` are options of the training."""
    runner = Runner(name, method, more)
    for seed in seeds:
        save(work / f"{slug(name, method, seed)}.json", runner.measure(seed, work))


def count_luts(design: Path) -> None:
    """``X.luts.json`` beside ``X.design.json``."""
    save(design.with_name(design.name.replace(".design.", ".luts.")), hardware(design))


def save(path: Path, content: object) -> None:
    """Write JSON, whole or not at all."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(path)


def missing_training(options: argparse.Namespace, methods: Sequence[str]) -> list[Task]:
    """The training of these methods still to do: a set's together, since part of a table is of use."""
    tasks: list[Task] = []
    for name in options.names:
        for method in [m for m in options.methods if m in methods]:
            seeds = [s for s in options.seeds if not (options.work / f"{slug(name, method, s)}.json").is_file()]
            if seeds:
                tasks.append((train_seeds, (name, method, seeds, options.work, options.more)))
    return tasks


def missing_luts(options: argparse.Namespace) -> list[Task]:
    """The first seed's designs in the table whose LUTs are not counted yet, small ones first."""
    names = {
        points[0]["design"]
        for name in options.names
        for found in load(options.work, name, options.seeds[:1]).values()
        for points in shown(found).values()
        if "design" in points[0] and "luts" not in points[0]
    }
    designs = [options.work / name for name in names]
    designs = [d for d in designs if d.stat().st_size <= options.largest * 1024]
    return [(count_luts, (design,)) for design in sorted(designs, key=lambda d: d.stat().st_size)]


def run_all(tasks: list[Task], what: str, options: argparse.Namespace, deadline: float) -> bool:
    """Run tasks in ``options.workers`` processes with a progress bar; whether all were done in time."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=True))  # fmt: skip
    waiting, running, failures = list(tasks), set[Future[None]](), []
    context = multiprocessing.get_context("spawn")
    with Progress(*columns) as progress, ProcessPoolExecutor(options.workers, context) as pool:
        bar = progress.add_task(what, total=len(tasks))
        while running or (waiting and time.monotonic() < deadline):
            while waiting and len(running) < options.workers and time.monotonic() < deadline:
                function, arguments = waiting.pop(0)
                running.add(pool.submit(function, *arguments))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            failures += [str(future.exception()) for future in done if future.exception()]
            progress.advance(bar, len(done))
    for failure in failures:
        print(f"error: {failure.splitlines()[0] if failure else 'a run failed'}")
    return not waiting and not failures


def choose_sets(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[str]:
    """The sets as names, those of ``--data`` by their files; further options of the training."""
    if not options.data:
        unknown = [name for name in options.names if name not in SETS]
        if unknown or options.split_key or options.hidden:
            parser.error(f"{unknown[0]} is none of {', '.join(SETS)}; give a file by --data" if unknown else
                         "--split-key and --hidden are for sets of --data")  # fmt: skip
        return []
    for path in options.data:
        if path.suffix != ".npz" or not path.is_file():
            parser.error(f"--data {path}: give an .npz file of X, y and split")
    stems = [path.stem for path in options.data]
    clash = next((stem for stem in stems if stem in SETS or stems.count(stem) > 1), None)
    if clash:
        parser.error(f"--data: two sets would be called {clash}; rename the file")
    options.names = [str(path.resolve()) for path in options.data]
    chosen = {"--split-key": options.split_key, "--hidden": options.hidden}
    return [word for name, value in chosen.items() if value for word in (name, value)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(SETS), metavar="SET", help=f"from {', '.join(SETS)}")
    parser.add_argument("--data", nargs="+", type=Path, metavar="FILE", help=".npz files in place of the eight sets")
    parser.add_argument("--split-key", help="of --data: the array that holds the split")
    parser.add_argument("--hidden", help="of --data: layer sizes; default 32-32")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, help="default all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing new after so many")
    parser.add_argument("--largest", type=int, default=600, metavar="KB", help="design whose LUTs are still counted")
    parser.add_argument("--report-only", action="store_true", help="write table and plots of what is there")
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("work") / "methods")
    options = parser.parse_args()
    options.more = choose_sets(parser, options)
    options.work.mkdir(parents=True, exist_ok=True)
    cache = {"JAX_COMPILATION_CACHE_DIR": str((options.work / "compiled").resolve()),
             "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}  # fmt: skip
    os.environ.update({key: os.environ.get(key, value) for key, value in {**LIBRARIES, **cache}.items()})
    deadline = time.monotonic() + 60 * options.minutes
    finished = options.report_only
    for methods in [] if options.report_only else (BASELINES, OURS):  # ours are trained to the others' widths
        finished = run_all(missing_training(options, methods), "training", options, deadline)
        if not finished:
            break
    if not options.report_only:
        finished &= run_all(missing_luts(options), "LUTs", options, deadline)
    if options.data:
        print(unseen_report(options.work, options.names, options.seeds))
    else:
        write_report(options.work, options.names, options.seeds)
    raise SystemExit(0 if finished else "not finished: run the same command again")


if __name__ == "__main__":
    main()
