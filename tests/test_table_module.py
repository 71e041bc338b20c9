"""The module of a table: the same in every form, no more LUTs than planned, and no wrong table passes a proof."""

import numpy as np
import pytest
from graph_checks import RELAXED, instance_refuted, proved_netlist_sites, random_texts_proved
from rtl_forms import planted, printed
from strategies import GENERIC

from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.rows import TABLE_FILE, table_modules
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.parallel.bit_choice import atom_graph
from flow.parts.family import XC7, XCU
from flow.proof.text.tables import prove_table

SIZES = range(2, 9)


def entries(rng, bits):
    return sum(int(bit) << i for i, bit in enumerate(rng.integers(0, 2, 1 << bits)))


@pytest.mark.parametrize("form", ["xc7", "xcu", "generic", "simulated"])
def test_the_module_gives_every_entry(form, tmp_path):
    rng, lines = np.random.default_rng(1), ["module bench;", "integer i, bad = 0; reg [7:0] r;"]
    for bits in SIZES:
        table = f"{1 << bits}'h{entries(rng, bits):x}"
        parameters = f".N({bits}), .M({1 << bits}), .T({table})"
        lines += [f"wire y{bits}; localparam [{(1 << bits) - 1}:0] T{bits} = {table};"]
        lines += [f"nmp_table #({parameters}) u{bits} (.x(r[{bits - 1}:0]), .y(y{bits}));"]
    lines += ["initial begin for (i = 0; i < 256; i = i + 1) begin r = i; #1;"]
    lines += [f"if (y{bits} !== T{bits}[r[{bits - 1}:0]]) bad = bad + 1;" for bits in SIZES]
    plan.mirror(table_modules({"xcu": XCU, "generic": GENERIC}.get(form, XC7)), tmp_path)
    (tmp_path / "bench.v").write_text("\n".join([*lines, 'end $display("bad %0d", bad); end', "endmodule"]))
    assert printed(tmp_path, [TABLE_FILE, "bench.v"], form).strip() == "bad 0"


@pytest.mark.parametrize("family", [XC7, XCU, GENERIC], ids=lambda f: f.name)
def test_the_module_is_proved_for_tables_of_every_size(family):
    rng, text = np.random.default_rng(2), table_modules(family)[TABLE_FILE]
    for bits in SIZES:
        assert prove_table(text, bits, entries(rng, bits)) == ""


FAULTS = [
    (r"\.I2\(x\[2\]\), \.I3\(x\[3\]\), \.O\(y\)", ".I2(x[3]), .I3(x[2]), .O(y)", "as synthesized"),
    (r"\.INIT\(T\[64\*i\+:64\]\)", ".INIT(T[63:0])", "as synthesized"),
    (r"\.S\(x\[6\]\), \.O\(y\)", ".S(~x[6]), .O(y)", "as synthesized"),
    (r"MUXF7 upper \(\.I0\(part\[2\]\)", "MUXF7 upper (.I0(part[1])", "as synthesized"),
    (r"\.S\(x\[7\]\)", ".S(x[6])", "as synthesized"),
    (r"assign y = T\[x\]", "assign y = T[~x]", "as simulated"),
]


@pytest.mark.parametrize(("pattern", "replacement", "where"), FAULTS)
def test_a_fault_in_either_form_of_the_module_is_found(pattern, replacement, where):
    rng, text = np.random.default_rng(3), planted(table_modules(XC7)[TABLE_FILE], pattern, replacement)
    told = [prove_table(text, bits, entries(rng, bits)) for bits in SIZES]
    assert any(where in t for t in told), told


@pytest.fixture(scope="module")
def net():
    """A layer of neurons of few input bits, most of which become tables."""
    rng = np.random.default_rng(0)
    inputs = tuple(Quantizer.saturating(Fixed(i % 2 == 0, 3, 0)) for i in range(5))
    neurons = tuple(
        Neuron(tuple(int(w) for w in rng.choice((-5, -3, 0, 0, 2, 7), 5)), 3, 4.0, 1, 2,
               Quantizer.saturating(Fixed(False, 2, 0)))
        for _ in range(8)
    )  # fmt: skip
    design = finish(Design("net", inputs, (Layer("dense", neurons),)))
    graph = atom_graph(design, 0, RELAXED)
    assert sum(node.kind == "table" for node in graph.nodes) > 4
    return design, graph, emit_parallel(design, [graph], 1e6)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [(r"(\.T\(\d+'h\w*)0", r"\g<1>1"), (r"(\.N\()(\d)", r"\g<1>7"), (r"\.x\(\{(\w+\[\d\]), (\w+\[\d\])", r".x({\1, \1"),
     (r"\.M\(\d+\)", ".M(8)")],
)  # fmt: skip
def test_a_wrong_instance_is_refuted(net, pattern, replacement):
    instance_refuted(net, pattern, replacement)


def test_random_designs_with_tables_are_proved_in_their_text():
    assert random_texts_proved(range(8), 3, lambda node: node.kind == "table") >= 4


@pytest.mark.tool
def test_the_netlist_is_proved_and_takes_the_luts_of_the_plan(net, tmp_path):
    _, graph, rtl = net
    sites = proved_netlist_sites(rtl, tmp_path)
    assert sites <= RELAXED.sites(graph) + 2, (sites, RELAXED.sites(graph))
