"""What is placed and routed: a core inside a top module, which is a wrapper to measure with or a shell for a board."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flow.core.errors import ToolFailed
from flow.emit.templates import render
from flow.parts.catalog import Part
from flow.tools import nextpnr

WRAPPER, CLOCK, INSTANCE = "flow_route", "clk", "dut"
Namer = Callable[[str], str | None]  # a cell of the netlist -> "dense_0 neuron 17", None where nothing is known


@dataclass(frozen=True)
class Top:
    """A top module around a core.

    ``core`` is the path of the core's instance in it. ``pins`` are the pads of its ports, ``clock_port`` the one of
    them that a clock comes in by, with ``clock_period_ns`` where that is not the design's. ``sources`` are further
    modules, in compile order, that are synthesized together with the top; without them it has primitives only.
    """

    name: str
    verilog: str
    core: str
    pins: Mapping[str, str]
    clock_port: str | None = None
    clock_period_ns: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def constraints(self, clock_period_ns: float) -> str:
        """Constraints for place and route, as XDC."""
        lines = []
        for port, pin in self.pins.items():
            lines.append(f"set_property PACKAGE_PIN {pin} [get_ports {port}]")
            lines.append(f"set_property IOSTANDARD LVCMOS33 [get_ports {port}]")
        if self.clock_port:
            period = self.clock_period_ns or clock_period_ns
            lines.append(f"create_clock -period {period:g} [get_ports {self.clock_port}]")
        return "\n".join(lines) + "\n"

    def netlist_cell(self, cell: str) -> str:
        """The name a cell has in the core's netlist: linking and nextpnr add to it at both ends."""
        cell = re.sub(r"(\$split\$.*|\$PACKED_CARRY4\$|\$LUT\d+|\$legal\d+)$", "", cell)
        cell = re.sub(r"(\$O[56])?(\$copy\d+)?(\$DI)?$", "", cell)
        return cell.removeprefix(f"$flatten\\{self.core}.").removeprefix(f"{self.core}.")

    def holds(self, cell: str) -> bool:
        """Whether a placed cell is the core's."""
        return cell.removeprefix("$flatten\\").startswith(f"{self.core}.")


def wrapper(module: Mapping[str, Any], top: str, part: Part) -> Top:
    """Drives every input of the core ``top``, a module of Yosys' JSON, from a shift register, folds its outputs into a
    pin. Raises ToolFailed for a part without known pads."""
    pads = nextpnr.pads(part)
    if pads is None:
        raise ToolFailed(str(nextpnr.unsupported(part)))
    return Top(WRAPPER, wrapper_text(module, top), INSTANCE, pads.by_port(), "clk_pad")


def wrapper_text(module: Mapping[str, Any], top: str) -> str:
    """The wrapper's Verilog."""
    ports, inputs, outputs = [], 0, 0
    for name, port in module["ports"].items():
        bits = len(port["bits"])
        if name == CLOCK:
            ports.append({"name": name, "wire": "clk"})
        elif port["direction"] == "input":
            ports.append({"name": name, "wire": f"stimulus[{inputs + bits}:{inputs + 1}]"})
            inputs += bits
        else:
            ports.append({"name": name, "wire": f"result_0[{outputs + bits - 1}:{outputs}]"})
            outputs += bits
    folds = [-(-outputs // 6)]
    while folds[-1] > 1:
        folds.append(-(-folds[-1] // 6))
    return render("route_wrapper.v.j2", top=top, ports=ports, inputs=inputs, outputs=outputs, folds=folds)
