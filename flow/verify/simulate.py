"""The same vectors through a simulator, compared bit for bit with the golden outputs.

Every run gets a fresh work folder, and only what that run wrote is judged: an interrupted run leaves nothing that a
later one could take for a result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.bench import vectors
from flow.bench.description import Bench, to_json
from flow.core.compare import Difference, EngineResult, first_difference
from flow.core.errors import DataError, ToolFailed
from flow.core.fixed import Ints
from flow.core.untrusted import MAX_OWN_JSON, read_json, refused
from flow.files import plan
from flow.tools import cocotb, icarus, verilator

COCOTB_ENGINES = ("icarus", "verilator", "netlist")
PHASES = ("reset", "latency", "back to back", "gaps", "long gaps", "long stalls", "long run", "resets")
TIMEOUT_S = 3600.0
LONG_CYCLES = 20_000  # of each phase of the cocotb bench with long pauses


def run_cocotb(
    engine: str,
    bench: Bench,
    root: Path,
    inputs: Ints,
    expected: Ints,
    work: Path,
    *,
    sources: Sequence[Path] | None = None,
    defines: Mapping[str, str] | None = None,
    model: verilator.Model | None = None,
    timeout_s: float = 600.0,
    seed: int = 0,
    waveform: bool = False,
    long_cycles: int = LONG_CYCLES,
) -> EngineResult:
    """Run the generic cocotb bench in ``icarus`` or ``verilator``; ``netlist`` is Icarus on the given ``sources``, or a
    ``model`` of them.

    ``root`` is the folder that ``bench.sources`` are relative to; ``sources`` replaces them. ``inputs`` and
    ``expected`` are mantissas (vectors x elements). ``model`` is a Verilator model built before. ``long_cycles`` bounds
    each phase of long pauses and runs. Everything is written below ``work``, which is emptied first; a waveform lies
    there as ``waves.fst`` or ``waves.vcd``.
    """
    assert engine in COCOTB_ENGINES, engine
    plan.fresh_folder(work)
    _check_counts(inputs, expected)
    plan.write(
        {
            "bench.json": to_json(bench),
            "inputs.hex": vectors.to_hex(vectors.pack(inputs, bench.inputs)),
            "expected.hex": vectors.to_hex(vectors.pack(expected, bench.outputs)),
        },
        work,
    )
    files = list(sources) if sources is not None else source_files(bench, root)
    env = {"NMP_BENCH": str(work.resolve() / "bench.json"), "NMP_SEED": str(seed), "NMP_LONG_CYCLES": str(long_cycles)}
    if engine == "verilator" or model is not None:
        model = model or build_verilator(bench, root, work / "build", sources=sources, waveform=waveform)
        built, log = model.seconds, work / "verilator_run.log"
        seconds = verilator.run_cocotb(model, bench.top, work.resolve(), timeout_s, env)
    else:
        program, built = icarus.compile_model(files, bench.top, work.resolve(), defines, waveform)
        log = work / "icarus_run.log"
        seconds = icarus.run_cocotb(program, bench.top, work.resolve(), timeout_s, env, waveform)
    result = _read_outcome(engine, work, log, len(inputs), seconds, built)
    plan.write_file(work / "result.json", json.dumps(asdict(result), sort_keys=True, indent=1) + "\n")
    return result


def build_verilator(
    bench: Bench, root: Path, work: Path, *, sources: Sequence[Path] | None = None, waveform: bool = False
) -> verilator.Model:
    """Build the Verilator model that ``run_cocotb`` and ``run_native`` share, in an emptied ``work``."""
    plan.fresh_folder(work)
    plan.claim_tree(work / "model")
    files = list(sources) if sources is not None else source_files(bench, root)
    return verilator.build(files, bench.top, bench.ports, work.resolve(), waveform)


def run_native(
    bench: Bench,
    inputs: Ints,
    expected: Ints,
    work: Path,
    model: verilator.Model,
    *,
    timeout_s: float = 600.0,
    seed: int = 0,
    gap_one_in: int = 64,
    stalls: bool = True,
) -> EngineResult:
    """Stream vectors through a Verilator model without Python in the loop, the first half of them without a pause.

    In the second half there is on average one gap, and one stall, in ``gap_one_in`` cycles; results are never kept
    waiting without ``stalls``, for hardware whose ``out_ready`` is tied to 1.
    ``vectors_per_second`` counts the simulated loop alone, ``seconds`` the whole run with files and comparison.
    """
    _check_counts(inputs, expected)
    packed, golden = vectors.pack(inputs, bench.inputs), vectors.pack(expected, bench.outputs)
    return stream_native(
        bench, packed, golden, work, model, timeout_s=timeout_s, seed=seed, gap_one_in=gap_one_in, stalls=stalls
    )


def stream_native(
    bench: Bench,
    packed: vectors.Words,
    golden: vectors.Words,
    work: Path,
    model: verilator.Model,
    *,
    timeout_s: float = 600.0,
    seed: int = 0,
    gap_one_in: int = 0,
    stalls: bool = True,
    schedule: NDArray[np.uint32] | None = None,
) -> EngineResult:
    """``run_native`` on packed vectors and results.

    ``schedule`` (vectors x 5) says what precedes each vector and what its result meets, as ``flow.bench.endurance``
    makes it.
    """
    report, outputs, states, seconds = _streamed(
        bench, packed, golden.shape[1], work, model, timeout_s, seed, gap_one_in, stalls, schedule
    )
    if bench.ready and (gap_one_in or schedule is not None):
        report["latency_seen"] = None  # the first result may have been stalled
    result = _judge_native(bench, report, outputs, states, golden, seconds, model.seconds)
    plan.write_file(work / "result.json", json.dumps(asdict(result), sort_keys=True, indent=1) + "\n")
    return result


def native_outputs(
    bench: Bench, packed: vectors.Words, work: Path, model: verilator.Model, *, timeout_s: float = TIMEOUT_S
) -> vectors.Words:
    """What the hardware itself answers to packed vectors, streamed without a pause: packed results (vectors x words).

    Raises ToolFailed where a result is missing or the model breaks its timing or protocol.
    """
    words = vectors.word_count(bench.outputs)
    report, outputs, states, _ = _streamed(bench, packed, words, work, model, timeout_s)
    problems = _native_problems(bench, report)
    if missing := int((states != 1).sum()):
        problems.insert(0, f"no result came of {missing} of {len(packed)} vectors")
    if problems:
        raise ToolFailed(f"the Verilog model of {bench.top} is not what it should be: {problems[0]}; build again")
    return outputs


def _streamed(
    bench: Bench,
    packed: vectors.Words,
    out_words: int,
    work: Path,
    model: verilator.Model,
    timeout_s: float,
    seed: int = 0,
    gap_one_in: int = 0,
    stalls: bool = True,
    schedule: NDArray[np.uint32] | None = None,
) -> tuple[dict[str, Any], vectors.Words, NDArray[np.uint8], float]:
    """The harness' report, packed results, each vector's state, and wall seconds of a run in an emptied ``work``."""
    plan.fresh_folder(work)
    plan.write_file(work / "inputs.bin", packed.astype("<u4").tobytes())
    files = ["inputs.bin", "outputs.bin", "states.bin", "native.json"]
    last = []
    if schedule is not None:
        plan.write_file(work / "schedule.bin", schedule.astype("<u4").tobytes())
        last = ["schedule.bin"]
    patience = 4 * (bench.latency_cycles + bench.initiation_interval) + 4096
    numbers = (
        bench.in_bits, packed.shape[1], out_words, bench.latency_cycles, bench.initiation_interval, patience,
        seed, gap_one_in, bench.in_beats, bench.out_bits, bench.out_beats, int(stalls), int(bench.streams),
    )  # fmt: skip
    seconds = verilator.run_native(model, [*files, *map(str, numbers), *last], work.resolve(), timeout_s)
    report = outcome_json(work / "native.json", work / "native_run.log")
    outputs = np.fromfile(work / "outputs.bin", "<u4").reshape(-1, out_words)
    states = np.fromfile(work / "states.bin", np.uint8)
    return report, outputs, states, seconds


def source_files(bench: Bench, root: Path) -> list[Path]:
    """The bench's sources as paths. Raises DataError naming the first one that is missing."""
    files = [root / source for source in bench.sources]
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} is listed as a source of {bench.top} but is not there; build again")
    return files


