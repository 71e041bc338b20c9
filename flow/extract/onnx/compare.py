"""A design against its ONNX model in the model's own runtime, node by node."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from flow.core.compare import EngineResult, first_difference, output_names
from flow.core.design import Design, Layer
from flow.core.evaluate import argmax, as_read, evaluate, quantize_inputs, to_float
from flow.core.fixed import Fixed
from flow.core.passes.widths import widths
from flow.extract.design import require_numbers
from flow.extract.exact_numbers import Exact, Floats, accumulated, different, odd_float32, rectified, scaled
from flow.extract.onnx.program import Called, Program, Summed
from flow.extract.onnx.quantized import program_of
from flow.extract.onnx.runtime import RUNTIME, versions
from flow.extract.onnx.stored import StoredOnnx
from flow.extract.probability import PROBABILITY, quantizer_of
from flow.extract.readout import neurons_of

_ROUNDED = 2.0**-23  # of a product and of each partial sum in float32, of both factors' own rounding too
_ROWS = 4096


def onnx_predictions(stored: StoredOnnx, inputs: NDArray[np.floating]) -> Floats:
    """What the runtime makes of float inputs (vectors x elements), node by node, a function at the end included."""
    inputs = np.asarray(inputs, np.float32)
    require_numbers(inputs, math.prod(stored.shape))
    return np.asarray(_left_alone(program_of(stored), inputs.reshape(len(inputs), -1)), np.float64)


def onnx_ends_in(stored: StoredOnnx) -> str | None:
    """The softmax, sigmoid or tanh at the end, which a design leaves out."""
    return program_of(stored).ending


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
    program = program_of(stored, bool(design.source.get("input_format")), PROBABILITY if whole else "logits")
    parts = [_compared(program, design, flat[k : k + _ROWS], whole) for k in range(0, max(len(flat), 1), _ROWS)]
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


def _compared(program: Program, design: Design, flat: NDArray[np.float32], whole: bool) -> _Compared:
    executed = _Execution(flat)
    with np.errstate(all="ignore"):
        for item in program.executed:
            executed.add(item)
    if whole:
        quantizer = quantizer_of(program.ending or "")
        found = Exact(quantizer.from_float(executed.values), [quantizer.format.frac] * executed.values.shape[1])
    else:
        found = executed.exact if program.outputs is None else scaled(program.outputs, executed.exact)
    expected = Exact(evaluate(design, quantize_inputs(design, flat)), [0])
    if design.head == "argmax":
        found = Exact(argmax(found.mantissas, tuple(Fixed(True, 1, f) for f in found.fracs)), [0])
    else:
        expected = Exact(expected.mantissas, [f.frac for f in design.output_formats])
    logits = _left_alone(program, flat, whole)
    near = np.abs(logits.astype(np.float64) - executed.values) <= executed.room
    return _Compared(
        different(found, expected), expected.floats(), found.floats(), executed.off, executed.problem,
        int(near.all(axis=1).sum()),
    )  # fmt: skip


class _Execution:
    """Vectors on their way through a program: float32 ``values``, and the ``exact`` numbers behind them."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self._exact: Exact | None = None
        self.off = np.zeros(len(values), bool)
        self.problem = ""
        self.room: Floats | float = 0.0  # what rounding may do to the last sums

    @property
    def exact(self) -> Exact:
        """The whole numbers of the last quantizer, or the last sums; inputs on a grid are those themselves."""
        return Exact.of(self.values) if self._exact is None else self._exact

    def add(self, item: Called | Summed) -> None:
        """One node, or a dense layer with its biases."""
        if isinstance(item, Summed):
            self._sum(item)
            return
        self.values = item.function(self.values)
        if item.made is not None:
            is_plain, self.room = item.made.plain() is not None, 0.0
            numbers = item.made.whole(self.values).astype(np.int64)
            self._exact = Exact.of(self.values) if is_plain else Exact(numbers, [0] * numbers.shape[1])
        elif item.is_relu:
            self._exact = rectified(self.exact)

    def _sum(self, item: Summed) -> None:
        numbers, count = self.exact, len(item.bare.weights)
        bare, full = (accumulated(Layer("sums", neurons_of(d)), numbers) for d in (item.bare, item.dense))
        asked, sums = item.function(self.values), bare.floats() * item.scale + item.added
        factors = np.ldexp(item.bare.weights.astype(np.float64), -item.bare.weight_frac) * item.scale
        largest = np.abs(numbers.floats()) @ np.abs(factors) + np.abs(self.values) @ np.abs(item.weights)
        self.room = _ROUNDED * (count + 4) * (largest + np.abs(item.added))
        wrong = np.abs(asked - sums) > self.room
        if wrong.any() and not self.problem:
            row, neuron = (int(i) for i in np.argwhere(wrong)[0])
            self.problem = (
                f"layer {item.bare.layer}, neuron {neuron}: onnxruntime's sum is {asked[row, neuron]:.9g}, "
                f"the integers' {sums[row, neuron]:.9g}"
            )
        self.off |= wrong.any(axis=1)
        scaled_sums = (full.floats() * item.scale).astype(np.float32)
        self.values = np.where(item.scale == 1, odd_float32(full.floats()), scaled_sums)
        self._exact = full


def _left_alone(program: Program, flat: NDArray[np.float32], whole: bool = True) -> NDArray[np.float32]:
    """What the runtime gives with its own sums; with the function at the end if ``whole``."""
    values = flat
    for function in program.nodes if whole else program.nodes[: len(program.nodes) - (program.ending is not None)]:
        values = function(values)
    return values
