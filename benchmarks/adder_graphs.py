"""Adder graphs of constant matrices: LUT sites of this project's Verilog against alkaid's own, through the same script.

    python -m benchmarks.adder_graphs [--only NAME ...] [--designs DESIGN.json ...] [--place] [--out table.md]

Both are combinational but for the output registers of ours, which take no LUTs. Alkaid's are the better of its
two ways, with and without ternary fusion. Sites are those of the build's report, in brackets with every legal pair. The
layers are random (seed 0), their inputs unsigned; designs are given as ``design.json`` files of builds and compared
whole, with biases and quantizers.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.results_file import write_section
from flow.core.check import check
from flow.core.design import Design, Layer, Neuron, from_json
from flow.core.fixed import Fixed, Ints, Quantizer
from flow.core.passes.group import group
from flow.core.passes.widths import widths
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.netlist import place_and_route
from flow.netlist.slices import expected_sites
from flow.parallel.generators import build_graphs
from flow.parallel.sites import Target
from flow.parts import catalog
from flow.tools import nextpnr, yosys

RELAXED_NS = 1e6  # one register stage
TARGET = Target(RELAXED_NS)
TIMEOUT_S = 7200.0
NO_SELF_CHECK = "scratchpad -set abc9.verify 0\n"  # it changes no count, and takes minutes on combinational designs


def mixed(rng: np.random.Generator, inputs: int, neurons: int) -> Ints:
    """Neurons of 0, 1, 1.58, 2, 3 and 4 bits in one layer, the wider ones half zero."""
    columns = []
    for kind in rng.choice([0, 1, 1.58, 2, 3, 4], neurons, p=[0.05, 0.2, 0.25, 0.2, 0.2, 0.1]):
        if kind == 1:
            columns.append(rng.choice([-1, 1], inputs))
            continue
        limit = 0 if not kind else 1 if kind < 2 else (1 << (int(kind) - 1)) - (kind > 2)
        columns.append(rng.integers(-limit, limit + 1, inputs) * rng.integers(0, 2, inputs))
    return np.stack(columns, axis=1)


LAYERS: dict[str, tuple[Callable[[np.random.Generator], Ints], int]] = {
    "±1, 64 x 32, 4-bit inputs": (lambda rng: rng.choice([-1, 1], (64, 32)), 4),
    "ternary, half zero, 64 x 32, 4-bit inputs": (lambda rng: rng.choice([-1, 1, 0, 0], (64, 32)), 4),
    "-2..2, 64 x 32, 4-bit inputs": (lambda rng: rng.integers(-2, 3, (64, 32)), 4),
    "3-bit, 64 x 32, 4-bit inputs": (lambda rng: rng.integers(-3, 4, (64, 32)), 4),
    "4-bit, 32 x 32, 4-bit inputs": (lambda rng: rng.integers(-7, 8, (32, 32)), 4),
    "8-bit, 16 x 16, 8-bit inputs": (lambda rng: rng.integers(-127, 128, (16, 16)), 8),
    "mixed widths, 64 x 32, 4-bit inputs": (lambda rng: mixed(rng, 64, 32), 4),
    "mixed widths, 16 x 32, 6-bit inputs": (lambda rng: mixed(rng, 16, 32), 6),
    "ternary, 90 % zero, 64 x 32, 4-bit inputs": (lambda rng: rng.choice([-1, 0, 1], (64, 32), p=[0.05, 0.9, 0.05]), 4),
    "±1, 784 x 64, 4-bit inputs": (lambda rng: rng.choice([-1, 1], (784, 64)), 4),
    "ternary, half zero, 784 x 64, 4-bit inputs": (lambda rng: rng.choice([-1, 1, 0, 0], (784, 64)), 4),
}


@dataclass(frozen=True)
class Outcome:
    """What one generator made: expected LUT sites, those with legal pairs, carry blocks; seconds of making it."""

    luts: int
    paired: int
    carries: int
    generate_s: float
    synthesis_s: float
    memory_mb: float  # Yosys at its peak
    sites: int | None = None  # LUT sites after placement by nextpnr, where it was asked for


def layer_design(matrix: Ints, bits: int) -> Design:
    """One layer with the given weights, unsigned inputs and exact outputs."""
    inputs = tuple(Quantizer.saturating(Fixed(False, bits, 0)) for _ in range(matrix.shape[0]))
    neurons = tuple(_neuron(matrix[:, j]) for j in range(matrix.shape[1]))
    return check(group(widths(check(Design("bench", inputs, (Layer("dense", neurons),))))))


def _neuron(weights: Ints) -> Neuron:
    largest = int(np.abs(weights).max())
    return Neuron(tuple(weights.tolist()), 0, float(1 + largest.bit_length() if largest > 1 else largest))


def ours(design: Design, folder: Path, place: bool) -> tuple[Outcome, int, str]:
    """Our Verilog: outcome, sites the cost model expected, generators chosen."""
    start = time.monotonic()
    graphs = build_graphs(design, TARGET)
    rtl = emit_parallel(design, graphs, RELAXED_NS)
    seconds = time.monotonic() - start
    plan.fresh_folder(folder)
    plan.write(rtl.files, folder)
    outcome = synthesize(folder, list(rtl.files), rtl.top, seconds, place)
    return outcome, round(sum(TARGET.sites(g) for g in graphs)), ", ".join(dict.fromkeys(g.generator for g in graphs))


def alkaids(design: Design, folder: Path, place: bool) -> Outcome:
    """Alkaid's own Verilog of the same integer design, combinational: of its two ways the one of fewer sites.

    Pairs and places are those of the way that is better in each.
    """
    found = [_alkaids(design, folder, place, fuse) for fuse in (False, True)]
    best = min(found, key=lambda one: one.luts)
    sites = min((one.sites for one in found if one.sites is not None), default=None)
    return replace(best, paired=min(one.paired for one in found), sites=sites)


def _alkaids(design: Design, folder: Path, place: bool, fuse: bool) -> Outcome:
    from alkaid.codegen.rtl import RTLModel

    start = time.monotonic()
    model = RTLModel(traced(design), folder, "dut", ternary_fuse=fuse, print_latency=False)
    plan.fresh_folder(folder)
    model.write()
    seconds = time.monotonic() - start
    sources = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.v"))
    return synthesize(folder, sources, "dut", seconds, place)


def traced(design: Design) -> object:
    """The design as alkaid's program: constant matrices, biases, rounding and saturation."""
    from alkaid.trace import FVArray, HWConfig, trace

    formats = design.input_formats
    signed = np.array([f.signed for f in formats])
    fractions = np.array([f.frac for f in formats])
    integers = np.array([f.bits - f.frac - f.signed for f in formats])
    # alkaid 0.8.2 fails on its tables of one-bit inputs where such an input is signed (-1 or 0)
    options = {"binary_lut": False} if any(f.signed and f.bits == 1 for f in formats) else None
    inputs = values = FVArray.from_kif(signed, integers, fractions, HWConfig(1, -1, -1), solver_options=options)
    for layer in design.layers:
        scales = 2.0 ** -np.array([n.weight_frac for n in layer.neurons])
        biases = np.array([n.bias * 2.0**-n.bias_frac for n in layer.neurons])
        values = values @ (layer.matrix * scales) + biases
        if layer.neurons[0].output is not None:
            values = _quantized(values, layer)
    return trace(inputs, values)


