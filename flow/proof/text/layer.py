"""One layer's module, node by node, against its graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flow.core.design import Design, layer_output_formats
from flow.core.fixed import Ints
from flow.parallel.graph import LayerGraph, evaluate_graph, node_names
from flow.proof.text import trial
from flow.proof.text.compare import Above, Comparison, Spec
from flow.proof.text.findings import Fault, Finding, Unread
from flow.proof.text.nets import Cell
from flow.proof.text.nodes import Nodes
from flow.proof.text.space import Space, Vector, constant
from flow.proof.text.sums import Form
from flow.proof.text.syntax import Module

_LIFTED = 3  # findings for which inputs are looked for


def prove_layer(
    design: Design, index: int, graph: LayerGraph, module: Module, cells: Mapping[str, Cell], latency: int
) -> list[Finding]:
    """What of layer ``index``'s module is not proved equal to its graph, ``latency`` cycles later."""
    layer = design.layers[index]
    try:
        comparison, nodes = _comparison(design, index, graph, module, cells)
        run_all(comparison, sum(f.bits for f in layer_output_formats(layer)) or 1)
    except (Fault, Unread) as exc:
        return [Finding(layer.name, -1, "", str(exc), isinstance(exc, Fault))]
    driven, low = [], 0
    for j, (node, fmt) in enumerate(zip(graph.outputs, layer_output_formats(layer), strict=True)):
        if fmt.bits:
            driven.append((j, comparison.output("y", low, nodes.extended(node, fmt.bits), latency, j)))
        low += fmt.bits
    inputs = graph.nodes[: layer.inputs]
    limits = [(node.low, node.high) for node in inputs]
    lift(comparison, nodes.bits[: len(inputs)], limits, driven, lambda x: evaluate_graph(graph, x))
    return comparison.findings


def _comparison(
    design: Design, index: int, graph: LayerGraph, module: Module, cells: Mapping[str, Cell]
) -> tuple[Comparison, Nodes]:
    space, names = Space(), node_names(graph)
    nodes = Nodes(space, graph, names)
    formats = design.formats_into(index)
    port = packed([nodes.extended(i, fmt.bits) for i, fmt in enumerate(formats)])
    specs = {}
    for i, node in enumerate(graph.nodes):
        if node.kind != "input" and not nodes.constant(i):
            specs[names[i]] = Spec(node.neuron, nodes.bits[i], _wanted(nodes, i))
    return Comparison(space, module, {"x": port}, cells, specs, design.layers[index].name), nodes


def _wanted(nodes: Nodes, i: int) -> Callable[[], Above | Form | Vector]:
    def wanted() -> Above | Form | Vector:
        form, cut = nodes.form(i), nodes.graph.nodes[i].carried_columns
        found = Above(form, cut) if form and cut else form if form is not None else nodes.function(i)
        if found is None:
            raise Unread(f"a node of kind {nodes.graph.nodes[i].kind} is not known")
        return found

    return wanted


def packed(values: Sequence[Vector]) -> Vector:
    """A port of packed values, the first in the lowest bits; without any bits it is one bit that means nothing."""
    return tuple(bit for value in values for bit in value) or constant(0, 1)


def run_all(comparison: Comparison, outputs: int) -> None:
    """Evaluate all that ``y``, of ``outputs`` bits, depends on, in the order of the text.

    What ends early ends again when it is read. Raises Fault or Unread where ports or clocks are not a layer's.
    """
    ports = sorted((p.direction, p.declaration.name) for p in comparison.elaboration.module.ports)
    if ports != [("input", "clk"), ("input", "x"), ("output", "y")]:
        raise Unread("has other ports than clk, x and y")
    if comparison.elaboration.net("y", "output").width != outputs:
        raise Fault(f"has an output of another width than {outputs} bits")
    comparison.clocked()
    for driver in comparison.in_order(["y"]):
        try:
            comparison.run(driver)
        except (Fault, Unread, RecursionError):
            continue


def lift(
    comparison: Comparison, values: Sequence[Vector], limits: Sequence[tuple[int, int]],
    driven: Sequence[tuple[int, Vector]], reference: Callable[[Ints], Ints],
) -> None:  # fmt: skip
    """Look for inputs for which the module's outputs really differ, for the first findings that are refuted.

    ``values`` are the inputs' bits, ``driven`` what drives the bits of output ``j``, ``reference`` the outputs that
    are to be.
    """
    rng = np.random.default_rng(1)
    owners = [comparison.space.owner(bits[0]) if bits else None for bits in values]
    atoms = [owner[0] if owner else None for owner in owners]
    for number in [i for i, finding in enumerate(comparison.findings) if finding.refuted][:_LIFTED]:
        given = _inputs(comparison.space, atoms, comparison.findings[number], rng)
        inputs = np.zeros((trial.COUNT if given else 1, len(atoms)), np.int64)
        for i, (atom, (low, _)) in enumerate(zip(atoms, limits, strict=True)):
            inputs[:, i] = low if atom is None else trial.signed(comparison.space.atoms[atom], given[atom])
        found = _differing(
            trial.Trial(comparison.space, comparison.sums, given, comparison.vectors), driven, reference(inputs)
        )
        if found is not None:
            comparison.with_vector(number, tuple(inputs[found].tolist()))


def _inputs(
    space: Space, atoms: Sequence[int | None], finding: Finding, rng: np.random.Generator
) -> dict[int, trial.Words]:
    """Random inputs; in half of them those that a finding names have the values for which it differs."""
    given = {atom: trial.draw(space.atoms[atom], rng) for atom in atoms if atom is not None}
    named = dict(finding.operands)
    for atom, words in given.items():
        value = named.get(space.atoms[atom].name)
        if value is not None:
            words[trial.COUNT // 2 :] = value % (1 << space.atoms[atom].bits)
    return given


def _differing(tried: trial.Trial, driven: Sequence[tuple[int, Vector]], expected: Ints) -> int | None:
    """The first trial in which an output is not as expected."""
    for j, bits in driven:
        try:
            found = tried.word(bits)
        except (KeyError, RecursionError):  # it reads what could not be evaluated
            continue
        wrong = np.flatnonzero((found ^ expected[:, j].astype(np.uint64)) & np.uint64((1 << len(bits)) - 1))
        if len(wrong):
            return int(wrong[0])
    return None
