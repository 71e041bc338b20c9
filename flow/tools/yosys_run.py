"""Runs one Yosys script through the pyosys package, in a process of its own: ``python -m flow.tools.yosys_run FILE``.

pyosys ships no command line, and a crash or an endless pass must not take the build with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyosys import libyosys


def main(script: str) -> None:
    """Run every line of ``script``; a Yosys error ends the process with a non-zero exit status."""
    design = libyosys.Design()
    for line in Path(script).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            design.run_pass(line)


if __name__ == "__main__":
    main(sys.argv[1])
