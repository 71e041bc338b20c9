"""The parallel architecture: one result per clock, one readable Verilog module per layer and a top module.

Names carry layer and neuron. Every value has its own exact width: nothing is padded to the widest neuron.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow.core.design import Design, layer_output_formats
from flow.core.errors import DesignError
from flow.core.fixed import Fixed
from flow.core.passes.names import verilog_top
from flow.emit.rtl.argmax import argmax_module
from flow.emit.rtl.expressions import Value, literal, part, quantize_lines, resize, sum_lines
from flow.emit.rtl.rows import ROW_FILE, has_chain, row_lines, row_module, table_lines
from flow.emit.templates import render
from flow.parallel.graph import LayerGraph, node_names
from flow.parallel.pipelining import XC7, Delays, Schedule, schedule


@dataclass(frozen=True)
class Rtl:
    """Emitted Verilog and what a bench and a report must know of it."""

    top: str
    files: dict[str, str]  # name -> text, in compile order
    latency_cycles: int
    layer_latency_cycles: dict[str, int]
    critical_path_ns: float
    initiation_interval: int = 1
    ready: bool = False  # the top has in_ready and out_ready


@dataclass(frozen=True)
class _Instance:
    module: str
    name: str
    input: str
    output: str
    output_bits: int


def emit_parallel(
    design: Design, graphs: Sequence[LayerGraph], clock_period_ns: float, delays: Delays = XC7, family: str = "xc7"
) -> Rtl:
    """Verilog of a design (widths pass done), pipelined to ``clock_period_ns`` by the delay model.

    ``family`` is a part's: carry chains of 7 series and UltraScale parts are primitives, plain sums for any other.
    """
    top = verilog_top(design)
    files: dict[str, str] = {}
    instances: list[_Instance] = []
    latencies: dict[str, int] = {}
    slowest = 0.0
    signal = "in_data"
    if any(has_chain(node) for graph in graphs for node in graph.nodes):
        files[ROW_FILE] = row_module(family)
    for index, graph in enumerate(graphs):
        plan = schedule(graph, clock_period_ns, delays)
        module = f"{top}_{graph.name}"
        formats = layer_output_formats(design.layers[index])
        files[f"{module}.v"] = _layer_module(design, index, graph, plan, module)
        instances.append(_Instance(module, f"u_{graph.name}", signal, f"{graph.name}_y", port_bits(formats)))
        latencies[graph.name], signal = plan.latency, instances[-1].output
        slowest = max(slowest, plan.critical_path_ns)
    if design.head == "argmax":
        head = argmax_module(f"{top}_argmax", design.output_formats, clock_period_ns, delays)
        files[f"{top}_argmax.v"] = head.text
        instances.append(_Instance(f"{top}_argmax", "u_argmax", signal, "argmax_y", head.bits))
        latencies["argmax"], slowest = head.latency, max(slowest, head.critical_path_ns)
    latency = sum(latencies.values())
    files[f"{top}.v"] = render(
        "top.v.j2",
        design=design.name,
        module=top,
        latency=latency,
        ports=port_lines(design),
        input_bits=port_bits(design.input_formats),
        output_bits=instances[-1].output_bits,
        instances=instances,
    )
    return Rtl(top, files, latency, latencies, slowest)


def port_bits(formats: Sequence[Fixed]) -> int:
    """Width of a packed port; a port without bits is one ignored bit wide."""
    return max(sum(f.bits for f in formats), 1)


def port_lines(design: Design) -> list[str]:
    """Comment lines that give the formats of the packed ports."""
    inputs = " ".join(str(f) for f in design.input_formats)
    if design.head == "argmax":
        outputs = f"index of the largest of {len(design.output_formats)} logits"
    else:
        outputs = " ".join(str(f) for f in design.output_formats)
    lines = [f"inputs  (sign, bits.fraction): {inputs}", f"outputs (sign, bits.fraction): {outputs}"]
    return [line if len(line) < 400 else line[:397] + "..." for line in lines]


class _LayerWriter:
    """Collects the lines of one layer module."""

    def __init__(self, graph: LayerGraph, plan: Schedule) -> None:
        self.graph, self.plan = graph, plan
        self.body: list[str] = []
        self.registers: list[str] = []
        self.names = node_names(graph)
        self.depth = [0] * len(graph.nodes)

    def value(self, index: int, delay: int) -> Value:
        """A node's value ``delay`` registers later; the registers are declared on first use."""
        node, name = self.graph.nodes[index], self.names[index]
        if node.bits == 0 or node.low == node.high:
            return Value(name, node.bits, node.signed)  # a constant needs no register
        while self.depth[index] < delay:
            old = name if self.depth[index] == 0 else f"{name}_q{self.depth[index]}"
            self.depth[index] += 1
            new = f"{name}_q{self.depth[index]}"
            self.body.append(f"reg  [{node.bits - 1}:0] {new};")
            self.registers.append(f"{new} <= {old};")
        return Value(name if delay == 0 else f"{name}_q{delay}", node.bits, node.signed)

    def node(self, index: int) -> None:
        """Write one node that is not an input."""
        node, stage = self.graph.nodes[index], self.plan.stages[index]
        if node.bits == 0:
            return
        name = self.names[index]
        if node.low == node.high:
            self.body.append(f"wire [{node.bits - 1}:0] {name} = {literal(node.low, node.bits)};")
            return
        values = {i: self.value(i, stage - self.plan.stages[i]) for i in sorted(node.sources)}
        if node.kind == "row":
            self.body.extend(row_lines(node, name, values))
            return
        if node.kind == "table":
            self.body.extend(table_lines(node, name, values))
            return
        operands = [values[t.node] for t in node.terms]
        if node.kind == "sum":
            self.body.extend(sum_lines(node, name, operands))
            return
        source, shift = self.graph.nodes[node.terms[0].node], node.terms[0].shift
        low, high = (v << shift if shift >= 0 else v >> -shift for v in (source.low, source.high))
        self.body.extend(quantize_lines(node, name, operands[0], low, high))


