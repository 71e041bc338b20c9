"""A Verilog wrapper that gives RTL of AMD's HLS the ports of our benches: clk, rst, valid, ready and packed data.

Data ports are parallel (``ap_vld`` or ``ap_none``) or streams (``axis``), one for a tensor or one per element; control
is ``ap_ctrl_hs``, ``ap_ctrl_chain`` or ``ap_ctrl_none``. Results of parallel ports cannot be held back and may come in
different cycles, so each has a buffer and no more vectors are let in than the buffers hold; streams are stalled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flow.bench.description import Element, total_bits
from flow.core.errors import DesignError
from flow.emit.templates import render
from flow.tool_reports.rtl_ports import RtlPort

NAME = "vendor_bench_top"
_CONTROL = ("ap_start", "ap_done", "ap_idle", "ap_ready", "ap_continue", "ap_clk", "ap_rst", "ap_rst_n")
_PARALLEL = ("ap_vld", "ap_none")
_STREAM_DEPTH = 1  # two results wait per stream, then the core is stalled


@dataclass(frozen=True)
class Timing:
    """What the synthesis report states: cycles from accepting a vector to its result, and between vectors."""

    latency: int
    interval: int
    in_flight: int


@dataclass(frozen=True)
class _Data:
    """A data port: its name without ``_TDATA``, its bits, and the elements in it, ``stride`` bits apart."""

    name: str
    stream: bool
    width: int
    elements: int
    stride: int
    valid: bool
    ready: bool


def wrapper(
    ports: Sequence[RtlPort],
    top: str,
    inputs: tuple[Element, ...],
    outputs: tuple[Element, ...],
    timing: Timing,
    packed: bool = False,
) -> str:
    """The wrapper around ``top``. ``packed``: a stream's elements lie bit by bit, not each from a byte of its own.

    Raises DesignError for ports it cannot serve.
    """
    names = {p.name for p in ports}
    ins, outs = _data(ports, "in", inputs, top, packed), _data(ports, "out", outputs, top, packed)
    _known(names, top, (*ins, *outs))
    streams, control = [p for p in ins if p.stream], "ap_start" in names
    if control and (missing := {"ap_done", "ap_ready"} - names):
        raise DesignError(f"{top} has ap_start, but no port {min(missing)}")
    if streams and len(streams) < len(ins):
        raise DesignError(f"{top}: streams and parallel ports side by side as inputs cannot be simulated")
    announced = control or (all(p.stream or p.valid for p in ins) and all(p.stream or p.valid for p in outs))
    if not announced and (timing.interval > 1 or is_stream(ports)):
        raise DesignError(f"{top}: ap_ctrl_none, ap_none ports and interval {timing.interval} tell no result")
    depth = max(4, timing.in_flight).bit_length()
    pins = _control_pins(names)
    for i, port in enumerate(ins):
        pins += _input_pins(i, port, inputs[0].bits, "start" if control else "accept")
    shown: list[dict[str, Any]] = []
    for i, port in enumerate(outs):
        shown.append(_output(i, port, outputs[0].bits, "done" if control else "due", announced, depth))
        shown[i]["low"] = sum(o["bits"] for o in shown[:i])
        pins += _output_pins(i, port, announced)
    return render(
        "vendor_bench.v.j2", name=NAME, top=top, gated=any(not p.ready for p in outs), depth=depth, control=control,
        in_bits=total_bits(inputs), out_bits=total_bits(outputs), streams=streams, interval=timing.interval,
        due=None if announced else timing.latency, outputs=shown, pins=pins,
    )  # fmt: skip


def is_stream(ports: Sequence[RtlPort]) -> bool:
    """Whether any data goes through a stream."""
    return any(p.protocol == "axis" for p in ports)


def _data(ports: Sequence[RtlPort], side: str, elements: Sequence[Element], top: str, packed: bool) -> list[_Data]:
    """The data ports of a direction in the order of their elements: x_0, x_1, ..., x_10."""
    names = {p.name for p in ports}
    found = [p for p in ports if p.data and p.direction == side and p.protocol in _PARALLEL]
    found += [p for p in ports if p.protocol == "axis" and p.name.endswith("_TDATA") and p.direction == side]
    where, bits = f"{top}: its {side}puts", elements[0].bits
    numbers = [_number(p.name) for p in found]
    if len(found) > 1 and sorted(numbers) != list(range(len(elements))):
        raise DesignError(f"{where} are {len(found)} ports, which are not the design's {len(elements)} elements")
    if not found:
        raise DesignError(f"{where} are none that can be simulated")
    each = len(elements) if len(found) == 1 else 1
    data = []
    for _, port in sorted(zip(numbers, found, strict=True), key=lambda pair: pair[0]):
        stride = _stride(port, bits, each, packed)
        if stride is None:
            raise DesignError(f"{where}: {port.name} has {port.bits} bits, which are not {each} elements of {bits}")
        stream, base = port.protocol == "axis", port.name.removesuffix("_TDATA")
        valid, ready = base + ("_TVALID" if stream else "_ap_vld") in names, stream and base + "_TREADY" in names
        data.append(_Data(base, stream, port.bits, each, stride, valid, ready))
    return data


def _stride(port: RtlPort, bits: int, elements: int, packed: bool) -> int | None:
    """Bits from one element of a port to the next; None where the port's width is not that of the elements.

    A stream is whole bytes wide. Vitis HLS aligns every element of a struct to bytes (UG1399, Structs on the
    Interface); Vivado HLS puts them side by side (UG902, data_pack).
    """
    if port.protocol != "axis":
        return bits if port.bits == bits * elements else None
    if elements == 1:
        return bits if port.bits >= bits else None
    if packed:
        return bits if port.bits == -(-bits * elements // 8) * 8 else None
    stride, rest = divmod(port.bits, elements)
    return stride if not rest and stride % 8 == 0 and stride >= bits else None


def _number(name: str) -> int:
    """The element that a port's name counts: 10 of x_V_data_10_V_TDATA."""
    found = re.findall(r"(?<=_)\d+(?=_|$)", name.removesuffix("_TDATA").removesuffix("_V"))
    return int(found[-1]) if found else 0


