"""The HLS engine: an emitted project against the integer model, exactly, and where they differ the neuron."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow.core.design import Design
from flow.core.errors import Mismatch
from flow.core.fixed import Ints
from flow.emit.hls.bench import expected_columns
from flow.tools.hls_compile import compile_bench, simulate, top_of


def run_hls(design: Design, mantissas: Ints, project_dir: Path, top: str | None = None) -> Ints:
    """Compile the emitted project and run it: output mantissas (vectors x outputs), as ``evaluate`` gives them."""
    outputs = 1 if design.head == "argmax" else len(design.layers[-1].neurons)
    return simulate(compile_bench(project_dir, top or top_of(project_dir)), mantissas, outputs)


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
