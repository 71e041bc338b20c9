"""Yosys for the part's family, and what the netlist is made of; no engine of its own, others run what it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from flow.build.engines.engine import Made
from flow.build.facts import Synthesis
from flow.build.state import Build
from flow.core.design import layer_output_formats
from flow.files import plan
from flow.files.steps import digest_of
from flow.folded.explanation import FoldingReport
from flow.netlist.folded_usage import folded_usage, part_namer
from flow.netlist.read import Resources, read_netlist
from flow.netlist.sta import TimingPath, in_words
from flow.netlist.usage import cell_namer, lut_usage
from flow.tools import yosys

_TIMEOUT_S = 3600.0


def synthesize(made: Made) -> None:
    """Synthesize the core in ``synth/``; cells, longest path and usage stand in the build's facts."""
    build, bench, out = made.build, made.bench, made.build.options.out
    parallel = made.hardware.architecture == "parallel"
    family = build.options.part.yosys_family
    script = yosys.synthesis_script([f"../{s}" for s in bench.sources], bench.top, family, dsp=not parallel)

    def work() -> dict[str, Any]:
        plan.fresh_folder(out / "synth")
        yosys.synthesize(out / "synth", script, _TIMEOUT_S)
        found = read_netlist(out / "synth" / "netlist.json", bench.top, build.options.part.family.routed)
        path = in_words(found.longest_path, _namer(made))
        return asdict(Synthesis(found.resources, path, _usage(made)))

    key = digest_of("synthesis 11", made.rtl_digest, script, yosys.version())
    kept: Mapping[str, Any] = build.steps.run("synthesis", key, work, ("synth",))
    resources, path = Resources(**kept["resources"]), TimingPath(**kept["path"])
    build.facts.synthesis = Synthesis(resources, path, kept["usage"])


def _usage(made: Made) -> dict[str, Any]:
    """The netlist's LUT sites by neuron or, folded, by group. XLS merges layers: nothing can be said of its logic."""
    build, bench, out = made.build, made.bench, made.build.options.out
    netlist = out / "synth" / "netlist.json"
    if build.options.rtl_engine != "own":
        return {}
    if made.hardware.folding is not None:
        return folded_usage(netlist, bench.top, _groups(made.hardware.folding))
    return lut_usage(netlist, bench.top, _outputs(build), build.names)


def _namer(made: Made) -> Callable[[str], str | None]:
    """Names a cell of the netlist by layer and neuron or, folded, by layer and part."""
    build, top = made.build, made.bench.top
    netlist = build.options.out / "synth" / "netlist.json"
    if build.options.rtl_engine != "own":
        return lambda cell: None
    if made.hardware.folding is not None:
        return part_namer(netlist, top, _groups(made.hardware.folding))
    return cell_namer(netlist, top, _outputs(build), build.names)


def _groups(folding: FoldingReport) -> dict[str, list[str]]:
    return {la.name: [g.coding for g in la.groups] for la in folding.layers}


def _outputs(build: Build) -> dict[str, list[int]]:
    return {la.name: [f.bits for f in layer_output_formats(la)] for la in build.design.layers}
