"""Yosys: the open synthesizer, from the ``pyosys`` wheel."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from flow.core.errors import ToolFailed, ToolNotFound
from flow.files.plan import write_file
from flow.tools.process import Completed, run


def package_folder() -> Path:
    """Folder of the pyosys package; raises ToolNotFound where it is not installed."""
    spec = importlib.util.find_spec("pyosys")
    if spec is None or spec.origin is None:
        raise ToolNotFound("Yosys was not found: the Python package pyosys is not installed; pip install pyosys")
    return Path(spec.origin).parent


def version() -> str:
    """Version of the pyosys package."""
    package_folder()
    return importlib.metadata.version("pyosys")


def cell_library() -> Path:
    """Behavioural models of the Xilinx primitives a synthesized netlist consists of."""
    return package_folder() / "share" / "xilinx" / "cells_sim.v"


def synthesis_script(sources: Sequence[str], top: str, family: str, dsp: bool, netlist: str = "netlist.json") -> str:
    """The Yosys commands that synthesize ``sources``, given relative to the folder the script runs in."""
    # -nosrl: a shift register in LUTs answers 1.1 ns later than a flip-flop, and there are two flip-flops to a LUT
    options = f"-family {family} -top {top} -flatten -noiopad -noclkbuf -nosrl{'' if dsp else ' -nodsp'}"
    lines = [
        *(f"read_verilog -defer {source}" for source in sources),
        f"synth_xilinx {options}",
        "stat -tech xilinx",
        f"write_json {netlist}",
        f"write_verilog -noattr {netlist.removesuffix('.json')}.v",
    ]
    return "\n".join(lines) + "\n"


def synthesize(folder: Path, script: str, timeout_s: float) -> Completed:
    """Run a script in ``folder``; leaves ``netlist.json``, ``netlist.v`` and ``yosys.log`` there.

    Raises ToolFailed also where Yosys' own check finds a loop of gates, a wire driven twice or one not driven at all:
    simulators may settle where hardware oscillates or remembers.
    """
    log = folder / "yosys.log"
    done = run_script(folder, script, "synth", timeout_s, log)
    text = log.read_text(errors="replace")
    if re.search(r"^Found and reported [1-9]\d* problems", text, re.MULTILINE):
        first = re.search(
            r"^Warning: ((?:found logic loop|multiple conflicting|Wire .* no driver).*)", text, re.MULTILINE
        )
        raise ToolFailed(
            f"the Verilog is no hardware: {first[1].rstrip(':.') if first else 'see the checks'}; see {log}"
        )
    return done


def run_script(folder: Path, script: str, name: str, timeout_s: float, log: Path | None = None) -> Completed:
    """Run Yosys commands in ``folder``, kept there as ``NAME.ys``; by default the log is ``NAME.log``."""
    package_folder()
    write_file(folder / f"{name}.ys", script)
    arguments = [sys.executable, "-m", "flow.tools.yosys_run", f"{name}.ys"]
    root = str(Path(__file__).resolve().parents[2])
    return run(arguments, folder, log or folder / f"{name}.log", timeout_s, {"PYTHONPATH": root})
