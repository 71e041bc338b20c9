"""Yosys for the part's family, and what the netlist is made of; no engine of its own, others run what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

from flow.build.engines.engine import Made
from flow.build.facts import Synthesis
from flow.build.state import Build
from flow.core.design import layer_output_formats
from flow.files import plan
from flow.files.steps import digest_of
from flow.netlist.folded_usage import folded_origins
from flow.netlist.read import Resources, measured, netlist_module
from flow.netlist.sta import TimingPath, in_words, longest_paths
from flow.netlist.streamed_usage import streamed_origins
from flow.netlist.usage import Origins, lut_origins
from flow.parts.family import Delays
from flow.tools import yosys

_TIMEOUT_S = 3600.0
_PATHS = 10  # that the report lists
_ENDS = 2000  # of paths that are looked at for them


def synthesize(made: Made) -> None:
    """Synthesize the core in ``synth/``; cells, longest path and usage stand in the build's facts."""
    build, bench, out = made.build, made.bench, made.build.options.out
    family = build.options.part.yosys_family
    sources = [f"../{s}" for s in bench.sources]
    script = yosys.synthesis_script(sources, bench.top, family, made.hardware.may_use_dsp)

    def work() -> dict[str, Any]:
        plan.fresh_folder(out / "synth")
        yosys.synthesize(out / "synth", script, _TIMEOUT_S)
        with netlist_module(out / "synth" / "netlist.json", bench.top) as module:
            found, known = measured(module, build.options.part.family.routed), origins(build, module)
            path = found.longest_path
            if known is None:
                return asdict(Synthesis(found.resources, replace(path, through=()), {}))
            named, paths = in_words(path, known.name), _by_parts(module, build.options.part.family.routed, known)
            return asdict(Synthesis(found.resources, named, known.usage(found.sites), paths=paths))

    key = digest_of("synthesis 13", made.rtl_digest, script, yosys.version())
    kept: Mapping[str, Any] = build.steps.run("synthesis", key, work, ("synth",))
    resources, path = Resources(**kept["resources"]), TimingPath(**kept["path"])
    paths = [TimingPath(**entry) for entry in kept["paths"]]
    build.facts.synthesis = Synthesis(resources, path, kept["usage"], paths=paths)


def _by_parts(module: Mapping[str, Any], delays: Delays, known: Origins) -> list[TimingPath]:
    """The longest paths in words, one for each course through layers and neurons, longest first."""
    cells = {name: cell for name, cell in module["cells"].items() if cell["type"] != "$scopeinfo"}
    found: dict[tuple[str, ...], TimingPath] = {}
    for path in islice(longest_paths(cells, module["netnames"], delays), _ENDS):
        worded = in_words(path, known.name)
        found.setdefault(tuple(worded.through), worded)
        if len(found) == _PATHS:
            break
    return list(found.values())


def origins(build: Build, module: Mapping[str, Any]) -> Origins | None:
    """What the cells of the build's netlist belong to; None of XLS's, which merges layers."""
    assert build.hardware is not None
    if build.options.rtl_engine != "own":
        return None
    if build.design.nodes:
        return streamed_origins(module, [node.name for node in build.design.nodes])
    folding = build.hardware.folding
    if folding is not None:
        return folded_origins(module, {la.name: [g.coding for g in la.groups] for la in folding.layers})
    outputs = {la.name: [f.bits for f in layer_output_formats(la)] for la in build.design.layers}
    return lut_origins(module, outputs, build.names)
