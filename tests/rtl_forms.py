"""Emitted modules in their forms: as simulators, synthesizers of a family and other tools read them; faults in them."""

import re
import shutil
import subprocess

from flow.tools import yosys


def printed(folder, sources, form):
    """What ``bench`` prints in Icarus with the ``sources`` of ``folder`` read as ``form``: simulated, generic, xc..."""
    if form != "simulated":
        sources = ["-DSYNTHESIS", *sources] + [str(yosys.cell_library())] * form.startswith("xc")
    iverilog = shutil.which("iverilog")
    assert iverilog, "install iverilog"
    subprocess.run([iverilog, "-g2012", "-s", "bench", "-o", "bench.vvp", *sources], cwd=folder, check=True)
    return subprocess.run([folder / "bench.vvp"], cwd=folder, check=True, capture_output=True, text=True).stdout


def planted(text, pattern, replacement):
    """The text with the first match of a pattern replaced, by a string as it stands; the pattern must match."""
    text, found = re.subn(pattern, lambda _: replacement, text, count=1)
    assert found, pattern
    return text
