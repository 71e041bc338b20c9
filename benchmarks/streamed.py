"""Convolutional networks that others published, streamed on xc7z020: sites, rate, and what was compared.

``python -m benchmarks.streamed NAME ...`` measures the named networks, all without names, and writes the section
"Streamed networks" of ``RESULTS.md`` from what lies in ``--out``. Each has four steps, of which ``--step`` chooses
one: Keras against the integers, the hardware as it is calculated, its Verilog in Verilator, and synthesis. A whole
build with all engines takes longer by far.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.results_file import table, write_section
from flow.bench.vectors import make_vectors
from flow.build.hardware import Hardware
from flow.build.options import Options
from flow.build.quantization import QuantizedFile
from flow.build.state import ModelFile, finish
from flow.build.streaming import stream_hardware
from flow.core.design import Design, from_json, to_json
from flow.core.evaluate import evaluate, real_inputs
from flow.emit.rtl.testbench import describe
from flow.extract.test_data import Preparation
from flow.files import plan
from flow.netlist.read import read_netlist
from flow.parts.catalog import resolve
from flow.tools import yosys
from flow.verify import simulate

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"
PART, PERIOD_NS = "xc7z020", 10.0
NETWORKS = {  # file, format of its inputs (None: a float model, --quantize), cycles per image, images compared
    "RN07": ("mlperf_tiny_rn07.h5", "u8.8", 272_000, 200, 6),
    "MNIST CNN": ("qkeras_mnist_cnn.h5", "u8.8", 20_000, 1000, 200),
    "RN06": ("cnn_rn06.h5", "u8.8", 100_000, 200, 12),
    "Conv1D jets, --quantize": ("keras_conv1d_small.h5", None, 100, 1000, 200),
}


def main() -> None:
    """Measure what is named and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(NETWORKS))
    parser.add_argument("--out", type=Path, default=Path("streamed_builds"))
    parser.add_argument("--step", choices=list(STEPS))
    asked = parser.parse_args()
    for name in asked.names or NETWORKS:
        folder = asked.out / name.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        for step in [asked.step] if asked.step else STEPS:
            found = STEPS[step](name, folder)
            plan.write_file(folder / f"{step}.json", json.dumps(found) + "\n")
            print(name, step, found, flush=True)
    rows = [row for name in NETWORKS if (row := _row(name, asked.out / name.replace(" ", "_")))]
    header = [
        "network", "LUT sites", "FF", "BRAM18", "DSP", "LUT sites, estimated", "cycles per image", "images/s, 100 MHz",
        "latency, cycles", "Keras, exact", "Verilator, exact",
    ]  # fmt: skip
    write_section("Streamed networks", "python -m benchmarks.streamed", table(header, rows))


def _keras(name: str, folder: Path) -> dict[str, Any]:
    from flow.extract import compare_with_keras, extract

    file, input_format, _, images, _ = NETWORKS[name]
    if input_format is None:
        options = Options(SHARED / file, resolve(PART), folder, architecture="streaming", quantize=True)
        quantized = QuantizedFile(options, None, Preparation())
        model, design = quantized.keras(), quantized.design(options)
    else:
        model = ModelFile(SHARED / file).keras()
        design = finish(extract(model, input_format=input_format, form="streamed"))
    plan.write_file(folder / "design.json", to_json(design))
    result = compare_with_keras(model, design, real_inputs(design, make_vectors(design, images)))
    return {"images": images, "mismatches": result.mismatches}


def _made(name: str, folder: Path) -> tuple[Design, Hardware]:
    design = from_json((folder / "design.json").read_text())
    hardware = stream_hardware(design, resolve(PART), PERIOD_NS, NETWORKS[name][2], None)
    plan.mirror(hardware.rtl.files, folder / "rtl")
    return design, hardware


def _verilator(name: str, folder: Path) -> dict[str, Any]:
    design, hardware = _made(name, folder)
    bench = describe(design, hardware.rtl)
    model = simulate.build_verilator(bench, folder, folder / "model")
    inputs = make_vectors(design, NETWORKS[name][4], seed=1)
    result = simulate.run_native(bench, inputs, evaluate(design, inputs), folder / "native", model, gap_one_in=0)
    return {"images": result.vectors, "mismatches": result.mismatches, "interval": result.interval_seen}


def _hardware(name: str, folder: Path) -> dict[str, Any]:
    _, hardware = _made(name, folder)
    stream = hardware.stream
    assert stream is not None
    nodes = [[node.name, node.core, node.interval, node.lut, node.bram18] for node in stream.nodes]
    rtl = hardware.rtl
    return {
        "interval": rtl.initiation_interval, "latency": rtl.latency_cycles, "nodes": nodes,
        "queues": dict(stream.queues),
    }  # fmt: skip


def _synthesis(name: str, folder: Path) -> dict[str, Any]:
    _, hardware = _made(name, folder)
    rtl = hardware.rtl
    files = [f"rtl/{file}" for file in rtl.files]
    script = yosys.synthesis_script(files, rtl.top, resolve(PART).yosys_family, dsp=hardware.may_use_dsp)
    yosys.synthesize(folder, script, 3600)
    return asdict(read_netlist(folder / "netlist.json", rtl.top).resources)


STEPS: dict[str, Callable[[str, Path], dict[str, Any]]] = {
    "keras": _keras, "hardware": _hardware, "verilator": _verilator, "synthesis": _synthesis
}  # fmt: skip


def _row(name: str, folder: Path) -> list[str] | None:
    made = _kept(folder, "hardware")
    if made is None:
        return None
    found, compared = _kept(folder, "synthesis"), []
    for step in ("keras", "verilator"):
        told = _kept(folder, step)
        wrong = told and told["mismatches"]
        compared.append(f"{wrong} WRONG" if wrong else f"{told['images']} images" if told else "not run")
    used = [f"{found['lut']:,}", f"{found['ff']:,}", str(found["bram18"]), str(found["dsp"])] if found else ["-"] * 4
    guess = sum(sites for *_, sites, _ in made["nodes"])
    return [
        name, *used, f"{guess:,}", f"{made['interval']:,}", f"{1e9 / PERIOD_NS / made['interval']:,.0f}",
        f"{made['latency']:,}", *compared,
    ]  # fmt: skip


def _kept(folder: Path, step: str) -> Any:
    path = folder / f"{step}.json"
    return json.loads(path.read_text()) if path.is_file() else None


if __name__ == "__main__":
    main()
