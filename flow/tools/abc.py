"""ABC: equivalence checking by SAT sweeping, from the ``pyosys`` wheel."""

from __future__ import annotations

import math
import re
from pathlib import Path

from flow.core.errors import ToolFailed
from flow.files import plan
from flow.tools.process import find as find_program
from flow.tools.process import run
from flow.tools.yosys import package_folder

_LIMITED = 'ulimit -t "$0"; exec "$@"'  # processor time: how long it takes on a busy machine does not change a result
_TIME = re.compile(r"total: *([\d.]+) seconds")  # of ABC's command "time": its processor time
_ENDED = ("was ended by signal", "was stopped after")  # out of time, or memory


def find() -> str:
    """Path of the program: NMP_ABC, or the Python package's own."""
    remedy = "pip install --force-reinstall pyosys"
    return find_program("yosys-abc", "NMP_ABC", remedy, also=[package_folder()])


def constant_outputs(folder: Path, data: bytes, conflicts: int, cpu_s: float) -> tuple[list[int | None] | None, float]:
    """Sweep an AIGER file in an emptied ``folder``: per output the constant that it is, None where that is not known.

    No pair of nodes is given more than ``conflicts`` of the SAT solver. None for all of it where it takes more than
    ``cpu_s`` seconds of processor time; how many it took stands beside it. Raises ToolFailed where ABC ends with an
    error.
    """
    plan.fresh_folder(folder)
    script = f"&r all.aig; &fraig -C {conflicts}; &w swept.aig; time\n"
    plan.write({"all.aig": data, "abc.script": script}, folder)
    try:
        log = _run(folder, cpu_s)
    except ToolFailed as failed:
        if not any(sign in str(failed) for sign in _ENDED):
            raise
        return None, cpu_s
    spent = _TIME.findall(log)
    return _outputs(folder / "swept.aig"), float(spent[-1]) if spent else cpu_s


def counterexample(folder: Path, data: bytes, cpu_s: float) -> str | None:
    """An assignment of the inputs of a one-output AIGER file, as 0s and 1s in order, for which the output is 1.

    None where none is found within ``cpu_s`` seconds of processor time.
    """
    plan.fresh_folder(folder)
    plan.write({"one.aig": data, "abc.script": "read_aiger one.aig\nstrash\nsat\nwrite_cex one.cex\n"}, folder)
    try:
        _run(folder, cpu_s)
    except ToolFailed:
        return None
    path = folder / "one.cex"
    return path.read_text().strip() if path.is_file() else None


def _run(folder: Path, cpu_s: float) -> str:
    arguments = ["sh", "-c", _LIMITED, str(math.ceil(cpu_s)), find(), "-q", "source abc.script"]
    return run(arguments, folder, folder / "abc.log", 30 * cpu_s + 60).text


def _outputs(path: Path) -> list[int | None] | None:
    """The outputs of a swept binary AIGER file; None where it is not there or not whole."""
    try:
        head, _, rest = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    count = int(head.split()[4])
    lines = rest.split(b"\n", count)
    return [int(line) if line in (b"0", b"1") else None for line in lines[:count]] if len(lines) > count else None
