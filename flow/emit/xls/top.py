"""The build's top module around a pipeline that XLS made: the same ports, valid bits and reset as our own Verilog."""

from __future__ import annotations

from flow.core.design import Design
from flow.core.passes.names import verilog_top
from flow.emit.rtl.verilog import Rtl, port_lines, stage, top_module
from flow.emit.xls.dslx import output_bits


def module_name(design: Design) -> str:
    """Name the XLS module must have."""
    return f"{verilog_top(design)}_network"


def wrap(design: Design, verilog: str, stages: int, clock_period_ns: float) -> Rtl:
    """The XLS module with our top module around it; ``stages`` is its latency.

    The critical path is given as the clock period: XLS promises no more than that a stage fits it.
    """
    top, module = verilog_top(design), module_name(design)
    notes = [*port_lines(design), "The network itself was scheduled by the XLS compiler from DSLX."]
    network = stage(module, "u_network", "in_data", "network_y", output_bits(design))
    text = top_module(design, top, stages, notes, [network])
    files = {f"{module}.v": verilog, f"{top}.v": text}
    return Rtl(top, files, stages, {"network": stages}, clock_period_ns)
