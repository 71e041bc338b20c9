"""Proves the Verilog of parallel layers and of the argmax head, and notes which links of the chain are proved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flow.build.state import Build
from flow.core.design import to_json
from flow.emit.rtl.verilog import Rtl
from flow.files.steps import digest_of
from flow.parallel.graph import LayerGraph
from flow.proof.text.prove import HEAD, prove_head, prove_text
from flow.proof.text.top import TOP
from flow.streamed.cores import Core

_MOST_DIFFERENCES = 10
LINK = "graph-verilog"


def prove_cores(build: Build, cores: Mapping[str, tuple[Core, Rtl]], rtl_digest: str) -> None:
    """`prove_verilog` for the parallel cores of a streamed network, each a design with a top module of its own.

    What joins them, windows and handshakes, is compared by vectors alone.
    """
    parallel = {name: (core, rtl) for name, (core, rtl) in cores.items() if core.folding is None}

    def work() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, (core, rtl) in parallel.items():
            findings = prove_text(core.design, core.graphs, rtl.files, rtl.top, rtl.layer_latency_cycles)
            found[name] = [{"refuted": f.refuted, "text": f"core of layer {name}: {f}"} for f in findings]
        return found

    texts = [to_json(core.design) + repr(core.graphs) for core, _ in parallel.values()]
    findings = build.steps.run("text", digest_of("cores 1", rtl_digest, *texts), work)
    for name in parallel:
        wrong = [f["text"] for f in findings[name] if f["refuted"]]
        open_ones = [f["text"] for f in findings[name] if not f["refuted"]]
        state = "refuted" if wrong else "undecided" if open_ones else "proved"
        build.facts.proof.setdefault(name, {"design-graph": "proved"})[LINK] = state
        build.differences += [f"proof: {text}" for text in wrong[:_MOST_DIFFERENCES]]
        build.facts.undecided += open_ones


def prove_verilog(build: Build, graphs: Sequence[LayerGraph], rtl: Rtl, rtl_digest: str) -> None:
    """Prove the emitted text equal to ``graphs``; without any, of folded layers, the argmax head alone.

    What is refuted becomes a difference of the build; what is undecided is named in ``facts.undecided``.
    """
    design = build.design
    names = [*(graph.name for graph in graphs), TOP] if graphs else []
    names += [HEAD] if design.head == "argmax" else []

    def work() -> dict[str, Any]:
        latencies = rtl.layer_latency_cycles
        if graphs:
            found = prove_text(design, graphs, rtl.files, rtl.top, latencies)
        else:
            found = prove_head(design, rtl.files, f"{rtl.top}_argmax", latencies["argmax"])
        return {"findings": [{"layer": f.layer, "refuted": f.refuted, "text": str(f)} for f in found]}

    key = digest_of("text 1", rtl_digest, to_json(design), repr(graphs), repr(rtl.layer_latency_cycles))
    findings = build.steps.run("text", key, work)["findings"]
    wrong = Counter(f["layer"] for f in findings if f["refuted"])
    for name in names:
        state = "proved" if not any(f["layer"] == name for f in findings) else "undecided"
        build.facts.proof.setdefault(name, {"design-graph": "proved"})[LINK] = "refuted" if wrong[name] else state
    refuted = [f["text"] for f in findings if f["refuted"]]
    build.differences += [f"proof: {text}" for text in refuted[:_MOST_DIFFERENCES]]
    if len(refuted) > _MOST_DIFFERENCES:
        build.differences.append(f"proof: {len(refuted) - _MOST_DIFFERENCES} more places of the Verilog are wrong")
    build.facts.undecided += [f["text"] for f in findings if not f["refuted"]]
