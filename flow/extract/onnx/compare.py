"""A design against its ONNX model in the model's own runtime, node by node."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from flow.core.compare import EngineResult, first_difference, output_names
from flow.core.design import Design
from flow.core.evaluate import argmax, as_read, evaluate, quantize_inputs, to_float
from flow.core.fixed import Fixed
from flow.core.passes.widths import widths
from flow.extract.design import require_numbers
from flow.extract.exact_numbers import Exact, Floats, different, scaled
from flow.extract.onnx.execution import Execution
from flow.extract.onnx.graph import graph_program
from flow.extract.onnx.program import Program
from flow.extract.onnx.quantized import program_of
from flow.extract.onnx.runtime import RUNTIME, versions
from flow.extract.onnx.stages import Stages, held, left_alone
from flow.extract.onnx.stored import StoredOnnx
from flow.extract.probability import PROBABILITY, quantizer_of

_ROWS = 4096
_ELEMENTS = 1 << 23  # under all windows of a layer, of the vectors that are executed at a time


def onnx_predictions(stored: StoredOnnx, inputs: NDArray[np.floating]) -> Floats:
    """What the runtime makes of float inputs (vectors x elements), node by node, a function at the end included."""
    inputs = np.asarray(inputs, np.float32)
    require_numbers(inputs, math.prod(stored.shape))
    flat = inputs.reshape(len(inputs), -1)
    if stored.is_graph:
        program = graph_program(stored)[1]
        return np.asarray(left_alone(stored, program, flat, program.end), np.float64)
    return np.asarray(_left_alone(program_of(stored), flat), np.float64)


def onnx_ends_in(stored: StoredOnnx) -> str | None:
    """The softmax, sigmoid or tanh at the end, which a design leaves out."""
    return graph_program(stored)[1].ending if stored.is_graph else program_of(stored).ending


def compare_with_onnx(stored: StoredOnnx, design: Design, inputs: NDArray[np.floating]) -> EngineResult:
    """Execute float inputs (vectors x elements) by the model's own runtime and compare exactly with the design.

    Every node is executed as onnxruntime or qonnx has it. What a dense layer hands on is its exact sum, scaled, and
    onnxruntime's own sum of floats has to be that within what float32 can round: else the vector is a mismatch, too.
    The note says on how many vectors the runtime, left alone with its rounded sums, comes to the same outputs.
    """
    start = time.monotonic()
    design, whole = widths(design), bool(design.source.get("probability"))
    require_numbers(np.asarray(inputs), math.prod(stored.shape))
    flat = as_read(np.asarray(inputs).reshape(len(inputs), -1))
    if design.source.get("input_format"):
        flat = to_float(quantize_inputs(design, flat), design.input_formats).astype(np.float32)
    program = _program(stored, design, whole)
    rows = _ROWS if isinstance(program, Program) else max(_ELEMENTS // held(design), 1)
    parts = [_compared(program, design, flat[k : k + rows], whole) for k in range(0, max(len(flat), 1), rows)]
    unequal, expected, found = (np.concatenate([getattr(p, name) for p in parts]) for name in _Compared.ARRAYS)
    wrong = unequal.any(axis=1) | np.concatenate([p.off for p in parts])
    same = sum(p.same for p in parts)
    note = f"node by node in onnxruntime {versions()['onnxruntime']} and qonnx {versions()['qonnx']}"
    if same < len(flat):
        note += (
            ", with exact sums; left alone with float32 sums, which round, they give the same on "
            f"{same} of {len(flat)} vectors"
        )
    return EngineResult(
        RUNTIME, len(flat), int(wrong.sum()), time.monotonic() - start,
        first_difference(unequal, expected, found, output_names(design)),
        problems=tuple(p.problem for p in parts if p.problem)[:1], note=note,
    )  # fmt: skip


@dataclass(frozen=True)
class _Compared:
    """Some vectors: outputs that differ, both answers, vectors with sums ``off`` the runtime's, and a problem."""

    ARRAYS: ClassVar = ("unequal", "expected", "found")

    unequal: NDArray[np.bool_]
    expected: Floats
    found: Floats
    off: NDArray[np.bool_]
    problem: str
    same: int


def _program(stored: StoredOnnx, design: Design, whole: bool) -> Program | Stages:
    given = design.source.get("input_format")
    if stored.is_graph:
        return Stages(stored, graph_program(stored, given)[1])
    return program_of(stored, bool(given), PROBABILITY if whole else "logits")


def _compared(program: Program | Stages, design: Design, flat: NDArray[np.float32], whole: bool) -> _Compared:
    with np.errstate(all="ignore"):
        if isinstance(program, Stages):
            executed = program.executed(flat)
            return _made(design, flat, executed, executed.exact, program.logits(flat))
        executed = Execution(flat)
        for item in program.executed:
            executed.add(item)
    if whole:
        quantizer = quantizer_of(program.ending or "")
        found = Exact(quantizer.from_float(executed.values), [quantizer.format.frac] * executed.values.shape[1])
    else:
        found = executed.exact if program.outputs is None else scaled(program.outputs, executed.exact)
    return _made(design, flat, executed, found, _left_alone(program, flat, whole))


def _made(
    design: Design, flat: NDArray[np.float32], executed: Execution, found: Exact, logits: NDArray[np.float32]
) -> _Compared:
    """The design's outputs beside those that were ``found``; ``logits`` are the runtime's own."""
    expected = Exact(evaluate(design, quantize_inputs(design, flat)), [0])
    if design.head == "argmax":
        found = Exact(argmax(found.mantissas, tuple(Fixed(True, 1, f) for f in found.fracs)), [0])
    else:
        expected = Exact(expected.mantissas, [f.frac for f in design.output_formats])
    near = np.abs(logits.astype(np.float64) - executed.values) <= executed.room
    return _Compared(
        different(found, expected), expected.floats(), found.floats(), executed.off, executed.problem,
        int(near.all(axis=1).sum()),
    )  # fmt: skip


def _left_alone(program: Program, flat: NDArray[np.float32], whole: bool = True) -> NDArray[np.float32]:
    """What the runtime gives with its own sums; with the function at the end if ``whole``."""
    values = flat
    for function in program.nodes if whole else program.nodes[: len(program.nodes) - (program.ending is not None)]:
        values = function(values)
    return values
