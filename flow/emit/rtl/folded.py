"""The folded architecture as Verilog: few processing elements, weights in memory, layers streaming into each other.

What is the same in every design lies in ``hls_templates/folded_*.v`` and is copied as it is; layers, memories and the
top module are laid out by templates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flow.core.design import Design
from flow.core.evaluate import argmax
from flow.core.passes.names import verilog_top
from flow.emit.rtl.argmax import Head, argmax_module
from flow.emit.rtl.expressions import Value, literal, part, port_bits
from flow.emit.rtl.folded_lane import build_lane
from flow.emit.rtl.folded_memory import address_bits, weight_rom
from flow.emit.rtl.names import LayerNames, layer_instance, layer_output
from flow.emit.rtl.verilog import Rtl, port_lines
from flow.emit.templates import FOLDER, render
from flow.folded.folding import (
    PRODUCT_DEPTH,
    QUANTIZE_CYCLES,
    THRESHOLD_CYCLES,
    TREE_STAGE,
    Folding,
    GroupFold,
    LayerFold,
    product_rows,
)
from flow.parts.family import XC7, Delays, Family

_STATIC = ("product", "pe", "trits", "threshold", "buffer", "tokens", "control", "results")
_SLICES = "slices"  # only where a group takes its words in parts
_BLOCK = 16  # input words that one table of look-up tables and wide multiplexers chooses from
_KINDS = {"binary": 1, "ternary": 2, "signed": 3}


def emit_folded(folding: Folding, clock_period_ns: float, family: Family = XC7) -> Rtl:
    """Verilog of a folded design for a part's ``family``."""
    design = folding.lowered.design
    top = verilog_top(design)
    sliced = any(g.slices > 1 for la in folding.layers for g in la.groups)
    static = [*_STATIC, *([_SLICES] if sliced else [])]
    files = {f"folded_{name}.v": (FOLDER / f"folded_{name}.v").read_text() for name in static}
    head = None
    if not folding.layers:
        files = {}
    elif design.head == "argmax":
        head = argmax_module(f"{top}_argmax", design.output_formats, clock_period_ns, family.planned)
        files[f"{top}_argmax.v"] = head.text
    latencies: dict[str, int] = {}
    layers: list[dict[str, Any]] = []
    for index, layer in enumerate(folding.layers):
        module = f"{top}_{layer.layer.name}"
        bits = _out_bits(folding, index)
        files.update(_layer_files(folding, index, module, bits, _places(folding, head), family.carry_bits > 0))
        latencies[layer.layer.name] = layer.latency
        turns = layer.folds * layer.drain
        layers.append(
            {"name": layer.layer.name, "module": module, "lanes": len(layer.lanes), "bits": bits,
             "place_bits": address_bits(turns)}
        )  # fmt: skip
    if head:
        latencies["argmax"] = head.latency
    latency = sum(latencies.values()) + 1
    names = tuple(
        LayerNames(la["name"], layer_instance(la["name"]), layer_output(la["name"]), f"{la['module']}.v")
        for la in layers
    )
    files[f"{top}.v"] = _top(folding, top, layers, head, latency)
    return Rtl(top, files, latency, latencies, _critical_path_ns(folding, family.planned),
        folding.interval, ready=True, names=names)  # fmt: skip


def _places(folding: Folding, head: Head | None) -> int:
    """Results that may be on their way out of the last layer or waiting, so that it never waits in steady state."""
    if not folding.layers:
        return 1
    return results_inside(folding.layers[-1].latency + (head.latency if head else 0) + 1, folding.interval)


def results_inside(latency_cycles: int, interval: int) -> int:
    """Results on their way out of a last layer, or waiting: a vector starts only if its result is sure of a place."""
    return max(1, math.ceil((latency_cycles + 1) / interval))


def _out_bits(folding: Folding, index: int) -> int:
    """Width of one output on its way out of a layer."""
    if index + 1 < len(folding.layers):
        return folding.layers[index + 1].layer.lane.bits
    formats = folding.lowered.design.output_formats
    return max(formats[u.neuron].bits for u in folding.layers[index].layer.units)


