"""Many designs in one module: one compilation, one synthesis and one bench run judge them all.

The designs stand side by side, each between its own slice of the ports; parallel ones are delayed to the slowest,
folded ones move in lockstep before queues. Every element of the bench's description names its design, so a mismatch
still says whose neuron it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from strategies import random_design

from flow.bench.description import Bench, Element
from flow.bench.vectors import make_vectors
from flow.build.architecture import choose
from flow.build.hardware import Hardware
from flow.build.state import finish
from flow.core.design import Design
from flow.core.errors import FlowError
from flow.core.evaluate import evaluate
from flow.core.fixed import Ints
from flow.emit.rtl.cells import cell_models
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import Rtl
from flow.files import plan
from flow.parts import catalog
from flow.tools import yosys
from flow.verify import simulate
from flow.verify.hls_batch import run_hls_batch

TOP = "batch"

# A result that finds the queue empty passes through in the same cycle, so the queue adds no latency.
QUEUE = """\
module batch_queue #(parameter WIDTH = 1) (
    input wire clk, input wire rst, input wire in_valid, input wire [WIDTH-1:0] in_data, output wire in_ready,
    output wire out_valid, output wire [WIDTH-1:0] out_data, input wire take
);
    reg [WIDTH-1:0] memory [0:63];
    reg [6:0] count = 0;
    reg [5:0] head = 0;
    reg [5:0] tail = 0;
    wire push = in_valid & in_ready & ~(take & count == 0);
    wire pop = take & count != 0;
    assign in_ready = ~count[6];
    assign out_valid = in_valid | count != 0;
    assign out_data = count == 0 ? in_data : memory[head];
    always @(posedge clk) begin
        if (push) memory[tail] <= in_data;
        if (rst) begin
            count <= 0; head <= 0; tail <= 0;
        end else begin
            count <= count + {6'd0, push} - {6'd0, pop};
            head <= head + {5'd0, pop};
            tail <= tail + {5'd0, push};
        end
    end
endmodule
"""

# Results of the designs that do not come in the same cycle are a fault, and no result is valid ever after.
LOCKSTEP = """\
    reg seen = 0;
    reg apart = 0;
    always @(posedge clk) begin
        if (rst) seen <= 1;
        else if (seen & (|valid != &valid)) apart <= 1;
    end
    assign out_valid = &valid & ~apart;
"""


@dataclass(frozen=True)
class Batch:
    """The module around the designs, its bench, and all files in compile order."""

    files: dict[str, str]
    bench: Bench


@dataclass(frozen=True)
class Case:
    """A random design, its hardware, and vectors with their golden results."""

    design: Design
    hardware: Hardware
    inputs: Ints
    expected: Ints


def make_case(seed: int, architecture: str, vectors: int, max_layers: int = 6, max_size: int = 6) -> Case:
    """The case of a seed; the clock period follows from the seed too."""
    design = finish(random_design(seed, name=f"d{seed}", max_layers=max_layers, max_size=max_size))
    hardware = choose(design, catalog.resolve("xc7z020"), (10.0, 7.0, 5.5)[seed % 3], architecture)
    inputs = make_vectors(design, vectors, seed=seed)
    return Case(design, hardware, inputs, evaluate(design, inputs))


def judge(
    cases: Sequence[Case], folder: Path, netlist_vectors: int = 24, long_cycles: int = simulate.LONG_CYCLES
) -> dict[str, str]:
    """Every engine on every case: what is wrong, by engine; empty text where all vectors agree in all bits."""
    batch = make_batch([(c.design, c.hardware.rtl) for c in cases])
    inputs, expected = (side_by_side([getattr(c, side) for c in cases]) for side in ("inputs", "expected"))
    plan.mirror(dict(batch.files), plan.folder(folder) / "rtl")
    found = {"integer": "; ".join(c.design.name for c in cases if (c.hardware.evaluate(c.inputs) != c.expected).any())}

    def hls() -> str:
        outputs = run_hls_batch([(c.design, c.inputs) for c in cases], folder / "hls")
        return "; ".join(c.design.name for c, out in zip(cases, outputs, strict=True) if (out != c.expected).any())

    def netlist() -> str:
        script = yosys.synthesis_script([f"../{s}" for s in batch.bench.sources], TOP, "xc7", dsp=False)
        yosys.synthesize(plan.folder(folder / "synth"), script, 3600.0)
        plan.write_file(folder / "cells.v", cell_models(yosys.cell_library().read_text()))
        sources = [folder / "synth" / "netlist.v", folder / "cells.v"]
        return bench("netlist", netlist_vectors, sources)

    def bench(engine: str, count: int = len(inputs), sources: Sequence[Path] | None = None) -> str:
        result = simulate.run_cocotb(
            engine,
            batch.bench,
            folder,
            inputs[:count],
            expected[:count],
            folder / engine,
            sources=sources,
            long_cycles=long_cycles,
        )
        return "" if result.agrees else result.message

    engines = {"hls": hls, "icarus": lambda: bench("icarus"), "verilator": lambda: bench("verilator")}
    for engine, run in {**engines, "netlist": netlist}.items():
        try:
            found[engine] = run()
        except FlowError as exc:
            found[engine] = str(exc)
    return found


def make_batch(rtls: Sequence[tuple[Design, Rtl]]) -> Batch:
    """Designs with names of their own and their RTL, all with the ready ports or all without, as one module."""
    benches = [describe(design, rtl) for design, rtl in rtls]
    ready = benches[0].ready
    assert all(b.ready == ready for b in benches), "parallel and folded designs need batches of their own"
    latency = max(b.latency_cycles for b in benches)
    inputs, outputs = (
        tuple(_named(e, d) for (d, _), b in zip(rtls, benches, strict=True) for e in getattr(b, side))
        for side in ("inputs", "outputs")
    )
    files: dict[str, str] = {}
    for design, rtl in rtls:
        for name, text in rtl.files.items():
            assert files.setdefault(name, text) == text, f"{design.name}: {name} is another design's file"
    files[f"{TOP}.v"] = _top(benches, latency, inputs, outputs)
    interval = max(b.initiation_interval for b in benches)
    bench = Bench(TOP, tuple(f"rtl/{name}" for name in files), inputs, outputs, latency, interval, ready)
    return Batch(files, bench)


def side_by_side(arrays: Sequence[Ints]) -> Ints:
    """Vectors of the designs as vectors of the batch: (vectors x elements) each, side by side."""
    return np.concatenate(list(arrays), axis=1)


def _named(element: Element, design: Design) -> Element:
    return replace(element, name=f"design {design.name}, {element.name}")


def _slice(elements: Sequence[Element], port: str, start: int) -> tuple[str, int]:
    bits = sum(e.bits for e in elements)
    return (f"{port}[{start + bits - 1}:{start}]" if bits else "1'b0"), bits


def _top(benches: Sequence[Bench], latency: int, inputs: Sequence[Element], outputs: Sequence[Element]) -> str:
    widths = [max(sum(e.bits for e in side), 1) for side in (inputs, outputs)]
    count, ready = len(benches), benches[0].ready
    ports = [
        "input wire clk", "input wire rst", "input wire in_valid", f"input wire [{widths[0] - 1}:0] in_data",
        "output wire out_valid", f"output wire [{widths[1] - 1}:0] out_data",
    ]  # fmt: skip
    if ready:
        ports += ["output wire in_ready", "input wire out_ready"]
    lines = [f"module {TOP} ({', '.join(ports)});", f"    wire [{count - 1}:0] valid;"]
    if ready:
        lines += [f"    wire [{count - 1}:0] ready;", "    wire fire = in_valid & in_ready;"]
        lines += ["    assign in_ready = &ready;", "    wire take = out_valid & out_ready;"]
    place_in = place_out = 0
    for index, bench in enumerate(benches):
        source, bits_in = _slice(bench.inputs, "in_data", place_in)
        target, bits_out = _slice(bench.outputs, "out_data", place_out)
        lines += _instance(index, bench, latency, source, max(bits_out, 1))
        if bits_out:
            lines.append(f"    assign {target} = z{index};")
        place_in, place_out = place_in + bits_in, place_out + bits_out
    if not place_out:
        lines.append("    assign out_data = 1'b0;")
    lines.append("    assign out_valid = &valid;" if ready else LOCKSTEP)
    return "\n".join([*([QUEUE] if ready else []), *lines, "endmodule", ""])


def _instance(index: int, bench: Bench, latency: int, source: str, width: int) -> list[str]:
    """One design, and what brings its results into step: ``valid[index]`` and ``z{index}``."""
    i, late = index, latency - bench.latency_cycles
    offer, handshake = ("fire", f", .in_ready(ready[{i}]), .out_ready(free{i})") if bench.ready else ("in_valid", "")
    lines = [f"    wire v{i};", f"    wire [{width - 1}:0] y{i};", f"    wire [{width - 1}:0] z{i};"]
    if bench.ready:
        lines.append(f"    wire free{i};")
    lines.append(
        f"    {bench.top} u{i} (.clk(clk), .rst(rst), .in_valid({offer}), .in_data({source}),"
        f" .out_valid(v{i}), .out_data(y{i}){handshake});"
    )
    if bench.ready:
        lines.append(
            f"    batch_queue #(.WIDTH({width})) q{i} (.clk(clk), .rst(rst), .in_valid(v{i}), .in_data(y{i}),"
            f" .in_ready(free{i}), .out_valid(valid[{i}]), .out_data(z{i}), .take(take));"
        )
        return lines
    stages = [(f"v{i}", f"y{i}"), *((f"v{i}_q{k}", f"y{i}_q{k}") for k in range(1, late + 1))]
    for (old_v, old_y), (new_v, new_y) in itertools.pairwise(stages):
        lines.append(f"    reg {new_v};")
        lines.append(f"    reg [{width - 1}:0] {new_y};")
        lines.append(f"    always @(posedge clk) begin {new_v} <= {old_v} & ~rst; {new_y} <= {old_y}; end")
    return [*lines, f"    assign valid[{i}] = {stages[-1][0]};", f"    assign z{i} = {stages[-1][1]};"]
