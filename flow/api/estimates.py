"""What a model will cost as hardware, before any graph is searched or synthesized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flow.api.designs import design_of
from flow.api.door import door, number
from flow.build.architecture import (
    ARCHITECTURES,
    MAX_PARALLEL_WEIGHTS,
    NO_WINDOWS,
    PARALLEL_SHARE,
    STREAMING,
    check_wishes,
    form_of,
)
from flow.core.design import Design
from flow.core.errors import UsageError
from flow.folded.explanation import explain
from flow.folded.lowering import lower
from flow.folded.search import fastest, interval_for, smallest
from flow.parallel.sites import Target
from flow.parts import catalog
from flow.parts.catalog import Part
from flow.streamed.cores import Solver, node_sites
from flow.streamed.timing import cycles
from keras_models.layers.counts import luts_by_layer


@dataclass(frozen=True)
class Estimate:
    """An estimate of a build's figures; ``lut`` are LUT sites, ``layers`` those of each layer.

    Of parallel hardware by the formula that steers training (`keras_models.layers.counts`), of folded and streamed
    hardware by the search that a build makes too; ``lut`` of a streamed network has the rows above its windows as well.
    """

    part: str
    architecture: str
    lut: int
    dsp: int
    bram18: int
    initiation_interval: int
    results_per_second: float
    fits: bool
    layers: Mapping[str, int]


@door
def estimate(
    model: Any,
    part: str | Part = "xc7z020",
    *,
    architecture: str = "auto",
    initiation_interval: int | None = None,
    results_per_second: float | None = None,
    clock_period_ns: float = 10.0,
    dsp: int | None = None,
    input_format: str | None = None,
) -> Estimate:
    """The cost of a model (a Keras model, a file, or a design) as a build with these options would make it.

    Takes well under a second for parallel models, some more to search the folding of large ones, and once some seconds
    to import Keras where the model is the file of one. Raises ModelError, DesignError, PartError or UsageError.
    """
    if not isinstance(part, str | Part):
        raise UsageError(f"part={part!r:.40}: give a device or board by its name, such as xc7z020")
    number("clock_period_ns", clock_period_ns, 1, 1000)
    number("initiation_interval", initiation_interval, 1, whole=True)
    number("results_per_second", results_per_second, 1)
    number("dsp", dsp, 0, whole=True)
    if input_format is not None and not isinstance(input_format, str):
        raise UsageError(f'input_format={input_format!r:.40}: give a format, such as "s16.10"')
    chosen = catalog.resolve(part) if isinstance(part, str) else part
    if architecture not in ARCHITECTURES:
        raise UsageError(f"architecture {architecture!r} is not known; choose {', '.join(ARCHITECTURES)}")
    design = design_of(model, input_format, form_of(architecture))
    check_wishes(architecture, initiation_interval, results_per_second, dsp=dsp)
    if results_per_second is not None:
        initiation_interval = interval_for(results_per_second, clock_period_ns)
    if design.nodes:
        return _streamed(design, chosen, architecture, clock_period_ns, initiation_interval, dsp)
    if architecture == STREAMING:
        raise UsageError(NO_WINDOWS)
    layers = {la.name: round(luts) for la, luts in zip(design.layers, _parallel_luts(design), strict=True)}
    luts = sum(layers.values())
    if architecture == "auto":
        architecture = "parallel" if _stays_parallel(design, luts, chosen, initiation_interval) else "folded"
    if architecture == "parallel":
        return Estimate(chosen.name, "parallel", luts, 0, 0, 1, 1e9 / clock_period_ns, luts <= chosen.lut, layers)
    lowered, interval = lower(design), initiation_interval
    folding = fastest(lowered, chosen, dsp) if interval is None else smallest(lowered, chosen, interval, dsp)
    found = explain(folding, chosen, clock_period_ns)
    cost, rate = found.estimate, found.results_per_second
    return Estimate(
        chosen.name, "folded", cost.lut, cost.dsp, cost.bram18, found.interval_cycles, rate, cost.fits,
        {layer.name: layer.lut for layer in found.layers},
    )  # fmt: skip


def _streamed(
    design: Design, part: Part, architecture: str, clock_period_ns: float, interval: int | None, dsp: int | None
) -> Estimate:
    """The cores that a build chooses; their cycles per image without those in which they wait for each other."""
    if architecture not in ("auto", STREAMING) or dsp is not None:
        raise UsageError(f"{design.name} is a streamed network; leave architecture and dsp out")
    solver = Solver(design, part, Target(clock_period_ns, part.family))
    cores = solver.fastest() if interval is None else solver.within(interval)
    dense = zip(cores, solver.nodes, strict=True)
    image = max(solver.shortest, *(cycles(node.window, core.interval) for core, node in dense))
    made = {core.design.layers[0].name: core for core in cores}
    luts = {node.name: node_sites(design, k, made.get(node.name)) for k, node in enumerate(design.nodes)}
    layers = {name: round(sites) for name, sites in luts.items()}
    bram18 = round(solver.memories + sum(core.bram18 for core in cores))
    return Estimate(
        part.name, STREAMING, round(sum(luts.values())), sum(c.dsp for c in cores),
        bram18, image, 1e9 / clock_period_ns / image, solver.fits(cores), layers,
    )  # fmt: skip


def _parallel_luts(design: Design) -> list[float]:
    description: list[dict[str, Any]] = [
        {"kind": "quantizer", "bits": np.array([q.format.bits for q in design.inputs], np.int64)}
    ]
    for layer in design.layers:
        description.append({"kind": "dense", "weights": layer.matrix})
        bits = [n.output.format.bits if n.output else None for n in layer.neurons]
        if None not in bits:
            description.append({"kind": "quantizer", "bits": np.array(bits, np.int64)})
    return list(luts_by_layer(description))


def _stays_parallel(design: Design, luts: int, part: Part, interval: int | None) -> bool:
    """What a build with ``auto`` decides, by the estimate in place of its graphs."""
    weights = sum(int(np.count_nonzero(layer.matrix)) for layer in design.layers)
    return (interval or 1) == 1 and weights <= MAX_PARALLEL_WEIGHTS and luts <= PARALLEL_SHARE * part.lut
