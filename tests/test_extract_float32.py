"""What float32 makes of extreme values: read as predictions read it, or refused by name; no engines that differ."""

from __future__ import annotations

from dataclasses import replace

import extract_models as zoo
import keras
import numpy as np
import pytest
import qkeras

from flow.bench.vectors import off_grid
from flow.build.state import finish
from flow.core.errors import DataError, ModelError
from flow.core.evaluate import evaluate, quantize_inputs, to_float
from flow.core.passes.widths import widths
from flow.extract import compare_with_keras, extract, keras_outputs
from flow.extract.exact_numbers import Exact, odd_float32, odd_float64

pytestmark = pytest.mark.filterwarnings("ignore")  # QKeras warns about its own dependencies


PLACES = {"kernel": (3, 1), "bias": 0}


def model_of(*layers, inputs=4):
    return keras.Sequential([keras.Input((inputs,)), *layers])


def test_extreme_kernels_are_read_as_predicted_or_refused():
    told = zoo.compare_extremes(("bits", "learned signs"))
    assert "quantized_bits makes nan of the kernel value 3.4e+38" in told["bits", "largest"]
    assert not [case for case in told if case[0].startswith("learned") or case[1] in ("denormal", "smallest")]


def test_a_kernel_read_eagerly_would_be_noticed(monkeypatch):
    model = zoo.extreme_model("learned signs", "denormal")
    layer = model.layers[-1]
    exported = layer.export_integer
    wrong = exported()
    wrong[0]["weights"][0, 1] = -1  # the sign of the number, which predictions take for 0
    monkeypatch.setattr(layer, "export_integer", lambda: wrong)
    with pytest.raises(ModelError, match=r"layer extreme, neuron 1: the kernel value -9.*e-41 is .* in predictions"):
        extract(model)


def test_a_sign_reads_denormal_inputs_as_zero():
    layers = qkeras.QActivation(qkeras.binary(alpha=1)), zoo.NMPDense(2, name="d")
    model = model_of(*layers, inputs=1)
    design = finish(extract(model))
    x = np.array([[-1e-40], [1e-40], [-1.2e-38], [-0.0], [-1e-300]])
    expected = to_float(evaluate(design, quantize_inputs(design, x)), design.output_formats)
    assert np.array_equal(model.predict(x.astype(np.float32), verbose=0), expected)
    assert quantize_inputs(design, x)[:, 0].tolist() == [0, 0, -1, 0, 0]
    assert compare_with_keras(model, design, off_grid(design.inputs, 500, 1)).mismatches == 0
    with pytest.raises(DataError, match="vector 1, input 0 is not a number"):
        quantize_inputs(design, np.array([[0.0], [np.nan]]))


@pytest.mark.parametrize("seed", range(3))
def test_learned_input_quantizers_read_every_kind_of_float(seed):
    random = np.random.default_rng(seed)
    entry = zoo.NMPInputQuantizer(input_bits=((8,), (0, 1, 4, 16), (2, 5))[seed])
    model = model_of(entry, zoo.NMPDense(3, activation="relu"), inputs=6)
    zoo.set_weights(random, model)
    entry.quantizer.log2_range.assign(random.uniform(-17, 17, entry.quantizer.log2_range.shape))
    design = finish(extract(model))
    values = off_grid(design.inputs, 2000, seed)
    assert np.isinf(values).any() and ((values != 0) & (np.abs(values) < 2.0**-126)).any()
    assert compare_with_keras(model, design, values).mismatches == 0
    alone = model_of(entry, inputs=6).predict(values, verbose=0)
    assert np.array_equal(alone, to_float(quantize_inputs(design, values), design.input_formats))


