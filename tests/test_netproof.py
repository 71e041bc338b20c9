"""The proof of a netlist: what synthesis made is proved, every planted fault is refuted or shown to be none."""

import json
import random
import re
from collections import Counter
from dataclasses import replace

import pytest
from builds import built
from netlist_mutants import KINDS, mutant, really_equal
from test_planted_bugs import small_design

from flow.build import report_data
from flow.build.options import Options
from flow.core.design import to_json
from flow.emit.rtl.verilog import emit_parallel
from flow.files import plan
from flow.netlist.read import read_netlist
from flow.parallel.generators import build_graphs
from flow.parts.catalog import resolve
from flow.parts.family import XC7, XCUP
from flow.proof.netlist.aig import FALSE, TRUE, Aig
from flow.proof.netlist.decide import Decider
from flow.proof.netlist.prove import compare, prove_netlist, read_gates, read_text
from flow.proof.netlist.words import added, extended
from flow.tools import yosys

SEED = 5


def synthesized(folder, files, top, family="xc7", dsp=False):
    """Sources and netlist of Verilog ``files``, in folders beside each other as in a build."""
    plan.write({f"rtl/{name}": text for name, text in files.items()}, folder)
    sources = [f"../rtl/{name}" for name in files]
    script = yosys.synthesis_script(sources, top, family, dsp)
    yosys.synthesize(plan.folder(folder / "synth"), script, 300)
    return sources, folder / "synth" / "netlist.json", plan.folder(folder / "work")


@pytest.fixture(scope="module", params=[XC7, XCUP], ids=lambda f: f.name)
def parallel(request, tmp_path_factory):
    """A small network for both kinds of carry chains, read once: text, netlist, working folder, top."""
    design = small_design()
    rtl = emit_parallel(design, build_graphs(design), 10.0, family=request.param)
    folder = tmp_path_factory.mktemp(request.param.name)
    sources, netlist, work = synthesized(folder, rtl.files, rtl.top, request.param.yosys)
    return sources, netlist, work, rtl.top


def test_the_untouched_netlist_is_proved_in_both_of_its_files(parallel):
    sources, netlist, work, top = parallel
    for path in (netlist, netlist.with_suffix(".v")):
        proof = prove_netlist(sources, top, path, work)
        assert proof.proved == len(proof.cones) and not proof.refuted and not proof.undecided
        registers = read_netlist(netlist, top).resources.ff
        assert len(proof.cones) >= registers


LOOP = "depends on what a loop drives"


def test_planted_faults_are_refuted_or_none(parallel):
    sources, netlist, work, top = parallel
    text, gates = read_text(sources, top, work), read_gates(netlist, top, work)
    source, told, equal = random.Random(SEED), Counter(), []
    for kind in KINDS:
        for _ in range(5):
            planted = mutant(gates, kind, source)
            if planted is None:
                continue
            proof = compare(text, planted[0], work)
            loops = [
                f for f in proof.undecided if f.why == LOOP
            ]  # a wire moved upstream: of no hardware, so never proved
            assert len(loops) == len(proof.undecided), planted[1]
            told[kind, bool(proof.refuted or loops)] += 1
            if not proof.refuted and not loops:
                equal.append(planted)
    for kind in ("init bit", "data of a register", "carry in", "enable", "wire"):
        assert told[kind, True] >= 2, told
    for module, what in equal[:1]:
        assert really_equal(gates, module, top, work), what