def _quantized(values: object, layer: Layer) -> object:
    quantizers = [n.output for n in layer.neurons]
    assert all(q is not None and q.rounding in ("TRN", "RND") for q in quantizers)
    kept = [q for q in quantizers if q is not None]
    if all(q.low == 0 for q in kept):
        values = values.relu()  # type: ignore[attr-defined]
    signed = np.array([q.low < 0 for q in kept])
    integers = np.array([q.format.bits - q.format.frac - q.format.signed for q in kept])
    fractions = np.array([q.format.frac for q in kept])
    modes = {q.rounding for q in kept}
    assert len(modes) == 1
    return values.quantize(signed, integers, fractions, overflow_mode="SAT", round_mode=modes.pop())  # type: ignore[attr-defined]


def synthesize(folder: Path, sources: list[str], top: str, generate_s: float, place: bool) -> Outcome:
    """Run the build's Yosys script and count."""
    start = time.monotonic()
    script = NO_SELF_CHECK + yosys.synthesis_script(sources, top, "xc7", dsp=False)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        memory = pool.submit(_yosys_memory_mb, folder, script).result()
    seconds = time.monotonic() - start
    module = json.loads((folder / "netlist.json").read_text())["modules"][top]
    count = Counter(cell["type"] for cell in module["cells"].values())
    found = expected_sites(module)
    sites = placed_luts(folder, top) if place else None
    return Outcome(found.total, found.paired, count["CARRY4"], generate_s, seconds, memory, sites)


