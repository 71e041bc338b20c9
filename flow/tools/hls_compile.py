"""C simulation of an emitted HLS project with g++: compiled once, run on integer vectors in its own process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow.core.errors import ToolFailed
from flow.core.fixed import Ints
from flow.files.plan import folder, remove
from flow.tools import process

COMPILE_TIMEOUT_S = 600.0
RUN_TIMEOUT_S = 3600.0
# -O1 halves the sum of compile and run time against -O0 and -O2 on designs of a few thousand weights.
FLAGS = ("-O1", "-std=c++14", "-w", "-Ifirmware/ap_types")


def compile_bench(project_dir: Path, top: str) -> Path:
    """Compile a project's top function and test bench; the executable lands in ``csim/`` of the project.

    Raises ToolNotFound without g++, ToolFailed with the compiler's last error line.
    """
    compiler = process.find("g++", "NMP_CXX", "install it (Debian: apt-get install g++)")
    binary = folder(project_dir / "csim") / "bench"
    remove(binary)
    sources = (f"firmware/{top}.cpp", f"{top}_test.cpp")
    arguments = [compiler, *FLAGS, *sources, "-o", "csim/bench"]
    process.run(arguments, project_dir, project_dir / "csim" / "compile.log", COMPILE_TIMEOUT_S)
    return binary


def simulate(binary: Path, mantissas: Ints, columns: int, layers: bool = False, select: int | None = None) -> Ints:
    """Outputs (vectors x columns) of the compiled bench, or every neuron of every layer; ``select`` one of a batch."""
    work = binary.parent
    source, result = work / "inputs.bin", work / "outputs.bin"
    remove(source)
    remove(result)
    np.ascontiguousarray(mantissas, "<i8").tofile(source)
    selection = [] if select is None else [str(select)]
    arguments = [str(binary.resolve()), *selection, source.name, result.name, *(["layers"] if layers else [])]
    process.run(arguments, work, work / "run.log", RUN_TIMEOUT_S)
    values = np.fromfile(result, "<i8")
    if values.size != len(mantissas) * columns:
        raise ToolFailed(f"the HLS simulation wrote {values.size} numbers, {len(mantissas) * columns} expected")
    return values.reshape(len(mantissas), columns).astype(np.int64)


def self_check(binary: Path, project_dir: Path, select: int | None = None) -> process.Completed:
    """Let the bench judge itself on the project's own vectors; ToolFailed names the first wrong neuron."""
    arguments = [str(binary.resolve()), *([] if select is None else [str(select)])]
    return process.run(arguments, project_dir, project_dir / "csim" / "check.log", RUN_TIMEOUT_S)


def top_of(project_dir: Path) -> str:
    """The top function of an emitted project, from its test bench's name."""
    benches = sorted(project_dir.glob("*_test.cpp"))
    if len(benches) != 1:
        raise ToolFailed(f"{project_dir} holds {len(benches)} test benches, one expected; emit the project again")
    return benches[0].name.removesuffix("_test.cpp")