PRIMITIVES = """
module top (input clk, input [7:0] s, d, input [5:0] i, input r, e, output [71:0] y);
    wire [7:0] o4, c4, o8, c8, od, cd;
    wire [5:0] l;
    LUT1 #(.INIT(2'h1)) a1 (.I0(i[0]), .O(l[0]));
    LUT2 #(.INIT(4'h9)) a2 (.I0(i[0]), .I1(i[1]), .O(l[1]));
    LUT3 #(.INIT(8'hd8)) a3 (.I0(i[0]), .I1(i[1]), .I2(i[2]), .O(l[2]));
    LUT4 #(.INIT(16'h5a3c)) a4 (.I0(i[0]), .I1(i[1]), .I2(i[2]), .I3(i[3]), .O(l[3]));
    LUT5 #(.INIT(32'h13579bdf)) a5 (.I0(i[0]), .I1(i[1]), .I2(i[2]), .I3(i[3]), .I4(i[4]), .O(l[4]));
    LUT6 #(.INIT(64'h0123456789abcdef)) a6 (.I0(i[0]), .I1(i[1]), .I2(i[2]), .I3(i[3]), .I4(i[4]), .I5(i[5]), .O(l[5]));
    wire o6, o5, m7, m8, m9, n;
    LUT6_2 #(.INIT(64'hfedc12345678ba90)) a62 (
        .I0(i[0]), .I1(i[1]), .I2(i[2]), .I3(i[3]), .I4(i[4]), .I5(i[5]), .O6(o6), .O5(o5)
    );
    CARRY4 low (.CI(r), .CYINIT(1'b0), .S(s[3:0]), .DI(d[3:0]), .O(o4[3:0]), .CO(c4[3:0]));
    CARRY4 high (.CI(1'b0), .CYINIT(e), .S(s[7:4]), .DI(d[7:4]), .O(o4[7:4]), .CO(c4[7:4]));
    CARRY8 single (.CI(r), .CI_TOP(1'b0), .S(s), .DI(d), .O(o8), .CO(c8));
    CARRY8 #(.CARRY_TYPE("DUAL_CY4")) dual (.CI(r), .CI_TOP(e), .S(s), .DI(d), .O(od), .CO(cd));
    MUXF7 f7 (.I0(i[0]), .I1(i[1]), .S(r), .O(m7));
    MUXF8 f8 (.I0(i[0]), .I1(i[1]), .S(r), .O(m8));
    MUXF9 f9 (.I0(i[0]), .I1(i[1]), .S(r), .O(m9));
    INV inv (.I(i[3]), .O(n));
    wire [4:0] q;
    FDRE #(.INIT(1'b0)) q0 (.C(clk), .CE(e), .D(d[0]), .R(r), .Q(q[0]));
    FDSE #(.INIT(1'b1)) q1 (.C(clk), .CE(e), .D(d[1]), .S(r), .Q(q[1]));
    FDRE #(.INIT(1'b1), .IS_D_INVERTED(1'b1), .IS_R_INVERTED(1'b1)) q2 (.C(clk), .CE(e), .D(d[2]), .R(r), .Q(q[2]));
    FDSE #(.INIT(1'b0), .IS_S_INVERTED(1'b1)) q3 (.C(clk), .CE(e), .D(d[3]), .S(r), .Q(q[3]));
    FDRE #(.INIT(1'b1)) q4 (.C(clk), .CE(1'b1), .D(n), .R(1'b0), .Q(q[4]));
    assign y = {q, l, o6, o5, m7, m8, m9, n, o4, c4, o8, c8, od, cd};
endmodule
"""


def test_every_primitive_is_what_the_synthesizer_s_library_says(tmp_path):
    plan.write({"top.v": PRIMITIVES, "work/note": ""}, tmp_path)
    work, library = tmp_path / "work", yosys.cell_library()
    text = read_text([str(library), "../top.v"], "top", work)
    assert {"$dff", "$mux"} <= {c["type"] for c in text["cells"].values()}, "not the primitives' own models"
    gates = read_gates(tmp_path / "top.v", "top", work)
    assert {"FDRE", "FDSE", "CARRY4", "CARRY8", "LUT6_2", "MUXF9"} <= {c["type"] for c in gates["cells"].values()}
    proof = compare(text, gates, work)
    assert not proof.refuted and not proof.undecided and len(proof.cones) == 72 + 5
    wrong = {"q1": "INIT", "q2": "IS_D_INVERTED", "q3": "IS_S_INVERTED"}
    for cell, parameter in wrong.items():
        bit = gates["cells"][cell]["parameters"].get(parameter, "0")
        parameters = {**gates["cells"][cell]["parameters"], parameter: str(1 - int(bit[-1]))}
        changed = {**gates, "cells": {**gates["cells"], cell: {**gates["cells"][cell], "parameters": parameters}}}
        assert compare(text, changed, work).refuted, cell


