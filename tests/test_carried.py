"""Columns of which only the carry goes on: two of them in one LUT, and outputs of 0 or 1 as a carry alone."""

from dataclasses import replace

import numpy as np
import pytest
from graph_checks import RELAXED, instance_refuted, proved_netlist_sites, random_texts_proved, refused
from rtl_forms import planted, printed
from strategies import GENERIC, vectors

from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron
from flow.core.evaluate import evaluate_layer
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.rows import CARRIED_FILE, atoms_modules
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.parallel.bit_choice import atom_graph, lowbit_graph
from flow.parallel.builder import threshold
from flow.parallel.graph import Term, evaluate_graph
from flow.parallel.pipelining import schedule
from flow.parallel.proof import prove
from flow.parallel.sites import Target, graph_sites, least_sites
from flow.parts.family import XC7, XCU
from flow.proof.text.atoms import Shape, prove_atoms

# what the five places of a group weigh and how many columns it has, by its digit
GROUPS = {1: ((1, 1, 0, 0, 0), 1), 2: ((1, 1, 2, 2, 0), 2), 4: ((1, 1, 1, 1, 2), 2), 5: ((1, 1, 1, 1, 1), 2)}
LISTS = [(1,), (2,), (4,), (5,), (4, 2), (5, 1, 4), (2, 2, 2, 2), (1, 5, 2, 4, 1)]


def digits(values):
    return sum(value << 4 * i for i, value in enumerate(values))


def bench(rng):
    """Groups with no column, one or three of two bits above them, for many values, with random masks."""
    lines, checks = ["module bench;", "integer i, bad = 0; reg [95:0] r;"], []
    for k, groups in enumerate(LISTS):
        for width in (0, 1, 3):
            terms, x, mask, under = ["r[95]"], [], "", 0
            for g, kind in enumerate(groups):
                for place, weight in enumerate(GROUPS[kind][0]):
                    inverted = int(rng.integers(2)) if weight else 0
                    mask = f"{inverted}{mask}"
                    x.append(f"r[{5 * g + place}]" if weight else "1'b0")
                    terms.append(f"((r[{5 * g + place}] ^ 1'b{inverted}) * {weight << under})" if weight else "0")
                under += GROUPS[kind][1]
            above, name = max(width, 1), f"{k}_{width}"
            terms += [f"(r[{60 + i}] + r[{70 + i}]) * {1 << under + i}" for i in range(width)]
            lanes = [f"r[{at + width - 1}:{at}]" if width else "1'b0" for at in (60, 70)]
            lines += [f"wire [{above}:0] y{name};", f"wire [31:0] s{name} = {' + '.join(terms)};",
                      f"nmp_carried #(.G({len(groups)}), .KX({4 * len(groups)}'h{digits(groups):x}), .W({above}),",
                      f".NX({len(x)}'b{mask}), .K({4 * above}'h{digits((2,) * width):x}))",
                      f"u{name} (.d(r[95]), .x({{{', '.join(reversed(x))}}}), .a({lanes[0]}), .b({lanes[1]}),",
                      f".c({above}'b0), .y(y{name}));"]  # fmt: skip
            checks.append(f"if (y{name} !== s{name}[{under + above}:{under}]) bad = bad + 1;")
    draw = "r = i < 64 ? {i[5], 90'd0, i[4:0]} : {$random, $random, $random}; #1;"
    lines += ["initial begin for (i = 0; i < 2000; i = i + 1) begin", draw, *checks]
    return "\n".join([*lines, 'end $display("bad %0d", bad); end', "endmodule"])


@pytest.mark.parametrize("form", ["xc7", "xcu", "generic", "simulated"])
def test_the_module_is_the_sum_without_its_lowest_bits(form, tmp_path):
    family = {"xcu": XCU, "generic": GENERIC}.get(form, XC7)
    plan.mirror(atoms_modules(family), tmp_path)
    (tmp_path / "bench.v").write_text(bench(np.random.default_rng(4)))
    assert printed(tmp_path, [CARRIED_FILE, "bench.v"], form).strip() == "bad 0"


def shape(groups, atoms, result=None):
    return Shape(len(atoms), result or len(atoms) + 1, 0, digits(atoms), len(groups), digits(groups))


