"""The AXI4-Stream shell: wraps an emitted core, parallel or folded, with streams, results buffer and registers."""

from __future__ import annotations

from dataclasses import dataclass

from flow.bench.bus_layout import Layout
from flow.bench.description import Bench, Element
from flow.core.errors import DesignError
from flow.emit.rtl.verilog import Rtl
from flow.emit.templates import FOLDER, render
from flow.files import plan
from flow.files.steps import digest_of

MAGIC = 0x4E4D5031
VERSION = 1
_STATIC = ("axis_collect.v", "axis_results.v", "axis_send.v", "axis_registers.v")


@dataclass(frozen=True)
class Shell:
    """An emitted shell: its files (without the core's), and what a bench and a driver must know of it."""

    top: str
    files: dict[str, str]  # name -> text, in compile order
    layout: Layout
    digest: str
    places: int  # results that can wait


def emit_axis(name: str, rtl: Rtl, bench: Bench, layout: Layout) -> Shell:
    """The shell of a core. ``name`` is the design's; raises DesignError for a core without a register stage."""
    if rtl.latency_cycles < 1:
        raise DesignError(f"{rtl.top}: a stream shell needs a core with at least one register stage")
    top, digest = f"{rtl.top}_axis", digest_of("axis 1", plan.digest(rtl.files), repr(layout))
    address_bits = _address_bits(rtl, layout)
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
        core_in_bits=max(bench.in_bits, 1),
        core_out_bits=max(bench.out_bits, 1),
        address_bits=address_bits,
        inputs=len(bench.inputs),
        outputs=len(bench.outputs),
        latency=rtl.latency_cycles,
        format=layout.bus_bits | layout.in_lane_bits << 16 | layout.out_lane_bits << 24,
        digest=digest,
        unpacking=_unpacking(layout, bench),
        packing=_packing(layout, bench),
        unused=_unused(layout, bench),
    )
    files = {f: (FOLDER / f).read_text() for f in _STATIC} | {f"{top}.v": text}
    return Shell(top, files, layout, digest, 1 << address_bits)


def _index_bits(count: int) -> int:
    """Bits that hold 0 to ``count - 1``, at least one."""
    return max(1, (count - 1).bit_length())


def _address_bits(rtl: Rtl, layout: Layout) -> int:
    """Places for every result that can be under way while the streams run at full speed; a power of two, at least 2.

    A place is taken from the cycle in which a vector enters until two cycles after its result left the core.
    """
    interval = max(layout.in_beats, layout.out_beats, rtl.initiation_interval)
    places = -(-(rtl.latency_cycles + 2) // interval) + 1
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


def _unused(layout: Layout, bench: Bench) -> list[str]:
    """Parts of the vector and of the result that carry nothing."""
    width, spare = layout.in_beats * layout.bus_bits, []
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