OPERATORS = """
module top (
    input clk, rst, input [5:0] a, input [4:0] b, input signed [5:0] c, input signed [3:0] d, output reg [5:0] count,
    output [99:0] y
);
    reg signed [11:0] p;
    reg [7:0] chosen;
    reg [5:0] twin, same, opposite;
    always @(posedge clk) begin
        p <= c * d + a;
        count <= rst ? 6'd0 : count == 6'd40 ? 6'd0 : count + 1'b1;
        twin <= a ^ b;
        same <= b ^ a;
        opposite <= ~(a ^ b);
        case (a[1:0])
            2'd0: chosen <= {b, 3'd1};
            2'd1: chosen <= a + b;
            2'd2: chosen <= c - d;
            default: chosen <= a >> b[2:0];
        endcase
    end
    wire [5:0] over = c >>> b[1:0], left = a << b[2:0], part = {a, b, a} >> count[3:0];
    assign y = {
        p, chosen, twin, same, opposite, over, left, part, a < b, c < d, c >= $signed(a), a == b,
        a != {1'b0, b}, &a, |b,
        ^a, !a, a && b, -c, c - d + a - b, c[b[1:0]+:2], a[b[2:0]], c > d ? a : b, a <= b
    };
endmodule
"""


def test_verilog_of_every_operator_is_proved_against_its_synthesis(tmp_path):
    sources, netlist, work = synthesized(tmp_path, {"top.v": OPERATORS}, "top")
    text, gates = read_text(sources, "top", work), read_gates(netlist, "top", work)
    proof = compare(text, gates, work)
    assert not proof.refuted and not proof.undecided, (proof.refuted, proof.undecided)
    for old, new in (
        ("a ^ b", "a | b"),
        ("c < d", "c <= d"),
        ("6'd40", "6'd41"),
        (">>> b", ">> b"),
        ("b[1:0]+:2", "b[1:0]+:1"),
    ):
        plan.write({"rtl/top.v": OPERATORS.replace(old, new, 1)}, tmp_path)
        assert compare(read_text(sources, "top", work), gates, work).refuted, (old, new)


MEMORIES = """
module top (
    input clk, we, input [6:0] at, from, input [3:0] data, input [9:0] word, output reg [3:0] y, output reg [17:0] z
);
    (* ram_style = "distributed" *) reg [3:0] memory [0:99];
    (* rom_style = "block" *) reg [17:0] rom [0:1000];
    reg [9:0] address;
    integer i;
    initial for (i = 0; i < 100; i = i + 1) memory[i] = i * 7;
    initial for (i = 0; i < 1001; i = i + 1) rom[i] = i * 4099 + 77;
    always @(posedge clk) begin
        if (we) memory[at] <= data;
        y <= memory[from];
        address <= word;
        z <= rom[address];
    end
endmodule
"""


def test_memories_are_compared_with_their_contents_and_ports(tmp_path):
    sources, netlist, work = synthesized(tmp_path, {"top.v": MEMORIES}, "top")
    text, gates = read_text(sources, "top", work), read_gates(netlist, "top", work)
    kinds = Counter(c["type"] for c in gates["cells"].values())
    assert any(k.startswith("RAMB") for k in kinds) and any(k.startswith("RAM64") or k == "RAM128X1D" for k in kinds)
    proof = compare(text, gates, work)
    assert not proof.refuted and not proof.undecided, (proof.refuted[:2], proof.undecided[:2])
    source = random.Random(SEED)
    for _ in range(3):
        module, what = mutant(gates, "contents", source)
        assert compare(text, module, work).refuted, what
    for old, new in (("i * 7", "i * 5"), ("memory[at]", "memory[from]"), ("if (we) ", ""), ("<= data", "<= ~data")):
        plan.write({"rtl/top.v": MEMORIES.replace(old, new, 1)}, tmp_path)
        proof = compare(read_text(sources, "top", work), gates, work)
        assert proof.refuted or proof.undecided, (old, new)


DEEP_ROM = """
module top (input clk, input [10:0] at, output reg [1:0] y);
    (* rom_style = "block" *) reg [32:0] memory [0:1299];
    integer i;
    initial for (i = 0; i < 1300; i = i + 1) memory[i] = i * i * i * 7;
    reg [10:0] address;
    reg [32:0] word, taken;
    always @(posedge clk) begin
        address <= at;
        word <= memory[address];
        taken <= word;
        y <= {^taken, taken[3] & taken[7]};
    end
endmodule
"""


