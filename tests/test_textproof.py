"""The proof of emitted Verilog holds for random designs and refuses every text that computes anything else."""

import random
import re

import numpy as np
import pytest
from strategies import GENERIC, random_design
from text_mutants import Judge, mutant

from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron
from flow.core.errors import DesignError
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.verilog import emit_parallel
from flow.parallel.bit_choice import lowbit_graph
from flow.parallel.generators import alkaid_graph, build_graphs
from flow.parts.family import XC7, XCU
from flow.proof.text.bdd import Bdd
from flow.proof.text.prove import HEAD, prove_head, prove_text
from flow.proof.text.top import TOP


def hardware(design, graphs=None, clock=4.0, family=XC7):
    graphs = graphs or build_graphs(design)
    return design, graphs, emit_parallel(design, graphs, clock, family=family)


def findings(made, files=None):
    design, graphs, rtl = made
    return prove_text(design, graphs, files or rtl.files, rtl.top, rtl.layer_latency_cycles)


def edited(made, name, pattern, replacement, count=1):
    """The files with the first match of a pattern replaced in one of them; the pattern must match."""
    files = dict(made[2].files)
    files[name], found = re.subn(pattern, replacement, files[name], count=count)
    assert found, pattern
    return files


@pytest.fixture(scope="module")
def net():
    """Rows, tables, all roundings, a symmetric and a one-sided quantizer, raw outputs, an argmax head; two layers."""
    rng = np.random.default_rng(3)
    inputs = tuple(Quantizer.saturating(Fixed(i % 3 == 0, 4, i % 2)) for i in range(9))
    acts = [Quantizer(Fixed(True, 4, 0), "RND_CONV", -7, 7), Quantizer.saturating(Fixed(False, 3, 0), "RND"),
            Quantizer(Fixed(True, 5, 1), "TRN", -3, 12)]  # fmt: skip
    hidden = tuple(
        Neuron(tuple(int(w) for w in rng.integers(-7, 8, 9)), 1, 4.0, int(rng.integers(-9, 9)), 2, acts[j % 3])
        for j in range(6)
    )
    table = Neuron((0, 0, 3, 0, -5, 0, 0, 0, 0), 1, 4.0, 3, 1, acts[1])
    last = tuple(Neuron(tuple(int(w) for w in rng.integers(-3, 4, 7)), 0, 3.0, j, 0) for j in range(5))
    design = finish(Design("net", inputs, (Layer("first", (*hidden, table)), Layer("last", last)), "argmax"))
    return hardware(design, tuple(lowbit_graph(design, i) for i in range(2)))


def test_random_designs_are_proved():
    made = 0
    for seed in range(36):
        design = finish(random_design(seed, max_layers=3, max_size=6))
        generator = (
            build_graphs,
            *(lambda d, g=g: tuple(g(d, i) for i in range(len(d.layers))) for g in (alkaid_graph, lowbit_graph)),
        )
        try:
            found = hardware(
                design, generator[seed % 3](design), (3.5, 6.0, 10.0, 40.0)[seed % 4], (XC7, XCU, GENERIC)[seed % 3]
            )
        except DesignError:
            continue  # a clock too fast for one operation
        assert not findings(found), seed
        made += 1
    assert made > 20


def test_the_net_is_proved(net):
    kinds = {node.kind for graph in net[1] for node in graph.nodes}
    assert {"row", "quantize", "table"} <= kinds and "nmp_row.v" in net[2].files
    assert not findings(net)


