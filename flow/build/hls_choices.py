"""What a build's options and ``--hls-config`` file say about its HLS project, checked against the design."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from flow.build.state import Build, Options
from flow.core.design import Design
from flow.core.errors import ConfigError
from flow.core.passes.names import renamed_layers
from flow.core.untrusted import read_yaml, refused
from flow.emit.hls.schedule import UNROLLED, HlsChoices, choices, resolved

_UNROLLED_WEIGHTS = 200_000  # beyond which the C++ of unrolled sums does not compile in reasonable time


def from_options(options: Options) -> HlsChoices:
    """The choices of a build. Raises UsageError for an unknown name or number, ConfigError for the file."""
    path = options.hls_config
    content, where = (None, "the HLS config") if path is None else (_read(path), str(path))
    return choices(options.hls_io, options.strategy, options.reuse_factor, content, where)


def settled(build: Build) -> HlsChoices:
    """Every group's valid schedule, noted among the build's facts with a note where a reuse factor was replaced."""
    asked, renamed = from_options(build.options), renamed_layers(build.design)
    asked = replace(asked, layers={renamed.get(name, name): entry for name, entry in asked.layers.items()})
    chosen, notes = resolved(build.design, _compilable(asked, build))
    layers = {name: list(entry["Groups"]) for name, entry in chosen.layers.items()}
    build.facts["hls_project"] = {"io_type": chosen.io_type, "layers": layers, "notes": list(notes)}
    return chosen


def too_large(build: Build) -> str:
    """Why the project's C++ would not compile in reasonable time; empty where it does."""
    weights = _weights(build.design)
    if weights <= _UNROLLED_WEIGHTS or _compilable(from_options(build.options), build).layers:
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


def _read(path: Path) -> Any:
    with refused(ConfigError, str(path), "python -m flow.hls_config writes one"):
        return read_yaml(path)