def assert_proved_and_plants_told(folder, verilog, plants):
    """A ROM in several block RAMs is proved, and is not where its text is changed by any of ``plants``."""
    sources, netlist, work = synthesized(folder, {"top.v": verilog}, "top")
    text, gates = read_text(sources, "top", work), read_gates(netlist, "top", work)
    assert Counter(c["type"] for c in gates["cells"].values())["RAMB18E1"] > 2
    proof = compare(text, gates, work)
    assert not proof.refuted and not proof.undecided, (proof.refuted[:2], proof.undecided[:2])
    for old, new in plants:
        plan.write({"rtl/top.v": verilog.replace(old, new)}, folder)
        proof = compare(read_text(sources, "top", work), gates, work)
        assert proof.refuted or proof.undecided, (old, new)


PLANTS = (("* 7", "* 5"), ("address <= at", "address <= at ^ 11'd1024"))


def test_a_word_that_is_read_of_several_block_rams_is_what_they_select(tmp_path):
    assert_proved_and_plants_told(tmp_path, DEEP_ROM, (*PLANTS, ("taken <= word", "taken <= ~word")))


SELECTED_ROM = """
module top (input clk, input [10:0] at, output reg [1:0] y);
    (* rom_style = "block" *) reg [32:0] memory [0:1299];
    integer i;
    initial for (i = 0; i < 1300; i = i + 1) memory[i] = i * i * i * 7;
    reg [10:0] address;
    reg [32:0] word;
    always @(posedge clk) begin
        address <= at;
        word <= memory[address];
        y <= {^word, word[3] & word[7]};
    end
endmodule
"""


def test_a_selection_among_block_rams_may_be_part_of_the_logic_behind_it(tmp_path):
    """No net of the netlist is the word then."""
    assert_proved_and_plants_told(tmp_path, SELECTED_ROM, (*PLANTS, ("word[7]", "word[8]")))


LUT_MEMORY = """
module top (input clk, we, input [TOP:0] at, from, input [1:0] data, output reg [1:0] y);
    (* ram_style = "distributed" *) reg [1:0] memory [0:SIZE-1];
    integer i;
    initial for (i = 0; i < SIZE; i = i + 1) memory[i] = 0;
    always @(posedge clk) begin
        if (we) memory[at] <= data;
        y <= BEYOND ? 2'd0 : memory[from];
    end
endmodule
"""


@pytest.mark.parametrize("size", [72, 160])
def test_a_memory_that_fills_no_power_of_two_is_equal_within_its_words(tmp_path, size):
    verilog = LUT_MEMORY.replace("SIZE", str(size)).replace("TOP", str((size - 1).bit_length() - 1))
    files = {"top.v": verilog.replace("BEYOND", "1'b0")}
    sources, netlist, work = synthesized(tmp_path, files, "top")
    text = read_text(sources, "top", work)
    proof = compare(text, read_gates(netlist, "top", work), work)
    assert not proof.refuted and not proof.undecided, "addresses that choose a memory in LUTs that is not there"
    for least in (size - 1, size):
        other = verilog.replace("BEYOND", f"from >= 8'd{least}")
        _, netlist, _ = synthesized(tmp_path, {"top.v": other}, "top")
        found = compare(text, read_gates(netlist, "top", work), work)
        if least < size:
            assert {f.names[0] for f in found.refuted} == {"y[0]", "y[1]"} and not found.undecided
            assert all(f"from = {least}" in f.why for f in found.refuted), "the one word within the memory that differs"
        else:
            assert {f.why for f in found.undecided} == {"depends on a word beyond a memory's last"}
            assert not found.refuted and len(found.undecided) == 2


def test_bits_of_a_memory_that_are_written_alike_hold_the_same(tmp_path):
    """Such as constants, which the synthesizer keeps where nothing says what the memory holds at first."""
    text = """
module top (input clk, we, input [2:0] at, from, input [3:0] data, output reg [11:0] y);
    (* ram_style = "distributed" *) reg [11:0] memory [0:7];
    always @(posedge clk) begin
        if (we) memory[at] <= {data[3:2], 4'd0, data[1], data[1], data[1], data[0], data[0], data[0]};
        y <= memory[from];
    end
endmodule
"""
    sources, netlist, work = synthesized(tmp_path, {"top.v": text}, "top")
    given = read_text(sources, "top", work)
    proof = compare(given, read_gates(netlist, "top", work), work)
    assert not proof.refuted and not proof.undecided and proof.proved > 12
    for at, right, wrong in ((1, "data[0], data[0]};", "data[1], data[0]};"), (8, "4'd0,", "1'b0, data[0], 2'd0,")):
        other = text.replace(right, wrong)
        _, netlist, _ = synthesized(tmp_path, {"top.v": other}, "top")
        assert f"y[{at}]" in {f.names[0] for f in compare(given, read_gates(netlist, "top", work), work).refuted}


