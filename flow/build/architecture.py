"""The architecture of a build: parallel where it fits, folded where it does not, or what the user asked for."""

from __future__ import annotations

from typing import get_args

from flow.build import choices
from flow.build.hardware import Hardware
from flow.build.streaming import stream_hardware
from flow.core.design import Design
from flow.core.errors import DesignError, UsageError
from flow.core.evaluate import argmax
from flow.core.fixed import Ints
from flow.core.nodes import Form
from flow.emit.rtl.folded import emit_folded
from flow.emit.rtl.verilog import emit_parallel
from flow.folded.explanation import explain
from flow.folded.folding import Folding
from flow.folded.lowering import evaluate_lowered, lower
from flow.folded.proof.layer import prove_folded
from flow.folded.search import USABLE_LUT, fastest, in_blocks, interval_for, smallest
from flow.parallel.generators import build_graphs
from flow.parallel.graph import LayerGraph, evaluate_graph
from flow.parallel.sites import Target, least_sites
from flow.parts.catalog import Part

ARCHITECTURES = get_args(choices.Architecture)
STREAMING = "streaming"
NO_WINDOWS = "--architecture streaming is for networks of windows over pixels, which this is not"
# Adder graphs of more weights than this take minutes to find and never fit the parts we know.
MAX_PARALLEL_WEIGHTS = 60_000
PARALLEL_SHARE = USABLE_LUT  # of the part's LUT sites that `auto` takes for parallel hardware


def form_of(architecture: str) -> Form:
    """Whether an architecture has windows over pixels unrolled or streamed, as `flow.extract.extract` takes it."""
    if architecture == STREAMING:
        return "streamed"
    return "auto" if architecture == "auto" else "unrolled"


def check_wishes(
    architecture: str,
    interval: int | None,
    results_per_second: float | None,
    pipeline: str = "auto",
    dsp: int | None = None,
) -> None:
    """Raises UsageError where wishes contradict each other."""
    if dsp and (architecture == "parallel" or pipeline == "rows"):
        raise UsageError("--dsp is for folded hardware; parallel hardware multiplies by constants, in LUTs; drop it")
    if pipeline == "rows" and (architecture in ("folded", STREAMING) or (interval or 1) > 1):
        raise UsageError("--pipeline rows registers the rows of parallel hardware; drop it, or folded and the interval")
    if results_per_second is not None and interval is not None:
        raise UsageError("give --initiation-interval or --results-per-second, not both")
    if architecture == "parallel" and (interval or 1) > 1:
        raise UsageError("--architecture parallel gives a result every cycle; drop the interval or ask for folded")


def choose(
    design: Design,
    part: Part,
    clock_period_ns: float,
    architecture: str = "auto",
    interval: int | None = None,
    results_per_second: float | None = None,
    pipeline: str = "auto",
    dsp: int | None = None,
) -> Hardware:
    """Hardware for a design: the smallest that meets the interval or the rate, without either the fastest that fits.

    ``pipeline="rows"`` is parallel hardware with registers behind every row; ``dsp`` is how many DSP blocks folded
    hardware may use, None where the search says. Raises UsageError where the wishes
    contradict each other, DesignError where they cannot be met.
    """
    check_wishes(architecture, interval, results_per_second, pipeline, dsp)
    if design.nodes:
        return stream_hardware(design, part, clock_period_ns, interval, results_per_second)
    if architecture == STREAMING:
        raise UsageError(NO_WINDOWS)
    if results_per_second is not None:
        interval = interval_for(results_per_second, clock_period_ns)
        check_wishes(architecture, interval, None, pipeline, dsp)
    why = "asked for"
    target = Target(clock_period_ns, part.family, every_row=pipeline == "rows")
    if target.every_row and architecture == "auto":
        architecture, why = "parallel", "a register behind every row was asked for"
    if architecture == "auto":
        graphs, why = _parallel_graphs(design, part, interval, target)
        architecture = "parallel" if graphs is not None else "folded"
        if graphs is not None:
            return _parallel(design, graphs, target, why)
    if architecture == "parallel":
        return _parallel(design, build_graphs(design, target), target, why)
    return _folded(design, part, clock_period_ns, interval, why, dsp)


def _parallel_graphs(
    design: Design, part: Part, interval: int | None, target: Target
) -> tuple[tuple[LayerGraph, ...] | None, str]:
    """The adder graphs where the parallel architecture is the choice, and the reason for the choice."""
    if interval is not None and interval > 1:
        return None, f"an interval of {interval} cycles was asked for"
    weights = sum(int((layer.matrix != 0).sum()) for layer in design.layers)
    if weights > MAX_PARALLEL_WEIGHTS:
        return None, f"{weights} weights are too many to give each its own adder"
    graphs = build_graphs(design, target)
    luts = sum(target.sites(graph) for graph in graphs)
    share = f"about {luts:.0f} of {part.lut} LUT sites in parallel"
    if luts <= PARALLEL_SHARE * part.lut:
        return graphs, share
    return None, share


def _parallel(design: Design, graphs: tuple[LayerGraph, ...], target: Target, why: str) -> Hardware:
    rtl = emit_parallel(design, graphs, target.clock_period_ns, target.family, target.every_row)

    def evaluate(values: Ints) -> Ints:
        for graph in graphs:
            values = evaluate_graph(graph, values)
        return argmax(values, design.output_formats) if design.head == "argmax" else values

    return Hardware(
        "parallel",
        why,
        rtl,
        evaluate,
        proof={g.name: {"design-graph": "proved"} for g in graphs},  # build_graphs raises where a proof fails
        graphs=graphs,
        adders={g.name: g.adders for g in graphs},
        generators={g.name: g.generator for g in graphs},
        least_sites={g.name: least_sites(g) for g in graphs},
    )


def _folded(
    design: Design, part: Part, clock_period_ns: float, interval: int | None, why: str, dsp: int | None
) -> Hardware:
    lowered = lower(design)
    if not lowered.layers and not lowered.constants:
        raise DesignError("the design has no outputs")
    folding: Folding = fastest(lowered, part, dsp) if interval is None else smallest(lowered, part, interval, dsp)
    rtl = emit_folded(folding, clock_period_ns, part.family)
    blocks = prove_folded(folding, rtl.files, rtl.top)

    def evaluate(values: Ints) -> Ints:
        logits = evaluate_lowered(lowered, values)
        return argmax(logits, design.output_formats) if design.head == "argmax" else logits

    # from design to Verilog at once: arithmetic, then what the simulations alone show, clock alignment and handshakes
    proof = {la.name: {"design-graph": "sampled", "graph-verilog": "sampled"} for la in design.layers}
    explained = explain(folding, part, clock_period_ns)
    hint, blocks_cost = "", in_blocks(folding, part) if dsp is None else None
    if blocks_cost is not None:
        hint = (
            f"as folded here the design takes about {folding.cost.lut:.0f} LUT sites and no DSP block; with "
            f"--initiation-interval {folding.interval} --dsp {blocks_cost.dsp} about {blocks_cost.lut:.0f}"
        )
    return Hardware("folded", why, rtl, evaluate, proof, blocks=blocks, folding=explained, hint=hint)