def _yosys_memory_mb(folder: Path, script: str) -> float:
    """Run Yosys as the only child of this process; gives its peak memory."""
    yosys.synthesize(folder, script, TIMEOUT_S)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def placed_luts(folder: Path, top: str) -> int:
    """LUT sites that hold logic of the design once nextpnr has placed it in xc7z020, between registers at its ports."""
    part, place = catalog.resolve("xc7z020"), plan.fresh_folder(folder / "place")
    around = place_and_route.prepare(place, folder / "netlist.json", top, TIMEOUT_S, part)
    nextpnr.place_and_route(place, part, 20.0, 1, TIMEOUT_S, around.constraints(20.0), place_only=True)
    return place_and_route.placed_sites(place / nextpnr.placed(1))["design"]


def row(name: str, design: Design, folder: Path, place: bool) -> str:
    """One line of the table."""
    mine, expected, engines = ours(design, folder / "ours", place)
    peer = alkaids(design, folder / "alkaid", place)
    return (
        f"| {name} | {peer.luts:,} ({peer.paired:,}) | {mine.luts:,} ({mine.paired:,}) | "
        f"{mine.luts / max(peer.luts, 1):.2f} ({mine.paired / max(peer.paired, 1):.2f}) | {expected:,} | "
        f"{peer.carries:,} / {mine.carries:,} | {peer.generate_s:.1f} / {mine.generate_s:.1f} | "
        f"{peer.synthesis_s:.0f} / {mine.synthesis_s:.0f} | "
        f"{peer.memory_mb:.0f} / {mine.memory_mb:.0f} | {_placed(peer, mine)} | {engines} |"
    )


def _placed(peer: Outcome, mine: Outcome) -> str:
    return f"{peer.sites:,} / {mine.sites:,}" if peer.sites and mine.sites else ""


TITLE = "Adder graphs, against alkaid"
COMMAND = "python -m benchmarks.adder_graphs --write --designs kth_mesh.json unsw_nb15.json digits.json mnist.json"
NOTES = """Pairs are alkaid / ours. Alkaid's Verilog is its own, combinational, of with and without ternary
fusion what is better in each figure; ours has output registers. Both through the build's Yosys script (pyosys, xc7);
sites by the build's rule, in brackets with every legal pair of functions in one site. Trained models
are compared whole, with biases, rounding and saturation. Every one of our graphs is proved equal to the integer design
before it is emitted."""
HEADER = (
    "| layer | alkaid sites | ours | ratio | expected of the graph | CARRY4 | generate s | Yosys s | Yosys MB | "
    "LUT sites placed | built as |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print the table line by line; write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="parts of the names of the layers to run")
    parser.add_argument("--designs", nargs="*", type=Path, default=[], help="design.json files to compare too")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    parser.add_argument("--place", action="store_true", help="also place both with nextpnr and count LUT sites")
    parser.add_argument("--write", action="store_true", help="also replace the section in RESULTS.md")
    options = parser.parse_args()
    lines = HEADER.splitlines()
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, (make, bits) in LAYERS.items():
            if options.only is None or any(part in name for part in options.only):
                lines.append(row(name, layer_design(make(np.random.default_rng(0)), bits), Path(folder), options.place))
                print(lines[-1], flush=True)
        for path in options.designs:
            design = from_json(path.read_text(), str(path))
            name = path.stem if path.stem != "design" else path.resolve().parent.name
            lines.append(row(f"trained {name}", design, Path(folder), options.place))
            print(lines[-1], flush=True)
    if options.write:
        write_section(TITLE, COMMAND, "\n".join([*lines, "", NOTES]))
    if options.out:
        plan.write_file(options.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
