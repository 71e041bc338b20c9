"""The proof of folded hardware holds for random designs, and every kind of wrong hardware is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from test_folded_lowering import PRICES, folded_design, mixed_groups

from flow.build.engines.folded import _is_product, run_proof
from flow.core.design import Neuron
from flow.core.errors import DesignError
from flow.core.fixed import Fixed, Quantizer
from flow.emit.rtl.folded import emit_folded
from flow.emit.rtl.folded_memory import rom
from flow.emit.templates import FOLDER
from flow.files import plan
from flow.folded.allocate import fold
from flow.folded.folding import Memory
from flow.folded.lowering import lower
from flow.folded.proof.blocks import product_of, proof_script, within_reach
from flow.folded.proof.layer import Block, prove_folded
from flow.folded.proof.output_unit import Output, quantized
from flow.folded.proof.rtl_reader import Format, read_rom
from flow.proof.netlist.prove import prove_netlist
from flow.tools import yosys


def emitted(design, interval=60):
    folding = fold(lower(design), interval, PRICES)
    return folding, emit_folded(folding, 10.0)


def mixed(seed=3):
    return emitted(mixed_groups(seed, (14, 7)))


def test_random_designs_are_proved():
    proved = 0
    for seed in range(60):
        for interval in (20, 400):
            try:
                folding, rtl = emitted(folded_design(seed, max_size=12), interval)
            except DesignError:
                continue  # the interval is too short for this design
            proved += len(prove_folded(folding, rtl.files, rtl.top))
    assert proved > 80


def test_groups_of_fewer_inputs_per_cycle_are_proved():
    for seed, interval in ((18, 18), (20, 20), (21, 18)):
        folding, rtl = emitted(mixed_groups(seed, (20, 6)), interval)
        sliced = [(la.layer.name, g.coding.label) for la in folding.layers for g in la.groups if g.slices > 1]
        assert sliced, "the solver gives some group a part of the words"
        assert set(prove_folded(folding, rtl.files, rtl.top)) == {"dense_0", "dense_1"}
        layer, name = sliced[0]
        file = f"{rtl.top}_{layer}.v"
        wrong = re.sub(rf"(1'd0: {name}_x <= \w+\[)0\+", r"\g<1>1+", rtl.files[file])
        with pytest.raises(DesignError, match="not taken in turn"):
            prove_folded(folding, {**rtl.files, file: wrong}, rtl.top)


def flip(text, word):
    """One bit of a memory's word."""
    old = re.search(rf"memory\[{word}\] = (\d+'h)([0-9a-f]+);", text)
    return text.replace(old[0], f"memory[{word}] = {old[1]}{int(old[2], 16) ^ 1:x};")


def swap(text, first, second):
    """Every occurrence of two texts exchanged."""
    assert first in text and second in text
    return text.replace(first, "@@").replace(second, first).replace("@@", second)


def change(pattern, replacement):
    return lambda text: re.sub(pattern, replacement, text)


def short_sum(text):
    """The binary group's sums in nine bits instead of ten, everywhere."""
    head, tail = text.split(".SIMD(1), .KIND(1)", 1)
    tail = tail.replace(".SUM_BITS(10)", ".SUM_BITS(9)", 1).replace("_p*10+:10", "_p*9+:9", 1)
    body = head + ".SIMD(1), .KIND(1)" + tail
    return re.sub(
        r"\{\{2\{binary_sum\[(\d+)\]\}\}, binary_sum\[(\d+)\+:10\]",
        lambda m: f"{{{{3{{binary_sum[{int(m[2]) // 10 * 9 + 8}]}}}}, binary_sum[{int(m[2]) // 10 * 9}+:9]",
        body,
    )


