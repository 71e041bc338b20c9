"""The stream shell as a slave of a Zynq-7000's processor, with a DMA: logic with AXI3 ports, and the top around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flow.emit.shell.axis import Shell
from flow.emit.shell.ps7 import tied_to_zero
from flow.emit.templates import render, static

BASE, SPAN = 0x4000_0000, 0x1_0000  # of the slave, in the processor's memory
DMA = 0x2000  # its registers, in the slave
BUS_BITS = 32
CLOCK_NET = "clk"
MAX_CLOCK_MHZ = 250.0  # of a clock that the processor gives to the logic
PINS = {"led": "R14"}  # LD0 of the PYNQ-Z1 and the PYNQ-Z2
_STATIC = ("axi_dma_burst.v", "axi_dma_read.v", "axi_dma_write.v", "axi_dma.v", "axi_windows.v")
# The AXI3 slave as the processor's port is called; what the logic does not look at is left out.
_PORTS = """
input awid:12 awaddr:32 awlen:4 awsize:2 awburst:2 awvalid / output awready
input wdata:32 wstrb:4 wlast wvalid / output wready bid:12 bresp:2 bvalid / input bready
input arid:12 araddr:32 arlen:4 arsize:2 arburst:2 arvalid / output arready
output rid:12 rdata:32 rresp:2 rlast rvalid / input rready
"""
# The DMA's AXI3 master, which is before the processor's slave.
_MEMORY = """
output awid:6 awaddr:32 awlen:4 awsize:2 awburst:2 awcache:4 awvalid / input awready
output wid:6 wdata:64 wstrb:8 wlast wvalid / input wready bid:6 bresp:2 bvalid / output bready
output arid:6 araddr:32 arlen:4 arsize:2 arburst:2 arcache:4 arvalid / input arready
input rid:6 rdata:64 rresp:2 rlast rvalid / output rready
"""


@dataclass(frozen=True)
class Port:
    """A port of a board's logic: ``input`` or ``output``, and for each bit a cell of the top, its pin, its place."""

    direction: str
    at: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True)
class Zynq:
    """Verilog of the logic (in compile order, beside the shell's files) and of the top around it; module names."""

    logic: str
    top: str
    files: Mapping[str, str]
    top_file: str


def emit_zynq(design: str, shell: Shell, longest_cycles: int) -> Zynq:
    """The processor's slave around a stream shell of 32 bits, where a beat may have to wait for ``longest_cycles``."""
    core, bits = shell.top.removesuffix("_axis"), wait_bits(longest_cycles)
    logic, top = f"{core}_gp0", f"{core}_zynq"
    common = {"design": design, "ports": _ports(_PORTS), "memory": _ports(_MEMORY)}
    files = {
        **{name: static(name) for name in _STATIC},
        f"{logic}.v": render("gp0_top.v.j2", module=logic, shell=shell.top, wait_bits=bits, **common),
    }
    text = render("zynq_top.v.j2", module=top, logic=logic, unused=tied_to_zero(), **common)
    return Zynq(logic, top, files, text)


def logic_ports() -> dict[str, Port]:
    """The ports of the logic, and where they lie in the top."""
    own = {
        "clk": Port("input", (("u_clk", "O", 0),)),
        "resetn": Port("input", (("u_ps7", "FCLKRESETN", 0),)),
        "led": Port("output", (("u_led", "I", 0),)),
    }
    for ours, theirs, text in (("s_axi", "MAXIGP0", _PORTS), ("m_axi", "SAXIHP0", _MEMORY)):
        for port in _ports(text):
            at = tuple(("u_ps7", f"{theirs}{port['name'].upper()}", i) for i in range(port["bits"]))
            own[f"{ours}_{port['name']}"] = Port(port["direction"], at)
    return own


def wait_bits(longest_cycles: int) -> int:
    """Width of the counter that ends a wait: four times as long as any that ends by itself, at least 256 cycles."""
    return max(8, (4 * longest_cycles).bit_length())


def _ports(text: str) -> list[dict[str, Any]]:
    return [
        {"direction": way, "name": name, "bits": int(bits or 1)}
        for group in text.replace("\n", " / ").split("/")
        for way, _, names in [group.strip().partition(" ")]
        for name, _, bits in (port.partition(":") for port in names.split())
    ]
