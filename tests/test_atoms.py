"""Chains of atoms: packed correctly, the module is a sum in every form, and no wrong chain passes a proof."""

from dataclasses import replace

import numpy as np
import pytest
from graph_checks import RELAXED, instance_refuted, proved_netlist_sites, refused
from hypothesis import given
from hypothesis import strategies as st
from rtl_forms import planted, printed
from strategies import GENERIC, random_design, vectors

from flow.build.state import finish
from flow.core.design import Design, Layer, Neuron
from flow.core.evaluate import evaluate_layer
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.rows import ATOMS_FILE, FULL_ADDER_FILE, atoms_modules
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.parallel.atom_heap import pack_atoms
from flow.parallel.atoms import ALONE, CARRIED_PLACES, PLACES, places, taken
from flow.parallel.bit_choice import atom_graph, lowbit_graph
from flow.parallel.bit_heap import HeapBit
from flow.parallel.graph import ZERO, Bit, LayerGraph, Node, evaluate_graph, row_start
from flow.parallel.pipelining import schedule
from flow.parallel.proof import prove
from flow.parallel.sites import Target, graph_sites, least_sites
from flow.parts.family import XC7, XCU
from flow.proof.text.atoms import Shape, prove_atoms, prove_full_adder


def bits_of(column):
    return [HeapBit(level, free, -1, i) for i, (level, free) in enumerate(column)]


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=14), min_size=1, max_size=8),
    st.booleans(), st.integers(0, 9), st.integers(0, 9),
)  # fmt: skip
def test_a_packing_adds_every_bit_once_and_no_chain_more_than_it_takes(columns, registered, cut, unread):
    width = max(sum(len(c) << i for i, c in enumerate(columns)).bit_length() - cut, len(columns))
    heap = [bits_of(column) for column in [*columns, *([] for _ in range(width - len(columns)))]]
    packing = pack_atoms(heap, registered, unread=unread)
    results, rng = [], np.random.default_rng(0)
    given_bits = [rng.integers(0, 2, len(column)) for column in columns]

    def value(bit, column):
        return int(given_bits[column][bit.index]) if bit.row < 0 else results[bit.row] >> bit.index & 1

    def row(columns, atoms, high, carried=()):
        node = Node("row", 0, high, atoms=atoms, carried=carried, columns=tuple(
            tuple(Bit(0, 0, not b.free) for b in column) for column in columns))  # fmt: skip
        assert node.cut <= unread
        if atoms:
            carry, passed, held = places(node)
            assert len(held) == PLACES * len(atoms) and not carry.inverted
            assert len(passed) == CARRIED_PLACES * len(carried)
            assert sum(b != ZERO for b in (carry, *passed, *held)) == sum(map(len, columns[row_start(node) :]))

    for r in packing.rows:
        row(r.columns, r.atoms, (1 << r.width) - 1)
        total = sum(value(b, r.start + i) << i for i, c in enumerate(r.columns) for b in c)
        results.append(total & ((1 << r.width) - 1))
        assert total == results[-1] or r.start + r.width == width  # a carry is lost only above the result
    row(packing.last, packing.last_atoms, (1 << width) - 1, packing.last_carried)
    assert packing.luts <= pack_atoms(heap, registered).luts + 2  # another search, which seldom finds less
    if not packing.last_atoms:
        assert max(map(len, packing.last)) <= (4 if registered else 1)
    total = sum(value(b, i) << i for i, column in enumerate(packing.last) for b in column)
    assert (total - sum(int(bits.sum()) << i for i, bits in enumerate(given_bits))) % (1 << width) == 0


@pytest.mark.parametrize(("height", "sites"), [(3, 8), (6, 16), (16, 45), (64, 166)])
def test_a_packing_takes_no_more_sites_than_it_did(height, sites):
    width = (height * 15).bit_length()
    heap = [[HeapBit(0, True, -1, i) for i in range(height if c < 4 else 0)] for c in range(width)]
    assert pack_atoms(heap).luts <= sites
    assert pack_atoms(heap, registered=True).luts <= pack_atoms(heap).luts


SHAPES = [(6, 0), (5, 0), (4, 1), (2, 2), (2,), (0, 2, 6, 0), (6, 0, 6, 0, 4, 1, 2, 5, 0), (2, 4, 1, 0, 6, 0), (2,) * 9]