PLANTED = {
    "a weight's bit": ("dense_0_binary", lambda t: flip(t, 5), "weighs the inputs differently"),
    "a wide weight's bit": ("dense_1_signed4", lambda t: flip(t, 2), "weighs"),
    "a ternary weight's bit": ("dense_0_ternary", lambda t: flip(t, 3), "weighs"),
    "two words swapped": ("dense_0_signed3", lambda t: swap(t, "memory[0] ", "memory[1] "), "not every word"),
    "a bias": ("dense_0_parameters0", change(r"memory\[2\] = 8'h0", "memory[2] = 8'h4"), "neuron 2: .*(round|saturat)"),
    "lanes of elements swapped": ("dense_0", lambda t: swap(t, "4'd0: sum0", "4'd1: sum0"), "weighs"),
    "a sum of two elements": ("dense_0", change(r"binary_sum\[10\+:10\]", "binary_sum[11+:10]"), "sum of one element"),
    "a sum one bit short": ("dense_0", short_sum, "too narrow a sum"),
    "a biased sum too short": ("dense_0", change(r"VALUE_BITS\(12\)", "VALUE_BITS(9)"), "too narrow a biased sum"),
    "rounding": ("dense_0", change(r"fields0 = \{1'd1", "fields0 = {1'd0"), "rounds differently"),
    "a shift": ("dense_0", change(r"(fields0 = \{1'd\d, 1'd\d, 2'd)3", r"\g<1>2"), "rounds"),
    "a limit": ("dense_0", change(r"(fields0 = \{.*)5'd15", r"\g<1>5'd14"), "saturates"),
    "an input element": ("dense_0", change(r"held\[9:5\]", "held[14:10]"), "weighs"),
    "part of an input element": ("dense_0", change(r"held\[9:5\]", "held[8:4]"), "cuts an element"),
    "a buffer's depth": ("dense_1", change(r"DEPTH\(14\)", "DEPTH(13)"), "another shape"),
    "an output's place": ("", lambda t: t.replace("n1 <=", "n2 <=", 1), "top module"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_bugs_are_refused(planted):
    folding, rtl = mixed()
    assert prove_folded(folding, rtl.files, rtl.top)
    name, bug, message = PLANTED[planted]
    file = f"{rtl.top}_{name}.v" if name else f"{rtl.top}.v"
    files = {**rtl.files, file: bug(rtl.files[file])}
    assert files != rtl.files
    with pytest.raises(DesignError, match=message):
        prove_folded(folding, files, rtl.top)


def test_two_words_with_each_others_addresses_are_refused():
    folding, rtl = mixed()
    file = f"{rtl.top}_dense_0_signed3.v"
    words = re.findall(r"memory\[(\d+)\] = (3'h\w)", rtl.files[file])
    first, second = words[0], next(w for w in words if w[1] != words[0][1])
    text = rtl.files[file].replace(f"[{first[0]}] = {first[1]}", f"[{first[0]}] = {second[1]}")
    text = text.replace(f"[{second[0]}] = {second[1]}", f"[{second[0]}] = {first[1]}")
    with pytest.raises(DesignError, match="neuron 12: the emitted hardware weighs"):
        prove_folded(folding, {**rtl.files, file: text}, rtl.top)


@given(
    st.integers(0, 3), st.integers(-40, 40), st.integers(0, 4), st.booleans(), st.integers(-3, 3), st.integers(-20, 20),
    st.sampled_from(("TRN", "RND", "RND_CONV")), st.integers(-2, 3), st.integers(0, 2), st.booleans(),
)  # fmt: skip
def test_the_algebra_of_output_units_says_what_trying_every_sum_says(
    pre, bias, shift, even, frac, constant, rounding, scale, up, limits
):
    low, high = (-8, 7) if limits else (-4000, 4000)
    quantizer = Quantizer(Fixed(True, 13, frac), rounding, low, high)
    neuron = Neuron((1,), 0, 4.0, 0, 0, quantizer, Fixed(True, 20, frac + up))
    parameters = {"PRE_SHIFT": pre, "VALUE_BITS": 20, "OUT_BITS": 20, "HALF_EVEN": 1, "CLIP_LOW": 1, "CLIP_HIGH": 1}
    output = Output(parameters, bias, Format(int(even), 0, shift, high, low))
    step = 1 << max(-scale, 0)
    sums = (-40 * step, 60 * step)
    tried = all(output.sent(s) == quantized(neuron, scale, constant, s) for s in range(*sums, step))
    tried = tried and output.sent(sums[1]) == quantized(neuron, scale, constant, sums[1])
    assert (output.differs(neuron, scale, constant, sums) == "") == tried
    wide = (sums[0] * 1000, sums[1] * 1000)  # too many to be tried: the forms alone decide
    if not output.differs(neuron, scale, constant, wide):
        assume(not limits)
        assert tried


@pytest.mark.tool
def test_modules_are_proved_and_wrong_ones_refuted(tmp_path):
    folding, rtl = mixed()
    blocks = sorted({b for own in prove_folded(folding, rtl.files, rtl.top).values() for b in own})
    assert all(b.parameters[-1] == ("WRAP", 0) for b in blocks if b.module == "folded_threshold")
    blocks.append(WRAPPING)
    blocks.append(Block("folded_slices", (("BITS", 2), ("SLICES", 3))))
    assert all(within_reach(b) for b in blocks)
    run_proof(blocks, proof_script(blocks, str(FOLDER)), plan.folder(tmp_path / "right"))
    for module, right, wrong in (
        ("folded_pe", "{b[BITS-2], b, carry}", "{b[BITS-2], b, 1'b0}"),
        ("folded_pe", "(xs & {XS{wi[0]}}) ^ {XS{wi[1]}}", "(xs & {XS{wi[0]}}) ^ {XS{wi[0]}}"),
        ("folded_pe", "|| (valid && last)) accumulator <= 0", ") accumulator <= 0"),
        ("folded_product", "(digit[2] ^ digit[1]) & ~one", "digit[2] & ~one"),
        ("folded_threshold", "value >>> shift_q", "value >> shift_q"),
        ("folded_threshold", "(sum_wide << PRE_SHIFT) + bias_wide", "(sum_wide << PRE_SHIFT) + bias_wide + 1'b1"),
        ("folded_threshold", "dropped == 0;", "dropped == 1;"),
        ("folded_threshold", "low_wide & {VALUE_BITS{turned}}", "low_wide"),
        ("folded_threshold", "wrap_q2[1] && rounded[VALUE_BITS-1]", "1'b0"),
        ("folded_trits", "5'd25: trits = 6'b11_11_01", "5'd25: trits = 6'b11_01_01"),
        ("folded_control", "last_word ? base :", "last_word ? base + 1'b1 :"),
        ("folded_control", "LAST_STEP = WORDS * FOLDS - 1", "LAST_STEP = WORDS * FOLDS - 2"),
        ("folded_buffer", "if (bank[BANKS-1]) address", "address"),
        ("folded_slices", "last ? 0 :", "last ? 1'b1 :"),
    ):
        sources = plan.fresh_folder(tmp_path / "wrong")
        for file in FOLDER.glob("folded_*.v"):
            text = file.read_text()
            assert file.stem != module or right in text, right
            (sources / file.name).write_text(text.replace(right, wrong) if file.stem == module else text)
        own = [b for b in (*blocks, *WIDE) if b.module in (module, "folded_pe" if module == "folded_product" else "")]
        with pytest.raises(DesignError, match=f"{own[0].module} .* does not compute what it should"):
            run_proof(own, proof_script(own, str(sources)), sources)


WRAPPING = Block("folded_threshold", (
    ("ALIGN_BITS", 2), ("BIAS_BITS", 3), ("CLIP_HIGH", 1), ("CLIP_LOW", 1), ("HALF_EVEN", 1), ("LIMIT_BITS", 5),
    ("OUT_BITS", 7), ("PRE_SHIFT", 1), ("SHIFT_BITS", 2), ("SUM_BITS", 6), ("VALUE_BITS", 8), ("WRAP", 1),
))  # fmt: skip
WIDE = (
    Block("folded_buffer", (("ADDRESS_BITS", 4), ("BANKS", 3), ("BITS", 4), ("DEPTH", 5), ("SLOTS", 2))),
    Block("folded_pe", (("DSP", 0), ("KIND", 1), ("PRODUCT_STAGE", 0), ("SIMD", 7), ("SUM_BITS", 12), ("TREE_STAGE", 2),
                        ("WEIGHT_BITS", 1), ("X_BITS", 4), ("X_SIGNED", 1))),
)  # fmt: skip


@pytest.mark.tool
def test_multipliers_that_sat_cannot_reach_are_tried(tmp_path):
    wide = Block("folded_pe", (("DSP", 0), ("KIND", 3), ("PRODUCT_STAGE", 1), ("SIMD", 2), ("SUM_BITS", 24),
                               ("TREE_STAGE", 2), ("WEIGHT_BITS", 11), ("X_BITS", 8), ("X_SIGNED", 0)))  # fmt: skip
    assert not within_reach(wide) and product_of(wide) == (9, 11)  # three stacks of rows
    run_proof([wide], proof_script([wide], str(FOLDER)), plan.folder(tmp_path / "right"))
    sources = plan.fresh_folder(tmp_path / "rtl")
    product, element = ((FOLDER / f"folded_{n}.v").read_text() for n in ("product", "pe"))
    for name, text, is_right in (
        ("right", product, True),
        ("digit", product.replace("(digit[2] ^ digit[1]) & ~one", "digit[2] & ~one"), False),
        ("sign", product.replace("{{2{rows[WIDTH*r-1]}}, rows", "{2'b00, rows"), False),
        ("stack", product.replace("<< (2 * DEPTH * s)", "<< (2 * DEPTH * s + s)"), False),
    ):
        (sources / "folded_product.v").write_text(text)
        folder = plan.fresh_folder(tmp_path / name)
        if is_right:
            assert _is_product((9, 11), folder, "../rtl")
        else:
            with pytest.raises(DesignError, match=r"WEIGHT_BITS 11, X_BITS 9\) does not compute what it should"):
                _is_product((9, 11), folder, "../rtl")
    (sources / "folded_product.v").write_text(product)
    (sources / "folded_pe.v").write_text(element.replace("assign xs = {1'b0, xi}", "assign xs = {1'b1, xi}"))
    with pytest.raises(DesignError, match=r"folded_pe .* does not compute"):
        run_proof([wide], proof_script([wide], str(sources)), sources)


@pytest.mark.tool
@pytest.mark.parametrize("depth", [65, 150, 256, 330, 700])
def test_tables_of_a_memory_are_its_words(depth, tmp_path):
    """What synthesizers read is what simulators read; neither another content nor other wiring passes."""
    rng = np.random.default_rng(depth)
    words = [int(v) for v in rng.integers(0, 8, depth)]
    text = rom("weights", "Weights", Memory(depth, 3, "distributed"), words, {}, True)
    assert read_rom({"weights.v": text}, "weights").words == tuple(words)
    assert "MUXF" not in rom("weights", "Weights", Memory(depth, 3, "distributed"), words, {}, False)
    plan.write_file(tmp_path / "weights.v", text)
    second = "l_pt0_0 (\n        .I0(t0_0), .I1(t0_1)"
    assert second in text
    for name, made in (("right", text), ("swapped", text.replace(second, "l_pt0_0 (\n .I0(t0_1), .I1(t0_0)"))):
        folder = plan.fresh_folder(tmp_path / name)
        plan.write_file(folder / "weights.v", made)
        yosys.synthesize(folder, yosys.synthesis_script(["weights.v"], "weights", "xc7", dsp=False), 300)
        proof = prove_netlist(["../weights.v"], "weights", folder / "netlist.json", folder)
        assert bool(proof.refuted) == (name == "swapped") and not proof.undecided
    content = re.search(r"INIT\(64'h(\w+)", text)[1]
    changed = text.replace(content, f"{int(content, 16) ^ 1 << 5:016x}", 1)
    with pytest.raises(DesignError, match="look-up tables do not hold the words"):
        read_rom({"weights.v": changed}, "weights")


def test_what_sat_cannot_reach_is_only_tested():
    wide = Block("folded_pe", (("KIND", 3), ("WEIGHT_BITS", 9), ("X_BITS", 13), ("X_SIGNED", 0)))
    assert not within_reach(wide) and product_of(wide) is None
    assert within_reach(replace(wide, parameters=(("KIND", 1), ("WEIGHT_BITS", 1), ("X_BITS", 30))))


def test_a_memory_of_one_word_is_its_word_to_the_proof_of_the_netlist(tmp_path):
    """No address leads beyond it, so what the netlist makes of it is decided."""
    files = {
        "one.v": rom("one", "a memory", Memory(1, 4, "distributed"), [11], {}, True),
        "top.v": """
module top(input clk, input at, input [3:0] x, output reg [3:0] y);
    wire [3:0] word; reg [3:0] later;
    one memory(.clk(clk), .address(at), .word(word));
    always @(posedge clk) begin later <= x ^ word; y <= later & {4{word[2]}} | word; end
endmodule
""",
    }
    assert read_rom(files, "one").words == (11,)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    yosys.synthesize(tmp_path, yosys.synthesis_script(list(files), "top", "xc7", dsp=False), 300)
    proof = prove_netlist(list(files), "top", tmp_path / "netlist.json", tmp_path)
    assert (proof.undecided, proof.refuted) == ((), ()) and proof.proved >= 4
