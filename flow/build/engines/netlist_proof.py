"""Proves a build's synthesized netlist equal to its Verilog, and notes for each layer whether all of it is proved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flow.bench.description import Bench
from flow.build.facts import NetlistProof
from flow.build.state import Build
from flow.core.design import Design, layer_output_formats
from flow.emit.rtl.names import HEAD_INSTANCE, SHARED, LayerNames
from flow.files import plan
from flow.files.steps import digest_of
from flow.proof.netlist.prove import prove_netlist
from flow.proof.netlist.verdicts import Found
from flow.proof.text.prove import HEAD
from flow.proof.text.top import TOP
from flow.tools import yosys

LINK = "verilog-netlist"
_MOST_DIFFERENCES = 10
_MOST_CELLS = 150_000  # a netlist of more would take gigabytes
_OUTPUT = re.compile(r"out_data\[(\d+)\]")


def prove_synthesis(build: Build, bench: Bench, rtl_digest: str) -> None:
    """Compare ``synth/netlist.json`` with the Verilog, as a step that is kept.

    A refuted cone becomes a difference of the build; what is undecided is counted and named in ``facts``.
    """
    out, netlist = build.options.out, build.options.out / "synth" / "netlist.json"
    assert build.facts.synthesis is not None
    resources = build.facts.synthesis.resources
    cells = resources.lut_cells + resources.ff
    if cells > _MOST_CELLS:
        build.facts.undecided.append(f"netlist: none of its {cells:,} cells is compared, more than {_MOST_CELLS:,}")
        _note(build, dict.fromkeys(_layers(build), "undecided"))
        return

    def work() -> dict[str, Any]:
        folder = plan.fresh_folder(out / "netproof")
        plan.claim_tree(folder)
        proof = prove_netlist([f"../{s}" for s in bench.sources], bench.top, netlist, folder)
        return {
            "cones": len(proof.cones),
            "proved": proof.proved,
            "refuted": [_placed(build, f) for f in proof.refuted],
            "undecided": [_placed(build, f) for f in proof.undecided],
        }

    key = digest_of("netlist proof 6", rtl_digest, netlist.read_bytes(), yosys.version())
    found = build.steps.run("netlist proof", key, work)
    build.facts.netlist_proof = NetlistProof(
        found["cones"], found["proved"], len(found["refuted"]), len(found["undecided"]),
        build.steps.seconds["netlist proof"],
    )  # fmt: skip
    states = dict.fromkeys(_layers(build), "proved")
    for state in ("undecided", "refuted"):
        states |= dict.fromkeys(_affected(build, found[state]), state)
    _note(build, states)
    texts = [f["text"] for f in found["refuted"]]
    build.differences += [f"netlist: {text}" for text in texts[:_MOST_DIFFERENCES]]
    if len(texts) > _MOST_DIFFERENCES:
        build.differences.append(f"netlist: {len(texts) - _MOST_DIFFERENCES} more places differ from the Verilog")
    build.facts.undecided += [f["text"] for f in found["undecided"]]


def _layers(build: Build) -> list[str]:
    return [*(la.name for la in build.design.layers), TOP, *([HEAD] if build.design.head == "argmax" else [])]


def _affected(build: Build, found: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """The layers that findings belong to; in Verilog that knows no layers, all of them."""
    if build.options.rtl_engine != "own" and found:
        return _layers(build)
    return [f["layer"] for f in found]


def _note(build: Build, states: Mapping[str, str]) -> None:
    for layer, state in states.items():
        build.facts.proof.setdefault(layer, {})[LINK] = state


def _placed(build: Build, found: Found) -> dict[str, Any]:
    """A finding with its layer, and as a sentence that names layer, neuron and signal."""
    layer, neuron = _place(build.design, build.names, found.names)
    where = layer if " " in layer else f"layer {layer}"
    where += f", neuron {neuron}" if neuron is not None else ""
    return {"layer": layer, "text": f"{where}: {found.names[0]} {found.why}"}


def _place(design: Design, layers: Sequence[LayerNames], signals: Sequence[str]) -> tuple[str, int | None]:
    """The layer that a signal of the Verilog belongs to by its names, and its neuron where a name tells it."""
    by_instance = {layer.instance: layer for layer in layers}
    found: tuple[str, int | None] = (TOP, None)
    for signal in signals:
        instance, _, inner = signal.partition(".")
        layer, output = by_instance.get(instance), _OUTPUT.fullmatch(signal)
        if (inner and instance == HEAD_INSTANCE) or (output and design.head == "argmax"):
            found = HEAD, None
        elif inner and layer:
            neuron = layer.neuron_of(inner.partition("[")[0])
            if neuron not in (None, SHARED):
                return layer.layer, neuron
            found = layer.layer, None
        elif output:
            last = design.layers[-1]
            owners = [j for j, f in enumerate(layer_output_formats(last)) for _ in range(f.bits)]
            return last.name, owners[int(output[1])] if int(output[1]) < len(owners) else None
    return found