def _layer_files(folding: Folding, index: int, module: str, out_bits: int, places: int, luts: bool) -> dict[str, str]:
    layer = folding.layers[index]
    files, groups, lanes = {}, [], []
    for group in layer.groups:
        rom = f"{module}_{group.coding.label}"
        files[f"{rom}.v"] = weight_rom(rom, layer, group, luts)
        groups.append(_group(layer, group, rom))
    for number in range(len(layer.lanes)):
        rom = f"{module}_parameters{number}"
        lane, files[f"{rom}.v"] = build_lane(layer, number, rom, luts)
        lanes.append(lane)
    last = index + 1 == len(folding.layers)
    words = _input_words(folding) if index == 0 else []
    out_slots = places if last else folding.layers[index + 1].slots
    turns = layer.folds * layer.drain
    stages = layer.sum_cycles - 1  # from step to the accumulator's input
    files[f"{module}.v"] = render(
        "folded_layer.v.j2",
        design=folding.lowered.design.name,
        module=module,
        f=layer,
        first=index == 0,
        inputs=len(layer.layer.inputs),
        neurons=len(layer.layer.units),
        interval=folding.interval,
        pause_bits=address_bits(folding.interval),
        in_bits=port_bits(folding.lowered.design.input_formats),
        in_lanes=len(layer.banks),
        x_bits=layer.layer.lane.bits,
        x_signed=int(layer.layer.lane.signed),
        blocks=[words[k : k + _BLOCK] for k in range(0, len(words), _BLOCK)],
        block_bits=address_bits(min(len(words), _BLOCK)),
        buffers=[{"banks": b, "first": sum(layer.banks[:k])} for k, b in enumerate(layer.banks)],
        step_bits=address_bits(layer.cycles),
        read_bits=address_bits(layer.slots * layer.words),
        place_bits=address_bits(turns),
        slot_bits=address_bits(layer.drain),
        out_slots=out_slots,
        out_bits=out_bits,
        flags=stages,
        groups=groups,
        x_late=max(g["late"] - g["sliced"] for g in groups),
        step_late=max(g["late"] for g in groups),
        sliced=any(g["sliced"] for g in groups),
        lanes=lanes,
        tree_stage=TREE_STAGE,
        unit_cycles=THRESHOLD_CYCLES,
        quantize_cycles=QUANTIZE_CYCLES,
    )
    return files


def _group(layer: LayerFold, group: Any, rom: str) -> dict[str, Any]:
    weights = group.pe * group.simd
    late, sliced = layer.sum_cycles - group.sum_cycles, group.slices > 1
    return {
        "name": group.coding.label,
        "kind": _KINDS[group.coding.kind],
        "neurons": len(group.units),
        "pe": group.pe,
        "folds": group.folds,
        "simd": group.simd,
        "slices": group.slices,
        "sliced": sliced,
        "slice_bits": address_bits(group.slices),
        "weights": weights,
        "triples": weights // 3,
        "word": group.memory.width,
        "weight_bits": group.weight_bits,
        "code_bits": group.coding.bits,
        "sum_bits": group.sum_bits,
        "memory": f"{group.memory.depth} x {group.memory.width} bits in {group.memory.kind} memory",
        "rom": rom,
        "address_bits": address_bits(group.memory.depth),
        "product_stage": group.product_stage,
        "late": late,
        "operand": f"{group.coding.label}_x" if sliced else f"x_late{late}" if late else "x",
        "dsp": int(group.dsp),
    }


def _input_words(folding: Folding) -> list[str]:
    """The words the first layer reads, as concatenations of aligned input elements, first element last."""
    layer, design = folding.layers[0], folding.lowered.design
    formats, bits = design.input_formats, layer.layer.lane.bits
    offsets = [0]
    for fmt in formats:
        offsets.append(offsets[-1] + fmt.bits)
    held = Value("held", port_bits(formats), False)
    aligned = []
    for place in layer.order:
        if place < 0:
            aligned.append(literal(0, bits))
            continue
        element = layer.layer.inputs[place]
        fmt = formats[element]
        source = part(held, offsets[element], fmt.bits)
        if fmt.signed and fmt.bits < bits - layer.layer.shifts[place]:
            top = part(held, offsets[element] + fmt.bits - 1, 1)
            fill = bits - layer.layer.shifts[place] - fmt.bits
            source = f"{{{fill}{{{top}}}}}, {source}"
            aligned.append(_pad(source, bits, bits - layer.layer.shifts[place], layer.layer.shifts[place]))
            continue
        width = min(fmt.bits, bits - layer.layer.shifts[place])  # the range may need fewer bits than the format
        source = part(held, offsets[element], width)
        aligned.append(_pad(source, bits, width, layer.layer.shifts[place]))
    words = [aligned[k : k + layer.simd] for k in range(0, len(aligned), layer.simd)]
    return ["{" + ", ".join(reversed(word)) + "}" for word in words]


