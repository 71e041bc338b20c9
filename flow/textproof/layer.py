"""One layer's module, node by node, against its graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flow.fixed import Fixed, Ints
from flow.graph import LayerGraph, evaluate_graph, node_names
from flow.ir import Design, layer_output_formats
from flow.textproof import trial
from flow.textproof.compare import Comparison, Spec
from flow.textproof.findings import Fault, Finding, Unread
from flow.textproof.nets import Cell
from flow.textproof.nodes import Nodes
from flow.textproof.space import Space, Vector, constant, extended
from flow.textproof.sums import Form
from flow.textproof.syntax import Module

_LIFTED = 3  # findings for which inputs are looked for


def prove_layer(
    design: Design, index: int, graph: LayerGraph, module: Module, cells: Mapping[str, Cell], latency: int
) -> list[Finding]:
    """What of layer ``index``'s module is not proved equal to its graph, ``latency`` cycles later."""
    layer = design.layers[index]
    try:
        comparison, nodes = _comparison(design, index, graph, module, cells)
        run_all(comparison)
    except (Fault, Unread) as exc:
        return [Finding(layer.name, -1, "", f"its Verilog {exc}", isinstance(exc, Fault))]
    driven, low = [], 0
    for j, (node, fmt) in enumerate(zip(graph.outputs, layer_output_formats(layer), strict=True)):
        if fmt.bits:
            driven.append((j, comparison.output("y", low, nodes.extended(node, fmt.bits), latency, j)))
        low += fmt.bits
    atoms = [nodes.space.owner(bits[0]) if bits else None for bits in nodes.bits[: len(design.formats_into(index))]]
    limits = [(q.low, q.high) for q in graph.nodes[: len(atoms)]]
    lift(comparison, [a[0] if a else None for a in atoms], limits, driven, lambda x: evaluate_graph(graph, x))
    return comparison.findings


def _comparison(
    design: Design, index: int, graph: LayerGraph, module: Module, cells: Mapping[str, Cell]
) -> tuple[Comparison, Nodes]:
    space, names = Space(), node_names(graph)
    nodes = Nodes(space, graph, names)
    formats = design.formats_into(index)
    port = packed(formats, [nodes.extended(i, fmt.bits) for i, fmt in enumerate(formats)])
    specs = {}
    for i, node in enumerate(graph.nodes):
        if node.kind != "input" and not nodes.constant(i):
            specs[names[i]] = Spec(node.neuron, nodes.bits[i], _wanted(nodes, i))
    check_ports(module, len(port), sum(f.bits for f in layer_output_formats(design.layers[index])) or 1)
    comparison = Comparison(space, module, {"x": port}, cells, specs, design.layers[index].name)
    comparison.clocked()
    return comparison, nodes


def _wanted(nodes: Nodes, i: int) -> Callable[[], Form | Vector]:
    def wanted() -> Form | Vector:
        form = nodes.form(i)
        found = form if form is not None else nodes.function(i)
        if found is None:
            raise Unread(f"a node of kind {nodes.graph.nodes[i].kind} is not known")
        return found

    return wanted


def packed(formats: Sequence[Fixed], values: Sequence[Vector]) -> Vector:
    """A port of packed values, the first in the lowest bits; without any bits it is one bit that means nothing."""
    assert all(len(v) == f.bits for f, v in zip(formats, values, strict=True))
    return tuple(bit for value in values for bit in value) or constant(0, 1)


def check_ports(module: Module, inputs: int, outputs: int) -> None:
    """The ports of a layer are ``clk``, ``x`` and ``y``; their widths are compared where they are connected."""
    ports = [(p.direction, p.declaration.name) for p in module.ports]
    if sorted(ports) != [("input", "clk"), ("input", "x"), ("output", "y")]:
        raise Unread(f"has other ports than clk, x of {inputs} bits and y of {outputs}")


def run_all(comparison: Comparison) -> None:
    """Evaluate everything that the output depends on, in the order of the text; what ends early ends again when read."""
    for driver in comparison.in_order(["y"]):
        try:
            comparison.run(driver)
        except (Fault, Unread, RecursionError):
            continue


def lift(
    comparison: Comparison, atoms: Sequence[int | None], limits: Sequence[tuple[int, int]],
    driven: Sequence[tuple[int, Vector]], reference: Callable[[Ints], Ints],
) -> None:  # fmt: skip
    """Look for inputs for which the module's outputs really differ, for the first findings that are refuted."""
    space, rng = comparison.space, np.random.default_rng(1)
    numbers = [i for i, finding in enumerate(comparison.findings) if finding.refuted][:_LIFTED]
    for number in numbers:
        given = {a: trial.draw(space.atoms[a], rng) for a in atoms if a is not None}
        for name, value in comparison.findings[number].operands:
            for a in given:
                if space.atoms[a].name == name:
                    given[a][trial.COUNT // 2 :] = np.uint64(value % (1 << space.atoms[a].bits))
        rows = trial.COUNT if given else 1
        inputs = np.zeros((rows, len(atoms)), np.int64)
        for i, (a, (low, high)) in enumerate(zip(atoms, limits, strict=True)):
            words = given[a].astype(np.int64) if a is not None else np.full(rows, low, np.int64)
            inputs[:, i] = np.where(
                (words > high) & (low < 0), words - (1 << space.atoms[a].bits if a is not None else 0), words
            )
        expected = reference(inputs)
        tried = trial.Trial(space, comparison.sums, given, comparison.vectors)
        for j, bits in driven:
            try:
                found = tried.word(bits)
            except (KeyError, RecursionError):
                continue
            mask = np.uint64((1 << len(bits)) - 1)
            wrong = np.flatnonzero((found ^ expected[:, j].astype(np.uint64)) & mask)
            if len(wrong):
                comparison.with_vector(number, tuple(inputs[wrong[0]].tolist()))
                break


assert extended((), 1, False) == (0,)