@pytest.mark.parametrize("family", [XC7, XCU, GENERIC], ids=lambda f: f.name)
def test_the_module_is_proved_for_every_shape_and_mask(family):
    text = atoms_modules(family)[CARRIED_FILE]
    for groups in LISTS:
        for atoms in ((0,), (2,), (6, 0), (4, 1, 2), (0, 5, 0)):
            for result in {1, len(atoms), len(atoms) + 1}:
                assert prove_atoms(text, shape(groups, atoms, result)) == ""


FAULTS = [
    (r"KX\[4\*i\+:4\] == 1\) \? A \^ B", "KX[4*i+:4] == 1) ? A | B", "as synthesized"),
    (r"\(A \^ B\) & \(C \^ D\)", "(A ^ B) & (C | D)", "as synthesized"),
    (r"\(SUM \^ D\) & \(FIRST \^ E\)", "(SUM ^ D) & FIRST", "as synthesized"),
    (r"\(SUM \^ D \^ E\) & \(FIRST \^ SECOND\)", "(SUM ^ D ^ E) & FIRST", "as synthesized"),
    (r"\(C & D\) \| ", "", "as synthesized"),
    (r"\(THIRD & E\)", "(FIRST & E)", "as synthesized"),
    (r": FIRST & SECOND", ": FIRST | SECOND", "as synthesized"),
    (r"32'hFF00FF00 \^ \{32\{NX\[5\*i\+3\]\}\}", "32'hFF00FF00", "as synthesized"),
    (r"\.INIT\(\{LESS, MADE\}\)", ".INIT({MADE, LESS})", "as synthesized"),
    (r"co\[G-1\]", "o[G-1]", "as synthesized"),
    (r"o\[G\+W-1:G\]", "o[G+W-2:G-1]", "as synthesized"),
    (r"CYINIT\(d\)", "CYINIT(1'b0)", "as synthesized"),
    (r"\^ NX\[5\*i\+:5\]", "", "as simulated"),
    (r"carry\[0\] = d", "carry[0] = 1'b0", "as simulated"),
    (r"\{1'b0, g\[4\], 1'b0\}", "{2'b0, g[4]}", "as simulated"),
    (r"carry\[i\+1\] = none_above", "carry[i+1] = one_above", "as simulated"),
    (r"carry\[G\]\}", "carry[0]}", "as simulated"),
    (r"NX = \{5\*G\{1'b0\}\}", "NX = {5*G{1'b1}}", "another default"),
]


@pytest.mark.parametrize(("pattern", "replacement", "where"), FAULTS)
def test_a_fault_in_either_form_of_the_module_is_found(pattern, replacement, where):
    text = planted(atoms_modules(XC7)[CARRIED_FILE], pattern, replacement)
    told = [prove_atoms(text, shape((2, 5, 4, 1), atoms)) for atoms in ((2, 4, 1), (0,))]
    assert any(where in t for t in told), told


def quantized(seed=0, outputs=((2, 0), (3, 1), (1, 0), (1, 2)), size=(24, 8), choices=(-3, -2, -1, 0, 1, 2, 3)):
    """A layer whose outputs are unsigned numbers of few bits, far above the grid of its sums."""
    rng = np.random.default_rng(seed)
    inputs = tuple(Quantizer.saturating(Fixed(i % 3 == 0, 4, 2)) for i in range(size[0]))
    neurons = []
    for j in range(size[1]):
        bits, frac = outputs[j % len(outputs)]
        quantizer = replace(Quantizer.saturating(Fixed(False, bits, frac)), rounding=("TRN", "RND", "RND_CONV")[j % 3])
        chosen = tuple(int(w) for w in rng.choice(choices, size[0]))
        neurons.append(Neuron(chosen, 3, 3.0, int(rng.integers(-9, 10)), 2, quantizer))
    return finish(Design("net", inputs, (Layer("dense", tuple(neurons)),)))


@pytest.mark.parametrize("seed", range(8))
def test_quantized_layers_are_proved_and_equal(seed):
    design = quantized(seed)
    values = vectors(design, 3000, seed)
    expected = evaluate_layer(design.layers[0], values, design.formats_into(0))
    for graph in (atom_graph(design, 0, Target((1e6, 6.0)[seed % 2])), lowbit_graph(design, 0)):
        prove(design, 0, graph)
        assert np.array_equal(evaluate_graph(graph, values), expected)
        assert least_sites(graph) <= RELAXED.sites(graph)
    assert any(node.cut for node in atom_graph(design, 0, RELAXED).nodes)


