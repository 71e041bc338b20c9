"""What a report tells beyond its key figures: changes of nets, use of formats, classes and targets, and their page."""

import json
import random
import subprocess
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from html_samples import design, report

from flow.build import predictions, profiles
from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron
from flow.core.fixed import Fixed, Quantizer
from flow.extract import test_data
from flow.files import plan
from flow.netlist.activity import NotStreamed, activity
from flow.netlist.energy import LOCAL_FF, WIRE_FF, energy
from flow.parts.family import XC7
from flow.report.html import pages
from flow.report.html.outcomes import outcomes
from flow.report.wording import DASH
from flow.tools import icarus, yosys

SOURCE = """
module top (input clk, input rst, input in_valid, input [7:0] in_data, output reg [5:0] out, output reg out_valid);
    reg [3:0] a, b;
    reg [5:0] held;
    always @(posedge clk) begin
        a <= in_data[3:0];
        b <= in_data[7:4] ^ {4{a[0]}};
        held <= a * 2 + b + 3;
        if (b[1]) out <= held;
        if (rst) out_valid <= 0; else out_valid <= in_valid;
    end
endmodule
"""
BENCH = """
`timescale 1ns/1ps
module tb;
    reg clk = 0, rst = 0, in_valid = 1; reg [7:0] in_data = 0; wire [5:0] out; wire out_valid;
    reg [7:0] rows [0:COUNT-1]; integer i;
    glbl glbl();
    top dut (.clk(clk), .rst(rst), .in_valid(in_valid), .in_data(in_data), .out(out), .out_valid(out_valid));
    initial begin
        $readmemh("rows.hex", rows); $dumpfile("waves.vcd"); $dumpvars(1, dut);
        for (i = 0; i < COUNT; i = i + 1) begin in_data = rows[i]; #8 clk = 1; #1 clk = 0; #1; end
        $finish;
    end
endmodule
module glbl; reg GSR = 0; endmodule
"""
COUNT, SKIP = 200, 6


def streams(rows: list[int]) -> dict[str, list[int]]:
    data = [sum((row >> bit & 1) << cycle for cycle, row in enumerate(rows)) for bit in range(8)]
    return {"clk": [0], "rst": [0], "in_valid": [(1 << COUNT) - 1], "in_data": data}


def waves(text: str) -> dict[str, list[str]]:
    """The bits of every net just before each clock edge, lowest first, by the names of a VCD file."""
    head, _, rest = text.partition("$enddefinitions $end")
    names = {w[3]: (w[4], int(w[2])) for w in (line.split() for line in head.splitlines()) if w[:1] == ["$var"]}
    now, found, end = {}, {name: [] for name, _ in names.values()}, 7500
    for line in [*rest.splitlines(), f"#{10000 * COUNT}"]:
        while line.startswith("#") and int(line[1:]) > end:
            for key, (name, width) in names.items():
                found[name].append(now.get(key, "x" * width).rjust(width, "0")[::-1])
            end += 10000
        if line[:1] == "b":
            now[line.split()[1]] = line.split()[0][1:]
        elif line[:1] in ("0", "1", "x"):
            now[line[1:]] = line[0]
    return found


@pytest.fixture(scope="module")
def netlist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("netlist")
    (folder / "top.v").write_text(SOURCE)
    yosys.synthesize(folder, yosys.synthesis_script(["top.v"], "top", "xc7", dsp=False), 120)
    return folder, json.loads((folder / "netlist.json").read_text())["modules"]["top"]


