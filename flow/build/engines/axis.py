"""Engine ``axis``: the stream shell and its core under a bus-level bench, and what the shell itself takes."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flow.bench.bus_layout import pack_inputs, pack_outputs
from flow.bench.description import Bench
from flow.build.engines.engine import HardwareEngine, Made, resumed
from flow.build.engines.shell import describe, shell_files
from flow.build.state import Build
from flow.core.compare import Difference, EngineResult
from flow.core.errors import ToolFailed, ToolNotFound
from flow.core.fixed import Ints
from flow.emit.shell.axis import Shell
from flow.files import plan
from flow.files.steps import digest_of
from flow.netlist.read import read_netlist
from flow.tools import cocotb, icarus, yosys
from flow.verify.native import addends
from flow.verify.simulate import outcome_json

PHASES = (
    "registers", "full rate", "stalls", "held output", "malformed", "resets",
    "register traffic", "every address", "long stalls", "long packets", "resets anywhere",
)  # fmt: skip
LONG_CYCLES = 20_000  # of each of the bench's long phases
_TIMEOUT_S = 3600.0
_LONG_ADDENDS = 6_000_000  # addends times cycles of a long phase
_BEATS = 2500  # of vectors and results together: bus models run about a thousand beats a second


def _run(made: Made) -> Sequence[EngineResult]:
    """As many of the referee's vectors as the bench can stream in seconds."""
    build, shell, bench = made.build, made.shell, made.bench
    assert shell is not None
    vectors, out, files = build.vectors, build.options.out, plan.digest(shell_files(shell, bench))
    rows = slice(0, axis_vectors(shell, vectors.referee))
    sources = [out / source for source in bench.sources] + [out / "shell" / name for name in shell.files]

    def work() -> Sequence[EngineResult]:
        result = run_axis(
            shell, bench, sources, vectors.inputs[rows], vectors.expected[rows], out / "sim" / "axis", _TIMEOUT_S,
            long_cycles=_long_cycles(build, bench),
        )  # fmt: skip
        return (result,)

    results = resumed(build, "axis", digest_of("axis 3", made.key, files), work)
    _resources(build, shell, bench, files)
    return results


def _long_cycles(build: Build, bench: Bench) -> int:
    """Fewer where simulating a cycle costs more: in large designs, and in cores that need many cycles per vector."""
    most = LONG_CYCLES if bench.initiation_interval <= 8 else LONG_CYCLES // 3
    return min(most, max(1000, _LONG_ADDENDS // max(addends(build.design), 1)))


def _resources(build: Build, shell: Shell, bench: Bench, key: str) -> None:
    """What the shell itself takes: synthesized around an empty core, since the core's own synthesis is known."""
    folder, family = build.options.out / "sim" / "axis_synth", build.options.part.yosys_family
    script = yosys.synthesis_script(
        ["core.v", *(f"../../shell/{name}" for name in shell.files)], shell.top, family, dsp=False
    )

    def work() -> dict[str, Any]:
        plan.fresh_folder(folder)
        plan.write_file(folder / "core.v", _empty_core(bench))
        yosys.synthesize(folder, script, _TIMEOUT_S)
        found = read_netlist(folder / "netlist.json", shell.top).resources
        return {"lut": found.lut, "lut_as_memory": found.lut_as_memory, "ff": found.ff, "bram18": found.bram18}

    key = digest_of("shell synthesis 2", key, script, yosys.version())
    assert build.facts.shell is not None
    build.facts.shell.synthesis = build.steps.run("shell_synthesis", key, work)


def _empty_core(bench: Bench) -> str:
    """The core as a black box."""
    ports = ["input wire clk", "input wire rst", "input wire in_valid", "output wire out_valid"]
    ports.append(f"input wire [{max(bench.in_bits, 1) - 1}:0] in_data")
    ports.append(f"output wire [{max(bench.out_bits, 1) - 1}:0] out_data")
    ports += ["output wire in_ready", "input wire out_ready"] if bench.ready else []
    return f"(* blackbox *)\nmodule {bench.top} ({', '.join(ports)});\nendmodule\n"


def _require(build: Build) -> None:
    icarus.find()
    if importlib.util.find_spec("cocotbext.axi") is None:
        raise ToolNotFound("the Python package cocotbext-axi was not found; pip install cocotbext-axi")


def axis_vectors(shell: Shell, available: int) -> int:
    """How many vectors the bench streams: as many as fit its budget of beats."""
    return min(available, max(24, _BEATS // (shell.layout.in_beats + shell.layout.out_beats)))


def run_axis(
    shell: Shell,
    bench: Bench,
    sources: list[Path],
    inputs: Ints,
    expected: Ints,
    work: Path,
    timeout_s: float = 600.0,
    seed: int = 0,
    long_cycles: int = LONG_CYCLES,
) -> EngineResult:
    """Stream vectors through the shell in Icarus; ``sources`` are the core's and the shell's files.

    ``long_cycles`` bounds each phase of long stalls, packets and register traffic.
    """
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
        "COCOTB_TEST_MODULES": "sim.axis_bench,sim.axis_long",
        "NMP_LONG_CYCLES": str(long_cycles),
        "COCOTB_TRUST_INERTIAL_WRITES": "0",  # bus models write at the clock edge, which must not race with it
    }
    seconds = icarus.run_cocotb(program, shell.top, work.resolve(), timeout_s, env, waveform=False)
    return outcome("axis", PHASES, work, len(inputs), seconds, built)


def outcome(engine: str, phases: Sequence[str], work: Path, count: int, seconds: float, built: float) -> EngineResult:
    """What a bench of these phases, a cocotb test each, has written in ``work``. Raises ToolFailed if it broke off."""
    log = work / "icarus_run.log"
    tests, failures = cocotb.judge(work, log)
    data = outcome_json(work / "bench_result.json", log)
    faults = int(data["mismatches"])
    if tests != len(phases) or tuple(data["phases"]) != tuple(phases) or bool(failures) != bool(faults):
        raise ToolFailed(f"the bench did not finish: {tests} tests, {failures} failed; see {log}")
    if not faults and data["vectors"] != count:
        raise ToolFailed(f"the bench compared {data['vectors']} of {count} vectors; see {log}")
    first = data["first_mismatch"]
    return EngineResult(
        engine=engine,
        vectors=int(data["vectors"]),
        mismatches=faults,
        seconds=seconds,
        build_seconds=built,
        first_mismatch=Difference(**first) if first else None,
        problems=tuple(data["problems"]),
        vectors_per_second=round(count / max(seconds, 1e-9), 1),
    )


ENGINE = HardwareEngine(
    name="axis", run=_run, require=_require, wanted=lambda options: options.shell in ("axis", "pynq"), seconds=15
)
