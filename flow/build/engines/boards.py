"""What a bitstream for a board holds beside the core, and the files that go to the board with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flow.bench.description import Bench
from flow.build.state import Build
from flow.emit.rtl.verilog import Rtl
from flow.emit.shell import zynq
from flow.emit.shell.axis import Shell
from flow.emit.shell.selftest import BOARDS, VECTORS, emit_selftest
from flow.netlist.routed_top import INSTANCE, Top


@dataclass(frozen=True)
class Board:
    """A board's top around the core.

    ``logic`` is the module in it that can be simulated, with its ``ports``: whether it is an output, and for each bit
    the pin of a cell of the top that it lies at. ``files`` is its Verilog beside the core's, in compile order,
    ``vectors`` are those that the logic itself holds.
    """

    around: Top
    logic: str
    ports: Mapping[str, zynq.Port]
    files: Mapping[str, str]
    vectors: int = 0


def zynq_board(build: Build, shell: Shell, bench: Bench) -> Board:
    """The stream shell behind the processor's M_AXI_GP0."""
    layout = shell.layout
    longest = shell.latency + 2 * shell.interval + layout.in_beats + layout.out_beats + 16
    made = zynq.emit_zynq(build.design.name, shell, longest)
    files = {f"shell/{name}": text for name, text in {**shell.files, **made.files}.items()}
    sources = {name.rpartition("/")[2]: text for name, text in files.items()}
    around = Top(made.top, made.top_file, f"{INSTANCE}.u_axis.u_core", zynq.PINS, sources=sources)
    return Board(around, made.logic, zynq.logic_ports(), files)


def selftest_board(build: Build, rtl: Rtl, bench: Bench) -> Board:
    """The core with vectors of its own and LEDs."""
    options, vectors = build.options, build.vectors
    board = BOARDS[str(options.part.board)]
    rows = slice(0, min(VECTORS, vectors.referee))
    made = emit_selftest(
        build.design.name, rtl, bench, board, options.clock_period_ns, vectors.inputs[rows], vectors.expected[rows]
    )
    around = Top(
        made.top, made.top_text, f"{INSTANCE}.u_core", board.pins(), "clk_pad", 1000 / board.oscillator_mhz,
        {f"{made.logic}.v": made.text},
    )  # fmt: skip
    ports = {
        "clk": zynq.Port("input", (("u_clk", "O", 0),)),
        "led": zynq.Port("output", tuple((f"u_led_{i}", "I", 0) for i in range(3))),
    }
    return Board(around, made.logic, ports, {f"shell/{made.logic}.v": made.text}, len(vectors.inputs[rows]))
