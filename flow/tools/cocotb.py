"""cocotb: the libraries and the environment that a simulator needs to run the bench, and the judgement of its results.

The simulators are started directly rather than through cocotb's runner: it adds a process, prints where it likes, and
leaves an unjudged results file behind.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import cocotb_tools.config as config
import find_libpython

from flow.core.errors import ToolFailed, ToolNotFound
from flow.core.untrusted import parse_xml, read_text, refused
from flow.files.steps import digest_of

# By its place, not by import: the folder a user works in may hold a `sim` too, which Python would find first.
BENCHES = Path(__file__).resolve().parents[2] / "sim"
MODULE = "sim.bench"
RESULTS = "results.xml"
_MAX_RESULTS = 1 << 24


@cache
def bench_digest() -> str:
    """Digest of the benches' and harnesses' own text: what one of another text found does not hold for this one."""
    files = sorted(f for f in BENCHES.iterdir() if f.suffix in (".py", ".cpp"))
    return digest_of(*(part for f in files for part in (f.name, f.read_bytes())))


def library(simulator: str) -> Path:
    """cocotb's VPI library for ``simulator``."""
    return Path(config.lib_name_path("vpi", simulator))


def verilator_main() -> Path:
    """The main program that cocotb supplies for Verilator models."""
    return Path(config.share_dir) / "lib" / "verilator" / "verilator.cpp"


def environment(top: str, work: Path) -> dict[str, str]:
    """Variables that make a simulator load Python, this environment's packages and the bench."""
    python = find_libpython.find_libpython()
    if python is None:
        raise ToolNotFound(
            "this Python has no shared library (libpython), which cocotb needs; install one (Debian: python3-dev) or"
            " use a Python built with --enable-shared"
        )
    paths = [str(BENCHES.parent), *(p for p in sys.path if p)]
    return {
        "COCOTB_RESULTS_FILE": str(work / RESULTS),
        "COCOTB_TEST_MODULES": MODULE,
        "COCOTB_TOPLEVEL": top,
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "GPI_USERS": f"{python};{config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": ":".join(paths),
        "TOPLEVEL_LANG": "verilog",
    }


def judge(work: Path, log: Path) -> tuple[int, int]:
    """(tests, failures) of a finished run. Raises ToolFailed where nothing ran or the results cannot be read."""
    path = work / RESULTS
    with refused(ToolFailed, "the simulator ended without readable test results", f"see {log}"):
        suites = list(parse_xml(read_text(path, _MAX_RESULTS), str(path)).iter("testsuite"))
        cases = [case for suite in suites for case in suite.iter("testcase")]
    if not cases:
        raise ToolFailed(f"the simulator ran no tests; see {log}")
    bad = [c for c in cases if any(c.find(kind) is not None for kind in ("failure", "error", "skipped"))]
    return len(cases), len(bad)