def weights(atoms):
    """By place of x, its weight: written down once more, from the module's description."""
    found = [0] * PLACES * len(atoms)
    for c, part in taken(atoms):
        if len(part) == 1:
            found[PLACES * c : PLACES * c + 2] = [1 << c if part[0] else 0] * 2
            continue
        here, above = 1 << c, 2 << c
        lists = {6: [here] * 6, 5: [here] * 4 + [0, here], 4: [here] * 3 + [0, above, here]}
        found[PLACES * c : PLACES * c + 6] = lists[part[0]]
    return found


def digits(atoms):
    return sum(digit << 4 * i for i, digit in enumerate(atoms))


def bench(rng):
    """All shapes in one module: every value of a small one, and many of a long one, with random masks."""
    lines = ["module bench;", "integer i, bad = 0; reg [63:0] r;"]
    checks = []
    for k, atoms in enumerate(SHAPES):
        width = len(atoms)
        for c in (0, 1):
            for result in {width + 1, max(width - 1, 1)}:
                name, weight = f"u{k}_{c}_{result}", weights(atoms)
                sixes = {PLACES * i + 5 for i, digit in enumerate(atoms) if digit == 6}
                mask = sum(int(rng.integers(2)) << i for i, w in enumerate(weight) if w and i not in sixes)
                used = [i for i, w in enumerate(weight) if w]
                # the bits of r in the places in use, so that counting goes through all values of a small chain
                x = [f"r[{used.index(i)}]" if i in used else "1'b0" for i in range(PLACES * width)]
                total = " + ".join(f"((r[{n}] ^ 1'b{mask >> i & 1}) * {weight[i]})" for n, i in enumerate(used))
                carry = f"r[{len(used)}]" if c else "1'b0"
                lines += [f"wire [{result - 1}:0] y_{name};", f"wire [31:0] s_{name} = {total} + {carry};"]
                lines += [f"nmp_atoms #(.W({width}), .Y({result}), .D({c}), .K({4 * width}'h{digits(atoms):0{width}x})"]
                for lane in range(PLACES):
                    own = sum((mask >> PLACES * i + lane & 1) << i for i in range(width))
                    lines += [f", .N{'ABC'[lane]}({width}'b{own:b})"]
                lines += [f") {name} (.d({carry}), .y(y_{name})"]
                for lane in range(PLACES):
                    lines += [f", .{'abc'[lane]}({{{', '.join(reversed(x[lane::PLACES]))}}})"]
                lines += [");"]
                checks.append(f"if (y_{name} !== s_{name}[{result - 1}:0]) bad = bad + 1;")
    for mask in range(8):
        terms = " + ".join(f"(r[{i}] ^ 1'b{mask >> i & 1})" for i in range(3))
        lines += [f"wire [1:0] f{mask};", f"wire [1:0] g{mask} = {terms};"]
        lines += [f"nmp_full_adder #(.N(3'd{mask})) a{mask} (.x(r[2:0]), .y(f{mask}));"]
        checks.append(f"if (f{mask} !== g{mask}) bad = bad + 1;")
    body = "\n".join(checks)
    lines += ["initial begin for (i = 0; i < 400; i = i + 1) begin", "r = i < 200 ? i : {$random, $random}; #1;", body]
    return "\n".join([*lines, 'end $display("bad %0d", bad); end', "endmodule"])


@pytest.mark.parametrize("form", ["xc7", "xcu", "generic", "simulated"])
def test_the_module_is_the_sum_of_its_bits_for_every_value(form, tmp_path):
    family = {"xcu": XCU, "generic": GENERIC}.get(form, XC7)
    plan.mirror(atoms_modules(family), tmp_path)
    (tmp_path / "bench.v").write_text(bench(np.random.default_rng(4)))
    assert printed(tmp_path, [ATOMS_FILE, FULL_ADDER_FILE, "bench.v"], form).strip() == "bad 0"


def shape(atoms, result=None, carry=1):
    return Shape(len(atoms), result or len(atoms) + 1, carry, digits(atoms))


@pytest.mark.parametrize("family", [XC7, XCU, GENERIC], ids=lambda f: f.name)
def test_the_module_is_proved_for_every_shape_and_mask(family):
    text = atoms_modules(family)[ATOMS_FILE]
    for atoms in SHAPES:
        assert shape(atoms).weights == weights(atoms)
        for result in {1, len(atoms), len(atoms) + 1}:
            assert all(prove_atoms(text, shape(atoms, result, carry)) == "" for carry in (0, 1))
    assert prove_full_adder(atoms_modules(family)[FULL_ADDER_FILE]) == ""


