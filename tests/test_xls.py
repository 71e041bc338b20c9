"""The XLS route: DSLX equals the integer design, its Verilog keeps our ports and timing, planted faults are caught."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import random_design, vectors
from test_planted_bugs import small_design

from flow.bench.vectors import make_vectors
from flow.build.engines.xls import bench_of, compile_rtl, run_dslx
from flow.core.design import Design, Layer, Neuron, to_json
from flow.core.errors import DesignError, ToolFailed, ToolNotFound
from flow.core.evaluate import evaluate
from flow.core.fixed import Fixed, Quantizer
from flow.core.passes.group import group
from flow.core.passes.widths import widths
from flow.emit.xls.dslx import emit_dslx
from flow.files import plan
from flow.tools import xls
from flow.verify import simulate

pytest.importorskip("xls")
ROOT = Path(__file__).resolve().parents[1]


def software_faults(designs, folder):
    """Indices of designs whose DSLX, run as software, differs anywhere from the integer model."""
    found = run_dslx(designs, folder)
    return [i for i, ((d, x), y) in enumerate(zip(designs, found, strict=True)) if (y != evaluate(d, x)).any()]


def in_icarus(design, folder, inputs, plant=lambda files: files, **changes):
    """The cocotb bench on XLS's Verilog of a design; ``plant`` may edit its files, ``changes`` the bench."""
    rtl = compile_rtl(design, folder / "compiled", 10.0)
    plan.write({f"rtl/{name}": text for name, text in plant(rtl.files).items()}, folder)
    bench = replace(bench_of(design, rtl, "rtl"), **changes)
    return simulate.run_cocotb(
        "icarus", bench, folder, inputs, evaluate(design, inputs), folder / "sim", long_cycles=2000
    )


@settings(max_examples=2)
@given(st.integers(0, 10**6))
def test_random_designs_as_software(tmp_path_factory, seed):
    designs = [random_design(seed + i) for i in range(25)]
    pairs = [(d, vectors(d, 200, seed)) for d in designs]
    assert software_faults(pairs, tmp_path_factory.mktemp("dslx")) == []


@pytest.mark.parametrize("seed", [0, 3, 8, 17, 23])
def test_random_designs_in_icarus(tmp_path, seed):
    design = random_design(seed)
    result = in_icarus(design, tmp_path, vectors(design, 80, seed))
    assert result.agrees, result.message


@pytest.mark.parametrize("head", ["logits", "argmax"])
def test_a_small_network_in_icarus(tmp_path, head):
    design = replace(small_design(), head=head)
    result = in_icarus(design, tmp_path, make_vectors(design, 150))
    assert result.agrees, result.message


def every_rounding(fan_in=1):
    """One neuron for each rounding, drop and end of saturation: all mantissas of one input go through all of them."""
    act = [
        Quantizer(Fixed(True, 6, frac), rounding, low, high)
        for rounding in ("TRN", "RND", "RND_CONV")
        for frac in (5, 4, 3, 0, -2, -4, -5, -9)
        for low, high in ((-32, 31), (0, 31), (-3, -1), (5, 9))
    ]
    neurons = tuple(Neuron((1,) * fan_in, 0, 1.0, output=q) for q in act)
    return group(widths(Design("all", (Quantizer.saturating(Fixed(True, 9, 4)),), (Layer("one", neurons),))))


def test_every_rounding_and_saturation_on_every_mantissa(tmp_path):
    design = every_rounding()
    assert software_faults([(design, np.arange(-256, 256)[:, None])], tmp_path) == []


def test_emission_is_pure_and_groups_share_a_function():
    text = emit_dslx(small_design())
    assert text == emit_dslx(small_design())
    assert re.search(r"^fn layer0_hidden_w1<S: u32>\(x: Layer0_hidden, w: u1\[3\]\)", text, flags=re.M)
    assert re.search(r"^fn layer0_hidden_w1p58<S: u32>\(x: Layer0_hidden, w: s2\[", text, flags=re.M)
    assert len(re.findall(r"^fn layer0_hidden_w", text, flags=re.M)) == 4
    assert "neuron 3: sum" in text


def test_a_wrong_weight_is_caught_by_software_and_by_icarus(tmp_path):
    design, inputs = small_design(), make_vectors(small_design(), 150)
    last = design.layers[-1]
    wrong = replace(last.neurons[1], weights=(last.neurons[1].weights[0] ^ 1, *last.neurons[1].weights[1:]))
    layers = (design.layers[0], replace(last, neurons=(last.neurons[0], wrong, last.neurons[2])))
    planted = replace(design, layers=layers)
    found = run_dslx([(planted, inputs)], tmp_path / "software")[0]
    assert (found != evaluate(design, inputs)).any(axis=0).tolist() == [False, True, False]
    rtl = compile_rtl(planted, tmp_path / "compiled", 10.0)
    plan.write({f"rtl/{name}": text for name, text in rtl.files.items()}, tmp_path)
    bench = bench_of(design, rtl, "rtl")
    result = simulate.run_cocotb(
        "icarus", bench, tmp_path, inputs, evaluate(design, inputs), tmp_path / "sim", long_cycles=2000
    )
    assert not result.agrees and "layer output, neuron 1" in result.message


def test_a_wrong_latency_and_a_wrong_bit_are_caught(tmp_path):
    design, inputs = small_design(), make_vectors(small_design(), 100)
    late = in_icarus(design, tmp_path, inputs, latency_cycles=9)
    assert not late.agrees and "9 stated" in late.message

    def flip(files):
        return {n: re.sub(r"assign out_data = ([^;]+);", r"assign out_data = \1 ^ 1;", t) for n, t in files.items()}

    flipped = in_icarus(design, tmp_path, inputs, plant=flip)
    assert not flipped.agrees and "layer output, neuron 0" in flipped.message


def test_a_clock_too_fast_is_told_with_the_remedy(tmp_path):
    with pytest.raises(DesignError, match="--clock-period-ns"):
        compile_rtl(small_design(), tmp_path / "x", 0.5)


def test_what_xls_refuses_is_one_line(tmp_path):
    with pytest.raises(ToolFailed, match=r"ParseError.*xls\.log"):
        xls.compile_verilog(tmp_path / "x", "fn network(", "network", "m", 1000, "sky130", 60)


def test_without_the_package_the_remedy_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "xls", None)
    with pytest.raises(ToolNotFound, match=r"pip install 'nmp-flow\[xls\]'"):
        compile_rtl(small_design(), tmp_path / "x", 10.0)


def test_a_build_whose_rtl_is_made_by_xls(tmp_path):
    """The build command with XLS as the one maker of Verilog and as an engine beside it."""
    (tmp_path / "design.json").write_text(to_json(small_design()))
    done = subprocess.run(
        [sys.executable, "-m", "flow.build", "--model", "design.json", "--out", "b", "--rtl-engine", "xls",
         "--engines", "integer,icarus,xls,netlist", "--vectors", "100"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "b" / "report.json").read_text())
    assert report["rtl_engine"] == "xls" and report["latency_cycles"] == report["xls"]["latency_cycles"]
    assert set(report["verification"]) == {"integer", "icarus", "xls", "xls_jit", "netlist"}
    assert all(entry["vectors"] and not entry["mismatches"] for entry in report["verification"].values())
    assert report["synthesis"]["lut"] > 0
    assert all(layer["luts"] is None for layer in report["layers"])
    assert sorted(p.name for p in (tmp_path / "b" / "rtl").iterdir()) == ["files.f", "net.v", "net_network.v"]