def _layer_module(design: Design, index: int, graph: LayerGraph, plan: Schedule, module: str) -> str:
    layer, formats_in = design.layers[index], design.formats_into(index)
    writer = _LayerWriter(graph, plan)
    packed, offset = Value("x", port_bits(formats_in), False), 0
    used = set(graph.outputs).union(*(n.sources for n in graph.nodes))
    for i, fmt in enumerate(formats_in):
        node = graph.nodes[i]
        if node.kind != "input" or node.element != i:
            raise DesignError(f"layer {layer.name}: the graph's inputs are not in order")
        if node.bits and i in used:
            # An input of one value is that value, whatever lies on the port between vectors: it gets no register.
            bits = literal(node.low, node.bits) if node.low == node.high else part(packed, offset, node.bits)
            writer.body.append(f"wire [{node.bits - 1}:0] x{i} = {bits};")
        offset += fmt.bits
    for i, node in enumerate(graph.nodes):
        if node.kind != "input":
            writer.node(i)
    outputs, position = [], 0
    formats_out = layer_output_formats(layer)
    for j, (node_index, fmt) in enumerate(zip(graph.outputs, formats_out, strict=True)):
        if fmt.bits:
            value = writer.value(node_index, plan.latency - plan.stages[node_index])
            target = part(Value("y", -1, False), position, fmt.bits)
            outputs.append(f"assign {target} = {resize(value, 0, fmt.bits)};  // neuron {j}: {fmt}")
        position += fmt.bits
    if not position:
        outputs.append("assign y = 1'd0;  // no neuron has a bit")
    return render(
        "layer.v.j2",
        layer=layer.name,
        design=design.name,
        module=module,
        inputs=layer.inputs,
        neurons=len(layer.neurons),
        latency=plan.latency,
        summary=_summary(design, index, graph),
        input_bits=port_bits(formats_in),
        output_bits=port_bits(formats_out),
        body=writer.body,
        registers=writer.registers,
        outputs=outputs,
    )


def _summary(design: Design, index: int, graph: LayerGraph) -> list[str]:
    layer = design.layers[index]
    groups = ", ".join(f"{len(g.neurons)} x {g.weight_bits:g} bit" for g in layer.groups)
    zeros = int((layer.matrix == 0).sum())
    return [
        f"Neurons by learned weight width: {groups or 'not grouped'}; {zeros} of {layer.matrix.size} weights are zero.",
        f"Built as {graph.generator}: {graph.adders} carry chains.",
    ]