WRITTEN_BY_TWINS = """
module top (input clk, we, a, b, input [1:0] at, from, output [1:0] y);
    (* ram_style = "distributed" *) reg [1:0] memory [0:3];
    (* keep *) reg p, q;
    always @(posedge clk) begin
        p <= a ^ b;
        q <= FUNCTION;
        if (we) memory[at] <= {p, q};
    end
    assign y = memory[from];
endmodule
"""


def test_bits_of_a_memory_that_twin_registers_write_hold_the_same(tmp_path):
    """That the registers are twins is proved only after the memory was read."""
    verilog = WRITTEN_BY_TWINS.replace("FUNCTION", "(a | b) & ~(a & b)")
    sources, netlist, work = synthesized(tmp_path, {"top.v": verilog}, "top")
    gates = read_gates(netlist, "top", work)
    assert sum(cell["type"].startswith("FD") for cell in gates["cells"].values()) == 2, "the twins are still two"
    proof = compare(read_text(sources, "top", work), gates, work)
    assert not proof.refuted and not proof.undecided, (proof.refuted, proof.undecided)
    plan.write({"rtl/top.v": WRITTEN_BY_TWINS.replace("FUNCTION", "(a | b)")}, tmp_path)
    assert compare(read_text(sources, "top", work), gates, work).refuted


def test_what_is_not_understood_is_undecided_and_named(tmp_path):
    text = "module top (input clk, input signed [15:0] a, b, output reg [31:0] y, output reg z);\n"
    text += "always @(posedge clk) begin y <= a * b; z <= a[0]; end\nendmodule\n"
    sources, netlist, work = synthesized(tmp_path, {"top.v": text}, "top", dsp=True)
    proof = prove_netlist(sources, "top", netlist, work)
    assert proof.undecided and not proof.refuted and proof.proved > 0
    assert all(found.names[0].startswith("y[") and "DSP48E1" in found.why for found in proof.undecided)


def test_what_takes_too_long_is_undecided_and_counted(tmp_path):
    text = "module top (input [13:0] a, b, output [27:0] y, output z);\nassign y = a * b, z = a[0] ^ b[0];\nendmodule\n"
    sources, netlist, work = synthesized(tmp_path, {"top.v": text.replace("a * b", "b * a")}, "top")
    plan.write({"rtl/top.v": text}, tmp_path)
    proof = prove_netlist(sources, "top", netlist, work, cpu_s=1)
    assert proof.undecided and not proof.refuted and proof.proved > 0
    assert proof.proved + len(proof.undecided) == len(proof.cones) == 29
    assert {found.why for found in proof.undecided} == {"was not decided in its time"}


@pytest.fixture
def options(tmp_path):
    path = tmp_path / "design.json"
    path.write_text(to_json(small_design()))
    return Options(path, resolve("xc7z020"), tmp_path / "build", vectors=20, engines=("integer",))


def test_a_build_ends_as_a_mismatch_at_a_faulty_netlist_and_names_the_neuron(options, monkeypatch):
    synthesize = yosys.synthesize

    def faulty(folder, script, timeout_s):
        done = synthesize(folder, script, timeout_s)
        path = folder / "netlist.json"
        netlist = json.loads(path.read_text())
        cells = netlist["modules"]["net"]["cells"]
        name = min(n for n in cells if n.startswith("u_output.n2_") and cells[n]["type"] == "LUT6_2")
        init = cells[name]["parameters"]["INIT"]
        cells[name]["parameters"]["INIT"] = "".join("10"[int(b)] for b in init)
        path.write_text(json.dumps(netlist))
        return done

    monkeypatch.setattr(yosys, "synthesize", faulty)
    report = report_data.report(built(options)).to_json()
    assert report["status"] == "mismatch" and report["proof"]["output"]["verilog-netlist"] == "refuted"
    assert report["proof"]["hidden"]["verilog-netlist"] == "proved"
    assert report["netlist_proof"]["refuted"] > 0 and report["undecided"] == []
    assert any(
        re.match(r"netlist: layer output, neuron 2: .* is [01] where the Verilog says [01], for .* = ", text)
        for text in report["differences"]
    )