@pytest.mark.parametrize("rounding", ["TRN", "RND", "RND_CONV"])
def test_the_threshold_of_an_output_of_one_bit_is_the_least_sum_that_gives_1(rounding):
    for frac in (0, 2, 5):
        quantizer = replace(Quantizer.saturating(Fixed(False, 1, frac)), rounding=rounding)
        design = finish(Design("one", (Quantizer.saturating(Fixed(True, 6, 3)),), (
            Layer("dense", (Neuron((3,), 2, 3.0, -3, 1, quantizer),)),)))  # fmt: skip
        neuron = design.layers[0].neurons[0]
        found = threshold(neuron, -900, 900)
        sums = np.arange(-900, 901)
        assert found and neuron.accumulator
        ones = neuron.output.from_integer(sums, neuron.accumulator.frac)
        assert np.array_equal(ones, sums >= found.least)
        assert np.array_equal(ones, sums + (1 << found.unread) - found.least >> found.unread)
        assert threshold(neuron, -900, found.least - 1) is None is threshold(neuron, found.least, 900)


def test_outputs_of_one_bit_are_a_carry_without_a_quantizer():
    design = quantized(3, outputs=((1, 0),), size=(24, 4))
    graph = atom_graph(design, 0, RELAXED)
    for j, i in enumerate(graph.outputs):
        row = graph.nodes[graph.nodes[i].terms[0].node]
        assert (row.low, row.high, len(row.atoms)) == (0, 1, 1), j
    two = quantized(3, outputs=((2, 0),), size=(24, 4))
    assert RELAXED.sites(graph) <= RELAXED.sites(atom_graph(two, 0, RELAXED)) - 4 * 4


@pytest.fixture(scope="module")
def net():
    design = quantized()
    graph = atom_graph(design, 0, RELAXED)
    assert sum(bool(node.cut) for node in graph.nodes) > 4
    return design, graph, emit_parallel(design, [graph], 1e6)


def test_no_wrong_bit_group_or_drop_passes_the_proof_of_the_graph(net):
    design, graph, _ = net
    planted_ones = 0
    for i, node in enumerate(graph.nodes):
        for c, column in enumerate(node.columns if node.cut else ()):
            if column:
                wrong = (*column[1:], replace(column[0], inverted=not column[0].inverted))
                refused(design, graph, i, columns=(*node.columns[:c], wrong, *node.columns[c + 1 :]))
                planted_ones += 1
        if node.cut:
            refused(design, graph, i, carried=node.carried[1:])
            refused(design, graph, i, carried=(*node.carried, (2, 2)))
            refused(design, graph, i, carried=((3, 3), *node.carried[1:]))
            refused(design, graph, i, high=node.high - 1)
        if node.kind == "quantize":
            refused(design, graph, i, drop=node.drop + 1)
            refused(design, graph, i, terms=(replace(node.terms[0], shift=1),))
            refused(design, graph, i, half_even=not node.half_even)
            refused(design, graph, i, terms=(Term(node.terms[0].node, 0, True),))
    assert planted_ones > 60


LAYER_FAULTS = {
    "a group": (r"(\.KX\(\d+'h\w*?)4", r"\g<1>5"),
    "a mask": (r"\.G\((\d+)\),", lambda m: f"{m[0]} .NX({5 * int(m[1])}'b1),"),
    "a bit": (r"\.x\(\{(\w+\[\d+\]), (\w+\[\d+\])", r".x({\1, \1"),
    "a group that is none": (r"(\.KX\(\d+'h\w*)(\w\))", r"\g<1>7)"),
    "another carry": (r"(nmp_carried[^;]*\.d\()[^)]*\)", r"\g<1>1'b1)"),
}


@pytest.mark.parametrize("fault", LAYER_FAULTS)
def test_a_wrong_instance_is_refuted(net, fault):
    instance_refuted(net, *LAYER_FAULTS[fault])


def test_random_designs_with_carried_columns_are_proved_in_their_text():
    assert random_texts_proved(range(16), 4, lambda node: node.cut) >= 4


@pytest.mark.tool
@pytest.mark.parametrize("clock", [1e6, 8.0])
def test_the_netlist_is_proved_and_takes_the_sites_that_were_expected(clock, tmp_path):
    design = quantized(5, size=(20, 6))
    graph = atom_graph(design, 0, Target(clock))
    rtl = emit_parallel(design, [graph], clock)
    sites = proved_netlist_sites(rtl, tmp_path)
    expected = graph_sites(graph, schedule(graph, clock, XC7.planned))
    assert abs(sites - expected) <= 0.06 * sites, (sites, expected)
