"""Emitted Verilog is clean in Verilator -Wall and Icarus -Wall; what is waived is named and explained in the source."""

import re
import subprocess
from dataclasses import replace

import pytest
import strategies
from test_folded_lowering import PRICES, folded_design, mixed_groups

from flow.bench.bus_layout import layout_of
from flow.core.errors import DesignError
from flow.emit.rtl.folded import emit_folded
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import emit_parallel
from flow.emit.shell.axis import emit_axis
from flow.emit.templates import FOLDER
from flow.files import plan
from flow.folded.allocate import fold
from flow.folded.lowering import lower
from flow.parallel.generators import build_graphs
from flow.parts.family import XC7, XCUP
from flow.tools import verilator

# Rules that may be waived, in the file where it is; each waiver has its reason beside it.
WAIVERS = {"UNUSEDPARAM", "UNUSEDSIGNAL"}


def warnings(folder, files, top):
    """Every line either tool says about the files."""
    paths = [str(folder / name) for name in files]
    told = []
    for command in (
        [verilator.find(), "--lint-only", "-Wall", "-Wno-fatal", "--top-module", top, *paths],
        ["iverilog", "-g2005", "-Wall", "-t", "null", "-s", top, *paths],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
        assert done.returncode == 0, done.stderr
        told += [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("- ")]
    return told


def write(folder, rtl):
    plan.mirror(dict(rtl.files), folder)
    return list(rtl.files)


def with_head(design, seed):
    return replace(design, head="argmax") if seed % 3 == 0 and len(design.output_formats) > 1 else design


@pytest.mark.parametrize("seed", range(9))
def test_parallel_cores(seed, tmp_path):
    design = with_head(strategies.random_design(seed, max_size=9), seed)
    rtl = emit_parallel(design, build_graphs(design), (10.0, 5.0)[seed % 2], (XC7, XCUP, strategies.GENERIC)[seed % 3])
    assert warnings(tmp_path, write(tmp_path, rtl), rtl.top) == []


@pytest.mark.parametrize("seed", range(9))
def test_folded_cores(seed, tmp_path):
    design = with_head(folded_design(seed, max_size=14) if seed < 7 else mixed_groups(seed, (14, 7)), seed)
    for interval in (400, 30, 20):
        try:
            rtl = emit_folded(fold(lower(design), interval, PRICES, bool(seed % 3)), 10.0)
        except DesignError:
            continue  # the interval is too short for this design
        assert warnings(tmp_path, write(tmp_path, rtl), rtl.top) == []


@pytest.mark.parametrize("seed", range(3))
def test_cores_in_their_shell(seed, tmp_path):
    design = strategies.random_design(seed, max_size=9)
    rtl = emit_parallel(design, build_graphs(design), 10.0)
    bench = describe(design, rtl)
    shell = emit_axis(design.name, rtl, bench, layout_of(bench, ["bytes", "packed"][seed % 2], [32, 64][seed % 3 % 2]))
    files = write(tmp_path / "rtl", rtl), write(tmp_path / "shell", shell)
    paths = [f"rtl/{name}" for name in files[0]] + [f"shell/{name}" for name in files[1]]
    assert warnings(tmp_path, paths, shell.top) == []


def test_waivers_are_named_and_explained():
    """A waiver stands in the template, for a rule of the list, with a sentence of why before or behind it."""
    found = []
    for path in sorted(FOLDER.glob("*.v*")):
        lines = path.read_text().splitlines()
        for i, line in enumerate(lines):
            match = re.search(r"verilator lint_off (\w+)", line)
            if match:
                found.append((path.name, match[1]))
                assert match[1] in WAIVERS and re.search(r"//.*\w+ \w+ \w+", lines[i - 1] + lines[i + 1]), path
    assert found
