"""What becomes of a mutant: the project's own build checks it, with the mutant put where the text is emitted.

A mutant that a short run of a bench finds out is not built; every other one goes through the whole build, from a
copy of the unchanged design's build, so that only what the mutant changes is done again.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from equivalence import axis_ports, core_ports, same_hardware, same_program
from mutant_designs import DRIVER, Subject
from mutants import Mutant
from mutants_python import harmless

from flow.bench.description import from_json
from flow.bench.vectors import make_vectors
from flow.build.engines.axis import run_axis
from flow.build.state import Build
from flow.core.design import Design
from flow.core.errors import DesignError, FlowError, ToolFailed
from flow.core.evaluate import evaluate
from flow.core.fixed import Ints
from flow.emit.rtl.cells import cell_models
from flow.emit.shell.axis import Shell, emit_axis
from flow.files import plan
from flow.proof.text.prove import prove_text
from flow.tools import hls_compile, yosys
from flow.verify import simulate

DRIVER_TESTS = ("test_shell_driver_edges", "test_shell_driver")
QUICK = 64  # vectors of the short run
_QUICK_S = 120.0
_QUICK_CYCLES = 300  # of each of its long phases
_HANG_S = 3600.0  # wall, of all checks of one mutant
_CPU_S = 150  # of any one program: a mutant that hangs is found out
_DRIVER_CPU_S = 60  # of the driver's tests, which take two on an idle machine


@dataclass(frozen=True)
class Verdict:
    """``outcome`` is invalid, caught, equivalent or survived; ``by`` says what caught it, or why it is equivalent."""

    outcome: str
    by: str = ""
    message: str = ""


def judge(subject: Subject, mutant: Mutant, base: Path, work: Path) -> Verdict:
    """What becomes of a mutant of ``subject``, whose unchanged build lies in ``base``; ``work`` is a scratch folder.

    To be called in a process of its own: a build that fails ends all programs for good, and a hang is cut short.
    """
    limit = _DRIVER_CPU_S if subject.kind == "driver" else _CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    files = subject.files(base)
    if subject.kind == "driver":
        why = harmless(mutant.operator, mutant.difference(files))
        return driven(mutant, files, work / "driver") or Verdict(*("equivalent", why) if why else ("survived",))
    changed = mutant.apply(files)
    return (
        quick(subject, changed, base, work / "quick")
        or (equivalent(subject, mutant, base, work / "same") if subject.kind != "hls" else None)
        or built(subject, changed, base, work / "build")
        or (same_source(subject, base, work / "build") if subject.kind == "hls" else None)
        or Verdict("survived")
    )


def quick(subject: Subject, files: Mapping[str, str], base: Path, work: Path) -> Verdict | None:
    """A short run of the first bench of a build; None where it finds nothing, or where there is none."""
    if subject.kind not in ("verilog", "netlist", "shell"):
        return None
    bench, engine = from_json((base / "sim" / "bench.json").read_text()), "icarus"
    inputs = make_vectors(subject.design, QUICK)
    expected = evaluate(subject.design, inputs)
    plan.fresh_folder(work)
    plan.write(dict(files), work / "mutant")
    mutated = [work / "mutant" / name for name in files]
    short = {"timeout_s": _QUICK_S, "long_cycles": _QUICK_CYCLES}
    try:
        if subject.kind == "shell":
            engine, core = "axis", [base / s for s in bench.sources]
            result = run_axis(_SHELLS[base], bench, [*core, *mutated], inputs, expected, work / "sim", **short)
        else:
            if subject.kind == "netlist":
                engine = "netlist"
                plan.write_file(work / "cells.v", cell_models(yosys.cell_library().read_text()))
                mutated.append(work / "cells.v")
            result = simulate.run_cocotb(engine, bench, work, inputs, expected, work / "sim", sources=mutated, **short)
    except ToolFailed as exc:
        if not (work / "sim" / "sim.vvp").is_file():
            return Verdict("invalid", "Icarus", str(exc))
        return Verdict("caught", f"{engine}, {QUICK} vectors", str(exc))
    if not result.agrees:
        return Verdict("caught", f"{engine}, {QUICK} vectors", result.message)
    return text_proof(subject, files) if subject.kind == "verilog" else None


def text_proof(subject: Subject, files: Mapping[str, str]) -> Verdict | None:
    """The proof of parallel Verilog's text: a build comes to it too, but later. None where nothing differs."""
    hardware = subject.hardware()
    if not hardware.graphs:
        return None
    found = prove_text(subject.design, hardware.graphs, files, hardware.rtl.top, hardware.rtl.layer_latency_cycles)
    refuted = [f for f in found if f.refuted]
    return Verdict("caught", "text proof", str(refuted[0])) if refuted else None


