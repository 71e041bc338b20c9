"""The HLS engine: an emitted project against the integer model, exactly, and where they differ the neuron."""

from __future__ import annotations

from pathlib import Path

from flow.core.compare import Difference, first_difference
from flow.core.design import Design
from flow.core.fixed import Ints
from flow.emit.hls.bench import expected_columns
from flow.tools.hls_compile import compile_bench, simulate, top_of


def run_hls(design: Design, mantissas: Ints, project_dir: Path, top: str | None = None) -> Ints:
    """Compile the emitted project and run it: output mantissas (vectors x outputs), as ``evaluate`` gives them."""
    outputs = 1 if design.head == "argmax" else design.outputs
    return simulate(compile_bench(project_dir, top or top_of(project_dir)), mantissas, outputs)


def first_mismatch(design: Design, mantissas: Ints, binary: Path, select: int | None = None) -> Difference | None:
    """Run layer by layer and name the first neuron that differs from the integer model, or None.

    The earliest layer comes first: later differences follow from it.
    """
    count = sum(len(layer.neurons) for layer in design.layers)
    expected = expected_columns(design, mantissas)[:, :count]
    found = simulate(binary, mantissas, count, layers=True, select=select)
    start = 0
    for layer in design.layers:
        names = [f"layer {layer.name}, neuron {j}" for j in range(len(layer.neurons))]
        own = slice(start, start + len(names))
        start = own.stop
        first = first_difference((expected != found)[:, own], expected[:, own], found[:, own], names)
        if first is not None:
            return first
    return None
