"""The AXI4-Stream shell: wraps an emitted core with streams, results buffer and registers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from flow.bench.bus_layout import Layout
from flow.bench.description import Bench, Element
from flow.core.errors import DesignError
from flow.emit.rtl.verilog import Rtl
from flow.emit.templates import render, static
from flow.files import plan
from flow.files.steps import digest_of

MAGIC = 0x4E4D5031
VERSION = 1
_STATIC = ("axis_packets.v", "axis_results.v", "axis_send.v", "axis_registers.v")


@dataclass(frozen=True)
class Shell:
    """An emitted shell: its files (without the core's), and what a bench and a driver must know of it."""

    top: str
    files: dict[str, str]  # name -> text, in compile order
    layout: Layout
    digest: str
    places: int  # results that can wait
    latency: int  # cycles from a vector's first part to its result, and from vector to vector, where the bus is not
    interval: int  # slower


@dataclass(frozen=True)
class Pixels:
    """How a core takes a vector: so many pixels in a row, of so many bits on the bus each; ``unit`` divides both."""

    count: int
    bits: int
    unit: int


def pixels_of(bench: Bench, layout: Layout) -> Pixels | None:
    """The pixels of a core's vector, None where it takes the vector at once."""
    if bench.in_beats == 1:
        return None
    bits = (layout.in_lane_bits * len(bench.inputs) or bench.in_bits) // bench.in_beats
    return Pixels(bench.in_beats, bits, math.gcd(bits, layout.bus_bits))


def emit_axis(name: str, rtl: Rtl, bench: Bench, layout: Layout, latency: int = 0, interval: int = 0) -> Shell:
    """The shell of a core. ``name`` is the design's; ``latency`` and ``interval`` are the core's with pixels as the bus
    brings them, where they are not those of ``rtl``. Raises DesignError for a core without a register stage.
    """
    latency, interval = latency or rtl.latency_cycles, interval or rtl.initiation_interval
    if latency < 1:
        raise DesignError(f"{rtl.top}: a stream shell needs a core with at least one register stage")
    pixels = pixels_of(bench, layout)
    part = (
        bench
        if pixels is None
        else replace(bench, inputs=bench.inputs[: len(bench.inputs) // pixels.count], in_beats=1)
    )
    top, digest = f"{rtl.top}_axis", digest_of("axis 2", plan.digest(rtl.files), repr(layout))
    address_bits = _address_bits(latency + (bench.out_beats > 1), interval, layout)
    last = layout.in_data_bytes - (layout.in_beats - 1) * layout.bus_bits // 8
    text = render(
        "axis_top.v.j2",
        design=name,
        module=top,
        core=rtl.top,
        layout=layout,
        ready=rtl.ready,
        in_place_bits=_index_bits(layout.in_beats),
        out_place_bits=_index_bits(layout.out_beats),
        last_keep=f"{layout.bus_bits // 8}'d{(1 << max(last, 0)) - 1}",
        core_in_bits=max(bench.in_bits // bench.in_beats, 1),
        pixels=pixels,
        gathered=bench.out_beats,
        core_out_bits=max(bench.out_bits, 1),
        address_bits=address_bits,
        inputs=len(bench.inputs),
        outputs=len(bench.outputs),
        latency=rtl.latency_cycles,
        format=layout.bus_bits | layout.in_lane_bits << 16 | layout.out_lane_bits << 24,
        digest=digest,
        unpacking=_unpacking(layout, part),
        packing=_packing(layout, bench),
        unused=_unused(layout, part, layout.in_beats * layout.bus_bits if pixels is None else pixels.bits),
    )
    own = "axis_collect.v" if pixels is None else "axis_pixels.v"
    files = {f: static(f) for f in (own, *_STATIC)} | {f"{top}.v": text}
    if bench.out_beats > 1 and "stream_gather.v" not in rtl.files:
        files = {"stream_gather.v": static("stream_gather.v"), **files}
    return Shell(top, files, layout, digest, 1 << address_bits, latency, interval)


def _index_bits(count: int) -> int:
    """Bits that hold 0 to ``count - 1``, at least one."""
    return max(1, (count - 1).bit_length())


def _address_bits(latency: int, interval: int, layout: Layout) -> int:
    """Places for every result that can be under way while the streams run at full speed; a power of two, at least 2.

    A place is taken from the cycle in which a vector enters until two cycles after its result left the core.
    """
    slowest = max(layout.in_beats, layout.out_beats, interval)
    places = -(-(latency + 2) // slowest) + 1
    return max(1, (places - 1).bit_length())


def _unpacking(layout: Layout, bench: Bench) -> list[str]:
    """Assignments from the collected vector to the core's packed input."""
    if not bench.in_bits:
        return ["assign core_in = 1'b0;  // no input element has a bit"]
    if not layout.in_lane_bits:
        return [f"assign core_in = vector[{bench.in_bits - 1}:0];"]
    lines, offset = [], 0
    for i, element in enumerate(bench.inputs):
        if element.bits:
            source = f"vector[{i * layout.in_lane_bits}+:{element.bits}]"
            lines.append(f"assign core_in[{offset}+:{element.bits}] = {source};  // {element.name}")
        offset += element.bits
    return lines


def _packing(layout: Layout, bench: Bench) -> list[str]:
    """Assignments from the core's packed result to the lanes of the output stream."""
    width = layout.out_beats * layout.bus_bits
    if not layout.out_lane_bits or not bench.out_bits:
        padding = width - bench.out_bits
        if not bench.out_bits:
            return [f"assign lanes = {{{width}{{1'b0}}}};  // no output element has a bit"]
        return [f"assign lanes = {{{{{padding}{{1'b0}}}}, result}};" if padding else "assign lanes = result;"]
    lines, offset = [], 0
    for i, element in enumerate(bench.outputs):
        value = _extended(element, offset, layout.out_lane_bits)
        target = f"lanes[{i * layout.out_lane_bits}+:{layout.out_lane_bits}]"
        lines.append(f"assign {target} = {value};  // {element.name}")
        offset += element.bits
    rest = width - len(bench.outputs) * layout.out_lane_bits
    return [*lines, *([f"assign lanes[{width - rest}+:{rest}] = {{{rest}{{1'b0}}}};"] if rest else [])]


def _extended(element: Element, offset: int, lane: int) -> str:
    """An element of ``result`` extended to its lane."""
    if not element.bits:
        return f"{{{lane}{{1'b0}}}}"
    value, fill = f"result[{offset}+:{element.bits}]", lane - element.bits
    if not fill:
        return value
    sign = f"result[{offset + element.bits - 1}]" if element.signed else "1'b0"
    return f"{{{{{fill}{{{sign}}}}}, {value}}}"


def _unused(layout: Layout, bench: Bench, width: int) -> list[str]:
    """Parts of the vector, of ``width`` bits or one of its pixels, and of the result that carry nothing."""
    spare = []
    if not bench.out_bits:
        spare.append("result")
    if not layout.in_lane_bits or not bench.in_bits:
        return spare + ([f"vector[{width - 1}:{bench.in_bits}]"] if width > bench.in_bits else [])
    used = 0
    for i, element in enumerate(bench.inputs):
        if i * layout.in_lane_bits > used:
            spare.append(f"vector[{i * layout.in_lane_bits - 1}:{used}]")
        used = i * layout.in_lane_bits + element.bits
    return spare + ([f"vector[{width - 1}:{used}]"] if width > used else [])
