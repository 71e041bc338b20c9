"""The hardware of a streamed network: cores at one rate, windows, and what a report says of each node."""

from __future__ import annotations

from collections.abc import Sequence

from flow.build.hardware import Hardware
from flow.core.design import Design
from flow.core.evaluate import argmax, streamed
from flow.core.fixed import Ints
from flow.emit.rtl.streamed import core_rtl, emit_streamed, paces
from flow.folded.lowering import Lowered, evaluate_lowered
from flow.folded.proof.layer import Block, prove_folded
from flow.folded.search import interval_for
from flow.parallel.graph import evaluate_graph
from flow.parallel.sites import Target
from flow.parts.catalog import Part
from flow.streamed.cores import Core, Solver
from flow.streamed.explanation import explain
from flow.streamed.queues import queued, timed


def stream_hardware(
    design: Design, part: Part, clock_period_ns: float, interval: int | None, results_per_second: float | None
) -> Hardware:
    """Cores and their RTL: the cheapest for the interval or the rate, without either the fastest that fits.

    Raises DesignError where that cannot be met.
    """
    if results_per_second is not None:
        interval = interval_for(results_per_second, clock_period_ns)
    target = Target(clock_period_ns, part.family)
    solver = Solver(design, part, target)
    cores = solver.fastest() if interval is None else solver.within(interval)
    rtls = core_rtl(cores, clock_period_ns, part.family)
    pace = paces(design, cores, rtls)
    found = queued(design, pace, interval)
    emitted = emit_streamed(design, rtls, found)
    count = sum(core.folding is None for core in cores)
    reason = f"{count} of {len(cores)} layers parallel, the others folded"
    blocks: dict[str, tuple[Block, ...]] = {}
    proof: dict[str, dict[str, str]] = {}
    for core in cores:
        (layer,) = core.design.layers
        if core.folding is None:
            proof[layer.name] = {"design-graph": "proved"}  # build_graphs raises where a proof fails
            continue
        rtl = rtls[layer.name]
        blocks |= prove_folded(core.folding, rtl.files, rtl.top)
        proof[layer.name] = {"design-graph": "sampled", "graph-verilog": "sampled"}
    return Hardware(
        "streaming", reason, emitted, lambda values: _evaluate(design, cores, values), proof, blocks=blocks,
        stream=explain(design, cores, found.places, found.timing.interval),
        cores={name: (core, rtl) for core, (name, rtl) in zip(cores, rtls.items(), strict=True)},
        timing=lambda bus: timed(design, pace, found.places, bus),
    )  # fmt: skip


def _evaluate(design: Design, cores: Sequence[Core], values: Ints) -> Ints:
    """The network's arithmetic as its cores do it: their graphs, or their folded layers."""

    def apply(index: int, seen: Ints) -> Ints:
        core = cores[index]
        if core.folding is not None:
            lowered: Lowered = core.folding.lowered
            return evaluate_lowered(lowered, seen)
        for graph in core.graphs:
            seen = evaluate_graph(graph, seen)
        return seen

    found = streamed(design, values, apply)
    return argmax(found, design.output_formats) if design.head == "argmax" else found