FAULTS = [
    (r"32'hF0F0F0F0 \^", "32'hF0F0F0F1 ^", "as synthesized"),
    (r"64'h6996", "64'h6997", "as synthesized"),
    (r"32'hFFFF0000 \^ \{32\{NC\[i\+1\]\}\}", "32'hFFFF0000", "as synthesized"),
    (r"\{32\{NA\[i\] \^ NB\[i\]\}\}", "{32{NA[i]}}", "as synthesized"),
    (r"\.I3\(a\[i\+1\]\), \.I4\(b\[i\+1\]\)", ".I3(b[i+1]), .I4(b[i+1])", "as synthesized"),
    (r"assign di\[i\] = c\[i\+1\]", "assign di[i] = b[i+1]", "as synthesized"),
    (r"assign di\[i\] = o5", "assign di[i] = ~o5", "as synthesized"),
    (r"CYINIT\(d\)", "CYINIT(1'b0)", "as synthesized"),
    (r"co\[4\*i-1\]", "co[4*i-2]", "as synthesized"),
    (r"\(SUM & E\)", "(SUM & E & {32{~(NA[i-1] & NB[i-1] & NA[i])}})", "as synthesized"),  # for some masks alone
    (r"q & ownb", "q & own", "as simulated"),
    (r"\(q >> 1\) & lowb", "(q >> 1) & low", "as simulated"),
    (r"\(r >> 1\) & low", "r & low", "as simulated"),
    (r"q = b \^ NB", "q = b", "as simulated"),
    (r", d\};", ", 1'b0};", "as simulated"),
    (r"K\[4\*i\+:4\] > 3;", "K[4*i+:4] > 4;", "as simulated"),
    (r"NB = \{W\{1'b0\}\}", "NB = {W{1'b1}}", "as simulated"),  # what is not given
    (r"Y = W \+ 1", "Y = W", "as simulated"),
]


@pytest.mark.parametrize(("pattern", "replacement", "where"), FAULTS)
def test_a_fault_in_either_form_of_the_module_is_found(pattern, replacement, where):
    text = planted(atoms_modules(XC7)[ATOMS_FILE], pattern, replacement)
    told = [prove_atoms(text, shape((6, 0, 5, 0, 4, 1, 2, 6, 0), carry=carry)) for carry in (0, 1)]
    assert any(where in t for t in told), told


@pytest.mark.parametrize(
    ("pattern", "replacement", "where"),
    [(r"\| \(B & C\)", "", "as synthesized"), (r"8'hF0 \^ \{8\{N\[2\]\}\}", "8'hF0", "as synthesized"),
     (r"x \^ N", "x", "as simulated"), (r"N = 3'd0", "N = 3'd1", "as simulated")],
)  # fmt: skip
def test_a_fault_in_a_full_adder_is_found(pattern, replacement, where):
    assert where in prove_full_adder(planted(atoms_modules(XC7)[FULL_ADDER_FILE], pattern, replacement))


def layer_design(seed=0, choices=(-1, 1), size=(16, 6), bits=4):
    rng = np.random.default_rng(seed)
    inputs = tuple(Quantizer.saturating(Fixed(i % 3 == 0, bits, 0)) for i in range(size[0]))
    neurons = tuple(Neuron(tuple(int(w) for w in rng.choice(choices, size[0])), 0, 2.0) for _ in range(size[1]))
    return finish(Design("net", inputs, (Layer("dense", neurons),)))


@pytest.mark.parametrize("seed", range(12))
def test_random_designs_are_proved_and_agree(seed):
    design, target = random_design(seed, max_size=6), Target((5.0, 10.0, 1e6)[seed % 3])
    values = vectors(design, 64, seed)
    for index, part in enumerate(design.layers):
        graph = atom_graph(design, index, target)
        prove(design, index, graph)
        expected = evaluate_layer(part, values, design.formats_into(index))
        assert (evaluate_graph(graph, values) == expected).all()
        values = expected


@pytest.fixture(scope="module")
def net():
    design = layer_design()
    graph = atom_graph(design, 0, RELAXED)
    assert sum(bool(node.atoms) for node in graph.nodes) > 10
    return design, graph, emit_parallel(design, [graph], 1e6)


def test_no_wrong_bit_and_no_atom_too_small_passes_the_proof_of_the_graph(net):
    design, graph, _ = net
    planted = 0
    for i, node in enumerate(graph.nodes):
        for c, column in enumerate(node.columns if node.atoms else ()):
            wrong = (*column[1:], replace(column[0], inverted=not column[0].inverted)) if column else (Bit(0, 0),)
            refused(design, graph, i, columns=(*node.columns[:c], wrong, *node.columns[c + 1 :]))
            planted += 1
        if node.atoms:
            if len(node.atoms) > 1:
                refused(design, graph, i, atoms=tuple(min(digit, ALONE) for digit in node.atoms[:1]))
            refused(design, graph, i, atoms=(*node.atoms, 7))
            if max(node.atoms) > 4:
                refused(design, graph, i, atoms=tuple(ALONE for _ in node.atoms))
    assert planted > 100


