"""The finer data of ``report.json``: neuron by neuron, what training recorded, and the command that repeats a build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from flow.build.options import Options
from flow.build.report import InputColumns, LayerLuts, NeuronColumns
from flow.core.design import Design, Layer
from flow.core.errors import ModelError
from flow.core.ports import element_names
from flow.core.ranges import accumulator_range
from flow.core.untrusted import MAX_MODEL, digest, refused
from flow.extract.training_files import training_history, training_record

_MOST_LAYERS = 40
_FILES = {
    "design.json": "integer design", "build.yml": "options of the build", "rtl/files.f": "list of the Verilog files",
    "hls/build_prj.tcl": "hls4ml project", "synth/synth.ys": "synthesis script", "synth/yosys.log": "synthesis log",
    "synth/netlist.v": "netlist", "sim/bench.json": "what the benches check", "pynq/driver.py": "driver for the board",
    "sim/icarus/waves.vcd": "waveform", "sim/verilator/bench/waves.vcd": "waveform",
    "bitstream/manifest.json": "bitstream and its digests", "bitstream/placement.svg": "chip",
}  # fmt: skip
_TRAINING = ("metric", "test", "val", "test_raw", "data", "method", "mode", "epochs", "seed", "mean_weight_bits")


def input_columns(design: Design) -> InputColumns:
    """Formats and real ranges of the design's inputs, one entry per element."""
    return InputColumns(
        format=[str(q.format) for q in design.inputs],
        range=[_real(q.low, q.high, q.format.frac) for q in design.inputs],
        rounding=[q.rounding for q in design.inputs],
        name=list(element_names(design, "inputs")) or None,
    )


def neuron_columns(design: Design, index: int, luts: Mapping[str, int] | None = None) -> NeuronColumns:
    """The neurons of layer ``index``, in order. ``luts``: by neuron index."""
    layer, formats, ranges = design.layers[index], design.formats_into(index), design.ranges_into(index)
    return NeuronColumns(
        weight_bits=[n.weight_bits for n in layer.neurons],
        zero_weights=[n.weights.count(0) for n in layer.neurons],
        accumulator=[str(n.accumulator) if n.accumulator else None for n in layer.neurons],
        accumulator_range=[_real(*accumulator_range(n, formats, ranges)) for n in layer.neurons],
        output=[str(n.output.format) if n.output else None for n in layer.neurons],
        rounding=[n.output.rounding if n.output else None for n in layer.neurons],
        name=(list(element_names(design, "outputs")) or None) if index == len(design.layers) - 1 else None,
        luts=None if luts is None else [luts.get(str(j), 0) for j in range(len(layer.neurons))],
    )


def _real(low: int, high: int, frac: int) -> list[float]:
    return [low * 2.0**-frac, high * 2.0**-frac]


def layer_luts(layer: Layer, usage: Mapping[str, Any]) -> LayerLuts | None:
    """LUTs of a layer; None where unknown."""
    entry = usage.get("layers", {}).get(layer.name)
    if entry is None:
        return None
    shared, parts = entry["shared"], entry.get("parts")
    own = entry["neurons"] if parts is None else parts
    return LayerLuts(sum(own.values()) + shared, shared, parts)


def training(model: Path) -> dict[str, Any]:
    """The scores and settings training recorded beside the model, numbers and words only, and its ``history``."""
    record, history = training_record(model), training_history(model)
    found = {key: record[key] for key in _TRAINING if isinstance(record.get(key), int | float | str)}
    return found if history is None else {**found, "history": history}


def files(out: Path) -> dict[str, str]:
    """Files of a build's folder that are worth opening, and what they are; those that are there."""
    found = {place: what for place, what in _FILES.items() if (out / place).is_file()}
    found |= {path.relative_to(out).as_posix(): "layer" for path in sorted((out / "rtl").glob("*.v"))[:_MOST_LAYERS]}
    return found


def model_file(model: Path) -> dict[str, str]:
    """Name and digest of the model file: enough to know it again, nothing about the machine it lay on."""
    with refused(ModelError, str(model), "give a file you may read"):
        return {"file": model.name, "sha256": digest(model, MAX_MODEL)}


def command(options: Options) -> list[str]:
    """The arguments that repeat a build. Paths outside the working directory are given by their last part only."""
    words = ["python", "-m", "flow.build", "--model", _relative(options.model), "--part", options.part.name]
    defaults = {option.name: option.default for option in fields(Options)}
    for name, word in options.words().items():
        if name in ("model", "part", "out") or (getattr(options, name) == defaults[name] and name != "engines"):
            continue
        flag = "--" + name.replace("_", "-")
        is_path = name == "data" or isinstance(getattr(options, name), Path)
        words += [flag] if word is True else [flag, _relative(Path(word)) if is_path else str(word)]
    return [*words, "--out", _relative(options.out)]


def _relative(path: Path) -> str:
    if not path.is_absolute() and ".." not in path.parts:
        return path.as_posix()
    inside = path.resolve().is_relative_to(Path.cwd())
    return path.resolve().relative_to(Path.cwd()).as_posix() if inside else path.name