def test_changes_are_those_that_a_simulator_sees(netlist):
    folder, module = netlist
    rows = random.Random(3).choices(range(256), k=COUNT)
    found = activity(module, streams(rows), COUNT, SKIP)
    (folder / "rows.hex").write_text("".join(f"{row:02x}\n" for row in rows))
    (folder / "tb.v").write_text(BENCH.replace("COUNT", str(COUNT)))
    compiler, runner = icarus.find()
    files = ["tb.v", "netlist.v", str(yosys.cell_library())]
    for command in ([compiler, "-g2012", "-o", "sim", *files], [runner, "sim"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    seen, compared = waves((folder / "waves.vcd").read_text()), 0
    for name, net in module["netnames"].items():
        for place, bit in enumerate(net["bits"]):
            if name in seen and isinstance(bit, int) and name != "clk":
                values = [text[place] for text in seen[name][SKIP:]]
                assert found.changes[bit] == sum(a != b for a, b in pairwise(values)), name
                compared += 1
    assert compared > 30 and found.cycles == COUNT - 1 - SKIP
    assert {c["type"] for c in module["cells"].values()} & {"CARRY4", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6"}


def test_energy_is_changes_times_what_they_drive(netlist):
    _, module = netlist
    rows = [0, 255] * (COUNT // 2)
    spent = energy(module, activity(module, streams(rows), COUNT, SKIP), XC7)
    assert spent.total_fj > 0 and sum(spent.by_cell.values()) < spent.total_fj  # inputs are driven by no cell
    still = energy(module, activity(module, streams([7] * COUNT), COUNT, SKIP), XC7)
    assert still.total_fj == 0
    cell = {"type": "LUT1", "port_directions": {"I0": "input", "O": "output"}, "parameters": {"INIT": "01"}}
    two = {"ports": {"a": {"direction": "input", "bits": [2]}, "y": {"direction": "output", "bits": [4]}},
           "cells": {"p": {**cell, "connections": {"I0": [2], "O": [3]}},
                     "q": {**cell, "connections": {"I0": [3], "O": [4]}}}}  # fmt: skip
    made = energy(two, activity(two, {"a": [0b1010101010]}, 10, 0), XC7)
    assert made.total_fj == pytest.approx(3 * WIRE_FF / 2) and LOCAL_FF < WIRE_FF
    two["cells"]["p"]["connections"]["I0"] = [4]
    with pytest.raises(NotStreamed, match="return"):
        activity(two, {"a": [0]}, 10, 0)


def test_profiles_count_what_saturates():
    relu = Quantizer.saturating(Fixed(False, 2, 0), relu=True)  # 0 to 3
    neurons = (Neuron((1,), 0, 3, output=relu), Neuron((3,), 0, 3, output=relu), Neuron((0,), 0, 0, output=relu))
    made = finish(Design("d", (Quantizer.saturating(Fixed(True, 4, 0)),), (Layer("dense", neurons),)))
    inputs = np.array([[-2], [1], [3], [7]])
    build = SimpleNamespace(design=made, test=None, vectors=SimpleNamespace(inputs=inputs, referee=0, data_rows=0))
    (found,), said = profiles.profiles(build)
    assert found.saturated == [1, 2, 0] and found.rows == 4 and "random" in said
    assert found.weights_by_bits == [1, 1, 1] and (found.weights_at_end, found.weights_of_them) == (1, 2)
    assert sum(found.outputs_by_tenth) - found.zeros == 6  # 1, 3, 3 and 3, 3, 3


def test_classes_and_targets_are_told_apart():
    names = ("cat", "dog", "emu")
    labels = np.array([0, 0, 1, 2, -1])
    test = test_data.TestPart(
        "pets", np.zeros((5, 1), np.float32), labels, "classification", (4, 7, 9), class_names=names
    )
    outputs = np.eye(3)[[0, 1, 1, 0, 2]]
    found = predictions.predictions(test, outputs, "logits", design(), None, names)
    assert found.classes.matrix == [[1, 1, 0], [0, 1, 0], [1, 0, 0]] and found.classes.unknown == 1
    shown = outcomes({"predictions": {"classes": vars(found.classes)}})["classes"]
    assert shown["rows"][0] == ("cat", "0.500", "0.500", "0.500", "2")
    assert shown["rows"][2][1:] == (DASH, "0.000", "0.000", "1")
    scale = SimpleNamespace(target_mean=(10.0,), restore_targets=lambda v: 10 + 4 * v)
    test = test_data.TestPart("house", np.zeros((2, 1), np.float32), np.array([[0.0], [1.0]]), "regression")
    (one,) = predictions.predictions(test, np.array([[0.5], [1.0]]), "logits", design(), scale).targets[:1]
    assert (one.mse, one.mse_own_unit, one.mean_absolute_error, one.bias) == (0.125, 2.0, 1.0, 1.0)
    assert one.points == [(10.0, 12.0), (14.0, 14.0)]


def test_page_shows_them_and_links_stay_inside():
    path = {"delay_ns": 12.5, "levels": 9, "endpoint": "y", "through": ["dense neuron 1", "output neuron 0"]}
    data = report()
    data["synthesis"]["paths"] = [path] * 10
    data["training"]["history"] = {
        "names": ["epoch", "loss", "val"],
        "rows": [[1, 2.0, 0.5], [2, 1.0, None], [3, 0.5, 0.9]],
    }
    data["power"] = {
        "pj_per_result": 12.0, "mw": 1.2, "clock_mhz": 100.0, "results_per_second": 1e8, "vectors": "9 rows",
        "changes_per_cycle": 3.0, "nets": 9, "cycles": 8, "layers": {"dense": 7.0}, "source": "VTR",
        "left_out": "clock tree", "factor": 3.0,
    }  # fmt: skip
    data["predictions"] = {
        "classes": {"names": ["<b>", "no"], "matrix": [[3, 1], [0, 2]], "unknown": 0},
        "targets": None,
    }
    data["files"] = {"rtl/a b.v": "layer", "../../etc/passwd": "x", "javascript:alert(1)": "x", "design.json": "design"}
    data["inputs"]["name"] = ["age", "<i>", "height"]
    text = pages.page(data)
    said = ["Energy, estimated", "factor of 3", "Longest paths by layer", "dense neuron 1", "Training", "precision"]
    for part in (*said, 'href="rtl/a%20b.v"', "0 age", "&lt;b&gt;"):
        assert part in text, part
    assert "passwd" not in text and "javascript:" not in text and "<b>," not in text
    target = {"name": "delay", "mse": 0.12, "mse_own_unit": 34.5, "mean_absolute_error": 4.2, "bias": -0.3,
              "points": [[1.0, 2.0], [3.0, 2.5]]}  # fmt: skip
    text = pages.page({**data, "predictions": {"classes": None, "targets": [target]}})
    assert "in its own unit, squared" in text and "34.5" in text and text.count('r="2"') == 2


def test_comparison_says_when_parts_and_data_differ(tmp_path):
    first, second = report(), report(part="xc7a35tcpg236-1")
    second["score"]["data"] = "other"
    for name, data in (("a", first), ("b", second)):
        plan.write_file(tmp_path / name / "report.json", json.dumps(data))
    text = pages.compare(tmp_path / "a", tmp_path / "b")
    assert "differ in more than their designs" in text and "part: xc7z020clg400-1 in A, xc7a35tcpg236-1 in B" in text
    assert "data of the score: digits in A, other in B" in text
    assert "differ in more" not in pages.compare(tmp_path / "a", tmp_path / "a")
