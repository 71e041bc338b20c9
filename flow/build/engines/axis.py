"""The stream shell of a build: emits it and runs engine ``axis``, the shell and its core under a bus-level bench."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flow.bench.bus_layout import BUS_BITS, LANES, layout_of, pack_inputs, pack_outputs
from flow.bench.description import Bench
from flow.build.state import Build, record
from flow.core.errors import ToolFailed, ToolNotFound, UsageError
from flow.core.fixed import Ints
from flow.emit.rtl.verilog import Rtl
from flow.emit.shell.axis import MAGIC, VERSION, Shell, emit_axis
from flow.emit.shell.pynq import FILES, PART, emit_pynq
from flow.files import plan
from flow.files.steps import digest_of
from flow.netlist.read import read_netlist
from flow.parts.catalog import Part
from flow.tools import cocotb, icarus, yosys
from flow.verify.native import addends
from flow.verify.simulate import Difference, EngineResult, entry, outcome_json

PHASES = (
    "registers", "full rate", "stalls", "held output", "malformed", "resets",
    "register traffic", "every address", "long stalls", "long packets", "resets anywhere",
)  # fmt: skip
LONG_CYCLES = 20_000  # of each of the bench's long phases
SHELLS = ("none", "axis", "pynq")
_SELF_TEST = 64  # vectors shipped to the board with their results
_TIMEOUT_S = 3600.0
_LONG_ADDENDS = 6_000_000  # addends times cycles of a long phase
_BEATS = 2500  # of vectors and results together: bus models run about a thousand beats a second


def check_options(shell: str, lanes: str, bus_bits: int, part: Part) -> None:
    """Raises UsageError for options that do not exist or do not fit the part."""
    for option, value, known in (("shell", shell, SHELLS), ("lanes", lanes, LANES), ("bus-bits", bus_bits, BUS_BITS)):
        if value not in known:
            raise UsageError(f"--{option} {value} is not known; choose from {', '.join(map(str, known))}")
    if shell == "pynq" and part.name != PART:
        raise UsageError(f"--shell pynq is for the PYNQ-Z1 and PYNQ-Z2 ({PART}), not {part.name}; use --shell axis")


def shell_jobs(build: Build, rtl: Rtl, bench: Bench, key: str) -> list[Callable[[], None]]:
    """Emit the shell that was asked for into ``shell/``; gives the job that runs engine ``axis``.

    ``key`` is the digest of the core, its bench and the vectors.
    """
    options, out = build.options, build.options.out
    if options.shell == "none":
        plan.remove(out / "shell")
    if options.shell != "pynq":
        for name in FILES:  # a bitstream the user made there is left alone
            plan.remove(out / "pynq" / name)
    if options.shell == "none":
        return []
    shell = emit_axis(build.design.name, rtl, bench, layout_of(bench, options.lanes, options.bus_bits))
    about = describe(shell, bench)
    core = [f"../{source}" for source in bench.sources]
    files = {
        **shell.files,
        "files.f": "".join(f"{name}\n" for name in [*core, *shell.files]),
        "shell.json": json.dumps(about, sort_keys=True, indent=1) + "\n",
    }
    plan.mirror(files, out / "shell")
    if options.shell == "pynq":
        plan.write(_pynq(build, shell, bench), out / "pynq")
    interval = max(shell.layout.in_beats, shell.layout.out_beats, rtl.initiation_interval)
    build.facts["shell"] = {
        "kind": options.shell,
        "top": shell.top,
        **shell.layout.to_dict(),
        "digest": shell.digest,
        "places": shell.places,
        "initiation_interval": interval,
        "results_per_second": round(1e9 / (interval * options.clock_period_ns)),
        "registers": about["registers"],
    }

    def work() -> None:
        _axis(build, shell, bench, digest_of("axis 2", key, plan.digest(files)))
        _resources(build, shell, bench, plan.digest(files))

    return [work]


def _pynq(build: Build, shell: Shell, bench: Bench) -> dict[str, str]:
    """The board's files; written over old ones, since bitstreams that the user made lie beside them."""
    options, vectors = build.options, build.vectors
    preprocessing = json.loads(build.preparation.text) if build.preparation.text else None
    rows = slice(0, min(_SELF_TEST, vectors.referee))
    return emit_pynq(
        build.design, shell, bench, options.clock_period_ns, preprocessing, vectors.inputs[rows],
        vectors.expected[rows], build.classes,
    )  # fmt: skip


def _axis(build: Build, shell: Shell, bench: Bench, key: str) -> None:
    """Engine ``axis``: as many of the referee's vectors as its bench can stream in seconds."""
    vectors, out = build.vectors, build.options.out
    rows = slice(0, axis_vectors(shell, vectors.referee))
    sources = [out / source for source in bench.sources] + [out / "shell" / name for name in shell.files]

    def work() -> dict[str, Any]:
        result = run_axis(
            shell, bench, sources, vectors.inputs[rows], vectors.expected[rows], out / "sim" / "axis", _TIMEOUT_S,
            long_cycles=_long_cycles(build, bench),
        )  # fmt: skip
        return entry(result)

    record(build, "axis", build.steps.run("axis", key, work))


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

    key = digest_of("shell synthesis 1", key, script, yosys.version())
    build.facts["shell"]["synthesis"] = build.steps.run("shell_synthesis", key, work)


def _empty_core(bench: Bench) -> str:
    """The core as a black box."""
    ports = ["input wire clk", "input wire rst", "input wire in_valid", "output wire out_valid"]
    ports.append(f"input wire [{max(bench.in_bits, 1) - 1}:0] in_data")
    ports.append(f"output wire [{max(bench.out_bits, 1) - 1}:0] out_data")
    ports += ["output wire in_ready", "input wire out_ready"] if bench.ready else []
    return f"(* blackbox *)\nmodule {bench.top} ({', '.join(ports)});\nendmodule\n"


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
    return _outcome(work, len(inputs), seconds, built)


def _outcome(work: Path, count: int, seconds: float, built: float) -> EngineResult:
    log = work / "icarus_run.log"
    tests, failures = cocotb.judge(work, log)
    data = outcome_json(work / "bench_result.json", log)
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
