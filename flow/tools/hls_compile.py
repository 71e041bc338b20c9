"""C simulation of an emitted HLS project with g++: compiled once, run on integer vectors in its own process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow.emit.hls_bench import expected_columns
from flow.errors import Mismatch, ToolFailed
from flow.fixed import Ints
from flow.ir import Design
from flow.plan import folder, remove
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


def run_hls(design: Design, mantissas: Ints, project_dir: Path, top: str | None = None) -> Ints:
    """Compile the emitted project and run it: output mantissas (vectors x outputs), as ``evaluate`` gives them."""
    outputs = 1 if design.head == "argmax" else len(design.layers[-1].neurons)
    return simulate(compile_bench(project_dir, top or _top(project_dir)), mantissas, outputs)


def first_mismatch(design: Design, mantissas: Ints, binary: Path, select: int | None = None) -> Mismatch | None:
    """Run layer by layer and name the first neuron that differs from the integer model, or None."""
    count = sum(len(layer.neurons) for layer in design.layers)
    expected = expected_columns(design, mantissas)[:, :count]
    found = simulate(binary, mantissas, count, layers=True, select=select)
    wrong = np.argwhere(found != expected)
    if not len(wrong):
        return None
    # The earliest layer first: later differences follow from it.
    vector, column = min(wrong.tolist(), key=lambda place: (_place(design, place[1])[0], place[0], place[1]))
    layer, neuron = _place(design, column)
    return Mismatch(
        f"engine hls, vector {vector}, layer {design.layers[layer].name}, neuron {neuron}: "
        f"expected {expected[vector, column]}, found {found[vector, column]}"
    )


def _place(design: Design, column: int) -> tuple[int, int]:
    for index, layer in enumerate(design.layers):
        if column < len(layer.neurons):
            return index, column
        column -= len(layer.neurons)
    raise AssertionError(column)


def _top(project_dir: Path) -> str:
    benches = sorted(project_dir.glob("*_test.cpp"))
    if len(benches) != 1:
        raise ToolFailed(f"{project_dir} holds {len(benches)} test benches, one expected; emit the project again")
    return benches[0].name.removesuffix("_test.cpp")
