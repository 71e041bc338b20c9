"""A Verilog wrapper that gives RTL of AMD's HLS the ports of our benches: clk, rst, valid, ready and packed data.

Parallel ports (``ap_vld`` or ``ap_none``, one wide or one per element) under ``ap_ctrl_hs``. A result's elements may
come in different cycles and cannot be held back, so each port has a buffer, and no more vectors are let in than the
buffers hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from flow.errors import DesignError
from flow.reports.rtl_ports import RtlPort

NAME = "vendor_bench_top"
_CONTROL = {"ap_start", "ap_done", "ap_idle", "ap_ready", "ap_continue", "ap_clk", "ap_rst", "ap_rst_n"}


def wrapper(ports: Sequence[RtlPort], top: str, in_bits: int, out_bits: int, in_flight: int) -> str:
    """The wrapper around ``top``, for ``in_flight`` vectors at once. Raises DesignError for ports it cannot serve."""
    names = {p.name for p in ports}
    missing = {"ap_clk", "ap_start", "ap_done", "ap_ready"} - names
    if missing:
        raise DesignError(f"{top} has no port {min(missing)}; only ap_ctrl_hs can be simulated")
    inputs, outputs = (_data(ports, direction) for direction in ("in", "out"))
    for side, found, bits in (("inputs", inputs, in_bits), ("outputs", outputs, out_bits)):
        if sum(p.bits for p in found) != bits:
            raise DesignError(f"{top}: its {side} have {sum(p.bits for p in found)} bits, the design {bits}")
    unknown = names - _CONTROL - {p.name + end for p in (*inputs, *outputs) for end in ("", "_ap_vld")}
    if unknown:
        raise DesignError(f"{top}: port {min(unknown)} has a protocol that cannot be simulated")
    depth = max(4, in_flight).bit_length()
    pins = {"ap_clk": "clk", "ap_start": "start", "ap_done": "done", "ap_ready": "ready", "ap_idle": ""}
    pins |= {"ap_rst": "rst", "ap_rst_n": "~rst", "ap_continue": "1'b1"}
    pins = {name: pin for name, pin in pins.items() if name in names}
    low = 0
    for port in inputs:
        pins[port.name] = f"in_data[{low} +: {port.bits}]"
        low += port.bits
        if f"{port.name}_ap_vld" in names:
            pins[f"{port.name}_ap_vld"] = "start"
    buffers, low = [], 0
    for i, port in enumerate(outputs):
        valid = f"{port.name}_ap_vld" in names
        pins[port.name] = f"port{i}"
        if valid:
            pins[f"{port.name}_ap_vld"] = f"write{i}"
        buffers.append(_buffer(i, port.bits, low, depth, valid))
        low += port.bits
    wired = ",\n".join(f"        .{name}({pin})" for name, pin in pins.items())
    full = " & ".join(f"full{i}" for i in range(len(outputs)))
    return f"""module {NAME} (
    input wire clk, input wire rst,
    input wire in_valid, output wire in_ready, input wire [{in_bits - 1}:0] in_data,
    output wire out_valid, input wire out_ready, output wire [{out_bits - 1}:0] out_data
);
    wire done, ready;
    wire take = out_valid & out_ready;
    reg [{depth}:0] flying;
    wire start = in_valid & ~rst & ~flying[{depth}];
    assign in_ready = ready & start;
    assign out_valid = {full};
    always @(posedge clk)
        if (rst) flying <= 0;
        else flying <= flying + {{{depth}'d0, in_ready & in_valid}} - {{{depth}'d0, take}};
{"".join(buffers)}    {top} core (
{wired}
    );
endmodule
"""


def _data(ports: Sequence[RtlPort], direction: str) -> list[RtlPort]:
    """The data ports of a direction in the order of their elements: x_0, x_1, ..., x_10."""
    found = [p for p in ports if p.data and p.direction == direction and p.protocol in ("ap_vld", "ap_none")]
    return sorted(found, key=lambda p: [int(n) for n in re.findall(r"(?<=_)\d+(?=_|$)", p.name)][-1:])


def _buffer(i: int, bits: int, low: int, depth: int, valid: bool) -> str:
    """A first-in first-out buffer whose result can be taken in the cycle it comes."""
    return f"""
    wire [{bits - 1}:0] port{i};
    wire write{i}{"" if valid else " = done"};
    reg [{bits - 1}:0] memory{i} [0:{2**depth - 1}];
    reg [{depth}:0] head{i}, tail{i};
    wire empty{i} = head{i} == tail{i};
    wire full{i} = write{i} | ~empty{i};
    assign out_data[{low} +: {bits}] = empty{i} ? port{i} : memory{i}[tail{i}[{depth - 1}:0]];
    always @(posedge clk)
        if (rst) begin
            head{i} <= 0;
            tail{i} <= 0;
        end else begin
            if (write{i}) begin
                memory{i}[head{i}[{depth - 1}:0]] <= port{i};
                head{i} <= head{i} + 1'b1;
            end
            if (take) tail{i} <= tail{i} + 1'b1;
        end

"""
