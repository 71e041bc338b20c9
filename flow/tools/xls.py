"""XLS: the open HLS compiler (DSLX to scheduled Verilog, or to machine code), from the ``xls-python`` wheel."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ToolFailed, ToolNotFound
from flow.files import plan
from flow.tools.process import Completed, run

DELAY_MODELS = ("sky130", "asap7", "unit")  # what the wheel has; none is an FPGA's
Words = NDArray[np.uint32]


@dataclass(frozen=True)
class Compiled:
    """``design.v`` of one function: ports ``clk``, ``x`` and ``y``, a result ``stages`` clock edges after its input."""

    stages: int
    seconds: float


@dataclass(frozen=True)
class WordsJob:
    """A function on arrays of 32-bit words to be run as software on ``inputs`` (rows x words) in ``folder``."""

    folder: Path
    dslx: str
    function: str
    inputs: Words
    output_words: int


def find() -> None:
    """Raise ToolNotFound unless the XLS compiler is installed."""
    if importlib.util.find_spec("xls") is None:
        raise ToolNotFound(
            "XLS was not found: the Python package xls-python is not installed; pip install 'nmp-flow[xls]'"
        )


def version() -> str:
    """Version of the XLS package."""
    find()
    return importlib.metadata.version("xls-python")


def compile_verilog(
    folder: Path, dslx: str, function: str, module: str, clock_period_ps: int, delay_model: str, timeout_s: float
) -> Compiled:
    """Compile ``function`` to a pipelined module in an emptied ``folder``.

    ``clock_period_ps`` bounds a stage by ``delay_model``. Raises ToolFailed with the compiler's message, which names
    the shortest period where the one asked for is too short.
    """
    settings = {"module": module, "clock_period_ps": clock_period_ps, "delay_model": delay_model}
    _prepare(folder, dslx, {"function": function, **settings})
    done = _run("verilog", [folder], timeout_s)
    text = (folder / "design.v").read_text()
    stages = len(re.findall(r"^ *// Registers for pipe stage \d+:$", text, flags=re.M))
    if not stages:
        raise ToolFailed(f"XLS wrote a module without registers; see {folder / 'design.v'}")
    return Compiled(stages, done.seconds)


def run_words(jobs: Sequence[WordsJob], timeout_s: float) -> list[Words]:
    """Run every job as machine code, all in one process; outputs as rows x ``output_words``."""
    for job in jobs:
        shape = {"input_words": job.inputs.shape[1], "output_words": job.output_words}
        _prepare(job.folder, job.dslx, {"function": job.function, **shape})
        plan.write_file(job.folder / "inputs.bin", job.inputs.astype("<u4").tobytes())
    _run("words", [job.folder for job in jobs], timeout_s)
    return [_read_words(job) for job in jobs]


def _read_words(job: WordsJob) -> Words:
    found = np.fromfile(job.folder / "outputs.bin", "<u4")
    if found.size != len(job.inputs) * job.output_words:
        raise ToolFailed(f"XLS gave {found.size} words for {len(job.inputs)} vectors; see {job.folder}")
    return found.reshape(len(job.inputs), job.output_words)


def _prepare(folder: Path, dslx: str, job: dict[str, Any]) -> None:
    plan.fresh_folder(folder)
    plan.write({"design.x": dslx, "job.json": json.dumps(job, sort_keys=True, indent=1) + "\n"}, folder)


def _run(task: str, folders: Sequence[Path], timeout_s: float) -> Completed:
    find()
    arguments = [sys.executable, "-m", "flow.tools.xls_run", task, *(str(f.resolve()) for f in folders)]
    root = str(Path(__file__).resolve().parents[2])
    return run(arguments, folders[0], folders[0] / "xls.log", timeout_s, {"PYTHONPATH": root})
