"""Keras models against their integer designs: equal bits for QKeras, NMP and old models, or a clear refusal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import extract_models as zoo
import keras
import numpy as np
import pytest
import qkeras

from flow.core.compare import EngineResult
from flow.core.design import from_json, to_json
from flow.core.errors import FlowError, ModelError, UsageError
from flow.core.evaluate import evaluate, quantize_inputs, to_float
from flow.core.fixed import Fixed
from flow.core.passes.widths import widths
from flow.extract import compare_with_keras, extract, float32_exactness, keras_outputs, load_model, parse_format

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures"

# Keras' advice against .h5, and its own use of __array__
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:'.*deprecated - use:DeprecationWarning"
    ),  # QKeras parses with old pyparsing names
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning"),
]

qact = qkeras.QActivation
IN = "quantized_bits(6,2,alpha=1)"
KERNEL = "quantized_bits(4,0,1,alpha=1)"


def chain(*layers, inputs=4) -> keras.Model:
    return keras.Sequential([keras.Input((inputs,) if isinstance(inputs, int) else inputs), *layers])


def dense(units=3, name="hidden", kernel=KERNEL, **settings) -> keras.layers.Layer:
    settings = {"bias_quantizer": "quantized_bits(6,1,alpha=1)", **settings}
    return qkeras.QDense(units, kernel_quantizer=kernel, name=name, **settings)


def filled(model: keras.Model, seed: int = 0) -> keras.Model:
    zoo.set_weights(np.random.default_rng(seed), model)
    return model


def agree(model: keras.Model, **options) -> EngineResult:
    design = widths(extract(model, **options))
    inputs = zoo.random_inputs(1, len(design.inputs))
    result = compare_with_keras(model, design, inputs)
    assert result.mismatches == 0, result
    if not float32_exactness(design):
        zoo.same_layers(model, design, inputs)
    assert from_json(to_json(design)) == design
    return result


@pytest.mark.parametrize("name", ["old_functional", "old_sequential"])
def test_files_of_the_old_line_predict_the_same_bits(name):
    data = np.load(FIXTURES / f"{name}.npz")
    model = load_model(FIXTURES / f"{name}.h5")
    assert np.array_equal(keras_outputs(model, data["inputs"]), data["outputs"].astype(np.float64))
    design = widths(extract(model))
    integers = evaluate(design, quantize_inputs(design, data["inputs"].reshape(len(data["inputs"]), -1)))
    assert np.array_equal(to_float(integers, design.output_formats), data["outputs"])


@pytest.mark.parametrize("seed", range(2))
def test_random_models_equal_their_designs(seed):
    zoo.compare(seed)


@pytest.mark.long
def test_random_models_equal_their_designs_in_graph_mode_on_tensorflow():
    program = [sys.executable, str(ROOT / "tests" / "extract_models.py"), "15"]
    env = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, capture_output=True, text=True, env=env, cwd=ROOT)
    assert done.returncode == 0 and "agreed on tensorflow" in done.stdout, done.stdout + done.stderr[-3000:]


@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_saved_and_loaded_models_give_the_same_design(tmp_path, ending):
    model = filled(chain(
        qact(IN), dense(5, activation="quantized_relu(4,-1.0)"),
        zoo.NMPDense(4, activation="relu"), keras.layers.Dropout(0.1),
        zoo.NMPDense(2, kernel_quantizer="binary(alpha=1)"),
    ))  # fmt: skip
    path = tmp_path / f"model{ending}"
    model.save(path)
    loaded = load_model(path)
    assert extract(loaded) == extract(model)
    inputs = zoo.random_inputs(3, 4)
    assert np.array_equal(keras_outputs(loaded, inputs), keras_outputs(model, inputs))


def test_nmp_files_load_without_tensorflow(tmp_path):
    model = filled(chain(zoo.NMPInputQuantizer(), zoo.NMPDense(3, activation="relu"), zoo.NMPDense(2)))
    model.save(tmp_path / "m.keras")
    code = (
        "import sys, numpy as np; from flow.extract import load_model, extract, compare_with_keras\n"
        f"m = load_model({str(tmp_path / 'm.keras')!r})\n"
        "import keras; assert keras.backend.backend() == 'jax' and 'tensorflow' not in sys.modules\n"
        "print(compare_with_keras(m, extract(m), np.random.default_rng(0).normal(0, 3, (500, 4))).mismatches)"
    )
    env = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=ROOT)
    assert (done.stdout.strip(), done.stderr) == ("0", "")


def test_flattened_inputs_and_shared_formats():
    layers = [qact(IN), keras.layers.Flatten(), dense(3)]
    design = extract(filled(chain(*layers, inputs=(2, 3))))
    assert len(design.inputs) == 6
    agree(filled(chain(*layers, inputs=(2, 3))))
    per_feature = chain(
        zoo.NMPInputQuantizer(input_bits=(2, 4, 8)), keras.layers.Reshape((6,)), dense(2), inputs=(2, 3)
    )
    design = extract(filled(per_feature))
    assert design.inputs[:3] == design.inputs[3:]
    agree(per_feature)


def test_models_without_input_quantizer_need_a_format():
    model = filled(chain(dense(3)))
    with pytest.raises(ModelError, match=r"--input-format, such as s16\.10 .*ap_fixed<16,6>"):
        extract(model)
    assert extract(model, input_format="s8.4").inputs[0].format == Fixed(True, 8, 4)
    agree(model, input_format="s8.4")
    with pytest.raises(ModelError, match="leave the input format out"):
        extract(filled(chain(qact(IN), dense(3))), input_format="s8.4")
    for bad in ("s8", "x8.4", "s0.0", "s99.0", "u8.999"):
        with pytest.raises(UsageError):
            parse_format(bad)


def test_softmax_is_left_out_and_noted():
    for model in (chain(qact(IN), dense(3, activation="softmax")),
                  chain(qact(IN), dense(3), keras.layers.Softmax())):  # fmt: skip
        design = extract(filled(model), head="argmax")
        assert "logits" in design.source["notes"][0]
        agree(model)
        agree(model, head="argmax")
        assert model.predict(np.zeros((1, 4)), verbose=0).sum() == pytest.approx(1)  # still the user's model


def test_quantizers_that_are_stochastic_in_training_only_are_noted():
    """qkeras rounds such weights to nearest at inference: that is what the design holds, and what is said."""
    stochastic = qkeras.quantized_bits(4, 0, alpha=1, use_stochastic_rounding=True)
    hidden = dense(kernel=stochastic, bias_quantizer=qkeras.quantized_bits(6, 1, alpha=1, use_stochastic_rounding=True))
    last = dense(2, "last", qkeras.stochastic_ternary(alpha=1))
    model = filled(chain(qact(IN), hidden, qact("quantized_relu(4,1)"), last))
    notes = extract(model).source["notes"]
    told = [("hidden", "weights"), ("hidden", "biases"), ("last", "weights")]
    assert len(notes) == len(told) and agree(model)
    for text, (layer, what) in zip(notes, told, strict=True):
        assert f"layer {layer}: " in text and f"of its {what} is stochastic in training only" in text
    assert not extract(filled(chain(qact(IN), dense()))).source["notes"]


def test_names_become_identifiers():
    model = filled(chain(qact(IN), dense(2, name="a-b"), dense(2, name="a.b"), dense(2, name="A_b")))
    assert [la.name for la in extract(model, name="7 up").layers] == ["a_b", "a_b_2", "A_b_3"]
    assert extract(model, name="7 up").name == "m_7_up"


def test_a_relu_without_quantizer_keeps_the_whole_sum():
    agree(filled(chain(qact(IN), dense(5), keras.layers.ReLU(), dense(2, name="last"))))
    agree(filled(chain(qact(IN), dense(5), keras.layers.Activation("relu"))))


def test_sums_beyond_float32_are_told_and_still_compared_exactly():
    wide = "quantized_bits(16,3,alpha=1)"
    model = filled(chain(qact(wide), dense(6, kernel="quantized_bits(14,0,1,alpha=1)",
                         activation="quantized_relu(12,2)"), dense(2, name="last"), inputs=32))  # fmt: skip
    offenders = float32_exactness(extract(model))
    assert offenders and offenders[0][0] == "hidden" and offenders[0][2] > 24
    assert "exact sums" in agree(model).note


def test_a_wrong_weight_is_found():
    model = filled(chain(qact(IN), dense(3)))
    design = widths(extract(model))
    kernel, bias = model.layers[-1].get_weights()
    kernel[2, 1] = -0.5 if kernel[2, 1] > 0 else 0.5
    model.layers[-1].set_weights([kernel, bias])
    result = compare_with_keras(model, design, zoo.random_inputs(1, 4))
    assert result.mismatches > 100 and ", neuron 1: expected" in result.difference


def test_hls4ml_874_scale_of_eight_bit_weights():
    model = chain(qact(IN), dense(1, kernel="quantized_bits(8,0,alpha=1)", use_bias=False))
    model.layers[-1].set_weights([np.array([[-1.0], [0.9921875], [0.0078125], [0.5]])])
    neuron = extract(model).layers[0].neurons[0]
    assert (neuron.weights, neuron.weight_frac, neuron.weight_bits) == ((-128, 127, 1, 64), 7, 8.0)


class Adding(keras.layers.Layer):
    def call(self, inputs):
        return inputs + 1


def nan_weights(model):
    kernel, bias = model.layers[-1].get_weights()
    kernel[1, 2] = np.nan
    model.layers[-1].set_weights([kernel, bias])
    return model


def branched():
    first = keras.Input((4,))
    x = qact(IN)(first)
    return keras.Model(first, keras.layers.Maximum(name="most")([dense(3, name="a")(x), dense(3, name="b")(x)]))


def two_inputs():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    return keras.Model([a, b], dense(3)(keras.layers.Concatenate()([a, b])))


def ending(*layers, **settings):
    return filled(chain(qact(IN), dense(3, **settings), *layers))


REFUSED = {
    "plain dense": (lambda: chain(qact(IN), keras.layers.Dense(3, name="dense_2")),
                    r"layer dense_2, neuron 0: its weights are floats .*; quantize the model with --quantize"),
    "own layer": (lambda: chain(qact(IN), Adding(name="mine"), dense(3)), "layer mine is of type Adding"),
    "lambda": (lambda: chain(keras.layers.Lambda(lambda x: x, name="l")), "layer l is a Lambda"),
    "rescaling": (lambda: chain(keras.layers.Rescaling(0.5, name="r"), dense(3)),
                  "layer r sees the inputs, and no quantizer"),
    "ternary inputs": (lambda: chain(qact("ternary", name="t"), dense(3)),
                       "layer t: ternary is read by its answers .*; state the inputs' format"),
    "inputs in powers of two": (lambda: chain(qact("quantized_relu_po2(4)", name="t"), dense(3)),
                                "layer t: quantized_relu_po2 is read by its answers .*; state the inputs' format"),
    "branch": (branched, r"layer most \(Maximum\) takes 2 signals together"),
    "two inputs": (two_inputs, "no quantizer comes before the first dense layer"),
    "nan": (lambda: nan_weights(chain(qact(IN), dense(3))), "layer hidden, neuron 2: kernel holds nan"),
    "auto": (lambda: ending(kernel="quantized_bits(4,0,alpha='auto')"), r"layer hidden, neuron \d: .*'auto_po2'"),
    "no kernel quantizer": (lambda: ending(kernel=None), "layer hidden has no kernel_quantizer"),
    "tanh": (lambda: ending(dense(2, name="x"), activation="tanh"), "tanh returns floats that no quantizer follows"),
    "auto range": (lambda: ending(activation="quantized_bits(4,0,1,alpha='auto_po2')"), "by the data .* set alpha=1"),
    "odd alpha": (lambda: ending(activation="quantized_bits(4,0,1,alpha=0.3)"), "not one power of two; set alpha=1"),
    "noise": (lambda: ending(activation=qkeras.quantized_relu(4, qnoise_factor=0.5)), "quantizes only in part"),
    "softmax inside": (lambda: ending(keras.layers.Softmax(name="soft"), dense(2, name="x")), "layer soft: a softmax"),
    "not flat": (lambda: chain(qact(IN), dense(3), inputs=(2, 3)), "put a Flatten layer before it"),
    "broken settings": (lambda: ending(kernel=qkeras.quantized_bits(4, 0, alpha=np.ones(2))),
                        r"layer hidden \(QDense\) fails when asked"),
    "no dense": (lambda: chain(qact(IN)), "the model has no dense layer"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_the_layer_and_the_remedy(case):
    make, words = REFUSED[case]
    with pytest.raises(FlowError, match=words) as caught:
        extract(make())
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
