"""Layers as rows of bits: packed and shared correctly, smaller than alkaid's graphs, and the row primitive is a sum."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtl_forms import printed
from strategies import GENERIC, random_design, vectors

from flow.build import architecture as choice
from flow.core.design import Design, Layer, Neuron
from flow.core.evaluate import evaluate, evaluate_layer
from flow.core.fixed import Fixed, Quantizer
from flow.core.passes.widths import widths
from flow.emit.rtl.rows import ROW_FILE, has_chain, row_lines, row_modules
from flow.emit.rtl.testbench import describe
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.parallel.bit_choice import atom_graph, lowbit_graph
from flow.parallel.bit_heap import FIRST_PLACES, PLACES, HeapBit, pack
from flow.parallel.cost import graph_luts
from flow.parallel.generators import alkaid_graph, build_graph, build_graphs
from flow.parallel.graph import evaluate_graph, row_start
from flow.parallel.pattern_growth import Settings
from flow.parallel.pipelining import node_delay
from flow.parallel.proof import prove
from flow.parallel.sites import Target
from flow.parallel.subexpressions import share, signed_digits
from flow.parts.catalog import resolve
from flow.parts.family import XC7, XCU, XCUP
from flow.proof.text.prove import prove_text
from flow.tools import yosys
from flow.verify import simulate

FORMS = {f.name: f for f in (XC7, XCU, XCUP, GENERIC)}


def layer(matrix, bits=4):
    inputs = tuple(Quantizer.saturating(Fixed(False, bits, 0)) for _ in range(matrix.shape[0]))
    width = float(1 + int(np.abs(matrix).max()).bit_length())
    neurons = tuple(Neuron(tuple(int(w) for w in column), 0, width) for column in matrix.T)
    return widths(Design("net", inputs, (Layer("dense", neurons),)))


@given(st.lists(st.lists(st.booleans(), max_size=12), min_size=1, max_size=9))
def test_a_packing_adds_every_bit_once(columns):
    free = [[HeapBit(0, f, -1, i) for i, f in enumerate(column)] for column in columns]
    width = sum(len(c) << i for i, c in enumerate(columns)).bit_length() or 1
    packing = pack([*free, *([] for _ in range(width - len(free)))])
    results, rng = [], np.random.default_rng(0)
    given_bits = [rng.integers(0, 2, len(column)) for column in columns]

    def value(bit, column):
        return given_bits[column][bit.index] if bit.row < 0 else results[bit.row] >> bit.index & 1

    for row in packing.rows:
        for i, column in enumerate(row.columns):
            assert len(column) <= (PLACES if i else FIRST_PLACES)
            assert sum(not b.free for b in column) <= PLACES
        results.append(sum(int(value(b, row.start + i)) << i for i, c in enumerate(row.columns) for b in c))
    total = sum(int(value(b, i)) << i for i, column in enumerate(packing.last) for b in column)
    assert total == sum(int(bits.sum()) << i for i, bits in enumerate(given_bits))


@pytest.mark.parametrize("height", [8, 20, 64])
def test_a_packing_is_close_to_two_bits_per_lut(height):
    width = (height * 15).bit_length()
    heap = [[HeapBit(0, True, -1, i) for i in range(height if c < 4 else 0)] for c in range(width)]
    assert pack(heap).luts <= (4 * height - width) / 2 + 5


@pytest.mark.parametrize("seed", range(6))
def test_shared_rows_expand_to_the_matrix(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-(1 << seed), (1 << seed) + 1, (12, 9))
    digits = signed_digits(matrix)
    shifts = rng.integers(0, 3, 12).tolist()
    rows = share(digits.copy(), [15] * 12, shifts, Settings(size=3 + seed % 2))
    known = {i: np.eye(12, dtype=np.int64)[i] for i in range(12)}

    def form(operand):
        if operand not in known:
            known[operand] = expand(rows[digits.shape[0] + operand - 12])
        return known[operand]

    def expand(row):
        return sum(((-1 if u.negative else 1) * form(u.operand) << u.shift for u in row), np.zeros(12, np.int64))

    expanded = np.array([expand(row) for row in rows[: digits.shape[0]]]).T
    assert (expanded == matrix << np.array(shifts)[:, None]).all()
    assert len(rows) > digits.shape[0]


@pytest.mark.parametrize("generator", [lowbit_graph, alkaid_graph])
@pytest.mark.parametrize("seed", range(25))
def test_random_designs_are_proved_and_agree(generator, seed):
    design = random_design(seed, max_size=9)
    values = vectors(design, 64, seed)
    for index, part in enumerate(design.layers):
        graph = generator(design, index)
        prove(design, index, graph)
        expected = evaluate_layer(part, values, design.formats_into(index))
        assert (evaluate_graph(graph, values) == expected).all()
        values = expected


@pytest.mark.parametrize("choices, ratio", [([-1, 1], 0.6), ([-1, 0, 0, 1], 0.56), ([-3, -1, 0, 2, 5], 0.6)])
def test_low_bit_layers_are_much_smaller_than_alkaids(choices, ratio):
    design = layer(np.random.default_rng(1).choice(choices, (48, 24)))
    assert graph_luts(lowbit_graph(design, 0)) <= ratio * graph_luts(alkaid_graph(design, 0))


@pytest.mark.parametrize("seed", range(8))
def test_the_cheaper_graph_is_taken_and_never_one_of_more_sites_than_that_of_fewest_luts(seed):
    design, target = random_design(seed), Target((4.0, 10.0, 1e6)[seed % 3])
    for index in range(len(design.layers)):
        fewest = min((generator(design, index) for generator in (lowbit_graph, alkaid_graph)), key=graph_luts)
        taken, atoms = build_graph(design, index, target), atom_graph(design, index, target)
        assert target.sites(taken) <= target.sites(fewest) and target.cost(taken) <= target.cost(fewest)
        assert taken in (fewest, atoms)


@pytest.mark.parametrize("seed", range(6))
def test_one_row_lies_between_registers_where_every_row_is_asked_for(seed):
    design, target = random_design(seed, max_size=7), Target(20.0, XC7, every_row=True)
    graphs = build_graphs(design, target)
    for graph in graphs:
        plan = target.plan(graph)
        delays = [node_delay(node, XC7.planned) for node in graph.nodes]
        busy = [delay > 0 for delay in delays]  # whether an operation lies between a value and the last registers
        for i, node in enumerate(graph.nodes):
            before = [j for j in node.sources if plan.stages[j] == plan.stages[i] and busy[j]]
            assert not (delays[i] and before)
            busy[i] |= bool(before)
        assert plan.critical_path_ns <= max(delays) + XC7.planned.register
    deep, usual = (emit_parallel(design, graphs, 20.0, XC7, every_row) for every_row in (True, False))
    assert deep.latency_cycles > usual.latency_cycles
    assert prove_text(design, graphs, deep.files, deep.top, deep.layer_latency_cycles) == []


def test_parts_without_a_known_carry_chain_get_the_graph_of_fewest_luts():
    design = layer(np.random.default_rng(1).choice([-1, 1], (16, 8)))
    assert build_graph(design, 0, Target(10.0, GENERIC)) == lowbit_graph(design, 0)
    assert build_graph(design, 0, Target(10.0, XC7)) != lowbit_graph(design, 0)


def test_graphs_are_the_same_every_time():
    design = layer(np.random.default_rng(2).choice([-1, 0, 1], (24, 12)))
    assert lowbit_graph(design, 0) == lowbit_graph(design, 0)


def test_equal_and_opposite_neurons_are_made_once():
    column = np.random.default_rng(3).choice([-1, 0, 1], 24)
    one = graph_luts(lowbit_graph(layer(np.stack([column], axis=1)), 0))
    both = graph_luts(lowbit_graph(layer(np.stack([column, column, -column], axis=1)), 0))
    assert both < 1.8 * one


def test_rows_are_emitted_only_with_what_a_chain_can_add():
    design = layer(np.random.default_rng(4).choice([-1, 1], (16, 8)))
    for node in lowbit_graph(design, 0).nodes:
        if node.kind == "row":
            start = row_start(node)
            assert all(len(column) <= PLACES for column in node.columns[start + 1 :])
            assert all(len(column) <= 1 for column in node.columns[:start])


def test_a_row_too_tall_for_a_chain_is_refused():
    from dataclasses import replace

    from flow.core.errors import DesignError
    from flow.emit.rtl.expressions import Value

    design = layer(np.random.default_rng(4).choice([-1, 1], (16, 8)))
    node = next(n for n in lowbit_graph(design, 0).nodes if has_chain(n) and len(n.columns) > 2)
    values = {i: Value(f"v{i}", 8, False) for i in node.sources}
    tall = replace(node, columns=(node.columns[0], node.columns[1] * 4, *node.columns[2:]))
    with pytest.raises(DesignError, match="in one column"):
        row_lines(tall, "y", values)


def test_designs_without_chains_have_no_row_module():
    design = layer(np.array([[1], [1]]))
    assert ROW_FILE not in emit_parallel(design, build_graphs(design), 20.0).files


def test_the_integer_engine_runs_rows(tmp_path):
    design = random_design(5, max_size=9)
    values = inputs = vectors(design, 200)
    for index in range(len(design.layers)):
        values = evaluate_graph(lowbit_graph(design, index), values)
    if design.head == "logits":
        assert (values == evaluate(design, inputs)).all()


ROW_BENCH = """
module bench;
    integer i, bad;
    reg [63:0] r;
    initial begin
        bad = 0;
        for (i = 0; i < 4000; i = i + 1) begin
            r = {{$random, $random}}; #1;
            if (y !== expected) bad = bad + 1;
        end
        $display("bad %0d", bad);
    end
    localparam W = {width};
    wire [W-1:0] a = r[W-1:0], b = r[W+15:16], c = r[W+31:32];
    wire [{result}-1:0] y;
    wire [W-1:0] an = a ^ {masks[0]}, bn = b ^ {masks[1]}, cn = c ^ {masks[2]};
    wire [W+1:0] sum = an + bn + cn + r[62] + r[63];
    wire [{result}-1:0] expected = sum[{result}-1:0];
    nmp_row #(.W(W), .Y({result}), .NA({masks[0]}), .NB({masks[1]}), .NC({masks[2]})) row (
        .a(a), .b(b), .c(c), .d(r[62]), .e(r[63]), .y(y));
