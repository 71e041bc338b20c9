"""The stream shell of a build: emits it and runs engine ``axis``, the shell and its core under a bus-level bench."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flow import plan
from flow.bench import Bench
from flow.emit.axis import MAGIC, VERSION, Shell
from flow.errors import ToolFailed, ToolNotFound
from flow.fixed import Ints
from flow.lanes import pack_inputs, pack_outputs
from flow.simulate import Difference, EngineResult
from flow.tools import cocotb, icarus

PHASES = ("registers", "full rate", "stalls", "held output", "malformed", "resets")
_BEATS = 2500  # of vectors and results together: bus models run about a thousand beats a second


def require() -> None:
    """Find what engine ``axis`` needs. Raises ToolNotFound."""
    icarus.find()
    if importlib.util.find_spec("cocotbext.axi") is None:
        raise ToolNotFound("the Python package cocotbext-axi was not found; pip install cocotbext-axi")


def axis_vectors(shell: Shell, available: int) -> int:
    """How many vectors the bench streams: as many as fit its budget of beats."""
    return min(available, max(24, _BEATS // (shell.layout.in_beats + shell.layout.out_beats)))


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


def run_axis(
    shell: Shell,
    bench: Bench,
    sources: list[Path],
    inputs: Ints,
    expected: Ints,
    work: Path,
    timeout_s: float = 600.0,
    seed: int = 0,
) -> EngineResult:
    """Stream vectors through the shell in Icarus; ``sources`` are the core's and the shell's files."""
    plan.fresh_folder(work)
    plan.write(
        {
            "axis.json": json.dumps(describe(shell, bench), sort_keys=True, indent=1) + "\n",
            "inputs.bin": pack_inputs(shell.layout, bench, inputs).tobytes(),
            "expected.bin": pack_outputs(shell.layout, bench, expected).tobytes(),
        },
        work,
    )
    program, built = icarus.compile_model(sources, shell.top, work.resolve())
    env = {
        "NMP_BENCH": str(work.resolve() / "axis.json"),
        "NMP_SEED": str(seed),
        "COCOTB_TEST_MODULES": "sim.axis_bench",
        "COCOTB_TRUST_INERTIAL_WRITES": "0",  # bus models write at the clock edge, which must not race with it
    }
    seconds = icarus.run_cocotb(program, shell.top, work.resolve(), timeout_s, env, waveform=False)
    return _outcome(work, len(inputs), seconds, built)


def _outcome(work: Path, count: int, seconds: float, built: float) -> EngineResult:
    log = work / "icarus_run.log"
    tests, failures = cocotb.judge(work, log)
    try:
        data = json.loads((work / "bench_result.json").read_text())
    except (OSError, ValueError):
        raise ToolFailed(f"the simulation wrote no readable bench_result.json; see {log}") from None
    faults = int(data["mismatches"])
    if tests != len(PHASES) or tuple(data["phases"]) != PHASES or bool(failures) != bool(faults):
        raise ToolFailed(f"the bench did not finish: {tests} tests, {failures} failed; see {log}")
    if not faults and data["vectors"] != count:
        raise ToolFailed(f"the bench compared {data['vectors']} of {count} vectors; see {log}")
    first = data["first_mismatch"]
    return EngineResult(
        engine="axis",
        vectors=int(data["vectors"]),
        mismatches=faults,
        seconds=seconds,
        build_seconds=built,
        first_mismatch=Difference(**first) if first else None,
        problems=tuple(data["problems"]),
        vectors_per_second=round(count / max(seconds, 1e-9), 1),
    )
