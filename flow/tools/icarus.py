"""Icarus Verilog: compile sources to a vvp program, run it with cocotb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flow.core.errors import ToolFailed
from flow.files import plan
from flow.tools import process
from flow.tools.cocotb import environment, library

REMEDY = "install Icarus Verilog (Debian: apt-get install iverilog)"
_BUILD_TIMEOUT_S = 600.0


def find() -> tuple[str, str]:
    """Paths of iverilog and vvp; NMP_IVERILOG names another iverilog, its vvp lies beside it or on PATH."""
    compiler = process.find("iverilog", "NMP_IVERILOG", REMEDY)
    return compiler, process.find("vvp", "NMP_VVP", REMEDY, also=[Path(compiler).parent])


def compile_model(
    sources: Sequence[Path], top: str, work: Path, defines: Mapping[str, str] | None = None, waveform: bool = False
) -> tuple[Path, float]:
    """Compile to ``work/sim.vvp``: its path and wall seconds. With ``waveform`` a run dumps ``work/waves.fst``."""
    compiler, _ = find()
    files = [str(s.resolve()) for s in sources]
    tops = ["-s", top]
    plan.write_file(work / "icarus.f", "+timescale+1ns/1ps\n")
    if waveform:
        dump = f'module nmp_dump;\n  initial begin $dumpfile("waves.fst"); $dumpvars(0, {top}); end\nendmodule\n'
        plan.write_file(work / "nmp_dump.v", dump)
        files.append("nmp_dump.v")
        tops += ["-s", "nmp_dump"]
    macros = [f"-D{name}={value}" if value else f"-D{name}" for name, value in sorted((defines or {}).items())]
    arguments = [compiler, "-g2012", "-o", "sim.vvp", "-f", "icarus.f", *tops, *macros, *files]
    done = process.run(arguments, work, work / "icarus_build.log", _BUILD_TIMEOUT_S)
    model = work / "sim.vvp"
    if not model.is_file():
        raise ToolFailed(f"iverilog wrote no model; see {done.log}")
    return model, done.seconds


def run_cocotb(model: Path, top: str, work: Path, timeout_s: float, env: Mapping[str, str], waveform: bool) -> float:
    """Run the cocotb bench on a compiled model in ``work``. Returns wall seconds."""
    _, vvp = find()
    dump = "-fst" if waveform else "-none"
    arguments = [vvp, "-m", str(library("icarus")), str(model.resolve()), dump]
    done = process.run(arguments, work, work / "icarus_run.log", timeout_s, {**environment(top, work), **env})
    return done.seconds