LAYER_FAULTS = {
    "a digit": (r"(\.K\(\d+'h\w*?)06", r"\g<1>14"),
    "a mask": (r"\.NB\((\d+)'b\d+\)", r".NB(\1'b0)"),
    "the sixth inverted": (r"(\.K\(8'h06\)(?:, \.N[AB]\(2'b\d+\))*)(, \.NC\(2'b\d+\))?\)", r"\1, .NC(2'b10))"),
    "a bit": (r"\.a\(\{(\w+\[\d\]), (\w+\[\d\])", r".a({\1, \1"),
    "the carry": (r"\.D\(1\), ", ""),
    "a carry that is constant": (r"\.d\(\w+\[\d+\]\)", ".d(1'b0)"),
    "fewer columns": (r"#\(\.W\((\d+)\), \.K\(\d+'h(\w+)\)", r"#(.W(1), .K(4'h2)"),
    "a digit that is none": (r"(\.K\(\d+'h\w*)(\w\))", r"\g<1>7)"),
    "a place left out": (r"(\.c\(\{[^}]*)1'b0", r"\g<1>1'b1"),
}


@pytest.mark.parametrize("fault", LAYER_FAULTS)
def test_a_wrong_instance_is_refuted(net, fault):
    instance_refuted(net, *LAYER_FAULTS[fault])


@pytest.mark.tool
@pytest.mark.parametrize("clock", [1e6, 8.0])
def test_the_netlist_of_chains_is_proved_and_takes_the_sites_that_were_expected(clock, tmp_path):
    design = layer_design(1, (-1, 0, 1, 2), (16, 5))
    graph = atom_graph(design, 0, Target(clock))
    rtl = emit_parallel(design, [graph], clock)
    sites = proved_netlist_sites(rtl, tmp_path)
    expected = graph_sites(graph, schedule(graph, clock, XC7.planned))
    assert abs(sites - expected) <= 0.05 * sites, (sites, expected)


@pytest.mark.parametrize("seed", range(12))
def test_no_layer_takes_fewer_sites_than_its_bound(seed):
    design = random_design(seed, max_size=8)
    for index in range(len(design.layers)):
        for graph in (lowbit_graph(design, index), atom_graph(design, index, RELAXED)):
            assert 0 <= least_sites(graph) <= RELAXED.sites(graph)


def test_the_bound_is_reached_by_whole_atoms():
    columns = tuple(tuple(Bit(0, 0) for _ in range(6 if i % 2 == 0 else 0)) for i in range(8))
    row = Node("row", 0, (1 << 9) - 1, atoms=(6, 0) * 4, columns=columns)
    graph = LayerGraph("one", (Node("sum", 0, 1, terms=()), row), (1,), "test")
    assert least_sites(graph) == 8


def test_layers_take_far_fewer_sites_than_rows_of_three_bits():
    design = layer_design(2, (-1, 1), (48, 24))
    assert RELAXED.sites(atom_graph(design, 0, RELAXED)) <= 0.75 * RELAXED.sites(lowbit_graph(design, 0))


def test_bits_of_a_shared_sum_are_shared_where_adding_them_costs_more(monkeypatch):
    """Chains' results that several sums read unadded: proved, equal, and in fewer sites."""
    weights = np.random.default_rng(0).choice([-1, 1], (16, 32))
    neurons = tuple(Neuron(tuple(int(w) for w in row), 0, 1.0) for row in weights)
    design = finish(Design("ones", (Quantizer.saturating(Fixed(False, 4, 0)),) * 32, (Layer("dense", neurons),)))
    sites = {}
    for worths in ((None,), (0.6,)):
        monkeypatch.setattr("flow.parallel.bit_choice._BIT_WORTHS", worths)
        graph = atom_graph(design, 0, RELAXED)
        prove(design, 0, graph)
        sites[worths] = RELAXED.sites(graph)
        inputs = vectors(design, 200)
        expected = evaluate_layer(design.layers[0], inputs, design.formats_into(0))
        assert np.array_equal(evaluate_graph(graph, inputs), expected)
    assert sites[0.6,] < sites[None,]