def _pad(source: str, bits: int, width: int, shift: int) -> str:
    """``source`` of ``width`` bits, shifted left and zero extended to ``bits``."""
    above = [literal(0, bits - width - shift)] if bits > width + shift else []
    below = [literal(0, shift)] if shift else []
    return ", ".join([*above, source, *below])


def _top(folding: Folding, top: str, layers: list[dict[str, Any]], head: Head | None, latency: int) -> str:
    design = folding.lowered.design
    if not layers:
        return _constant_top(folding, top)
    last = layers[-1]
    collect, captures, outputs = [], [], []
    for number in range(last["lanes"]):
        for turn, unit in enumerate(folding.layers[-1].arrivals(number)):
            if unit is None:
                continue
            bits = design.output_formats[unit.neuron].bits
            collect.append(f"reg [{bits - 1}:0] n{unit.neuron};")
            captures.append(
                f"if ({last['name']}_write[{number}] && {last['name']}_place == {last['place_bits']}'d{turn})"
                f" n{unit.neuron} <= {last['name']}_data[{number * last['bits']}+:{bits}];"
            )
    outputs = _collected(design, folding.lowered.constants)
    return render(
        "folded_top.v.j2",
        design=design.name,
        module=top,
        interval=folding.interval,
        latency=latency,
        ports=port_lines(design),
        in_bits=port_bits(design.input_formats),
        out_bits=head.bits if head else port_bits(design.output_formats),
        collected_bits=port_bits(design.output_formats),
        layers=layers,
        last=last,
        collect=collect,
        captures=captures,
        outputs=outputs,
        head={"module": f"{top}_argmax", "latency": head.latency} if head else None,
        places=_places(folding, head),
    )


def _collected(design: Design, constants: dict[int, int], port: str = "collected") -> list[str]:
    """Assignments of every output element, from its register or its constant."""
    lines, offset = [], 0
    for j, fmt in enumerate(design.output_formats):
        if fmt.bits:
            target = part(Value(port, -1, False), offset, fmt.bits)
            source = literal(constants[j], fmt.bits) if j in constants else f"n{j}"
            lines.append(f"assign {target} = {source};  // neuron {j}: {fmt}")
        offset += fmt.bits
    return lines or [f"assign {port} = 1'd0;  // no neuron has a bit"]


def _constant_top(folding: Folding, top: str) -> str:
    """The top module of a design whose outputs do not depend on its inputs."""
    lowered = folding.lowered
    design, constants = lowered.design, lowered.constants
    formats = design.output_formats
    bits = port_bits(formats)
    lines = _collected(design, constants, "out_data")
    if design.head == "argmax":
        logits = np.array([[constants[j] for j in range(len(formats))]], np.int64)
        bits = max((len(formats) - 1).bit_length(), 1)
        lines = [f"assign out_data = {literal(int(argmax(logits, formats)[0, 0]), bits)};"]
    return render(
        "folded_constant.v.j2",
        design=design.name,
        module=top,
        in_bits=port_bits(design.input_formats),
        out_bits=bits,
        outputs=lines,
    )


def _product_ns(group: GroupFold, bits: int, delays: Delays) -> float:
    """Delay of a product: a DSP block's, or of the rows of a stack and of adding the stacks."""
    if group.dsp:
        return delays.dsp_product
    rows, stacks = product_rows(bits, group.coding.bits)
    return (min(rows, PRODUCT_DEPTH) + stacks - 1) * delays.adder(max(bits, group.coding.bits) + 2)


def _critical_path_ns(folding: Folding, delays: Delays) -> float:
    """Longest of the paths that matter: accumulate, product of a wide group, output unit."""
    longest = 0.0
    for layer in folding.layers:
        for group in layer.groups:
            levels = min(TREE_STAGE, (group.simd - 1).bit_length())
            chain = delays.adder(group.sum_bits) * (1 + levels)
            if group.coding.kind == "signed":
                chain = max(chain, _product_ns(group, layer.layer.lane.bits, delays))
            longest = max(longest, chain)
    return longest + delays.register + delays.net
