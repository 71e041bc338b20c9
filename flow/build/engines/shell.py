"""The stream shell of a build: what it emits into ``shell/`` and, for the board, into ``pynq/``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flow.bench.bus_layout import Layout, layout_of
from flow.bench.description import Bench
from flow.build.engines.boards import Board, selftest_board, zynq_board
from flow.build.facts import ShellFacts
from flow.build.hardware import Hardware
from flow.build.state import Build
from flow.core.fixed import Ints
from flow.emit.shell.axis import MAGIC, VERSION, Shell, emit_axis, pixels_of
from flow.emit.shell.pynq import FILES, emit_board, emit_pynq
from flow.files import plan
from flow.streamed.timing import Bus

_SELF_TEST = 64  # vectors shipped to the board with their results


def emit_shell(build: Build, hardware: Hardware, bench: Bench) -> tuple[Shell | None, Board | None]:
    """Emit the stream shell and the board's top that were asked for, take away those that an earlier build has made."""
    options, out, rtl = build.options, build.options.out, hardware.rtl
    if options.shell == "none":
        plan.remove(out / "shell")
    if options.shell != "pynq" or options.bitstream:
        for name in FILES:  # a bitstream the user made there is left alone
            plan.remove(out / "pynq" / name)
    if options.shell == "none":
        return None, None
    if options.shell == "selftest":
        selftest = selftest_board(build, rtl, bench)
        plan.mirror(board_files(selftest), out / "shell")
        return None, selftest
    shell = axis_shell(build.design.name, hardware, bench, layout_of(bench, options.lanes, options.bus_bits))
    board = zynq_board(build, shell, bench) if options.on_processor else None
    plan.mirror({**shell_files(shell, bench), **(board_files(board) if board else {})}, out / "shell")
    if options.shell == "pynq" and board is None:
        plan.write(_pynq(build, shell, bench), out / "pynq")
    interval = max(shell.layout.in_beats, shell.layout.out_beats, shell.interval)
    build.facts.shell = ShellFacts(
        kind=options.shell,
        top=shell.top,
        layout=shell.layout,
        digest=shell.digest,
        places=shell.places,
        initiation_interval=interval,
        results_per_second=round(1e9 / (interval * options.clock_period_ns)),
        registers=describe(shell, bench)["registers"],
    )
    return shell, board


def axis_shell(name: str, hardware: Hardware, bench: Bench, layout: Layout) -> Shell:
    """The shell of hardware for the design ``name``; where it takes pixels, its timing is that with the bus' pace."""
    pixels = pixels_of(bench, layout)
    if pixels is None or hardware.timing is None:
        return emit_axis(name, hardware.rtl, bench, layout)
    found = hardware.timing(Bus(layout.bus_bits, layout.in_beats, pixels.bits))
    return emit_axis(name, hardware.rtl, bench, layout, found.latency, found.interval)


def board_files(board: Board) -> dict[str, str]:
    """What lies in ``shell/`` of a board's top."""
    files = {name.removeprefix("shell/"): text for name, text in board.files.items()}
    return {**files, f"{board.around.name}.v": board.around.verilog}


def shell_files(shell: Shell, bench: Bench) -> dict[str, str]:
    """What lies in ``shell/``: Verilog, a file list that starts with the core's, and the bench's description."""
    core = [f"../{source}" for source in bench.sources]
    return {
        **shell.files,
        "files.f": "".join(f"{name}\n" for name in [*core, *shell.files]),
        "shell.json": json.dumps(describe(shell, bench), sort_keys=True, indent=1) + "\n",
    }


def _pynq(build: Build, shell: Shell, bench: Bench) -> dict[str, str]:
    """The board's files; written over old ones, since bitstreams that the user made lie beside them."""
    return emit_pynq(build.design, shell, bench, build.options.clock_period_ns, *_shipped(build))


def on_board(build: Build, shell: Shell, bench: Bench, logic: str, clock_mhz: float) -> dict[str, str]:
    """The files that go to the board with a bitstream that has the core behind the processor."""
    return emit_board(build.design, shell, bench, clock_mhz, logic, *_shipped(build))


def _shipped(
    build: Build,
) -> tuple[dict[str, Any] | None, Ints, Ints, Sequence[int], Sequence[str]]:
    """Preprocessing, vectors and their results, labels and their names."""
    vectors = build.vectors
    preprocessing = json.loads(build.preparation.text) if build.preparation.text else None
    rows = slice(0, min(_SELF_TEST, vectors.referee))
    return preprocessing, vectors.inputs[rows], vectors.expected[rows], build.classes, build.class_names


def describe(shell: Shell, bench: Bench) -> dict[str, Any]:
    """The description file of the shell's bench."""
    layout = shell.layout
    values = {
        "MAGIC": MAGIC,
        "VERSION": VERSION,
        "INPUTS": len(bench.inputs),
        "OUTPUTS": len(bench.outputs),
        "IN_BYTES": layout.in_bytes,
        "OUT_BYTES": layout.out_bytes,
        "LATENCY": bench.latency_cycles,
        "FORMAT": layout.bus_bits | layout.in_lane_bits << 16 | layout.out_lane_bits << 24,
        **{f"DIGEST{i}": int(shell.digest[8 * i : 8 * i + 8], 16) for i in range(8)},
    }
    return {
        "top": shell.top,
        "layout": layout.to_dict(),
        "outputs": [asdict(e) for e in bench.outputs],
        "latency_cycles": shell.latency,
        "initiation_interval": shell.interval,
        "places": shell.places,
        "digest": shell.digest,
        "registers": {name: [4 * place, value] for place, (name, value) in enumerate(values.items())},
    }