_SHELLS: dict[Path, Shell] = {}  # what a build emitted, by its folder


def prepare(subject: Subject, base: Path) -> Build:
    """Build the unchanged design in ``base``; every check must agree with it."""

    def kept(*arguments: Any) -> Shell:
        _SHELLS[base] = emit_axis(*arguments)
        return _SHELLS[base]

    with mock.patch("flow.build.engines.shell.emit_axis", kept):
        build = subject.build(base)
    assert not build.differences, build.differences
    return build


def built(subject: Subject, files: Mapping[str, str], base: Path, work: Path) -> Verdict | None:
    """The whole build with the mutant in it; None where nothing in it differs."""
    plan.folder(work.parent)
    shutil.copytree(base, work, symlinks=True)
    try:
        with planted(subject.kind, files, work):
            build = subject.build(work)
    except FlowError as exc:
        log = work / "hls" / "csim" / "compile.log"
        if subject.kind == "hls" and log.is_file() and re.search(r"error:", log.read_text(errors="replace")):
            return Verdict("invalid", "g++", str(exc))
        return Verdict("caught", _blame(exc), str(exc))
    if build.differences:
        engines = sorted({d.removeprefix("engine ").split(":")[0] for d in build.differences})
        return Verdict("caught", " and ".join(engines) or "build", build.differences[0])
    return None


def _blame(error: FlowError) -> str:
    """What ended a build: a proof, Yosys, a limit of time, or the program that the message begins with."""
    if isinstance(error, DesignError):
        return "proof"
    if re.search(r"was stopped after|ended by signal", str(error)):
        return "hang"
    return "synthesis" if re.search(r"no hardware|yosys_run", str(error)) else str(error).split()[0]


@contextmanager
def planted(kind: str, files: Mapping[str, str], out: Path) -> Iterator[None]:
    """Whatever a build emits under the name of a mutated file is the mutant."""

    def mutated(found: Mapping[str, Any]) -> dict[str, Any]:
        return {name: files.get(name, text) for name, text in found.items()}

    def emission(emit: Callable[..., Any]) -> Callable[..., Any]:
        def emitted(*arguments: Any, **named: Any) -> Any:
            found = emit(*arguments, **named)
            return mutated(found) if isinstance(found, dict) else replace(found, files=mutated(found.files))

        return emitted

    def synthesized(folder: Path, script: str, timeout_s: float) -> Any:
        if folder != out / "synth":
            return synthesize(folder, script, timeout_s)
        plan.write_file(folder / "netlist.v", files["netlist.v"])
        cells = yosys.cell_library()
        lines = [f"read_verilog -lib {cells}", f"read_verilog -lib {cells.with_name('cells_xtra.v')}"]
        lines += [
            "read_verilog netlist.v",
            f"hierarchy -purge_lib -top {top}",
            "delete =*/p:*",
            "write_json netlist.json",
        ]
        return yosys.run_script(folder, "\n".join(lines) + "\n", "synth", timeout_s, folder / "yosys.log")

    synthesize, top = yosys.synthesize, ""
    targets = {
        "verilog": ("flow.build.architecture.emit_parallel", "flow.build.architecture.emit_folded"),
        "shell": ("flow.build.engines.shell.emit_axis",),
        "hls": ("flow.emit.hls.project.emit_hls",),
        "netlist": (),
    }[kind]
    with ExitStack() as stack:
        for target in targets:
            stack.enter_context(mock.patch(target, emission(_imported(target))))
        if kind == "netlist":
            top = from_json((out / "sim" / "bench.json").read_text()).top
            for step in ("synthesis", "netlist", "netlist proof"):
                plan.remove(out / ".state" / f"{step}.json")
            stack.enter_context(mock.patch("flow.tools.yosys.synthesize", synthesized))
        yield


