"""The build's top module around a pipeline that XLS made: the same ports, valid bits and reset as our own Verilog."""

from __future__ import annotations

from flow.core.design import Design
from flow.core.passes.names import verilog_top
from flow.emit.rtl.verilog import Rtl, port_bits, port_lines
from flow.emit.templates import render
from flow.emit.xls.dslx import output_bits


def module_name(design: Design) -> str:
    """Name the XLS module must have."""
    return f"{verilog_top(design)}_network"


def wrap(design: Design, verilog: str, stages: int, clock_period_ns: float) -> Rtl:
    """The XLS module with our top module around it; ``stages`` is its latency.

    The critical path is given as the clock period: XLS promises no more than that a stage fits it.
    """
    top, module = verilog_top(design), module_name(design)
    instance = {
        "module": module,
        "name": "u_network",
        "input": "in_data",
        "output": "network_y",
        "output_bits": output_bits(design),
    }
    text = render(
        "top.v.j2",
        design=design.name,
        module=top,
        latency=stages,
        ports=[*port_lines(design), "The network itself was scheduled by the XLS compiler from DSLX."],
        input_bits=port_bits(design.input_formats),
        output_bits=output_bits(design),
        instances=[instance],
    )
    files = {f"{module}.v": verilog, f"{top}.v": text}
    return Rtl(top, files, stages, {"network": stages}, clock_period_ns)
