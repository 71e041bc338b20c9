"""Integers never wrap: extreme designs against rational arithmetic, through every evaluator of the flow."""

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flow.core.check import check
from flow.core.design import Design, Layer, Neuron
from flow.core.errors import DataError, DesignError
from flow.core.evaluate import argmax, evaluate, quantize_inputs
from flow.core.fixed import MAX_BITS, ROUNDINGS, Fixed, Quantizer, rescale
from flow.core.integers import matmul
from flow.core.passes.group import group
from flow.core.passes.prune import prune
from flow.core.passes.widths import widths
from flow.folded.lowering import evaluate_lowered, lower
from flow.parallel.generators import build_graphs
from flow.parallel.graph import evaluate_graph


def power(exponent):
    return Fraction(2) ** exponent


def rounded(value, rounding):
    if rounding == "TRN":
        return floor(value)
    return floor(value + Fraction(1, 2)) if rounding == "RND" else round(value)


def exact_outputs(design, row):
    """A design's outputs for one vector of mantissas: as defined, on rational numbers, one neuron at a time."""
    values = [m * power(-q.format.frac) for m, q in zip(row, design.inputs, strict=True)]
    for layer in design.layers:
        following = []
        for neuron in layer.neurons:
            total = sum((w * power(-neuron.weight_frac) * v for w, v in zip(neuron.weights, values, strict=True) if w),
                        neuron.bias * power(-neuron.bias_frac))  # fmt: skip
            if neuron.output:
                q = neuron.output
                mantissa = min(max(rounded(total * power(q.format.frac), q.rounding), q.low), q.high)
                total = mantissa * power(-q.format.frac)
            following.append(total)
        values = following
    if design.head == "argmax":
        return [values.index(max(values))]
    found = [v * power(f.frac) for v, f in zip(values, design.output_formats, strict=True)]
    assert all(f.denominator == 1 for f in found)
    return [int(f) for f in found]


@st.composite
def quantizers(draw):
    """Formats of all widths on grids far apart, rounding and limits of all kinds, ranges far from 0 among them."""
    bits = draw(st.sampled_from((0, 1, 2, 8, 16, 31, 52, 53, 61, 62)))
    fmt = Fixed(
        draw(st.booleans()), bits, draw(st.sampled_from((-200, -64, -31, -1, 0, 3, 20, 33, 62, 63, 64, 120, 250)))
    )
    low, high = fmt.low, fmt.high
    if draw(st.booleans()):
        low = draw(st.integers(fmt.low, fmt.high))
        high = min(low + draw(st.sampled_from((0, 1, 5, 1 << 40))), fmt.high)
    return Quantizer(fmt, draw(st.sampled_from(ROUNDINGS)), low, high)