def _imported(target: str) -> Any:
    module, name = target.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def equivalent(subject: Subject, mutant: Mutant, base: Path, work: Path) -> Verdict | None:
    """Whether mutated hardware is proved to be no fault."""
    files = subject.files(base)
    changed = mutant.apply(files)
    bench = from_json((base / "sim" / "bench.json").read_text())
    shell = _SHELLS[base] if subject.kind == "shell" else None
    ports = axis_ports(shell.top, shell.layout) if shell else core_ports(bench, subject.design)
    core = {s: (base / s).read_text() for s in bench.sources} if shell else {}
    readings = [True] if subject.kind == "netlist" else [False, *([True] if "SYNTHESIS" in files[mutant.file] else [])]
    for synthesis in readings:
        if not same_hardware(ports, core | files, core | changed, work / str(synthesis), synthesis=synthesis):
            return None
    return Verdict("equivalent", "proved")


def same_source(subject: Subject, base: Path, built: Path) -> Verdict | None:
    """Whether a mutated HLS project that was built is no fault: the same object code, or equal for every input."""
    if same_program(base / "hls", built / "hls", subject.design.name):
        return Verdict("equivalent", "same object code")
    inputs = every_input(subject.design)
    outputs = hls_compile.simulate(built / "hls" / "csim" / "bench", inputs, subject.outputs)
    same = np.array_equal(outputs, evaluate(subject.design, inputs))
    return Verdict("equivalent", "same results for every input") if same else None


def every_input(design: Design) -> Ints:
    """Every input vector of a design (vectors x inputs)."""
    ranges = [np.arange(q.low, q.high + 1) for q in design.inputs]
    return np.stack([g.reshape(-1) for g in np.meshgrid(*ranges, indexing="ij")], axis=1)


def driven(mutant: Mutant, files: Mapping[str, str], work: Path) -> Verdict | None:
    """The driver's own tests with the mutant in the driver's place, until the first one fails.

    In a fresh Python: what the tests before left in this one is no part of the judgement.
    """
    source = mutant.apply(files)[DRIVER]
    plan.fresh_folder(work)
    plan.write_file(work / DRIVER, source)
    try:
        exec(compile(source, DRIVER, "exec"), {"__name__": "pynq_driver", "__file__": str(work / DRIVER)})
    except Exception as exc:
        return Verdict("invalid", "Python", repr(exc))
    here = Path(__file__).parent
    options = ["-x", "--assert=plain", "--tb=line", "-p", "no:cacheprovider", "-n", "0", f"--basetemp={work / 'tmp'}"]
    paths = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "mutated_driver", *options, *(f"{here / n}.py" for n in DRIVER_TESTS)],
        env=os.environ | {"MUTATED_DRIVER": str(work), "PYTHONPATH": paths},
        cwd=here.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode < 0:
        return Verdict("caught", "hang", run.stdout[-300:])
    failed = re.search(r"^(?:FAILED|ERROR) tests/(?:\S+::)?(test_\w+)", run.stdout, re.MULTILINE)
    assert bool(run.returncode) == bool(failed), f"status {run.returncode}: {run.stdout[-1000:]}{run.stderr[-1000:]}"
    return Verdict("caught", failed[1], run.stdout[-300:]) if failed else None


def judged(subject: Subject, mutant: Mutant, base: Path) -> dict[str, Any]:
    """``judge`` in a process of its own: the verdict and its CPU seconds; ``broken`` where it fails."""
    ours, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as scratch:
        process = multiprocessing.get_context("fork").Process(
            target=_child, args=(subject, mutant, base, Path(scratch), theirs)
        )
        with ThreadPoolExecutor(1) as fresh, warnings.catch_warnings():
            # JAX, where another test loaded it, warns of its threads, which a child lacks: no check uses it.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            # OpenMP keeps its workers for the thread that used it; they are gone in a child, which would wait for them.
            fresh.submit(process.start).result()
        theirs.close()
        found = {"outcome": "caught", "by": "hang", "message": "", "cpu_s": 0.0}
        with contextlib.suppress(EOFError):
            found = ours.recv() if ours.poll(_HANG_S) else found
        process.kill()
        process.join()
    return found


def _child(subject: Subject, mutant: Mutant, base: Path, work: Path, pipe: Any) -> None:
    gc.freeze()  # what the tests before left open is not this one's: a collection here would warn of it
    with (work / "out.log").open("w") as log:
        sys.stdout = sys.stderr = log
        try:
            found = asdict(judge(subject, mutant, base, work))
        except Exception:  # not of the mutant: to be shown with it
            found = asdict(Verdict("broken", "", traceback.format_exc()))
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        pipe.send({**found, "cpu_s": round(sum(u.ru_utime + u.ru_stime for u in used), 2)})
