"""What a build's options and ``--hls-config`` file say about its HLS project, checked against the design."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from flow import plan
from flow.emit.hls_schedule import HlsChoices, choices, resolved
from flow.errors import UsageError
from flow.pipeline import Build, Options


def from_options(options: Options) -> HlsChoices:
    """The choices of a build. Raises UsageError for an unknown name, a number out of range or an unreadable file."""
    path = options.hls_config
    content, where = (None, "the HLS config") if path is None else (_read(path), str(path))
    return choices(options.hls_io, options.strategy, options.reuse_factor, content, where)


def settled(build: Build) -> HlsChoices:
    """Every group's valid schedule, noted among the build's facts with a note where a reuse factor was replaced."""
    chosen, notes = resolved(build.design, from_options(build.options))
    layers = {name: list(entry["Groups"]) for name, entry in chosen.layers.items()}
    build.facts["hls_project"] = {"io_type": chosen.io_type, "layers": layers, "notes": list(notes)}
    return chosen


def _read(path: Path) -> Any:
    with plan.readable_input(path):
        text = path.read_text(encoding="utf-8")
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as exc:
        reason = " ".join(str(exc).split())
        raise UsageError(f"{path}: not YAML ({reason:.120}); python -m flow.hls_config writes one") from None