def _known(names: set[str], top: str, data: Sequence[_Data]) -> None:
    served = {*_CONTROL}
    for port in data:
        served |= {port.name + end for end in (("_TDATA", "_TVALID", "_TREADY") if port.stream else ("", "_ap_vld"))}
        if port.stream and not port.valid:
            raise DesignError(f"{top}: stream {port.name} has no {port.name}_TVALID")
    if unknown := names - served:
        raise DesignError(f"{top}: port {min(unknown)} has a protocol that cannot be simulated")


def _control_pins(names: set[str]) -> list[tuple[str, str]]:
    wires = {"ap_clk": "clk", "ap_rst": "rst", "ap_rst_n": "~rst", "ap_start": "start", "ap_done": "done",
             "ap_ready": "core_ready", "ap_idle": "", "ap_continue": "1'b1"}  # fmt: skip
    return [(name, wire) for name, wire in wires.items() if name in names]


def _input_pins(index: int, port: _Data, bits: int, valid: str) -> list[tuple[str, str]]:
    first = index * bits if port.elements == 1 else 0
    if not port.stream:
        wire = f"in_data[{first} +: {port.width}]"
        return [(port.name, wire), *([(f"{port.name}_ap_vld", valid)] if port.valid else [])]
    parts, filled = [], 0
    for k in range(port.elements):
        parts += [f"in_data[{first + k * bits} +: {bits}]", f"{port.stride - bits}'d0"][: 1 + (port.stride > bits)]
        filled += port.stride
    parts += [f"{port.width - filled}'d0"] if port.width > filled else []
    pins = [(f"{port.name}_TDATA", "{" + ", ".join(reversed(parts)) + "}"), (f"{port.name}_TVALID", f"valid[{index}]")]
    return [*pins, *([(f"{port.name}_TREADY", f"ready[{index}]")] if port.ready else [])]


def _output(index: int, port: _Data, bits: int, tell: str, announced: bool, depth: int) -> dict[str, Any]:
    """What the template needs of an output; ``write`` is empty where the core itself drives that wire."""
    write = f"valid{index} & ~held{index}[{_STREAM_DEPTH}]" if port.ready else ""
    if not port.valid or not announced:
        write = tell
    parts = [f"port{index}[{k * port.stride} +: {bits}]" for k in range(port.elements)]
    return {
        "width": port.width,
        "bits": bits * port.elements,
        "write": write,
        "stalled": port.ready,
        "depth": _STREAM_DEPTH if port.ready else depth,
        "elements": parts[::-1],
    }


def _output_pins(index: int, port: _Data, announced: bool) -> list[tuple[str, str]]:
    if not port.stream:
        pins = [(f"{port.name}_ap_vld", f"write{index}" if announced else "")] if port.valid else []
        return [(port.name, f"port{index}"), *pins]
    pins = [(f"{port.name}_TDATA", f"port{index}"), (f"{port.name}_TVALID", f"valid{index}")]
    if not port.ready:
        return [pins[0], (f"{port.name}_TVALID", f"write{index}")]
    return [*pins, (f"{port.name}_TREADY", f"~held{index}[{_STREAM_DEPTH}]")]