def _check_counts(inputs: Ints, expected: Ints) -> None:
    if not len(inputs) or len(inputs) != len(expected):
        raise DataError(f"{len(inputs)} vectors and {len(expected)} expected results; both must be equal and not 0")


def outcome_json(path: Path, log: Path) -> dict[str, Any]:
    """What a bench wrote about its run. Raises ToolFailed where it wrote nothing readable."""
    with refused(ToolFailed, f"the simulation wrote no readable {path.name}", f"see {log}"):
        return dict(read_json(path, MAX_OWN_JSON))


def _read_outcome(engine: str, work: Path, log: Path, count: int, seconds: float, built: float) -> EngineResult:
    tests, failures = cocotb.judge(work, log)
    data = outcome_json(work / "bench_result.json", log)
    faults = int(data["mismatches"])
    if tests != len(PHASES) or tuple(data["phases"]) != PHASES or bool(failures) != bool(faults):
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
        latency_seen=data["latency_seen"],
        interval_seen=data["interval_seen"],
        vectors_per_second=round(count / max(seconds, 1e-9), 1),
    )


def _judge_native(
    bench: Bench,
    report: dict[str, Any],
    outputs: vectors.Words,
    states: NDArray[np.uint8],
    golden: vectors.Words,
    seconds: float,
    built: float,
) -> EngineResult:
    came = states == 1
    lost, arrived = int((states == 0).sum()), int(came.sum())
    wrong = np.nonzero(came & (outputs != golden).any(axis=1))[0]
    problems = _native_problems(bench, report)
    if lost:
        problems.insert(0, f"{arrived} results for {lost + arrived} vectors")
    return EngineResult(
        engine="native",
        vectors=arrived,
        mismatches=len(wrong) + lost + len(problems),
        seconds=seconds,
        build_seconds=built,
        first_mismatch=_first(bench, outputs, golden, int(wrong[0])) if len(wrong) else None,
        problems=tuple(problems),
        latency_seen=report["latency_seen"] if arrived else None,
        interval_seen=report["interval_high"] if report["interval_high"] > 0 else None,
        vectors_per_second=round(arrived / max(report["loop_seconds"], 1e-9), 1),
    )