def test_a_folded_build_is_proved_from_its_text_to_its_netlist(options):
    build = built(replace(options, architecture="folded", initiation_interval=40))
    found = report_data.report(build).to_json()
    assert {la: states["verilog-netlist"] for la, states in found["proof"].items()} == {
        "hidden": "proved", "output": "proved", "top module": "proved",
    }  # fmt: skip
    counts = found["netlist_proof"]
    assert counts["proved"] == counts["cones"] > build.facts.synthesis.resources.ff // 2 and not found["undecided"]


def test_the_bits_of_a_product_are_tried_where_sat_would_not_end(tmp_path):
    g, rng = Aig(), random.Random(SEED)
    a, b = [g.variable() for _ in range(9)], [g.variable() for _ in range(8)]

    def product(x, y):
        rows = [[FALSE] * i + [g.both(p, q) for p in x] for i, q in enumerate(y)]
        total = rows[0]
        for row in rows[1:]:
            width = max(len(total), len(row))
            word, carry = added(g, extended(total, width, False), extended(row, width, False), FALSE)
            total = [*word, carry]
        return total

    decider = Decider(g, tmp_path, cpu_s=1)
    pairs = list(zip(product(a, b), product(b, a), strict=True))
    assert decider.false([g.differ(p, q) for p, q in pairs]) == [True] * 17
    rare = TRUE  # one assignment in 2 ** 17
    for x in (*a, *b):
        rare = g.both(rare, x ^ rng.randrange(2))
    wrong = g.differ(pairs[8][0], g.differ(pairs[8][1], rare))
    assert decider.false([wrong]) == [False]
    (found,) = decider.assignments([wrong])
    assert found is not None and g.values([wrong], found, 1) == [1]


MOVED = """
module top(input clk, input [5:0] a, output reg [2:0] y, output reg [5:0] z);
    reg [5:0] x;
    localparam [63:0] one = 64'h4d24b2dbb2db4d24, two = 64'ha585175e175e5a7a;
    wire [5:0] at = {x[5:1], 1'b0};
    wire [1:0] table_of_x = {two[at], one[at]};
    wire [4:0] inputs = {x[2:0], table_of_x};
    localparam [31:0] three = 32'h4d24b2db, four = 32'ha585175e;
    always @(posedge clk) begin
        x <= a ^ {a[0], a[5:1]};
        y <= {four[inputs], three[inputs], ^inputs};
        z <= x;
    end
endmodule
"""


def test_registers_that_synthesis_moved_behind_a_table_hold_its_wire(tmp_path):
    """Of a table whose index has a constant bit Yosys makes a ROM, the registers before it being its address."""
    sources, netlist, work = synthesized(tmp_path, {"top.v": MOVED}, "top")
    text, gates = read_text(sources, "top", work), read_gates(netlist, "top", work)
    wire = gates["netnames"]["inputs"]["bits"][:2]
    moved = [n for n, c in gates["cells"].items() if c["type"].startswith("FD") and c["connections"]["Q"][0] in wire]
    assert len(moved) == 2, "Yosys no longer moves them: find another example"
    proof = compare(text, gates, work)
    assert (proof.refuted, proof.undecided) == ((), ()) and ("inputs[0]",) in proof.cones
    data = {gates["cells"][name]["connections"]["D"][0] for name in moved}
    for name, cell in gates["cells"].items():  # another bit in a table before such a register
        if cell["type"].startswith("LUT") and cell["connections"]["O"][0] in data:
            wrong = str(int(cell["parameters"]["INIT"][-1]) ^ 1)
            changed = {**cell, "parameters": {"INIT": cell["parameters"]["INIT"][:-1] + wrong}}
            found = compare(text, {**gates, "cells": {**gates["cells"], name: changed}}, work)
            assert found.refuted or found.undecided
