"""Formats that wrap: the quantizer against whole numbers, its exact ranges, the file, and a planted saturation."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from flow.core.check import check
from flow.core.design import Design, Layer, Neuron, from_json, to_json
from flow.core.errors import DataError, DesignError
from flow.core.evaluate import evaluate, quantize_inputs
from flow.core.fixed import ROUNDINGS, Fixed, Quantizer
from flow.core.passes.group import group
from flow.core.passes.widths import widths
from flow.core.ranges import accumulator_range
from flow.emit.rtl.verilog import emit_parallel
from flow.parallel.bit_choice import lowbit_graph
from flow.parallel.graph import evaluate_graph
from flow.parallel.proof import prove
from flow.parts.family import XC7
from flow.proof.text.prove import prove_text

WRAPS = ("WRAP", "RELU_WRAP")


def by_hand(quantizer: Quantizer, value: Fraction) -> int:
    """What a quantizer makes of a number, from the words of its definition."""
    scaled = value * Fraction(2) ** quantizer.format.frac
    whole = math.floor(scaled)
    rest = scaled - whole
    if quantizer.rounding == "RND":
        whole += rest >= Fraction(1, 2)
    if quantizer.rounding == "RND_CONV":
        whole += rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1)
    if quantizer.overflow == "RELU_WRAP":
        whole = max(whole, 0)
    turn = 2**quantizer.format.bits
    whole %= turn
    return whole - turn if quantizer.format.signed and whole >= turn // 2 and quantizer.format.bits else whole


def wrapping():
    formats = st.builds(Fixed, st.booleans(), st.integers(0, 62), st.integers(-8, 40))
    return st.builds(Quantizer.wrapping, formats, st.sampled_from(ROUNDINGS), st.booleans())


@given(wrapping(), st.integers(-(2**90), 2**90), st.integers(-8, 60))
def test_integers_wrap(quantizer, mantissa, frac):
    expected = by_hand(quantizer, Fraction(mantissa) * Fraction(2) ** -frac)
    assert quantizer.from_integer([mantissa], frac).tolist() == [expected]


@given(wrapping(), st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_wrap(quantizer, value):
    assert quantizer.from_float(np.array([value], np.float32)).tolist() == [by_hand(quantizer, Fraction(value))]


@given(
    st.builds(Quantizer.wrapping, st.builds(Fixed, st.booleans(), st.integers(0, 4), st.integers(-2, 3)),
              st.sampled_from(ROUNDINGS), st.booleans()),
    st.integers(-90, 90), st.integers(0, 40), st.integers(-2, 4),
)  # fmt: skip
def test_ranges_are_exact(quantizer, low, span, frac):
    reached = quantizer.from_integer(np.arange(low, low + span + 1), frac)
    least, most = quantizer.range_over(low, low + span, frac)
    assert least <= reached.min() and reached.max() <= most
    if frac >= quantizer.format.frac:  # else the steps of the sum leave values out
        assert (least, most) == (reached.min(), reached.max())


def test_a_quantizer_that_wraps_has_its_formats_range():
    with pytest.raises(DesignError, match="format's range"):
        Quantizer(Fixed(True, 4, 0), "TRN", 0, 7, "WRAP")
    with pytest.raises(DesignError, match="unknown overflow 'WRAP_SM'"):
        Quantizer(Fixed(True, 4, 0), "TRN", -8, 7, "WRAP_SM")


def small(overflow: str = "WRAP") -> Design:
    """Three inputs that wrap, four neurons that do, one of them in a single bit."""
    outputs = [Fixed(True, 4, 1), Fixed(False, 3, 0), Fixed(True, 1, 0), Fixed(False, 5, 2)]
    neurons = tuple(
        Neuron((3, -2, 1 + j), 1, 4.0, 5 - j, 2, Quantizer(f, ROUNDINGS[j % 3], f.low, f.high, overflow))
        for j, f in enumerate(outputs)
    )
    inputs = tuple(Quantizer.wrapping(Fixed(s, 5, 1), "TRN") for s in (True, False, True))
    return check(group(widths(Design("small", inputs, (Layer("only", neurons),)))))


def test_design_files_say_what_wraps_and_nothing_else():
    for overflow in ("SAT", *WRAPS):
        design = small(overflow)
        assert from_json(to_json(design)) == design
        stored = json.loads(to_json(design))["layers"][0]["neurons"][0]["output"]
        assert stored.get("overflow", "SAT") == overflow and ("overflow" in stored) == (overflow != "SAT")
    text = to_json(small()).replace('"WRAP"', '"TURN"')
    with pytest.raises(DesignError, match="unknown overflow 'TURN'"):
        from_json(text)


def test_infinite_inputs_have_no_place_in_a_format_that_wraps():
    values = np.zeros((3, 3), np.float32)
    values[2, 1] = np.inf
    with pytest.raises(DataError, match="vector 12, input 1 is infinite"):
        quantize_inputs(small(), values, first=10)


@pytest.mark.parametrize("overflow", WRAPS)
def test_a_saturation_in_the_place_of_a_wrap_is_seen(overflow):
    design = small(overflow)
    right = lowbit_graph(design, 0)
    vectors = strategies.vectors(design, 400)
    assert np.array_equal(evaluate_graph(right, vectors), evaluate(design, vectors))
    prove(design, 0, right)
    place = next(i for i, n in enumerate(right.nodes) if n.kind == "quantize" and n.low != n.high)
    nodes = [replace(n, overflow="SAT") if i == place else n for i, n in enumerate(right.nodes)]
    wrong = replace(right, nodes=tuple(nodes))
    assert not np.array_equal(evaluate_graph(wrong, vectors), evaluate(design, vectors))
    with pytest.raises(DesignError, match="overflow by SAT"):
        prove(design, 0, wrong)
    for made, is_right in ((right, True), (wrong, False)):
        rtl = emit_parallel(design, (made,), 10.0, XC7)
        assert (prove_text(design, (right,), rtl.files, rtl.top, rtl.layer_latency_cycles) == []) == is_right


def test_random_designs_wrap_and_overflow():
    """What other tests draw has all modes, and sums beyond the formats that wrap."""
    seen: set[str] = set()
    for seed in range(40):
        design = strategies.random_design(seed)
        for index, layer in enumerate(design.layers):
            for neuron in layer.neurons:
                output = neuron.output
                if output is None or not output.wraps or not output.format.bits:
                    continue
                low, high, frac = accumulator_range(neuron, design.formats_into(index), design.ranges_into(index))
                ends = replace(output, overflow="SAT").range_over(low, high, frac)
                if max(ends) == output.high and output.range_over(low, high, frac) == (output.low, output.high):
                    seen.add(output.overflow)
    assert seen == set(WRAPS)