@st.composite
def extreme_designs(draw, layers=2):
    """Designs whose steps lie up to hundreds of bits apart; half have formats that were drawn close together."""
    close = draw(st.booleans())
    inputs = tuple(draw(st.lists(quantizers(), min_size=1, max_size=4)))
    if close:
        inputs = tuple(replace(q, format=replace(q.format, frac=q.format.frac % 8)) for q in inputs)
    made, count = [], len(inputs)
    for index in range(draw(st.integers(1, layers))):
        neurons = []
        for _ in range(draw(st.integers(1, 3))):
            bits = draw(st.sampled_from((1.58, 4.0, 16.0, 32.0)))
            limit = 1 << (int(np.ceil(bits)) - 1)
            weights = tuple(draw(st.sampled_from((0, 0, 1, -1, limit, -limit, limit // 2))) for _ in range(count))
            frac = draw(st.integers(-4, 4) if close else st.sampled_from((-200, -40, 0, 7, 40, 180)))
            bias = draw(st.sampled_from((0, 0, 1, -3, (1 << 61) - 1, -(1 << 61))))
            neurons.append(Neuron(weights, frac, bits, bias, draw(st.sampled_from((-120, -8, 0, 9, 60, 140))),
                                  draw(st.one_of(st.none(), quantizers()))))  # fmt: skip
        made.append(Layer(f"dense_{index}", tuple(neurons)))
        count = len(neurons)
    return Design("extreme", inputs, tuple(made), draw(st.sampled_from(("logits", "argmax"))))


def finished(design):
    """The finished design; assumes that it is legal: its accumulators have formats."""
    for step in (prune, widths, group):
        try:
            design = check(step(check(design)))
        except DesignError as exc:
            assert "layer dense_" in str(exc) and "neuron" in str(exc)
            assume(False)
    return design


def some_vectors(design, seed):
    rng = np.random.default_rng(seed)
    rows = [[q.low for q in design.inputs], [q.high for q in design.inputs]]
    rows += [[int(rng.integers(q.low, q.high + 1)) for q in design.inputs] for _ in range(4)]
    rows += [[(q.low, q.high)[int(rng.integers(2))] for q in design.inputs] for _ in range(2)]
    return np.array(rows, np.int64)


many = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@many
@given(extreme_designs(), st.integers(0, 1000))
def test_the_golden_model_is_exact(design, seed):
    design = finished(design)
    x = some_vectors(design, seed)
    assert evaluate(design, x).tolist() == [exact_outputs(design, row) for row in x.tolist()]


@settings(many, max_examples=120)
@given(extreme_designs(), st.integers(0, 1000))
def test_proved_graphs_are_exact(design, seed):
    design = finished(design)
    values = x = some_vectors(design, seed)
    for graph in build_graphs(design):
        values = evaluate_graph(graph, values)
    values = argmax(values, design.output_formats) if design.head == "argmax" else values
    assert values.tolist() == [exact_outputs(design, row) for row in x.tolist()]


@settings(many, max_examples=150)
@given(extreme_designs(), st.integers(0, 1000))
def test_the_folded_arithmetic_is_exact_or_refused(design, seed):
    design = finished(design)
    x = some_vectors(design, seed)
    try:
        lowered = lower(design)
    except DesignError as exc:
        assert "layer dense_" in str(exc) and "--architecture parallel" in str(exc)
        return
    values = evaluate_lowered(lowered, x)
    values = argmax(values, design.output_formats) if design.head == "argmax" else values
    assert values.tolist() == [exact_outputs(design, row) for row in x.tolist()]


def far_apart():
    """Sixteen inputs on the grid 1 and one on the grid 2**-30, read by different neurons: each sum is narrow."""
    inputs = (*[Quantizer.saturating(Fixed(True, 16, 0))] * 16, Quantizer.saturating(Fixed(True, 16, 30)))
    neurons = (Neuron((16384,) * 16 + (0,), 0, 16.0), Neuron((0,) * 16 + (16384,), 14, 16.0))
    return Design("far_apart", inputs, (Layer("dense_0", neurons),))


def test_a_neuron_is_not_widened_by_what_others_read(monkeypatch):
    design = finished(far_apart())
    x = some_vectors(design, 0)
    assert evaluate(design, x).tolist() == [exact_outputs(design, row) for row in x.tolist()]
    # as one grid would be
    monkeypatch.setattr("flow.core.evaluate.shifted_left", lambda values, by: values << (by + 45))
    with pytest.raises(DesignError, match="more than int64 holds"):
        evaluate(design, x)


def test_an_argmax_that_wraps_would_be_noticed(monkeypatch):
    neurons = (Neuron((1,) * 16 + (0,), 0, 2.0), Neuron((0,) * 16 + (1,), 25, 2.0))  # steps of 1 and of 2**-55
    design = finished(replace(far_apart(), layers=(Layer("dense_0", neurons),), head="argmax"))
    x = some_vectors(design, 1)
    expected = [exact_outputs(design, row) for row in x.tolist()]
    assert evaluate(design, x).tolist() == expected
    monkeypatch.setattr("flow.core.evaluate.shifted_left", lambda values, by: values << by)
    assert evaluate(design, x).tolist() != expected


@settings(many, max_examples=100)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 9999))
def test_products_are_exact_at_every_size(rows, inputs, columns, seed):
    rng = np.random.default_rng(seed)
    left, right = (
        rng.integers(-(1 << 62), 1 << 62, s) >> rng.integers(0, 62, s) for s in ((rows, inputs), (inputs, columns))
    )
    assert matmul(left, right).tolist() == (left.astype(object) @ right.astype(object)).tolist()


@settings(many, max_examples=100)
@given(st.integers(-(1 << 90), 1 << 90), st.integers(-150, 150), st.sampled_from(ROUNDINGS))
def test_rescaling_is_exact_at_every_size(mantissa, drop, rounding):
    assert int(rescale([mantissa], drop, rounding)[0]) == rounded(Fraction(mantissa) / power(drop), rounding)


@settings(many, max_examples=200)
@given(quantizers(), st.floats(allow_nan=False))
def test_wide_formats_saturate_at_their_own_limits(quantizer, value):
    if abs(value) == np.inf:
        expected = quantizer.high if value > 0 else quantizer.low
    else:
        exact = rounded(Fraction(value) * power(quantizer.format.frac), quantizer.rounding)
        expected = min(max(exact, quantizer.low), quantizer.high)
    assert int(quantizer.from_float(np.array([value]))[0]) == expected


@pytest.mark.parametrize(
    ("bias_frac", "weight_frac", "message"),
    [(100, 0, f"needs 1.. bits, more than {MAX_BITS}; give"), (0, 255, r"step is 2\*\*-265, outside")],
)
def test_what_no_format_holds_is_refused_with_the_place(bias_frac, weight_frac, message):
    inputs = (Quantizer.saturating(Fixed(True, 4, 10)),)
    bias = 1 if bias_frac else 0
    design = Design("wide", inputs, (Layer("dense_0", (Neuron((3,), weight_frac, 3.0, bias, bias_frac),)),))
    if bias:
        design = Design("wide", inputs, (Layer("dense_0", (Neuron((3,), -20, 3.0, bias, bias_frac),)),))
    with pytest.raises(DesignError, match=message) as caught:
        widths(design)
    assert str(caught.value).startswith("layer dense_0, neuron 0: the accumulator")


def test_a_lane_too_wide_for_folding_names_the_layer_and_the_remedy():
    inputs = (Quantizer.saturating(Fixed(True, 16, -20)), Quantizer.saturating(Fixed(True, 16, 40)))
    neurons = (Neuron((1, 0), 0, 2.0), Neuron((0, 1), 0, 2.0))
    design = finished(Design("apart", inputs, (Layer("dense_0", neurons),)))
    with pytest.raises(DesignError, match="layer dense_0: its inputs take 76 bits on one common grid"):
        lower(design)


def test_inputs_are_read_as_a_prediction_reads_them():
    sign = Quantizer(Fixed(True, 1, 0), "TRN", -1, 0)
    design = Design("sign", (sign,), (Layer("dense_0", (Neuron((1,), 0, 2.0),)),))
    smallest = float(np.finfo(np.float32).tiny)
    values = [
        -1e-40,
        -smallest,
        -0.0,
        -1e-300,
        np.nextafter(np.float32(-smallest), np.float32(0)),
        -np.inf,
        np.inf,
        1e-40,
    ]
    found = quantize_inputs(design, np.array(values)[:, None])
    assert found[:, 0].tolist() == [0, -1, 0, 0, 0, -1, 0, 0]
    # A float64 is rounded to float32 first: this one to a half, which rounds up.
    half = Design("half", (Quantizer.saturating(Fixed(True, 4, 0)),), design.layers)
    assert quantize_inputs(half, np.array([[np.nextafter(0.5, 0)]])).tolist() == [[1]]
    with pytest.raises(DataError, match="vector 1, input 0 is not a number"):
        quantize_inputs(design, np.array([[0.0], [np.nan]]))
