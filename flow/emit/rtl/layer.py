"""The module of one parallel layer: a section for what neurons share and one per neuron, each pipeline stage by stage.

Names carry neuron or input. Every value has its own exact width: nothing is padded to the widest neuron.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flow.core.design import Design, Layer, Neuron, layer_output_formats
from flow.core.errors import DesignError
from flow.core.fixed import Fixed
from flow.emit.layout import comment
from flow.emit.rtl.expressions import Value, number, part, port_bits, quantize_lines, resize, sum_lines
from flow.emit.rtl.names import SHARED, LayerNames, layer_instance, layer_output
from flow.emit.rtl.rows import row_lines, table_lines
from flow.emit.rtl.sections import RULE, Section, StageText
from flow.emit.templates import render
from flow.parallel.graph import LayerGraph, node_names
from flow.parallel.pipelining import Schedule

_HELPERS = ("", "_h", "_r", "_row", "_h_row")  # what is declared for a node, behind its name
_LEGEND = [
    "x<i> is input element i, n<j>_* belongs to neuron j, s<k> is shared by neurons; _q<d> is d registers later.",
    "n<j>_p<k> and some s<k> are parts of a sum, to be added up with others.",
    "Above each neuron stands its sum in real numbers, of the inputs' values.",
]


def layer_module(design: Design, index: int, graph: LayerGraph, plan: Schedule, module: str) -> tuple[str, LayerNames]:
    """Verilog of a layer's module, and whose its names and lines are."""
    layer, formats_in, formats_out = (
        design.layers[index],
        design.formats_into(index),
        layer_output_formats(design.layers[index]),
    )
    writer = _LayerWriter(graph, plan, _owners(graph))
    writer.sections[SHARED] = Section([f"{RULE} Inputs, as (sign, bits.fraction), and what neurons share {RULE}"])
    for j, neuron in enumerate(layer.neurons):
        writer.sections[j] = Section(neuron_heading(j, neuron))
    writer.inputs(layer.name, formats_in)
    for i in sorted(range(len(graph.nodes)), key=lambda i: plan.stages[i]):
        if graph.nodes[i].kind != "input":
            writer.node(i)
    writer.outputs(formats_out)
    text = render(
        "layer.v.j2",
        layer=layer.name,
        design=design.name,
        module=module,
        inputs=layer.inputs,
        neurons=len(layer.neurons),
        latency=plan.latency,
        summary=[*_summary(layer, graph), *_LEGEND],
        input_bits=port_bits(formats_in),
        output_bits=port_bits(formats_out),
        sections=[writer.sections[owner] for owner in sorted(writer.sections)],
    )
    lines = {writer.sections[owner].heading[0]: owner for owner in writer.sections}
    starts = [(n, lines[line[7:]]) for n, line in enumerate(text.split("\n"), 1) if line[7:] in lines]
    names = LayerNames(
        layer.name, layer_instance(layer.name), layer_output(layer.name), f"{module}.v", writer.whose, tuple(starts)
    )
    return text, names


def neuron_heading(j: int, neuron: Neuron) -> list[str]:
    """A neuron in a few lines: formats, non-zero weights and bias; input values are called ``x<i>``."""
    output = neuron.output
    if output is None:
        leaves = f"output {neuron.accumulator}, the exact sum"
    else:
        modes = output.rounding if output.overflow == "SAT" else f"{output.rounding}, {output.overflow}"
        leaves = f"output {output.format}, {modes}, {output.low} to {output.high}; sum {neuron.accumulator}"
    terms = [(w, f"x{i}") for i, w in enumerate(neuron.weights) if w]
    text = "".join(
        f"{(' - ' if k else '-') if w < 0 else ' + ' if k else ''}{'' if abs(w) == 1 else f'{abs(w)}*'}{name}"
        for k, (w, name) in enumerate(terms)
    )
    sums = [_scaled(f"({text})", neuron.weight_frac)] if terms else []
    sums += [_scaled(str(neuron.bias), neuron.bias_frac)] if neuron.bias or not terms else []
    return [
        f"{RULE} Neuron {j}: {neuron.weight_bits:g}-bit weights, {leaves} {RULE}",
        *comment(f"sum = {' + '.join(sums)}"),
    ]


def _scaled(text: str, frac: int) -> str:
    return text if frac == 0 else f"2**{-frac} * {text}"


def _owners(graph: LayerGraph) -> list[int]:
    """By node the section it stands in: its neuron's, where nothing else uses it, else the shared one."""
    users: list[set[int]] = [set() for _ in graph.nodes]
    for j, i in enumerate(graph.outputs):
        users[i].add(j)
    owners = [SHARED] * len(graph.nodes)
    for i in range(len(graph.nodes) - 1, -1, -1):
        neuron = graph.nodes[i].neuron
        owners[i] = neuron if users[i] <= {neuron} else SHARED
        for source in graph.nodes[i].sources:
            users[source].add(owners[i])
    return owners