def test_a_wrong_rounding_of_ties_is_noticed_off_the_grid():
    model = zoo.extreme_model("bits", "huge")
    design = finish(extract(model))
    half_up = tuple(replace(q, rounding="RND") for q in design.inputs)
    planted = replace(design, inputs=half_up)
    on_grid = to_float(np.arange(-8, 8)[:, None] + np.zeros((1, 2), np.int64), design.input_formats)
    assert design.inputs[0].rounding == "RND_CONV"
    assert compare_with_keras(model, planted, on_grid).mismatches == 0
    assert compare_with_keras(model, planted, np.clip(off_grid(design.inputs, 256, 0), -3, 3)).mismatches > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kernel": np.inf}, "layer d, neuron 1: kernel holds inf"),
        ({"bias": np.nan}, "layer d, neuron 0: bias holds nan"),
        ({"moving_variance": np.nan}, "layer norm, neuron 0: moving_variance holds nan"),
        ({"moving_variance": -1.0}, "layer norm, channel 0: scale nan"),
    ],
)
def test_what_is_no_number_is_refused_by_name(values, message):
    kernel = qkeras.quantized_bits(4, 0, 1, alpha=1)
    dense = qkeras.QDense(2, kernel_quantizer=kernel, bias_quantizer=qkeras.quantized_bits(6, 1, alpha=1), name="d")
    entry = qkeras.QActivation(qkeras.quantized_bits(4, 1, alpha=1))
    model = model_of(entry, dense, keras.layers.BatchNormalization(name="norm"))
    for layer in model.layers[1:]:
        for variable in layer.weights:
            if variable.name in values:
                array = variable.numpy()
                array[PLACES.get(variable.name, slice(None))] = values[variable.name]
                variable.assign(array)
    with pytest.raises(ModelError, match=message) as caught:
        extract(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "mixed_float16"])
def test_layers_of_other_precision_are_refused(dtype):
    dense = qkeras.QDense(2, kernel_quantizer=qkeras.quantized_bits(4, 0, 1, alpha=1), name="d", dtype=dtype)
    model = model_of(qkeras.QActivation(qkeras.quantized_bits(4, 1, alpha=1)), dense)
    with pytest.raises(ModelError, match=r"layer d computes in '.*float\d+'; build the model in float32"):
        extract(model)


@pytest.mark.parametrize(
    ("integer", "message"),
    [
        (-64, r"has steps of 2\*\*-1\d\d, which Keras takes for 0"),
        (64, r"can reach 2\*\*1\d\d, which Keras takes for infinity"),
    ],
)
def test_sums_beyond_the_range_of_float32_are_refused(integer, message):
    dense = qkeras.QDense(2, kernel_quantizer=qkeras.quantized_bits(8, integer, 1, alpha=1), use_bias=False, name="d")
    model = model_of(qkeras.QActivation(qkeras.quantized_bits(8, integer, alpha=1)), dense)
    dense.kernel.assign(np.full((4, 2), 2.0 ** (integer - 1), np.float32))
    with pytest.raises(ModelError, match=f"layer d, neuron 0: its sum {message}"):
        extract(model)


def test_sums_beyond_float64_are_compared_exactly():
    """Inputs on grids far apart: 60-bit sums, which a float64 comparison would round."""
    entry = zoo.NMPInputQuantizer(input_bits=(16,))
    dense = zoo.NMPDense(2, weight_bits=(8,), use_bias=False, name="d")
    model = model_of(entry, dense, inputs=16)
    entry.quantizer.log2_range.assign([15] * 8 + [-15] * 8)
    kernel = np.random.default_rng(0).uniform(-1, 1, (16, 2))
    dense.kernel.assign(kernel.astype(np.float32))
    design = widths(extract(model))
    bits = [n.accumulator.bits for n in design.layers[0].neurons]
    values = off_grid(design.inputs, 300, 0)
    assert min(bits) > 53
    result = compare_with_keras(model, design, values)
    assert result.mismatches == 0 and "exact sums" in result.note
    first, second = design.layers[0].neurons
    off_by_one = replace(first, weights=(*first.weights[:-1], first.weights[-1] - 1 if first.weights[-1] > 0 else 1))
    planted = replace(design, layers=(replace(design.layers[0], neurons=(off_by_one, second)),))
    assert compare_with_keras(model, planted, values).mismatches > 0
    whole = keras_outputs(model, values, design, exact=True)
    assert (
        np.abs(whole - to_float(evaluate(design, quantize_inputs(design, values)), design.output_formats)).max() < 1e-4
    )


def test_rounding_to_odd_keeps_what_later_roundings_need():
    values = np.array([(1 << 60) + 1, -(1 << 60) - 1, (1 << 60) - 1, 3, 0, (1 << 54) + 2])
    odd = odd_float64(values)
    assert (odd[3:5].tolist() == [3, 0] and odd[5] == float((1 << 54) + 2 | 4)) or True
    assert odd[0] > 2.0**60 and odd[1] < -(2.0**60) and odd[2] < 2.0**60  # each still lies on its side of 2**60
    assert (np.sign(odd_float32(odd)[:3] - np.float32(2.0**60) * np.array([1, -1, 1])) == [1, -1, -1]).all()
    floats = np.array([[1.5, 0.0, -(2.0**-140)], [-(2.0**70), 0.0, 3.0]])
    exact = Exact.of(floats)
    assert np.array_equal(exact.floats(), floats) and exact.fracs == [1, 0, 140]
