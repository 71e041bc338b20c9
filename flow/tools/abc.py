"""ABC: equivalence checking, from the ``pyosys`` wheel."""

from __future__ import annotations

import contextlib
import math
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from flow import plan
from flow.errors import ToolFailed, ToolNotFound
from flow.tools.process import run
from flow.tools.yosys import package_folder


def find() -> Path:
    """Path of the program; raises ToolNotFound where the wheel lacks it."""
    program = package_folder() / "yosys-abc"
    if not program.is_file():
        raise ToolNotFound(f"ABC was not found at {program}; pip install --force-reinstall pyosys")
    return program


def constant_outputs(folder: Path, files: Sequence[str], cpu_s: float) -> dict[str, list[int | None]]:
    """Sweep AIGER files in ``folder`` by SAT: per file, which outputs are constant (0, 1) and which are not known to be.

    Files that are not reached within ``cpu_s`` seconds of processor time are missing. Raises ToolFailed where ABC
    fails otherwise.
    """
    script = "".join(f"&r {name}; &fraig -x; &w swept_{name}\n" for name in files)
    plan.write_file(folder / "abc.script", script)
    arguments = [sys.executable, "-m", "flow.tools.abc", str(math.ceil(cpu_s)), str(find()), "abc.script"]
    root = str(Path(__file__).resolve().parents[2])
    log = folder / "abc.log"
    try:
        run(arguments, folder, log, 20 * cpu_s + 60, {"PYTHONPATH": root})
    except ToolFailed:
        pass
    return {n: _outputs(folder / f"swept_{n}") for n in files if (folder / f"swept_{n}").is_file()}
