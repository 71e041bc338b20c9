"""The parallel architecture: one result per clock, one readable Verilog module per layer and a top module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from flow.core.design import Design, layer_output_formats
from flow.core.fixed import Fixed
from flow.core.passes.names import verilog_top
from flow.core.ports import Port, element_names, ports
from flow.emit.layout import comment, instance
from flow.emit.rtl.argmax import argmax_module
from flow.emit.rtl.expressions import port_bits
from flow.emit.rtl.layer import layer_module
from flow.emit.rtl.names import HEAD_INSTANCE, LayerNames
from flow.emit.rtl.rows import modules
from flow.emit.templates import render
from flow.parallel.graph import LayerGraph
from flow.parallel.pipelining import schedule
from flow.parts.family import XC7, Family


@dataclass(frozen=True)
class Rtl:
    """Emitted Verilog and what a bench and a report must know of it.

    ``names`` tells, layer by layer, what is whose in the netlist; it is empty for Verilog that knows no layers.
    """

    top: str
    files: dict[str, str]  # name -> text, in compile order
    latency_cycles: int
    layer_latency_cycles: dict[str, int]
    critical_path_ns: float
    initiation_interval: int = 1
    ready: bool = False  # the top has in_ready and out_ready
    names: tuple[LayerNames, ...] = ()


@dataclass(frozen=True)
class Stage:
    """An instance of the top module: its text, and the net of its output."""

    lines: list[str]
    output: str
    output_bits: int


def stage(module: str, name: str, source: str, output: str, output_bits: int) -> Stage:
    """A module with the ports ``clk``, ``x`` and ``y`` between two nets."""
    lines = instance(module, name, [], [".clk(clk)", f".x({source})", f".y({output})"])
    return Stage(lines, output, output_bits)


def emit_parallel(
    design: Design, graphs: Sequence[LayerGraph], clock_period_ns: float, family: Family = XC7, every_row: bool = False
) -> Rtl:
    """Verilog of a design (widths pass done), pipelined to ``clock_period_ns`` by the delays of a part's ``family``.

    ``every_row`` puts the result of each operation into registers.
    """
    top = verilog_top(design)
    files = modules(graphs, family)
    stages: list[Stage] = []
    names: list[LayerNames] = []
    latencies: dict[str, int] = {}
    slowest = 0.0
    signal = "in_data"
    for index, graph in enumerate(graphs):
        plan = schedule(graph, clock_period_ns, family.planned, every_row)
        module = f"{top}_{graph.name}"
        files[f"{module}.v"], layer = layer_module(design, index, graph, plan, module)
        width = port_bits(layer_output_formats(design.layers[index]))
        stages.append(stage(module, layer.instance, signal, layer.output, width))
        names.append(layer)
        latencies[graph.name], signal = plan.latency, layer.output
        slowest = max(slowest, plan.critical_path_ns)
    if design.head == "argmax":
        head = argmax_module(f"{top}_argmax", design.output_formats, clock_period_ns, family.planned, every_row)
        files[f"{top}_argmax.v"] = head.text
        stages.append(stage(f"{top}_argmax", HEAD_INSTANCE, signal, "argmax_y", head.bits))
        latencies["argmax"], slowest = head.latency, max(slowest, head.critical_path_ns)
    latency = sum(latencies.values())
    files[f"{top}.v"] = top_module(design, top, latency, port_lines(design), stages)
    return Rtl(top, files, latency, latencies, slowest, names=tuple(names))


def top_module(design: Design, top: str, latency: int, notes: Sequence[str], stages: Sequence[Stage]) -> str:
    """The top module around a pipeline of stages: ports, valid bits and reset; ``notes`` are lines of its comment."""
    return render(
        "top.v.j2",
        design=design.name,
        module=top,
        latency=latency,
        notes=notes,
        input_bits=port_bits(design.input_formats),
        output_bits=stages[-1].output_bits,
        stages=stages,
    )


def port_lines(design: Design) -> list[str]:
    """Lines of a comment that give the formats of the packed ports, and where in them the model's own are."""
    inner = element_names(design, "outputs")
    outputs = f"index of the largest of {len(design.output_formats)} logits"
    outputs += f" ({', '.join(f'{i} is {name}' for i, name in enumerate(inner))})" if inner else ""
    if design.head != "argmax":
        outputs = _formats(design.output_formats)
    texts = [
        f"inputs  (sign, bits.fraction): {_formats(design.input_formats)}",
        f"outputs (sign, bits.fraction): {outputs}",
    ]
    texts += _named(ports(design, "inputs"), "in_data", design.input_formats)
    texts += _named(_elements(element_names(design, "inputs")), "in_data", design.input_formats)
    if design.head != "argmax":
        texts += _named(_elements(inner), "out_data", design.output_formats)
        texts += _named(ports(design, "outputs"), "out_data", design.output_formats)
    return [line for text in texts for line in comment(text, 0)]


def _elements(names: Sequence[str]) -> list[Port]:
    return [Port(name, place, 1) for place, name in enumerate(names)]


def _named(found: Sequence[Port], signal: str, formats: Sequence[Fixed]) -> list[str]:
    """A line that says which bits of a packed port are which of the model's own."""
    ends = [0, *accumulate(f.bits for f in formats)]
    spans = ((ends[p.first], ends[p.first + p.count], p.name) for p in found)
    parts = (f"{signal}[{end - 1}:{low}] is {name}" if end > low else f"{name} has no bits" for low, end, name in spans)
    return [", ".join(parts)] if found else []


def _formats(formats: Sequence[Fixed]) -> str:
    """The formats in their order, equal neighbours counted."""
    runs = [(len(list(run)), fmt) for fmt, run in groupby(str(f) for f in formats)]
    return ", ".join(fmt if count == 1 else f"{count} x {fmt}" for count, fmt in runs)
