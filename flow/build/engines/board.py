"""Engine ``board``: what surrounds the core in a bitstream for a board, as Verilog and as the bits have it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow.bench.bus_layout import pack_inputs, pack_outputs
from flow.build.engines.axis import axis_vectors, outcome
from flow.build.engines.boards import Board
from flow.build.engines.engine import HardwareEngine, Made, resumed
from flow.build.engines.shell import describe
from flow.build.state import Build
from flow.core.compare import EngineResult
from flow.core.errors import ToolNotFound
from flow.files import plan
from flow.files.steps import digest_of
from flow.tools import icarus

PHASES = {
    "pynq": (
        "registers", "packets", "both ways", "misuse", "driver",
        "transfers", "refusals", "stops", "driver by DMA",
    ),
    "selftest": ("self test",),
}  # fmt: skip
_BENCHES = {"pynq": "sim.gp0_bench,sim.hp0_bench", "selftest": "sim.selftest_bench"}
_TIMEOUT_S = 3600.0
Simulator = Callable[[Sequence[Path], str, Path, Mapping[str, str]], tuple[float, float]]
_PATIENT = 64  # cycles between results up to which reads may come before their vectors


def _run(made: Made) -> Sequence[EngineResult]:
    """The same bench on both; what is only in the netlist of the bits is said to be there."""
    build, board = made.build, made.board
    if board is None or build.facts.bitstream is None:
        return ()
    out = build.options.out
    read_back = out / "sim" / "bitstream" / "board.v"
    sources = {"the Verilog": [out / source for source in made.bench.sources] + [out / f for f in board.files]}
    if read_back.is_file():
        sources["the bitstream"] = [read_back, read_back.with_name("cells.v")]

    def work() -> Sequence[EngineResult]:
        results = [
            simulate(made, board, files, out / "sim" / f"board_{name.split()[1].lower()}")
            for name, files in sources.items()
        ]
        problems = [f"{text} ({name})" for name, r in zip(sources, results, strict=True) for text in r.problems]
        first = next((r.first_mismatch for r in results if r.first_mismatch), None)
        return (
            replace(
                results[0], vectors=min(r.vectors for r in results), mismatches=sum(r.mismatches for r in results),
                seconds=sum(r.seconds for r in results), problems=tuple(problems), first_mismatch=first,
            ),
        )  # fmt: skip

    return resumed(build, "board", digest_of("board 2", made.key, build.facts.bitstream.sha256, board.logic), work)


def in_icarus(sources: Sequence[Path], top: str, work: Path, env: Mapping[str, str]) -> tuple[float, float]:
    """Run the bench that ``env`` names; seconds of the run and of compiling."""
    program, built = icarus.compile_model(list(sources), top, work)
    return icarus.run_cocotb(program, top, work, _TIMEOUT_S, env, waveform=False), built


def simulate(
    made: Made, board: Board, sources: Sequence[Path], work: Path, simulator: Simulator = in_icarus
) -> EngineResult:
    """The board's bench on ``sources``, whose top is the board's logic."""
    build, shell = made.build, made.shell
    plan.fresh_folder(work)
    if shell is not None:
        rows = slice(0, axis_vectors(shell, build.vectors.referee))
        vectors = build.vectors.inputs[rows], build.vectors.expected[rows]
        count = len(vectors[0])
        patient = made.bench.initiation_interval <= _PATIENT
        files: dict[str, str | bytes] = {
            "inputs.bin": pack_inputs(shell.layout, made.bench, vectors[0]).tobytes(),
            "expected.bin": pack_outputs(shell.layout, made.bench, vectors[1]).tobytes(),
        }
        about: Mapping[str, Any] = {**describe(shell, made.bench), "patient": patient}
    else:
        count, files = board.vectors, {}
        about = {
            "vectors": count, "initiation_interval": made.bench.initiation_interval,
            "latency_cycles": made.bench.latency_cycles,
        }  # fmt: skip
    plan.write({**files, "axis.json": json.dumps(about, sort_keys=True, indent=1) + "\n"}, work)
    env = {
        "NMP_BENCH": str(work.resolve() / "axis.json"), "NMP_SEED": str(build.options.seed),
        "NMP_BOARD": str((build.options.out / "board").resolve()),
        "COCOTB_TEST_MODULES": _BENCHES[build.options.shell], "COCOTB_TRUST_INERTIAL_WRITES": "0",
    }  # fmt: skip
    seconds, built = simulator(sources, board.logic, work.resolve(), env)
    return outcome("board", PHASES[build.options.shell], work, count, seconds, built)


def _require(build: Build) -> None:
    icarus.find()
    if importlib.util.find_spec("cocotbext.axi") is None:
        raise ToolNotFound("the Python package cocotbext-axi was not found; pip install cocotbext-axi")


ENGINE = HardwareEngine(
    name="board", run=_run, require=_require, after="route",
    wanted=lambda options: options.bitstream and options.shell in PHASES,
)  # fmt: skip
