"""What a build's options and ``--hls-config`` file say about its HLS project, settled for the design."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flow.build.facts import HlsProject
from flow.build.state import Build
from flow.core.design import Design
from flow.core.passes.names import renamed_layers
from flow.emit.hls.schedule import UNROLLED, HlsChoices, resolved

_UNROLLED_WEIGHTS = 200_000  # beyond which the C++ of unrolled sums does not compile in reasonable time


def settled(build: Build) -> HlsChoices:
    """Every group's valid schedule, noted among the build's facts with a note where a reuse factor was replaced."""
    asked, renamed = build.options.hls_choices, renamed_layers(build.design)
    if build.design.nodes:
        asked = replace(asked, io_type="io_stream")  # a pack per pixel, whatever was asked for
    asked = replace(asked, layers={renamed.get(name, name): entry for name, entry in asked.layers.items()})
    chosen, notes = resolved(build.design, _compilable(asked, build))
    layers = {name: list(entry["Groups"]) for name, entry in chosen.layers.items()}
    build.facts.hls_project = HlsProject(chosen.io_type, layers, notes)
    return chosen


def too_large(build: Build) -> str:
    """Why the project's C++ would not compile in reasonable time; empty where it does."""
    weights = _weights(build.design)
    if weights <= _UNROLLED_WEIGHTS or _compilable(build.options.hls_choices, build).layers:
        return ""
    return f"{weights} unrolled weights are too many for a C++ compiler; leave out --strategy latency"


def _compilable(chosen: HlsChoices, build: Build) -> HlsChoices:
    """The choices; of a large design without any, weights in memories and one input per step."""
    design, options = build.design, build.options
    asked = options.strategy or options.reuse_factor or options.hls_config
    if asked or chosen.default != UNROLLED or _weights(design) <= _UNROLLED_WEIGHTS:
        return chosen
    steps = {la.name: {"Strategy": "resource", "ReuseFactor": max(la.inputs, 1)} for la in design.layers}
    return replace(chosen, layers=steps)


def _weights(design: Design) -> int:
    return sum(int(np.count_nonzero(layer.matrix)) for layer in design.layers)
