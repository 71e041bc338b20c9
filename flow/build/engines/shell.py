"""The stream shell of a build: what it emits into ``shell/`` and, for the board, into ``pynq/``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from flow.bench.bus_layout import layout_of
from flow.bench.description import Bench
from flow.build.facts import ShellFacts
from flow.build.state import Build
from flow.emit.rtl.verilog import Rtl
from flow.emit.shell.axis import MAGIC, VERSION, Shell, emit_axis
from flow.emit.shell.pynq import FILES, emit_pynq
from flow.files import plan

_SELF_TEST = 64  # vectors shipped to the board with their results


def emit_shell(build: Build, rtl: Rtl, bench: Bench) -> Shell | None:
    """Emit the shell that was asked for, None without one, and take away those that an earlier build has made."""
    options, out = build.options, build.options.out
    if options.shell == "none":
        plan.remove(out / "shell")
    if options.shell != "pynq":
        for name in FILES:  # a bitstream the user made there is left alone
            plan.remove(out / "pynq" / name)
    if options.shell == "none":
        return None
    shell = emit_axis(build.design.name, rtl, bench, layout_of(bench, options.lanes, options.bus_bits))
    plan.mirror(shell_files(shell, bench), out / "shell")
    if options.shell == "pynq":
        plan.write(_pynq(build, shell, bench), out / "pynq")
    interval = max(shell.layout.in_beats, shell.layout.out_beats, rtl.initiation_interval)
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
    return shell


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
    options, vectors = build.options, build.vectors
    preprocessing = json.loads(build.preparation.text) if build.preparation.text else None
    rows = slice(0, min(_SELF_TEST, vectors.referee))
    return emit_pynq(
        build.design, shell, bench, options.clock_period_ns, preprocessing, vectors.inputs[rows],
        vectors.expected[rows], build.classes, build.class_names,
    )  # fmt: skip


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
        "latency_cycles": bench.latency_cycles,
        "initiation_interval": bench.initiation_interval,
        "places": shell.places,
        "digest": shell.digest,
        "registers": {name: [4 * place, value] for place, (name, value) in enumerate(values.items())},
    }