def _native_problems(bench: Bench, report: dict[str, Any]) -> list[str]:
    """Breaches of timing and protocol that the native harness counted."""
    seen, problems = report["latency_seen"], []
    if bench.timed and seen not in (None, -1, bench.latency_cycles):
        problems.append(f"latency {seen} seen, {bench.latency_cycles} stated")
    elif bench.timed and report["mistimed"]:
        late = report["first_mistimed"]
        problems.append(f"vector {late}: its result did not come after {bench.latency_cycles} cycles")
    for interval in sorted({report["interval_low"], report["interval_high"]} - {-1, bench.initiation_interval}):
        if bench.timed:
            problems.append(f"initiation interval {interval} seen, {bench.initiation_interval} stated")
    if report["unexpected"]:
        problems.append(f"{report['unexpected']} results for which no vector was accepted")
    if report["unstable"]:
        problems.append("out_valid or out_data changed while out_ready was 0")
    return problems


def _first(bench: Bench, outputs: vectors.Words, golden: vectors.Words, vector: int) -> Difference:
    row = slice(vector, vector + 1)
    actual, expected = (vectors.unpack(words[row], bench.outputs) for words in (outputs, golden))
    found = first_difference(expected != actual, expected, actual, [e.name for e in bench.outputs], "native")
    return replace(found, vector=vector) if found else Difference(vector, "out_data beyond the last element", 0, 1)
