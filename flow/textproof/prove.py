"""Every module of an emitted parallel design against the graphs: the whole text, nothing by samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flow.graph import LayerGraph
from flow.ir import Design, layer_output_formats
from flow.textproof.argmax import prove_argmax
from flow.textproof.cells import ROW, Row
from flow.textproof.findings import Fault, Finding, Unread
from flow.textproof.layer import prove_layer
from flow.textproof.nets import Cell
from flow.textproof.parser import parse
from flow.textproof.preprocess import preprocess
from flow.textproof.rows import READINGS, prove_row
from flow.textproof.syntax import Module
from flow.textproof.top import TOP, Stage, prove_top, stage_modules

HEAD = "argmax head"  # as layers of a report these two have a space in their name, which no layer has


def prove_text(
    design: Design, graphs: Sequence[LayerGraph], files: Mapping[str, str], top: str, latencies: Mapping[str, int]
) -> list[Finding]:
    """Prove Verilog ``files`` (name to text) equal to proven ``graphs``; gives what is refuted or undecided.

    ``latencies`` are clock cycles by layer, ``argmax`` for the head's. Together with ``flow.proof`` an empty list
    means: whatever vector enters, its result leaves the module ``top`` after that many cycles with ``out_valid``, and
    is the design's in every bit. Findings name the layer, or ``TOP`` and ``HEAD``.
    """
    try:
        modules = _modules(files)
        if top not in modules:
            raise Fault(f"has no module {top}")
        names = stage_modules(modules[top])
        stages = _stages(design, graphs, latencies)
        if len(names) != len(stages) or len(set(names)) != len(names):
            raise Fault(f"has {len(names)} layers instead of {len(stages)}")
        if missing := [name for name in names if name not in modules]:
            raise Fault(f"has no module {missing[0]}")
    except (Fault, Unread) as exc:
        return [Finding(TOP, -1, "", str(exc), isinstance(exc, Fault))]
    findings = prove_top(modules[top], dict(zip(names, stages, strict=True)))
    row = next((text for text in files.values() if _declares(text, ROW)), "")
    cells: dict[str, Cell] = {ROW: Row(lambda width, result: prove_row(row, width, result))} if row else {}
    for index, graph in enumerate(graphs):
        findings += prove_layer(design, index, graph, modules[names[index]], cells, latencies[graph.name])
    if design.head == "argmax":
        findings += prove_argmax(design, modules[names[-1]], latencies["argmax"], HEAD)
    return findings


def _modules(files: Mapping[str, str]) -> dict[str, Module]:
    """The modules of all files but ``nmp_row``'s. Raises Unread for what is not known, Fault for a name used twice."""
    found: dict[str, Module] = {}
    for name, text in files.items():
        if _declares(text, ROW):
            continue
        try:
            read = [preprocess(text, macros) for macros in READINGS]
            if len(set(read)) > 1:
                raise Unread("depends on macros")
            for module in parse(read[0]):
                if module.name in found:
                    raise Fault(f"declares module {module.name} twice")
                found[module.name] = module
        except (Unread, Fault) as exc:
            raise type(exc)(f"file {name}: {exc}") from None
        except RecursionError:
            raise Unread(f"file {name} is nested too deeply") from None
    return found


def _declares(text: str, module: str) -> bool:
    return any(line.split()[:2] == ["module", module] for line in text.splitlines())


def _stages(design: Design, graphs: Sequence[LayerGraph], latencies: Mapping[str, int]) -> list[Stage]:
    """The stages that a top is to consist of: ports are as wide as their formats, at least one bit."""
    found = []
    width = sum(f.bits for f in design.input_formats) or 1
    for layer, graph in zip(design.layers, graphs, strict=True):
        after = sum(f.bits for f in layer_output_formats(layer)) or 1
        found.append(Stage(width, after, latencies[graph.name]))
        width = after
    if design.head == "argmax":
        found.append(Stage(width, max((len(design.output_formats) - 1).bit_length(), 1), latencies["argmax"]))
    return found