class _LayerWriter:
    """Collects the sections of one layer's module."""

    def __init__(self, graph: LayerGraph, plan: Schedule, owners: Sequence[int]) -> None:
        self.graph, self.plan, self.owners = graph, plan, owners
        self.sections: dict[int, Section] = {}
        self.names = node_names(graph)
        self.depth = [0] * len(graph.nodes)
        self.whose: dict[str, int] = {}

    def _stage(self, owner: int, number: int) -> StageText:
        latency = self.plan.latency
        return self.sections[owner].stage(number, f"stage {number + 1} of {latency}" if number < latency else "output")

    def value(self, index: int, delay: int) -> Value:
        """A node's value ``delay`` registers later; the registers are declared on first use."""
        node, name, owner = self.graph.nodes[index], self.names[index], self.owners[index]
        if node.bits == 0 or node.low == node.high:
            return Value(name, node.bits, node.signed)  # a constant needs no register
        while self.depth[index] < delay:
            old = name if self.depth[index] == 0 else f"{name}_q{self.depth[index]}"
            self.depth[index] += 1
            new = f"{name}_q{self.depth[index]}"
            stage = self._stage(owner, self.plan.stages[index] + self.depth[index])
            stage.registers.append(f"reg  [{node.bits - 1}:0] {new};")
            stage.updates.append(f"{new} <= {old};")
            if node.kind != "input":
                self.whose[new] = owner
        return Value(name if delay == 0 else f"{name}_q{delay}", node.bits, node.signed)

    def inputs(self, layer: str, formats: Sequence[Fixed]) -> None:
        """Declare the input elements that something reads, as slices of the packed port."""
        packed, offset = Value("x", port_bits(formats), False), 0
        used = set(self.graph.outputs).union(*(n.sources for n in self.graph.nodes))
        for i, fmt in enumerate(formats):
            node = self.graph.nodes[i]
            if node.kind != "input" or node.element != i:
                raise DesignError(f"layer {layer}: the graph's inputs are not in order")
            if node.bits and i in used:
                # An input of one value is that value, whatever lies on the port between vectors: it gets no register.
                bits = number(node.low, node.bits) if node.low == node.high else part(packed, offset, node.bits)
                self._stage(SHARED, 0).body.append(f"wire [{node.bits - 1}:0] x{i} = {bits};  // {fmt}")
            offset += fmt.bits

    def node(self, index: int) -> None:
        """Write one node that is not an input."""
        node, number_of_stage = self.graph.nodes[index], self.plan.stages[index]
        if node.bits == 0:
            return
        name, owner = self.names[index], self.owners[index]
        tables = [f"_t{bit}" for bit in range(node.bits)] if node.kind == "table" else []
        self.whose.update({f"{name}{helper}": owner for helper in (*_HELPERS, *tables)})
        body = self._stage(owner, number_of_stage).body
        if node.low == node.high:
            body.append(f"wire [{node.bits - 1}:0] {name} = {number(node.low, node.bits)};")
            return
        values = {i: self.value(i, number_of_stage - self.plan.stages[i]) for i in sorted(node.sources)}
        body.extend(self._lines(index, name, values))

    def _lines(self, index: int, name: str, values: Mapping[int, Value]) -> list[str]:
        node = self.graph.nodes[index]
        if node.kind == "row":
            return row_lines(node, name, values)
        if node.kind == "table":
            return table_lines(node, name, values)
        operands = [values[t.node] for t in node.terms]
        if node.kind == "sum":
            return sum_lines(node, name, operands)
        source, shift = self.graph.nodes[node.terms[0].node], node.terms[0].shift
        low, high = (v << shift if shift >= 0 else v >> -shift for v in (source.low, source.high))
        return quantize_lines(node, name, operands[0], low, high)

    def outputs(self, formats: Sequence[Fixed]) -> None:
        """Assign the packed output, neuron by neuron."""
        latency, position = self.plan.latency, 0
        for j, (i, fmt) in enumerate(zip(self.graph.outputs, formats, strict=True)):
            body = self._stage(j, latency).body
            if fmt.bits:
                value = self.value(i, latency - self.plan.stages[i])
                target = part(Value("y", -1, False), position, fmt.bits)
                body.append(f"assign {target} = {resize(value, 0, fmt.bits)};  // neuron {j}: {fmt}")
            else:
                body.append("// not a bit of y: the output is always 0")
            position += fmt.bits
        if not position:
            self._stage(len(formats) - 1, latency).body.append("assign y = 1'd0;  // no neuron has a bit")


def _summary(layer: Layer, graph: LayerGraph) -> list[str]:
    groups = ", ".join(f"{len(g.neurons)} x {g.weight_bits:g} bit" for g in layer.groups)
    zeros = int((layer.matrix == 0).sum())
    text = (
        f"Neurons by learned weight width: {groups or 'not grouped'}; {zeros} of {layer.matrix.size} weights are zero"
    )
    return [*comment(text, 0), f"Built as {graph.generator}: {graph.adders} carry chains."]
