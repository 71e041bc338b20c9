"""Runs scenes in one process that has the libraries loaded; prints one JSON line of what came of each.

python -m hostile.worker FOLDER SEED...
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import resource
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CPU_SECONDS = 90  # of one scene, a whole build among them; compiling a training takes most
MEMORY = 3 << 30  # bytes that a scene may add to the process


def run_command(command: str, arguments: list[str]) -> tuple[int | str, str]:
    """The exit status of a module's command line, or of a function, and what it said on standard error."""
    with _captured() as told:
        try:
            status: int | str = _run(command, arguments)
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else 0
        except BaseException:
            status = "traceback"
            traceback.print_exc()
    return status, told.read_bytes().decode(errors="replace")


def _run(command: str, arguments: list[str]) -> int:
    from flow.core.errors import FlowError

    module, _, function = command.partition(":")
    if function:
        try:
            getattr(importlib.import_module(module), function)(*arguments)
        except FlowError as exc:
            print(f"error: {exc}", file=sys.stderr)
            return 1
        return 0
    if module == "keras_models.train":
        from keras_models import train

        return train.main(arguments)
    commands = {"flow.hls_config": "flow.hls.config_command", "flow.hls_stock": "flow.hls.stock_command"}
    importlib.import_module(commands.get(module, f"{module}.command")).app(arguments, prog_name=module)
    return 0


@contextlib.contextmanager
def _captured() -> Iterator[Path]:
    """Standard output to nowhere, standard error to a file: that of libraries too."""
    path = Path(tempfile.gettempdir()) / "told"
    kept = [os.dup(1), os.dup(2)]
    nowhere, file = os.open(os.devnull, os.O_WRONLY), os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(nowhere, 1)
    os.dup2(file, 2)
    try:
        yield path
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in enumerate(kept, start=1):
            os.dup2(old, number)
        for number in (*kept, nowhere, file):
            os.close(number)


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Bounds on processor time, which a loaded machine does not shorten, and on memory."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bounds = {
        resource.RLIMIT_CPU: int(used.ru_utime + used.ru_stime) + CPU_SECONDS,
        resource.RLIMIT_AS: pages * resource.getpagesize() + MEMORY,
    }
    for kind, soft in bounds.items():
        resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))
    try:
        yield
    finally:
        for kind in bounds:
            hard = resource.getrlimit(kind)[1]
            resource.setrlimit(kind, (hard, hard))


def try_scene(seed: int, folder: Path, bases: Any) -> dict[str, Any]:
    """Make scene ``seed`` and run its command: ``status``, the words on standard error, what was left lying about."""
    from hostile.scenes import kind_of, make

    scene = make(seed, folder, bases)
    os.chdir(folder / str(seed))
    with _limits():
        status, told = run_command(scene.command, scene.arguments)
    os.chdir(folder)
    left = [path.name for path in scene.fresh if os.path.lexists(path)]
    left += [name for name in os.listdir(tempfile.gettempdir()) if name.startswith(("flow-", "nmp-"))]  # noqa: PTH208
    words = " ".join([scene.command, *scene.arguments])
    outcome = {"status": status, "told": told, "left": left}
    return {"seed": seed, "kind": kind_of(seed), "done": scene.done, "command": words, **outcome}


def main(folder: Path, seeds: list[int]) -> None:
    from flow.sweep import cluster
    from flow.tools import process
    from hostile.bases import Bases

    for kind in (RuntimeWarning, UserWarning):
        warnings.simplefilter("always", kind)  # in a process of its own each would be the first
    cluster._CONNECT_S = 1  # nobody answers
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of many trainings in one process
    bases = Bases(folder / f"base{os.getpid()}")
    for seed in seeds:
        print(json.dumps(try_scene(seed, folder, bases)), flush=True)
        if process._stopping.is_set():  # a build that was given up: nothing more runs in this process
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]])
