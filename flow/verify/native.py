"""Engine ``native``: a Verilator model without Python in the loop, on distinct vectors in bulk and with long pauses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from flow.bench import vectors
from flow.bench.description import Bench
from flow.bench.endurance import schedule
from flow.bench.stress_vectors import distinct_vectors, is_exhaustive
from flow.core.compare import EngineResult
from flow.core.design import Design
from flow.core.evaluate import evaluate, multiplications
from flow.core.fixed import Ints
from flow.tools.verilator import Model
from flow.verify import simulate

# Counts follow from the design alone, so that a build is the same on every machine. The prices are nanoseconds on one
# core of a 2020s server: of making a vector, its golden result, and simulating it.
_BUDGET_NS = 3_500_000_000
_PER_VECTOR_NS, _PER_INPUT_NS, _PER_NEURON_NS, _PER_WEIGHT_NS, _PER_ADDEND_NS = 500, 40, 20, 0.5, 1.5
_PER_CYCLE_NS, _PER_PRODUCT_NS, _STREAMED_BUDGET_NS = 500, 2, 20_000_000_000
_MOST, _FEWEST = 1 << 20, 20_000
_WORDS = 1 << 25  # of vectors and results, which are held in memory
_CYCLES = 10_000_000  # of the bulk run where a vector takes many
_LONG_ADDENDS = 500_000_000  # addends times cycles of the run with long pauses


def addends(design: Design) -> int:
    """Weights that are not zero: what simulating a cycle costs goes with them."""
    return sum(int(np.count_nonzero(layer.matrix)) for layer in design.layers)


def _streamed_count(design: Design, bench: Bench) -> int:
    """How many images the bulk run takes: each costs its products, and the cycles of its pixels."""
    cycles = bench.initiation_interval * (_PER_CYCLE_NS + _PER_ADDEND_NS * addends(design))
    price = cycles + _PER_PRODUCT_NS * multiplications(design) + _PER_INPUT_NS * len(design.inputs)
    words = vectors.word_count(bench.inputs) + vectors.word_count(bench.outputs)
    return max(16, min(int(_STREAMED_BUDGET_NS / price), _WORDS // words, _FEWEST))


def bulk_count(design: Design, bench: Bench) -> int:
    """How many distinct vectors the bulk run takes, if the design has so many."""
    if design.nodes:
        return _streamed_count(design, bench)
    dense = sum(layer.matrix.size for layer in design.layers)
    neurons = sum(len(layer.neurons) for layer in design.layers)
    price = _PER_VECTOR_NS + _PER_INPUT_NS * len(design.inputs) + _PER_NEURON_NS * neurons
    wanted = int(_BUDGET_NS / (price + _PER_WEIGHT_NS * dense + _PER_ADDEND_NS * addends(design)))
    words = vectors.word_count(bench.inputs) + vectors.word_count(bench.outputs)
    most = min(_MOST, _WORDS // words, max(_CYCLES // bench.initiation_interval, 16))
    return max(16, min(max(wanted, _FEWEST), most))


def run_native(design: Design, bench: Bench, first: Ints, seed: int, folder: Path, model: Model) -> EngineResult:
    """Both runs of the engine in ``folder`` as one result; the vectors of ``first`` (mantissas) lead the bulk run."""
    count = bulk_count(design, bench)
    packed, golden = _packed(design, bench, distinct_vectors(design, first, count, seed), count)
    bulk = simulate.stream_native(
        bench, packed, golden, folder, model, timeout_s=simulate.TIMEOUT_S, seed=seed, gap_one_in=64
    )  # fmt: skip
    plan = schedule(bench, max(20_000, min(2_000_000, _LONG_ADDENDS // max(addends(design), 1))))
    chosen = np.arange(len(plan)) % len(packed)
    pauses = simulate.stream_native(
        bench, packed[chosen], golden[chosen], folder.with_name(f"{folder.name}_pauses"), model,
        timeout_s=simulate.TIMEOUT_S, seed=seed, schedule=plan,
    )  # fmt: skip
    return replace(
        bulk if not bulk.agrees or pauses.agrees else pauses,
        vectors=bulk.vectors,
        mismatches=bulk.mismatches + pauses.mismatches,
        seconds=bulk.seconds + pauses.seconds,
        distinct_vectors=len(packed),
        exhaustive=is_exhaustive(design, count),
        vectors_between_pauses=pauses.vectors,
    )


def _packed(design: Design, bench: Bench, chunks: Iterator[Ints], count: int) -> tuple[vectors.Words, vectors.Words]:
    """All vectors and their golden results, packed; both are computed a chunk at a time."""
    inputs, results = zip(
        *((vectors.pack(rows, bench.inputs), vectors.pack(evaluate(design, rows), bench.outputs)) for rows in chunks),
        strict=True,
    )
    return np.concatenate(inputs), np.concatenate(results)