PLANTED = {
    "mask": ("net_first.v", r"\.NA\((\d+)'b1", r".NA(\1'b0", "first"),
    "inverted bit": ("net_first.v", r"\.a\(\{(\w+\[\d+\]|\w+), ", r".a({~\1, ", "first"),
    "bit too many": ("net_first.v", r"\.e\(1'b0\)", ".e(1'b1)", "first"),
    "swapped bits": ("net_first.v", r"= x\[19:16\];", "= {x[16], x[18:17], x[19]};", "first"),
    "slice": ("net_first.v", r"= x\[19:16\];", "= x[20:17];", "first"),
    "table bit": (
        "net_first.v",
        r"(\.T\(\d+'h\w*)(\w)\)",
        lambda m: m[1] + format(int(m[2], 16) ^ 4, "x") + ")",
        "first",
    ),
    "limit": ("net_first.v", r"> 10'sd12", "> 10'sd13", "first"),
    "limit's sign": ("net_first.v", r"\$signed\((n\d+_out_r)\) < -", r"\1 < -", "first"),
    "inverted comparison": ("net_first.v", r"\$signed\((n\d+_out_r)\) < ", r"$signed(\1) > ", "first"),
    "reduction": ("net_first.v", r"\|(n\d+_out_r)", r"&\1", "first"),
    "half to even": ("net_first.v", r" & \|(n\d+_sum)", r" & &\1", "first"),
    "inverted register": ("net_first.v", r"( \w+_q1 <= )(\w+);", r"\1~\2;", "first"),
    "output too early": ("net_first.v", r"(assign y\[6:4\] = n1_out_q)4", r"\g<1>3", "first"),
    "clock": ("net_last.v", r"posedge clk", "posedge x", "last"),
    "falling edge": ("net_last.v", r"posedge clk", "negedge clk", "last"),
    "tie": ("net_argmax.v", r"v0_1 > v0_0", "v0_1 >= v0_0", HEAD),
    "unsigned logits": ("net_argmax.v", r"wire signed", "wire", HEAD),
    "index": ("net_argmax.v", r"\? 3'd1", "? 3'd2", HEAD),
    "inverted valid": ("net.v", r"in_valid\}", "~in_valid}", TOP),
    "reset inverted": ("net.v", r"if \(rst\)", "if (~rst)", TOP),
    "reset without effect": ("net.v", r"<= \d+'d0;", "<= valid;", TOP),
    "valid too early": ("net.v", r"valid\[\d+\];", "valid[0];", TOP),
    "valid in a loop": ("net.v", r"in_valid\}", "valid[0]}", TOP),
    "wiring": ("net.v", r"\.x\(first_y\)", ".x(~first_y)", TOP),
    "output": ("net.v", r"assign out_data = argmax_y", "assign out_data = argmax_y + 3'd1", TOP),
    "clock of a layer": ("net.v", r"\.clk\(clk\)", ".clk(rst)", TOP),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_faults_are_refused(net, fault):
    name, pattern, replacement, layer = PLANTED[fault]
    found = findings(net, edited(net, name, pattern, replacement))
    assert found and {f.layer for f in found} == {layer}, [str(f) for f in found]
    assert found[0].refuted == (fault != "falling edge")  # what is not known is undecided


def test_the_head_of_a_folded_design_is_proved_by_itself(net):
    design, _, rtl = net

    def head(files):
        return prove_head(design, files, "net_argmax", rtl.layer_latency_cycles["argmax"])

    assert head(rtl.files) == []
    for fault, (name, pattern, replacement, layer) in PLANTED.items():
        if layer == HEAD:
            found = head(edited(net, name, pattern, replacement))
            assert found and all(f.refuted and f.layer == HEAD for f in found), fault
    (missing,) = head({n: t for n, t in rtl.files.items() if n != "net_argmax.v"})
    assert missing.refuted and "has no module" in str(missing)


def test_a_register_less_or_more_is_refuted(net):
    stages = re.search(r"\b(\w+)_q1\b", net[2].files["net_first.v"])[1]
    found = findings(net, edited(net, "net_first.v", rf"(?<=[ (,{{]){stages}_q1(?=[\[ ,;)}}])", stages, count=0))
    assert found and all(f.refuted for f in found)
    early = edited(net, "net_first.v", r"(assign y\[\d+:\d+\] = n\d+_out)_q1", r"\1")
    assert any(f.refuted and "clock cycles instead of" in str(f) for f in findings(net, early))


def test_a_fault_that_needs_many_bits_is_found_with_its_inputs(net):
    """A bit is wrong where a dozen bits match a pattern: random vectors hardly ever hit it."""
    rare = edited(net, "net_first.v", r"(wire \[\d+:0\] x4 = )([^;]*);", r"\1\2 ^ (&{x[9:1], ~x[23:20]});")
    found = [f for f in findings(net, rare) if f.refuted]
    assert found and any(f.vector for f in found), [str(f) for f in found]
    rare = edited(net, "net_argmax.v", r"(wire r1_0 = )([^;]*);", r"\1(\2) ^ (&{x[7:1], ~x[15:8]});")
    found = [f for f in findings(net, rare) if f.refuted]
    assert found and found[0].operands and found[0].vector, [str(f) for f in found]


def test_swapped_outputs_name_both_neurons(net):
    swapped = edited(net, "net_last.v", r"= n0_out_q2;((?s:.*))= n1_out_q2;", r"= n1_out_q2;\1= n0_out_q2;")
    assert {f.neuron for f in findings(net, swapped) if f.refuted and f.vector} == {0, 1}


UNKNOWN = [
    "    initial n0_out = 0;\n",
    "    wire w = #1 x[0];\n",
    "    always @(*) begin end\n",
    "    assign y[0] = x[0] ** 2;\n",
    '`include "other.v"\n',
    "    wire \\odd = x[0];\n",
    "    wire w = 1'bx;\n",
    "    other u (.a(x));\n",
    "    // synthesis translate_off\n",
    "    (* keep *) wire w;\n",
]


@pytest.mark.parametrize("most", [4, 40, 150, 600])
def test_functions_too_large_to_decide_are_undecided_wherever_they_occur(net, monkeypatch, most):
    small = Bdd.__init__
    monkeypatch.setattr(Bdd, "__init__", lambda self: small(self, most))
    found = findings(net)
    assert found and not any(f.refuted for f in found)
    assert any("too large" in str(f) for f in found)


@pytest.mark.parametrize("statement", UNKNOWN)
def test_what_is_not_known_is_never_proved(net, statement):
    files = dict(net[2].files)
    files["net_last.v"] = files["net_last.v"].replace("endmodule", statement + "endmodule")
    found = findings(net, files)
    assert found and str(found[0])


@pytest.mark.parametrize("statement", ["    assign y[0] = x[0];\n", "    wire x0 = 1'b1;\n    wire x0 = 1'b0;\n"])
def test_a_second_driver_or_declaration_is_refuted(net, statement):
    files = dict(net[2].files)
    files["net_last.v"] = files["net_last.v"].replace("endmodule", statement + "endmodule")
    assert any(f.refuted and f.layer == "last" for f in findings(net, files))


@pytest.mark.tool
def test_random_mutants_are_refused_unless_they_are_equivalent(tmp_path):
    """What is proved computes the design in Icarus, on every vector; what Icarus sees differ is not proved."""
    judged = {"equal": 0, "different": 0, "refused": 0}
    for seed in (2, 8, 13, 21, 44):
        design = finish(random_design(seed, max_layers=2, max_size=4))
        made = hardware(design, clock=(3.5, 10.0)[seed % 2])
        judge, rng = Judge(design, made[2], tmp_path), random.Random(seed)
        assert judge.wrong(made[2].files) == 0
        for _ in range(14):
            name = rng.choice([n for n in made[2].files for _ in range(1 if n in ("nmp_row.v", "random.v") else 6)])
            text = mutant(made[2].files[name], rng)
            files = {**made[2].files, name: text or made[2].files[name]}
            wrong = judge.wrong(files)
            if wrong is None:
                continue
            found = findings(made, files)
            judged["refused" if found else "different" if wrong else "equal"] += 1
            assert found or not wrong, (seed, name)
    assert judged["different"] == 0 and judged["refused"] > 20 and judged["equal"] > 2, judged
