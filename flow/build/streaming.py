"""The hardware of a streamed network: cores at one rate, windows, and what a report says of each node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flow.build.hardware import Hardware
from flow.core.design import Design
from flow.core.evaluate import argmax, evaluate_layer, streamed
from flow.core.fixed import Ints
from flow.emit.rtl.streamed import emit_streamed
from flow.folded.lowering import Lowered, evaluate_lowered
from flow.folded.proof.layer import prove_folded
from flow.folded.search import interval_for
from flow.parallel.graph import evaluate_graph
from flow.parallel.sites import Target
from flow.parts.catalog import Part
from flow.streamed.cores import Core, Solver, beats, pixel_bits
from flow.streamed.queues import queues


@dataclass(frozen=True)
class NodeRow:
    """What a report says of a node: its window on which map, how it is computed, and what that is about to cost.

    ``interval`` are cycles per position, ``cycles`` those that an image takes here; ``buffer_bits`` lie in the rows
    above the window and under it, ``lut`` are sites by estimate.
    """

    name: str
    kind: str
    sources: Sequence[str]
    shape: Sequence[int]
    window: Sequence[int]
    strides: Sequence[int]
    padding: Sequence[Sequence[int]]
    positions: Sequence[int]
    channels: int
    core: str
    interval: int
    cycles: int
    buffer_bits: int
    lut: int
    bram18: int


@dataclass(frozen=True)
class StreamReport:
    """A streamed network: cycles per image, and its nodes in their order; ``queues`` are places at forks, by name."""

    cycles_per_image: int
    nodes: Sequence[NodeRow]
    queues: Mapping[str, int]


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
    places = queues(design, cores)
    emitted = emit_streamed(design, cores, places, clock_period_ns, part.family)
    kinds = [_kind(core) for core in cores]
    reason = f"{kinds.count('parallel')} of {len(cores)} layers parallel, the others folded"
    blocks, proof = {}, {}
    for core in cores:
        (layer,) = core.design.layers
        if core.folding is None:
            proof[layer.name] = {"design-graph": "proved"}  # build_graphs raises where a proof fails
            continue
        rtl = emitted.cores[layer.name]
        blocks |= prove_folded(core.folding, rtl.files, rtl.top)
        proof[layer.name] = {"design-graph": "sampled", "graph-verilog": "sampled"}
    return Hardware(
        "streaming", reason, emitted.rtl, lambda values: _evaluate(design, cores, values), proof, blocks=blocks,
        stream=_report(design, cores, places, emitted.rtl.initiation_interval),
        cores={core.design.layers[0].name: (core, emitted.cores[core.design.layers[0].name]) for core in cores},
    )  # fmt: skip


def _kind(core: Core) -> str:
    return "parallel" if core.folding is None else "folded"


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


def _report(
    design: Design, cores: Sequence[Core], places: Mapping[tuple[int, int], int], cycles: int
) -> StreamReport:
    names = {-1: "input", **{k: node.name for k, node in enumerate(design.nodes)}}
    rows = []
    for number, node in enumerate(design.nodes):
        window = node.window
        core = cores[design.layer_of(number)] if node.kind == "dense" else None
        reach, width = window.reach, (window.shape[-2] + sum(window.padded[-1])) if window.padded else 1
        held = int(np.prod(reach, dtype=int)) + (reach[0] - 1) * width * (len(reach) > 1)
        interval = core.interval if core else 1
        rows.append(
            NodeRow(
                node.name, node.kind, [names[s] for s in node.sources], window.shape, window.size, window.strides,
                window.padded, window.positions, len(design.spans(number)), _kind(core) if core else "maximum",
                interval, max(beats(node), interval * window.count),
                held * pixel_bits(design, number) if window.places > 1 else 0,
                round(core.sites) if core else 0, core.bram18 if core else 0,
            )
        )  # fmt: skip
    return StreamReport(cycles, rows, {f"{names[a]} to {names[b]}": n for (a, b), n in places.items()})
