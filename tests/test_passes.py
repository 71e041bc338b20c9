"""The passes: results never change, ranges are exact, groups partition, and finishing twice is finishing once."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import random_design, vectors

from flow.build.state import finish
from flow.core.check import check
from flow.core.design import Design, Layer, Neuron, from_json, to_json
from flow.core.errors import DesignError
from flow.core.evaluate import accumulate, evaluate, evaluate_layer, to_float
from flow.core.fixed import Fixed, Quantizer
from flow.core.passes.prune import prune

SEEDS = range(150)


def values(design, inputs):
    outputs = evaluate(design, inputs)
    return outputs if design.head == "argmax" else to_float(outputs, design.output_formats)


@pytest.mark.parametrize("seed", SEEDS)
def test_passes_change_no_value(seed):
    design = random_design(seed)
    inputs = vectors(design, 40, seed)
    assert (values(finish(design), inputs) == values(design, inputs)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_finishing_twice_is_finishing_once(seed):
    once = finish(random_design(seed))
    assert finish(once) == once
    assert from_json(to_json(once)) == once


@pytest.mark.parametrize("seed", range(40))
def test_accumulators_hold_every_sum_and_no_bit_more(seed):
    design = finish(random_design(seed))
    values_in = vectors(design, 400, seed)
    for index, layer in enumerate(design.layers):
        sums, fracs = accumulate(layer, values_in, design.formats_into(index))
        for j, neuron in enumerate(layer.neurons):
            scaled = sums[:, j].astype(float) * 2.0 ** (neuron.accumulator.frac - fracs[j])
            assert neuron.accumulator.low <= scaled.min() and scaled.max() <= neuron.accumulator.high
        values_in = evaluate_layer(layer, values_in, design.formats_into(index))


def one_neuron(**changes):
    neuron = replace(Neuron((3, -2), 0, 3.0, 1, 0), **changes)
    inputs = (Quantizer.saturating(Fixed(True, 4, 0)),) * 2
    return Design("net", inputs, (Layer("only", (neuron,)),))


def test_a_range_is_reached_exactly():
    design = finish(one_neuron())
    low, high = 3 * -8 - 2 * 7 + 1, 3 * 7 + 2 * 8 + 1
    assert design.layers[0].neurons[0].accumulator == Fixed.holding(low, high, 0)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"weights": (1,)}, "1 weights for 2 inputs"),
        ({"weights": (9, 0)}, "does not fit the width"),
        ({"weight_bits": float("nan")}, "weight width"),
        ({"weight_frac": 999}, "out of bounds"),
        ({"accumulator": Fixed(True, 3, 0)}, "cannot hold"),
    ],
)
def test_the_check_names_layer_and_neuron(changes, word):
    with pytest.raises(DesignError, match=word) as caught:
        check(one_neuron(**changes))
    assert "layer only, neuron 0" in str(caught.value)


def test_a_neuron_nobody_reads_loses_its_weights_and_keeps_its_place():
    act = Quantizer.saturating(Fixed(False, 4, 0))
    hidden = Layer("hidden", tuple(Neuron((1, 1), 0, 1.0, 1, 0, act) for _ in range(3)))
    output = Layer("output", (Neuron((1, 0, -1), 0, 1.58),))
    inputs = (Quantizer.saturating(Fixed(True, 4, 0)),) * 2
    pruned = prune(Design("net", inputs, (hidden, output)))
    assert [n.weight_bits for n in pruned.layers[0].neurons] == [1.0, 0.0, 1.0]
    assert pruned.layers[0].neurons[1].weights == (0, 0)


def test_negative_zero_and_wide_values_do_not_reach_the_design():
    with pytest.raises(DesignError, match="accumulator needs"):
        finish(one_neuron(weights=(3, -2), bias=1, bias_frac=70))
    assert np.isfinite(to_float(np.array([[1]]), (Fixed(True, 4, -3),))).all()
