"""What the proof of emitted Verilog stands on: expressions, primitives and rows mean what they mean in a simulator."""

import random
import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from builds import built
from rtl_forms import planted
from strategies import GENERIC

from flow.build import report_data
from flow.build.engines import jobs
from flow.build.options import Options
from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron, to_json
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.rows import row_modules
from flow.parts.catalog import resolve
from flow.parts.family import XC7, XCU
from flow.proof.text.cells import PRIMITIVES, ROW, SUM
from flow.proof.text.evaluate import Timing
from flow.proof.text.machine import Machine
from flow.proof.text.parser import parse
from flow.proof.text.preprocess import preprocess
from flow.proof.text.rows import prove_row
from flow.proof.text.space import Space
from flow.proof.text.trial import Trial
from flow.tools import yosys

INPUTS = {"a": 5, "b": 4, "c": 3, "d": 1}
PORTS = "input wire [4:0] a, input wire signed [3:0] b, input wire signed [2:0] c, input wire d"


def icarus(text, folder, *more):
    (folder / "t.v").write_text(text)
    command = ["iverilog", "-g2005", "-s", "tb", "-o", "t.vvp", "t.v", *map(str, more)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    return subprocess.run(["vvp", "t.vvp"], cwd=folder, check=True, capture_output=True, text=True, timeout=120).stdout


def expression(rng, depth=0):
    kind = rng.randrange(16 if depth < 4 else 4)

    def inner():
        return expression(rng, depth + 1)

    if kind < 2:
        return rng.choice("abcd")
    if kind == 2:
        return rng.choice(["a[4:2]", "a[1]", "b[3]", "b[2:1]", "c[2:0]", "a[1+:3]", "a[{d, c[0]}]"])
    if kind == 3:
        return rng.choice(["4'd9", "3'sd5", "6'h2a", "1'b1", "(-2)", "7"])
    if kind < 6:
        return f"({inner()} {rng.choice('+-')} {inner()})"
    if kind == 6:
        return f"({inner()} {rng.choice(['&', '|', '^', '~^'])} {inner()})"
    if kind == 7:
        return f"({inner()} {rng.choice(['<', '<=', '>', '>=', '==', '!='])} {inner()})"
    if kind == 8:
        return f"({inner()} {rng.choice(['&&', '||'])} {inner()})"
    if kind == 9:
        return f"({inner()} ? {inner()} : {inner()})"
    if kind == 10:
        return f"({rng.choice(['~', '-', '+', '!', '&', '|', '^', '~&', '~|', '~^'])} {inner()})"
    if kind == 11:
        return (
            f"{{{rng.choice('abcd')}, {rng.choice(['2', '3'])}'d1, {{{rng.randrange(1, 4)}{{{rng.choice('abcd')}}}}}}}"
        )
    if kind == 12:
        return f"({inner()} {rng.choice(['<<', '>>', '<<<', '>>>'])} {rng.randrange(4)})"
    return f"{rng.choice(['$signed', '$unsigned'])}({inner()})"


def test_expressions_have_the_values_that_a_simulator_gives_them(tmp_path):
    """Widths, signs and extensions of 300 random expressions, for all values of their inputs together."""
    rng = random.Random(5)
    lines = [(rng.randrange(1, 12), rng.choice(["", "signed "]), expression(rng)) for _ in range(300)]
    body = "".join(f"  wire {s}[{w - 1}:0] y{i} = {e};\n" for i, (w, s, e) in enumerate(lines))
    trials = 96
    values = {name: np.random.default_rng(1).integers(0, 1 << bits, trials) for name, bits in INPUTS.items()}
    rows = "".join(
        f"    a = {values['a'][t]}; b = {values['b'][t]}; c = {values['c'][t]}; d = {values['d'][t]}; #1;\n    show;\n"
        for t in range(trials)
    )
    shown = "".join(f'    $write("%0d ", $unsigned(y{i}));\n' for i in range(len(lines)))
    declared = "  reg [4:0] a; reg signed [3:0] b; reg signed [2:0] c; reg d;\n"
    task = f"  task show; begin\n{shown}    $display;\n  end endtask\n"
    printed = icarus(f"module tb;\n{declared}{body}{task}  initial begin\n{rows}  end\nendmodule\n", tmp_path)
    expected = np.array([[int(v) for v in line.split()] for line in printed.splitlines()])

    space = Space()
    atoms = {name: space.atom(name, bits) for name, bits in INPUTS.items()}
    (module,) = parse(f"module m ({PORTS});\n{body}endmodule\n")
    machine = Machine(space, module, atoms)
    tried = Trial(space, machine.sums, {i: values[name].astype(np.uint64) for i, name in enumerate(INPUTS)})
    for i, (width, _, text) in enumerate(lines):
        net = machine.elaboration.scope.find(f"y{i}")
        found = tried.word(machine.read(net, 0, width, Timing()))
        assert (found == expected[:, i]).all(), (width, text)


PRIMITIVE_PORTS = {
    "LUT6_2": "I0 I1 I2 I3 I4 I5 O5 O6", "CARRY4": "CI CYINIT DI:4 S:4 O:4 CO:4",
    "CARRY8": "CI CI_TOP DI:8 S:8 O:8 CO:8",
}  # fmt: skip


@pytest.mark.parametrize("name", PRIMITIVE_PORTS)
def test_primitives_compute_what_the_library_says(name, tmp_path):
    ports = [(p.split(":")[0], int(p.partition(":")[2] or 1)) for p in PRIMITIVE_PORTS[name].split()]
    inputs = [(p, n) for p, n in ports if not p.startswith(("O", "CO"))]
    outputs = [p for p in ports if p not in inputs]
    init = 0x9E3779B97F4A7C15
    rng, trials = np.random.default_rng(2), 300
    values = {p: rng.integers(0, 1 << n, trials) for p, n in inputs}
    given = f" #(.INIT(64'h{init:x}))" if name == "LUT6_2" else ""
    declared = "".join(f"  reg [{n - 1}:0] {p};\n" for p, n in inputs)
    declared += "".join(f"  wire [{n - 1}:0] {p};\n" for p, n in outputs)
    connected = ", ".join(f".{p}({p})" for p, _ in ports)
    shown = " ".join("%0d" for _ in outputs)
    rows = "".join(
        "    " + " ".join(f"{p} = {values[p][t]};" for p, _ in inputs)
        + f' #1 $display("{shown}", {", ".join(p for p, _ in outputs)});\n' for t in range(trials)
    )  # fmt: skip
    text = f"module tb;\n{declared}  {name}{given} u ({connected});\n  initial begin\n{rows}  end\nendmodule\n"
    printed = icarus(text, tmp_path, yosys.cell_library())
    space = Space()
    bits = {p: space.atom(p, n) for p, n in inputs}
    parameters = {"INIT": tuple(init >> i & 1 for i in range(64))} if name == "LUT6_2" else {}
    (empty,) = parse("module m (input wire a); endmodule")
    found = PRIMITIVES[name].outputs(Machine(space, empty, {}), parameters, bits)
    tried = Trial(
        space, Machine(space, empty, {}).sums, {i: values[p].astype(np.uint64) for i, (p, _) in enumerate(inputs)}
    )
    expected = np.array([[int(v) for v in line.split()] for line in printed.splitlines()])
    for k, (port, _) in enumerate(outputs):
        assert (tried.word(found[port]) == expected[:, k]).all(), port


@pytest.mark.parametrize("name", [ROW, SUM])
@pytest.mark.parametrize("family", [XC7, XCU, GENERIC], ids=lambda f: f.name)
def test_rows_are_proved_for_every_width_and_mask(family, name):
    text = "\n".join(row_modules(family).values())
    for width in (1, 2, 3, 4, 5, 7, 8, 9, 16, 24):
        assert all(prove_row(text, width, result, name) == "" for result in {1, width, width + 1, width + 2})


ROW_FAULTS = [
    (r"\{2'b00, c \^ NC\}", "{2'b00, c}", "as simulated"),
    (r"CYINIT\(e\)", "CYINIT(d)", "as synthesized"),
    (r"8'hCC \^", "8'hCD ^", "as synthesized"),
    (r"\| \(B & C\)", "", "as synthesized"),
    (r"\.I3\(k\[i\]\)", ".I3(i == 13 ? 1'b0 : k[i])", "as synthesized"),  # in one column alone
    (r"\{co\[W\], o\[W:0\]\}", "{co[W-1], o[W:0]}", "as synthesized"),
    (r"A \^ B \^ C", "A ^ B ^ (C | {8{NA[i] & NB[i] & NC[i]}})", "as synthesized"),  # for some masks alone
    (r"NB = \{W\{1'b0\}\}", "NB = NA", "as simulated"),  # what an instance gets that gives no mask
    (r"total\[Y-1:0\]", "total[Y-1:0] ^ (&a)", "as simulated"),
]


@pytest.mark.parametrize(("pattern", "replacement", "where"), ROW_FAULTS)
def test_a_fault_in_either_form_of_the_row_is_found(pattern, replacement, where):
    assert where in prove_row(planted("\n".join(row_modules(XC7).values()), pattern, replacement), 15, 17)


SUM_FAULTS = [
    (r"\.c\(c\), \.d\(1'b0\)", ".c(c), .d(1'b1)"),
    (r"\.a\(a\), \.b\(b\), \.c\(c\), \.d", ".a(a), .b(b), .c(b), .d"),
    (r"\.NB\(NB\), ", ""),
    (r"\.Y\(Y\)", ".Y(W)"),
    (
        r"(nmp_sum #\(\n    parameter W = 4,\n    parameter Y = W \+ )2",
        r"\g<1>1",
    ),  # what an instance gets that gives no Y
    (r"(nmp_sum[^;]*NA = )\{W\{1'b0\}\}", r"\1NB"),
]


@pytest.mark.parametrize(("pattern", "replacement"), SUM_FAULTS)
def test_a_fault_in_a_sum_is_found_and_its_row_is_none(pattern, replacement):
    text = "\n".join(row_modules(XC7).values())
    if not pattern.startswith("(nmp_sum"):
        pattern = rf"((?s:module nmp_sum.*?)){pattern}"
        replacement = rf"\1{replacement}"
    text, found = re.subn(pattern, replacement, text, count=1)
    assert found and prove_row(text, 7, 9, SUM) and not prove_row(text, 7, 9, ROW)


def test_directives_choose_lines_as_a_tool_does():
    text = "`ifdef A\na\n`ifndef B\nb\n`else\nc\n`endif\n`else\nd\n`endif\n`define B\n`ifdef B\ne\n`endif\n"
    assert preprocess(text).split() == ["d", "e"]
    assert preprocess(text, ["A"]).split() == ["a", "b", "e"]
    assert preprocess(text, ["A", "B"]).split() == ["a", "c", "e"]


@pytest.fixture
def small(tmp_path):
    act = Quantizer.saturating(Fixed(False, 3, 0), "RND")
    inputs = tuple(Quantizer.saturating(Fixed(False, 4, 0)) for _ in range(4))
    first = Layer("first", tuple(Neuron((3, -2 - j, 5, 1), 1, 4.0, j, 0, act) for j in range(3)))
    last = Layer("last", tuple(Neuron((3, -2 - j, 1), 1, 4.0, j, 0, act) for j in range(2)))
    path = tmp_path / "design.json"
    path.write_text(to_json(finish(Design("net", inputs, (first, last)))))
    return Options(path, resolve("xc7z020"), tmp_path / "build", vectors=20, engines=("integer",))


def test_a_build_tells_what_is_proved_and_ends_as_a_mismatch_at_a_fault(small, monkeypatch):
    emitted = jobs.choose

    def faulty(*arguments):
        hardware = emitted(*arguments)
        files = dict(hardware.rtl.files)
        files["net_last.v"], found = re.subn(
            r"(n1_out_t\d \(\.x\(\{x2, n1_p0)\}", r"\1 ^ {2'd0, &x[8:6]}}", files["net_last.v"], count=1
        )
        assert found == 1
        return replace(hardware, rtl=replace(hardware.rtl, files=files))

    monkeypatch.setattr(jobs, "choose", faulty)
    found = report_data.report(built(small)).to_json()
    proved = {"design-graph": "proved", "graph-verilog": "proved", "verilog-netlist": "proved"}
    assert found["proof"] == {"first": proved, "last": {**proved, "graph-verilog": "refuted"}, "top module": proved}
    assert found["undecided"] == [] and found["status"] == "mismatch"
    assert [layer["proof"] for layer in found["layers"]] == ["proved", "tested"]
    assert any("layer last, neuron 1" in text and "for the inputs" in text for text in found["differences"])
