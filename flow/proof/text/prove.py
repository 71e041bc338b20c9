"""Every module of an emitted parallel design against the graphs: the whole text, nothing by samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from flow.core.design import Design, layer_output_formats
from flow.parallel.graph import LayerGraph
from flow.proof.text.argmax import prove_argmax
from flow.proof.text.atoms import ATOMS, CARRIED, FULL_ADDER, Atoms, FullAdder, prove_atoms, prove_full_adder
from flow.proof.text.cells import ROW, SUM, Row
from flow.proof.text.findings import Fault, Finding, Unread
from flow.proof.text.layer import prove_layer
from flow.proof.text.nets import Cell
from flow.proof.text.parser import parse
from flow.proof.text.preprocess import preprocess
from flow.proof.text.rows import READINGS, prove_row
from flow.proof.text.syntax import Module
from flow.proof.text.tables import TABLE, Table, prove_table
from flow.proof.text.top import TOP, Stage, prove_top, stage_modules

HEAD = "argmax head"  # as layers of a report these two have a space in their name, which no layer has


def prove_text(
    design: Design, graphs: Sequence[LayerGraph], files: Mapping[str, str], top: str, latencies: Mapping[str, int]
) -> list[Finding]:
    """Prove Verilog ``files`` (name to text) equal to proven ``graphs``; gives what is refuted or undecided.

    ``latencies`` are clock cycles by layer, ``argmax`` for the head's. Together with ``flow.parallel.proof`` an empty
    list means: whatever vector enters, its result leaves the module ``top`` after that many cycles with ``out_valid``,
    and is the design's in every bit. Findings name the layer, or ``TOP`` and ``HEAD``.
    """
    modules, unread = _modules(files)
    try:
        names = _layers(modules, unread, top)
        stages = _stages(design, graphs, latencies)
        if len(names) != len(stages) or len(set(names)) != len(names):
            raise Fault(f"has {len(names)} layers instead of {len(stages)}")
    except (Fault, Unread) as exc:
        return [Finding(TOP, -1, "", str(exc), isinstance(exc, Fault))]
    by_name = dict(zip(names, stages, strict=True))
    findings = _decided(TOP, lambda: prove_top(modules[top], by_name))
    cells = _cells(files)
    for index, name in enumerate(names):
        layer = graphs[index].name if index < len(graphs) else HEAD
        if name not in modules:
            problem = unread.get(name, Fault(f"has no module {name}"))
            findings.append(Finding(layer, -1, "", str(problem), isinstance(problem, Fault)))
        elif layer == HEAD:
            findings += _decided(HEAD, partial(prove_argmax, design, modules[name], latencies["argmax"], HEAD))
        else:
            proof = partial(prove_layer, design, index, graphs[index], modules[name], cells, latencies[layer])
            findings += _decided(layer, proof)
    return findings


def _cells(files: Mapping[str, str]) -> dict[str, Cell]:
    """What layers may consist of: the modules of rows and tables that the files have, proved for each use."""
    row, atoms, carried, adder, table = (
        "\n".join(text for text in files.values() if any(_declares(text, name) for name in names))
        for names in ((ROW, SUM), (ATOMS,), (CARRIED,), (FULL_ADDER,), (TABLE,))
    )
    found: dict[str, Cell] = {}
    if row:
        for name in (ROW, SUM):
            found[name] = Row(name, lambda module, width, result: prove_row(row, width, result, module))
    for name, module_text in ((ATOMS, atoms), (CARRIED, carried)):
        if module_text:
            found[name] = Atoms(name, partial(prove_atoms, module_text))
    if adder:
        found[FULL_ADDER] = FullAdder(partial(prove_full_adder, adder))
    if table:
        found[TABLE] = Table(partial(prove_table, table))
    return found


def prove_head(design: Design, files: Mapping[str, str], module: str, latency_cycles: int) -> list[Finding]:
    """Prove the argmax head of a design by itself, ``module`` of one of ``files``: what is refuted or undecided.

    For the top of a folded design, of which the head is the one part that is written as parallel layers are.
    """
    modules, unread = _modules({name: text for name, text in files.items() if _declares(text, module)})
    if module not in modules:
        problem = unread.get(module, Fault(f"has no module {module}"))
        return [Finding(HEAD, -1, "", str(problem), isinstance(problem, Fault))]
    return _decided(HEAD, lambda: prove_argmax(design, modules[module], latency_cycles, HEAD))


def _decided(layer: str, proof: Callable[[], list[Finding]]) -> list[Finding]:
    """What a module's proof finds; where it ends for want of room, that the module is undecided."""
    try:
        return proof()
    except Unread as exc:
        return [Finding(layer, -1, "", str(exc), False)]


def _layers(modules: Mapping[str, Module], unread: Mapping[str, Fault | Unread], top: str) -> list[str]:
    """The modules of the layers, as the top instantiates them."""
    if top not in modules:
        raise unread.get(top, Fault(f"has no module {top}"))
    return stage_modules(modules[top])


def _modules(files: Mapping[str, str]) -> tuple[dict[str, Module], dict[str, Fault | Unread]]:
    """The modules of all files but those of rows, and by name of module why others were not read."""
    found: dict[str, Module] = {}
    unread: dict[str, Fault | Unread] = {}
    for file, text in files.items():
        if any(_declares(text, name) for name in (ROW, SUM, ATOMS, CARRIED, FULL_ADDER, TABLE)):
            continue
        try:
            for module in _read(text):
                if module.name in found:
                    unread[module.name] = Fault(f"declares module {module.name} twice")
                found[module.name] = module
        except (Unread, Fault) as exc:
            names = [
                line.split()[1] for line in text.splitlines() if line.split()[:1] == ["module"] and line.split()[1:]
            ]
            unread |= dict.fromkeys(names, type(exc)(f"in {file}, {exc}"))
    return {name: module for name, module in found.items() if name not in unread}, unread


def _read(text: str) -> list[Module]:
    read = [preprocess(text, macros) for macros in READINGS]
    if len(set(read)) > 1:
        raise Unread("what it says depends on macros")
    try:
        return parse(read[0])
    except RecursionError:
        raise Unread("it is nested too deeply") from None


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