endmodule
"""


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 8, 12])
@pytest.mark.parametrize("form", [*FORMS, "simulated"])
def test_the_row_primitive_is_the_sum_of_its_operands(width, form, tmp_path):
    rng = np.random.default_rng(width)
    masks = [f"{width}'d{rng.integers(0, 1 << width)}" for _ in range(3)]
    (tmp_path / ROW_FILE).write_text(row_modules(FORMS.get(form, XC7))[ROW_FILE])
    (tmp_path / "bench.v").write_text(ROW_BENCH.format(width=width, result=width + 2 - width % 2, masks=masks))
    assert "bad 0" in printed(tmp_path, [ROW_FILE, "bench.v"], form)


CELLS = {XCUP: {"LUT6_2", "CARRY8", "FDRE"}, GENERIC: {"SB_LUT4", "SB_CARRY", "SB_DFF"}}


@pytest.mark.parametrize("family", CELLS, ids=lambda f: f.name)
def test_other_families_are_synthesized_to_their_own_cells_and_stay_exact(family, tmp_path):
    rng = np.random.default_rng(7)
    design = widths(layer(rng.choice([-1, 1], (12, 5))))
    graphs = [lowbit_graph(design, 0)]
    rtl = emit_parallel(design, graphs, 10.0, family=family)
    plan.mirror(dict(rtl.files), tmp_path / "rtl")
    script = yosys.synthesis_script([f"../rtl/{name}" for name in rtl.files], rtl.top, family.yosys, dsp=False)
    library = yosys.cell_library()
    if family is GENERIC:  # here an iCE40, of which the flow has no parts
        script = re.sub(r"synth_xilinx.*\nstat.*", f"synth_ice40 -flatten -top {rtl.top}", script)
        text = (library.parents[1] / "ice40" / "cells_sim.v").read_text()
        library = tmp_path / "cells.v"
        library.write_text("`define NO_ICE40_DEFAULT_ASSIGNMENTS\n" + text)
    yosys.synthesize(plan.folder(tmp_path / "synth"), script, 600)
    cells = json.loads((tmp_path / "synth" / "netlist.json").read_text())["modules"][rtl.top]["cells"].values()
    assert {c["type"] for c in cells} >= CELLS[family] and not {"CARRY4"} & {c["type"] for c in cells}
    inputs = vectors(design, 100)
    result = simulate.run_cocotb(
        "netlist", describe(design, rtl), tmp_path, inputs, evaluate(design, inputs), tmp_path / "sim",
        sources=[tmp_path / "synth" / "netlist.v", library],
    )  # fmt: skip
    assert result.agrees, result.message


@pytest.mark.parametrize(("share", "architecture"), [(1.1, "parallel"), (0.9, "folded")])
def test_auto_counts_the_luts_of_rows(share, architecture, monkeypatch):
    design = widths(layer(np.random.default_rng(2).choice([-1, 1], (16, 8))))
    part, graphs = resolve("xc7z020"), build_graphs(design)
    assert {node.kind for node in graphs[0].nodes} == {"input", "row"}
    monkeypatch.setattr(choice, "PARALLEL_SHARE", share * Target(10.0, part.family).sites(graphs[0]) / part.lut)
    assert choice.choose(design, part, 10.0).architecture == architecture
