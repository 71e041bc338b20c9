"""The lowered arithmetic, and what the solver and the memories make of it, without any simulator."""

import itertools
import re

import numpy as np
import pytest
import strategies

from flow.build.architecture import choose
from flow.core.design import Design, Layer, Neuron
from flow.core.errors import DesignError
from flow.core.evaluate import argmax, evaluate
from flow.core.fixed import Fixed, Quantizer
from flow.core.passes.group import group
from flow.core.passes.prune import prune
from flow.core.passes.widths import widths
from flow.emit.rtl.folded_memory import weight_code, weight_words
from flow.emit.templates import FOLDER
from flow.folded.allocate import fold
from flow.folded.explanation import explain
from flow.folded.folding import PRODUCT_DEPTH, Memory, Prices, word_bits
from flow.folded.lowering import BINARY, TERNARY, Coding, evaluate_lowered, lower
from flow.folded.search import fastest, fits, in_blocks, interval_for, smallest
from flow.parts import catalog

PRICES = Prices(1 / 53200, 1 / 280, 1 / 220)


def folded_design(seed, **limits):
    return group(widths(prune(strategies.random_design(seed, **limits))))


def mixed_groups(seed, neurons, inputs=24):
    """Many binary neurons, few wider ones: groups that gain from fewer inputs per cycle than their layer's."""
    rng = np.random.default_rng(seed)
    layers = []
    for index, (fan_in, count) in enumerate(itertools.pairwise((inputs, *neurons))):
        columns = []
        for j in range(count):
            bits = (1.0, 1.0, 1.0, 1.0, 1.58, 3.0, 4.0)[j % 7 if j > count // 2 else 0]
            limit = 1 << int(bits) - 1
            choices = [-1, 1] if bits == 1 else [-1, 0, 1] if bits == 1.58 else list(range(-limit, limit))
            output = Quantizer.saturating(Fixed(False, 4, 2), "RND_CONV", relu=True) if index == 0 else None
            weights = tuple(int(w) for w in rng.choice(choices, fan_in))
            columns.append(Neuron(weights, 3, bits, int(rng.integers(-20, 20)), 4, output))
        layers.append(Layer(f"dense_{index}", tuple(columns)))
    inputs_at = tuple(Quantizer.saturating(Fixed(bool(seed % 2), 5, 2)) for _ in range(inputs))
    return group(widths(prune(Design("mixed", inputs_at, tuple(layers)))))


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_lowered_arithmetic_equals_the_golden_model(first):
    for seed in range(first, first + 50):
        design = folded_design(seed, max_size=9)
        inputs = strategies.vectors(design, 60, seed)
        logits = evaluate_lowered(lower(design), inputs)
        actual = argmax(logits, design.output_formats) if design.head == "argmax" else logits
        assert (actual == evaluate(design, inputs)).all(), seed


def test_every_weight_lies_where_the_hardware_looks_for_it():
    for seed in range(40):
        lowered = lower(folded_design(seed, max_size=12))
        try:
            folding = fold(lowered, 40, PRICES)
        except DesignError:
            continue
        for layer in folding.layers:
            assert sorted(p for p in layer.order if p >= 0) == list(range(len(layer.layer.inputs)))
            for g in layer.groups:
                words = weight_words(layer, g)
                assert len(words) == g.memory.depth
                assert max(words).bit_length() <= g.memory.width == word_bits(g.coding, g.pe * g.simd)
            computed = [u.neuron for lane in range(len(layer.lanes)) for u in layer.arrivals(lane) if u]
            assert sorted(computed) == sorted(u.neuron for u in layer.layer.units)
            assert layer.drain <= layer.words


def _decoded(word, g):
    """The weights of a memory word as ``folded_layer`` and ``folded_pe`` read it, element by element."""
    count = g.pe * g.simd
    if g.coding.kind == "binary":
        return [1 - 2 * (word >> i & 1) for i in range(count)]
    if g.coding.kind == "ternary":
        whole = count // 3
        trits = [(word >> 5 * (i // 3) & 31) // 3 ** (i % 3) % 3 for i in range(3 * whole)]
        rest = [word >> 5 * whole + 2 * i & 3 for i in range(count % 3)]
        return [(0, 1, -1)[t] for t in trits] + [(0, 1, None, -1)[r] for r in rest]
    fields = [word >> g.coding.bits * i & (1 << g.coding.bits) - 1 for i in range(count)]
    return [f - (f >> g.coding.bits - 1 << g.coding.bits) for f in fields]


def _read_back(layer, g, words):
    """The matrix columns of a group, walked in the sequencer's order; empty places of the buffer hold zeros."""
    matrix = np.zeros((len(layer.layer.inputs), len(g.units)), np.int64)
    for step, word in enumerate(words):
        turn, place = divmod(step, layer.words)
        for k, weight in enumerate(_decoded(word, g)):
            within = turn % g.slices * g.simd + k % g.simd
            unit, element = turn // g.slices * g.pe + k // g.simd, layer.order[place * layer.simd + within]
            if unit < len(g.units) and element >= 0:
                matrix[element, unit] += weight
    return matrix


def test_memories_read_as_the_hardware_reads_them_are_the_matrix():
    damaged = caught = 0
    sliced = 0
    for seed in range(44):
        design = folded_design(seed, max_size=12) if seed < 40 else mixed_groups(seed, (20, 6))
        try:
            folding = fold(lower(design), 40 if seed < 40 else 20, PRICES)
        except DesignError:
            continue
        for layer in folding.layers:
            for g in layer.groups:
                sliced += g.slices > 1
                columns = layer.layer.weights[:, [u.column for u in g.units]]
                words = weight_words(layer, g)
                assert (_read_back(layer, g, words) == columns).all(), seed
                damaged += len(words) > 1 and words[0] != words[-1]
                caught += (_read_back(layer, g, words[::-1]) != columns).any()
    assert damaged > 20 and caught > 20 and sliced >= 4


def test_codes_can_be_read_back():
    rng = np.random.default_rng(1)
    signs = rng.choice([-1, 1], (20, 7))
    assert (1 - 2 * weight_code(signs, "binary", 1).astype(int) == signs).all()
    trits = rng.integers(-1, 2, (50, 8))
    bits = weight_code(trits, "ternary", 2).astype(int)
    assert bits.shape == (50, word_bits(TERNARY, 8)) == (50, 14)
    for row, code in zip(trits, bits, strict=True):
        values = [int("".join(map(str, code[k : k + 5][::-1])), 2) for k in (0, 5)]
        digits = [v // 3**i % 3 for v in values for i in range(3)]
        rest = [code[10 + 2 * i] * (1 - 2 * code[11 + 2 * i]) for i in range(2)]
        assert [(0, 1, -1)[d] for d in digits] + rest == row.tolist()
    assert word_bits(BINARY, 22) == 22
    assert word_bits(Coding(4, "signed"), 3) == 12


def test_block_ram_estimate_matches_synthesis():
    # Counted in netlists of Yosys 0.70.
    for depth, width, blocks in ((8192, 42, 19), (9728, 22, 13), (6144, 3, 1), (9728, 5, 3), (512, 28, 1)):
        assert abs(Memory(depth, width, "block").bram18 - blocks) <= 1


def test_intervals_are_kept_and_shorter_ones_cost_more():
    part = catalog.resolve("xc7z020")
    lowered = lower(folded_design(11, max_size=40))
    costs = []
    for interval in (4000, 200, 50):
        folding = smallest(lowered, part, interval)
        assert folding.interval <= interval
        assert folding.interval == max(layer.cycles for layer in folding.layers)
        costs.append(folding.cost.lut)
    assert costs == sorted(costs)
    quick = fastest(lowered, part)
    assert fits(quick.cost, part)
    assert quick.interval <= 50
    told = explain(quick, part, 10.0)
    assert told.results_per_second == pytest.approx(1e8 / quick.interval, rel=1e-3)
    assert all(g.busy <= 1 for layer in told.layers for g in layer.groups)


def test_so_many_dsp_blocks_as_are_given_take_products():
    part, lowered = catalog.resolve("xc7z020"), lower(mixed_groups(20, (8, 8)))
    costs = [smallest(lowered, part, 40, dsp).cost for dsp in (0, 3, 220)]
    assert costs[0].dsp == 0 and 0 < costs[1].dsp <= 3 < costs[2].dsp <= 220
    assert costs[0].lut > costs[1].lut > costs[2].lut
    assert smallest(lowered, part, 40).cost.dsp == 0  # LUTs are not scarce
    assert fastest(lowered, part, 3).cost.dsp <= 3


def wide_products(seed=1):
    """Two layers of 8-bit weights, almost all of whose logic is products."""
    rng = np.random.default_rng(seed)
    inputs = tuple(Quantizer.saturating(Fixed(False, 8, 4)) for _ in range(16))
    layers = tuple(
        Layer(name, tuple(Neuron(tuple(map(int, rng.integers(-127, 128, 16))), 7, 8.0, 0, 0, out) for _ in range(16)))
        for name, out in (("first", Quantizer.saturating(Fixed(False, 8, 4), relu=True)), ("second", None))
    )
    return group(widths(prune(Design("wide", inputs, layers))))


def test_a_build_says_what_idle_dsp_blocks_would_spare():
    part = catalog.resolve("xc7z020")
    folding = smallest(lower(wide_products()), part, 40)
    spared = in_blocks(folding, part)
    assert spared is not None and spared.lut < 0.75 * folding.cost.lut and 0 < spared.dsp <= 209
    assert in_blocks(smallest(lower(wide_products()), part, 40, 100), part) is None  # they are used
    hardware = choose(wide_products(), part, 10.0, "folded", 40)
    wanted = f"with --initiation-interval {folding.interval} --dsp {spared.dsp} about {spared.lut:.0f}"
    assert wanted in hardware.hint
    assert choose(wide_products(), part, 10.0, "folded", 40, dsp=0).hint == ""


def test_a_group_of_few_products_says_why():
    part = catalog.resolve("xc7z020")
    told = explain(smallest(lower(mixed_groups(20, (20, 6))), part, 20), part, 10.0)
    layer = told.layers[0]
    narrow = [g for g in layer.groups if g.simd < layer.inputs_per_cycle]
    assert narrow and all(re.search(r"turns? of \d folds.* products? per cycle", g.why[0]) for g in narrow)
    assert all(g.cycles == g.folds * layer.words <= layer.cycles for g in layer.groups)
    assert sum(g.lut for g in layer.groups) < layer.lut


def test_impossible_wishes_are_told():
    lowered = lower(folded_design(11, max_size=40))
    with pytest.raises(DesignError, match="results per second"):
        interval_for(2e8, 10.0)
    with pytest.raises(DesignError, match=r"layer dense_\d: 0 cycles"):
        fold(lowered, 0, PRICES)


def test_estimates_know_how_deep_products_are():
    text = (FOLDER / "folded_product.v").read_text()
    assert f"localparam integer DEPTH = {PRODUCT_DEPTH};" in text
