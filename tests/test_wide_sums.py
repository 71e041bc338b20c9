"""Scales and quantizers behind sums that float32 does not hold: exact thresholds, or a refusal that names both."""

from __future__ import annotations

from fractions import Fraction

import keras
import numpy as np
import pytest
import qkeras
from keras.layers import BatchNormalization

from flow.build.state import finish
from flow.core.errors import ModelError
from flow.core.fixed import Fixed, Quantizer
from flow.extract import compare_with_keras, extract, layerwise, real_steps
from flow.extract.exact_numbers import Exact
from flow.extract.layer_steps import Affine, Elementwise, Quant, Relu
from flow.extract.real_steps import read_in_real_numbers
from flow.extract.staircase import add_up, comparisons, lines
from flow.extract.sums import Sums

pytestmark = pytest.mark.filterwarnings("ignore")  # QKeras warns about its own dependencies
SCALES = (Fraction(3, 8), Fraction(-1, 4), Fraction(0), Fraction(-13421773, 1 << 27))
OFFSETS = (Fraction(1, 16), Fraction(1, 2), Fraction(3), Fraction(-5, 1 << 20))


@pytest.mark.parametrize("rounding", ["TRN", "RND", "RND_CONV"])
@pytest.mark.parametrize("relu", [False, True])
def test_staircases_in_real_numbers_are_what_the_quantizer_answers_to_every_sum(rounding, relu):
    quantizer = Quantizer(Fixed(True, 5, 1), rounding, -13, 15)
    first = Elementwise("norm", "BatchNormalization", lambda x: x, SCALES, OFFSETS)
    second = Affine("half", np.array([1, 1, 1, -1]), np.full(4, -1), (Fraction(1, 4),) * 4)
    chain = [first, second, *([Relu("relu")] if relu else []), Quant("q", (quantizer,) * 4)]
    sums = Sums(np.full(4, -300, np.int64), np.full(4, 250, np.int64), (1,) * 4, (False,) * 4)
    reading = read_in_real_numbers(chain, sums)
    every = np.arange(-300, 251)
    for j, (scale, offset, steps) in enumerate(zip(SCALES, OFFSETS, reading.steps, strict=True)):
        sign = -1 if j == 3 else 1
        exact = [sign * (scale * Fraction(int(s), 2) + offset) / 2 + Fraction(1, 4) for s in every]
        exact = [max(e, 0) if relu else e for e in exact]
        expected = [int(quantizer.from_integer([e.numerator], e.denominator.bit_length() - 1)[0]) for e in exact]
        assert steps(every).tolist() == expected
        for cut in (comparisons(steps, 64), lines(steps, 64)):
            assert add_up(*cut, every).tolist() == expected
    assert comparisons(reading.steps[0], 1) is None


def model_of(*layers):
    model = keras.Sequential([keras.Input((6,)), *layers])
    random = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, BatchNormalization):
            layer.set_weights([random.uniform(*ends, 6 if layer.gamma.shape[0] == 6 else 3) for ends in
                               ((-1.5, 1.5), (-0.3, 0.3), (-0.3, 0.3), (0.1, 9.0))])  # fmt: skip
        elif hasattr(layer, "kernel"):
            layer.kernel.assign(random.normal(0, 0.4, layer.kernel.shape))
    return model


def dense(units=3, name="d"):
    return qkeras.QDense(units, kernel_quantizer=qkeras.quantized_bits(6, 0, alpha=1), use_bias=False, name=name)


def between_scales(quantizer):
    entry = qkeras.QActivation(qkeras.quantized_bits(8, 3, alpha=1))
    inner = BatchNormalization(name="first"), dense(), BatchNormalization(name="second")
    return model_of(entry, *inner, qkeras.QActivation(quantizer), dense(2, "e"))


def differing(model, input_format=None):
    design = finish(extract(model, input_format=input_format))
    vectors = np.random.default_rng(1).normal(0, 3, (400, 6)).astype(np.float32)
    return design, compare_with_keras(model, design, vectors).mismatches


def test_a_dense_layer_between_two_float_scales_is_exact(monkeypatch):
    model = between_scales(qkeras.quantized_relu(3, 1))
    design, wrong = differing(model)
    assert wrong == 0
    more = len(design.layers[0].neurons) - 3  # a neuron for every threshold within reach
    assert more > 9 and f"thresholds take {more} neurons more" in design.source["notes"][-1]
    own = real_steps._first
    monkeypatch.setattr(real_steps, "_first", lambda *args: own(*args) + (1 << 30))
    assert differing(model)[1] > 0


def test_two_float_scales_too_wide_for_thresholds_are_named():
    with pytest.raises(ModelError, match=r"layer first before it and of layer second .* put a QActivation between"):
        extract(between_scales(qkeras.quantized_relu(10, 3)))


@pytest.mark.parametrize(
    "quantizer",
    ["quantized_tanh(6)", "binary_tanh", "quantized_relu(6,2,negative_slope=0.25)",
     "quantized_relu(4,1,use_sigmoid=1)"],
)  # fmt: skip
def test_hard_activations_of_wide_sums_are_exact(quantizer):
    activation = keras.layers.Activation(qkeras.quantizers.binary_tanh)
    activation = activation if quantizer == "binary_tanh" else qkeras.QActivation(quantizer)
    design, wrong = differing(model_of(dense(), BatchNormalization(), activation, dense(2, "e")), "s22.14")
    assert wrong == 0
    assert "each rounded to float32 once" in design.source["notes"][0]


def map_model():
    """Convolutions, pools and repeated pixels whose sums float32 does not hold."""
    keras.utils.set_random_seed(4)
    kernel = qkeras.quantized_bits(16, 0, 1, alpha=1)
    entry = keras.Input((4, 5, 2))
    x = qkeras.QActivation(qkeras.quantized_bits(14, 1, 1, alpha=1))(entry)
    x = qkeras.QConv2D(3, (2, 3), strides=(1, 2), padding="same", kernel_quantizer=kernel, use_bias=False)(x)
    x = keras.layers.UpSampling2D(2)(keras.layers.MaxPooling2D((2, 1))(qkeras.QActivation("quantized_relu(10,2)")(x)))
    x = qkeras.QDepthwiseConv2D(2, depthwise_quantizer=kernel, use_bias=False, name="deep")(x)
    return keras.Model(entry, keras.layers.AveragePooling2D((1, 2))(x))


@pytest.mark.parametrize("form", ["streamed", "unrolled"])
def test_maps_whose_sums_float32_does_not_hold_are_compared_position_by_position(form, monkeypatch):
    model = map_model()
    design = finish(extract(model, form=form))
    inputs = np.random.default_rng(2).uniform(-2, 2, (60, 40)).astype(np.float32)
    monkeypatch.setattr(layerwise, "_ELEMENTS", 1000)  # vectors in several parts
    found = compare_with_keras(model, design, inputs)
    assert found.agrees and "layer by layer" in found.note
    own = layerwise._under

    def off(window, values):
        seen = own(window, values)
        return Exact(np.roll(seen.mantissas, 1, axis=0), seen.fracs)

    monkeypatch.setattr(layerwise, "_under", off)
    assert not compare_with_keras(model, design, inputs).agrees
