"""Float models quantized after training: the chain read, formats as the layers make them, exact builds, tuning."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras import ops
from test_build import command, one_error_line

from flow.build.options import Options
from flow.build.quantization import QuantizedFile
from flow.core.errors import ModelError
from flow.core.passes.widths import widths
from flow.extract import compare_with_keras, extract
from flow.extract.float_model import float_chain
from flow.extract.test_data import choose_preparation, open_dataset
from keras_models.loop.steps import task_loss
from keras_models.quantize.build import nmp_model
from keras_models.quantize.calibrate import Calibration, Signals
from keras_models.quantize.command import main
from keras_models.quantize.formats import SIGNAL_BITS, WEIGHT_BITS, round_signals, round_weights
from keras_models.quantizers.exact import to_numpy
from keras_models.quantizers.learned import ActivationQuantizer, WeightQuantizer
from keras_models.quantizers.precision import BitLadder

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning"),
]
layers = keras.layers


def float_model(*middle, inputs=6, outputs=3, seed=0) -> keras.Model:
    """A model with random values in all its variables, also in those that start as 0 and 1."""
    last = layers.Dense(outputs, name="scores")
    model = keras.Sequential([keras.Input((inputs,)), *middle, last], name="floats")
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.dtype == "float32":
            values = random.normal(0, 0.6, variable.shape)
            variable.assign(np.abs(values) + 0.3 if "variance" in variable.path else values)
    return model


def inputs(rows=400, count=6, seed=1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, count)).astype(np.float32)


def saved(model: keras.Model, folder: Path, name: str = "m.h5") -> Path:
    model.save(folder / name)
    return folder / name


READ = {
    "relu inside, dropout": lambda: [layers.Dense(8, activation="relu"), layers.Dropout(0.5), layers.Dense(5)],
    "relu as layers": lambda: [layers.Dense(8, use_bias=False), layers.Activation("relu"), layers.Dense(4),
                               layers.ReLU()],
    "norms": lambda: [layers.BatchNormalization(), layers.Dense(7), layers.BatchNormalization(center=False),
                      layers.ReLU(), layers.BatchNormalization(scale=False, epsilon=0.1)],
    "scales at the input": lambda: [layers.Rescaling(0.25, offset=-0.5),
                                    layers.Normalization(mean=[0.5] * 6, variance=[2.0] * 6), layers.Dense(4)],
    "the same at all places": lambda: [layers.Reshape((3, 2)), layers.Dense(4, activation="relu"), layers.Flatten()],
    "a model inside": lambda: [keras.Sequential([keras.Input((6,)), layers.Dense(5, activation="relu")])],
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_the_chain_of_a_file_computes_what_keras_computes(kind: str, tmp_path: Path) -> None:
    model = float_model(*READ[kind]())
    X = inputs()
    expected = model.predict(X, verbose=0)
    for name in ("m.h5", "m.keras"):
        found = float_chain(saved(model, tmp_path, name)).logits(X)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_an_ending_is_left_out_and_named(tmp_path: Path) -> None:
    model = float_model(layers.Dense(4, activation="relu"))
    model = keras.Sequential([model.layers[0], model.layers[1], layers.Softmax()])
    model.build((None, 6))
    chain = float_chain(saved(model, tmp_path))
    assert chain.left_out == "softmax"
    powers = np.exp(chain.logits(inputs()))
    np.testing.assert_allclose(powers / powers.sum(1)[:, None], model.predict(inputs(), verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        ([lambda: layers.Dense(4, activation="sigmoid", name="s")], "layer s: activation sigmoid is inside the model"),
        ([lambda: layers.Dense(4, activation="gelu", name="g")], "layer g: activation gelu .* train it with ReLU"),
        ([lambda: layers.ReLU(max_value=6.0, name="six")], "layer six: activation relu with a bound"),
        ([lambda: layers.LayerNormalization(name="ln")], "layer ln divides by its data"),
        ([lambda: layers.PReLU(name="p")], "layer p is a PReLU; --quantize takes"),
    ],
)
def test_what_cannot_be_quantized_is_refused_by_name(middle, words: str, tmp_path: Path) -> None:
    model = float_model(layers.Dense(4), *(make() for make in middle))
    with pytest.raises(ModelError, match=words):
        float_chain(saved(model, tmp_path))


def test_models_of_other_floats_and_of_code_of_their_own(tmp_path: Path) -> None:
    """bfloat16 is the upper half of float32; what a class of one's own connects is in no file."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, dtype="bfloat16")])
    kernel = float_chain(saved(model, tmp_path, "b.keras")).layers[0].kernel
    assert np.array_equal(kernel, np.asarray(keras.ops.cast(model.layers[0].kernel, "float32"), np.float64))

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, inputs):
            return self.dense(inputs)

    own = Own()
    own(np.zeros((1, 6), np.float32))
    with pytest.raises(ModelError, match=r"a class of its own \(Own\), whose layers only its code connects"):
        float_chain(saved(own, tmp_path, "own.keras"))


@given(st.integers(0, 2**32 - 1), st.sampled_from(WEIGHT_BITS), st.sampled_from(SIGNAL_BITS))
@settings(max_examples=25)
def test_formats_round_as_the_layers_do(seed: int, weight_bits: float, signal_bits: int) -> None:
    random = np.random.default_rng(seed)
    values = (random.normal(size=(40, 3)) * 2.0 ** random.integers(-4, 4)).astype(np.float32)
    values[:8] = np.round(values[:8] * 8) / 16  # ties
    ranges = random.integers(-3, 4, 3).astype(np.float64)
    ladder = BitLadder(WEIGHT_BITS)
    strength = np.full(3, ladder.strength_of(weight_bits), np.float32)
    kernel = to_numpy(WeightQuantizer(ladder, strength, ranges.astype(np.float32))(values))
    assert np.array_equal(round_weights(values.astype(np.float64), weight_bits, ranges), kernel)
    ladder = BitLadder(SIGNAL_BITS, ternary=False)
    strength, signed = np.full(3, ladder.strength_of(signal_bits), np.float32), random.integers(0, 2, 3) > 0
    quantizer = ActivationQuantizer(ladder, strength, ranges.astype(np.float32), signed.astype(np.float32))
    rounded = round_signals(values.astype(np.float64), float(signal_bits), ranges, signed)
    assert np.array_equal(rounded, to_numpy(quantizer(values)))


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_what_was_asked_for_and_the_design_is_exact(seed: int, tmp_path: Path) -> None:
    middle = [
        layers.Dense(20, activation="relu"),
        layers.BatchNormalization(),
        layers.Dense(9),
        layers.Dense(9, "relu"),
    ]
    chain = float_chain(saved(float_model(*middle, seed=seed), tmp_path))
    X = inputs(1500).astype(np.float64)
    calibration, own = Calibration(chain, X[:1000]), chain.logits(X[1000:])
    bits = []
    for noise in (2.0**-3, 2.0**-5, 2.0**-7):
        quantized = calibration.at(noise)
        error = quantized.logits(X[1000:]) - own
        measured = np.sqrt(np.square(error).sum() / np.square(own - own.mean(axis=0)).sum())
        assert noise / 4 < measured < 2 * noise  # rows that it was not calibrated on
        bits.append(np.concatenate([layer.weight_bits for layer in quantized.layers]).mean())
    assert bits[0] < bits[1] < bits[2]
    model = nmp_model(calibration.at(2.0**-5))
    assert np.array_equal(model.predict(X[:64], verbose=0), calibration.at(2.0**-5).logits(X[:64]).astype(np.float32))
    result = compare_with_keras(model, widths(extract(model)), X[:300])
    assert result.mismatches == 0, result


def test_exact_ranges_hold_whatever_the_inputs_are(tmp_path: Path) -> None:
    chain = float_chain(saved(float_model(layers.Dense(8, activation="relu"), layers.Dense(8)), tmp_path))
    ones = np.ones(6)
    given_inputs = Signals(6 * ones, 2 * ones, ones > 0)
    calibration = Calibration(chain, inputs(), given_inputs, exact=True)
    quantized = calibration.at(2.0**-5)
    assert calibration.narrowed == 0 and quantized.inputs is given_inputs
    corners = np.random.default_rng(0).choice([-4.0, 4 - 2.0**-4], (4000, 6))
    for signal, values in zip(quantized.layers[:-1], chain.signals(corners)[1:-1], strict=True):
        assert signal.output is not None and (np.abs(values) <= 2.0**signal.output.log2_range).all()


def test_shares_of_classes_are_learned_as_classes_are() -> None:
    random = np.random.default_rng(0)
    logits, y = random.normal(size=(50, 4)).astype(np.float32), random.integers(0, 4, 50)
    soft = np.eye(4, dtype=np.float32)[y]
    assert float(task_loss("classification", soft, logits)) == pytest.approx(
        float(task_loss("classification", y.astype(np.int32), logits)), rel=1e-5
    )
    one = logits[:, :1]
    binary = float(task_loss("classification", (y[:, None] > 1).astype(np.float32), one))
    signs = np.where(y > 1, 1.0, -1.0)[:, None]
    assert binary == pytest.approx(float(ops.mean(ops.softplus(-signs * one))), rel=1e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """A float model that has learned something, and its data set, whose labels are not 0, 1, 2."""
    folder = tmp_path_factory.mktemp("float")
    random = np.random.default_rng(3)
    y = random.integers(0, 3, 900)
    X = (random.normal(size=(3, 6))[y] * 1.2 + random.normal(size=(900, 6))).astype(np.float32)
    np.savez(folder / "d.npz", X=X, y=10 + 5 * y, split=np.repeat([0, 1, 2], 300).astype(np.int8))
    keras.utils.set_random_seed(0)
    model = float_model(layers.Dense(16, activation="relu"), layers.Dense(8, activation="relu"))
    model = keras.Sequential([*model.layers, layers.Activation("softmax")])
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    model.fit(X[:300], y[:300], epochs=15, verbose=0)
    return saved(model, folder), folder / "d.npz"


@pytest.mark.long
def test_build_says_that_it_quantized_with_both_scores(trained, tmp_path: Path) -> None:
    path, data = trained
    line = one_error_line(command("flow.build", "--model", path, "--data", data, "--out", tmp_path / "no"))
    assert "--quantize" in line and "layer" in line
    done = command("flow.build", "--model", path, "--data", data, "--quantize", "--engines", "integer", "--vectors", 60,
                   "--out", tmp_path / "b")  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr  # no log of TensorFlow
    report = json.loads((tmp_path / "b" / "report.json").read_text())
    with np.load(data) as stored:
        X, y = stored["X"][600:], (stored["y"][600:] - 10) // 5
    own = float((keras.models.load_model(path).predict(X, verbose=0).argmax(axis=1) == y).mean())
    found = report["quantization"]
    assert found["float_score"]["value"] == pytest.approx(own, abs=1e-6) and own > 0.6
    assert report["score"]["value"] == report["keras_score"]["value"] >= own - 0.03
    assert report["verification"]["keras"]["mismatches"] == 0
    said = next(text for text in report["warnings"] if "quantized after training" in text)
    assert f"{own:.6g} as floats, {report['score']['value']:.6g} quantized" in said
    assert "quantized after training" in done.stdout and "softmax" in done.stdout
    assert "--quantize" in report["command"] and "--engines-named" not in report["command"]
    again = command("flow.build", "--model", tmp_path / "b" / "quantized.h5", "--data", data, "--engines", "integer",
                    "--vectors", 60, "--out", tmp_path / "c")  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "c" / "report.json").read_text())["score"]["value"] == report["score"]["value"]


def test_auto_leaves_the_inputs_format_to_the_data(trained) -> None:
    path, data = trained
    options = Options.of(path, data=str(data), quantize=True, input_format="auto")
    dataset, _ = open_dataset(path, str(data), None, None, lambda: None)
    assert QuantizedFile(options, dataset, choose_preparation(None, None, dataset)).format is None


def test_fine_tuning_ends_at_fewer_bits(trained, tmp_path: Path, capsys) -> None:
    path, data = trained
    reports = []
    for epochs in (0, 40):
        out = tmp_path / f"{epochs}.h5"
        more = ["--epochs", str(epochs), "--beta", "1e-2", "--learning-rate", "0.01"]
        assert main([str(path), "--data", str(data), "--out", str(out), *more]) == 0
        reports.append(json.loads(out.with_suffix(".train.json").read_text()))
        model = keras.models.load_model(out)
        with np.load(data) as stored:
            X = stored["X"][600:]
            y = (stored["y"][600:] - 10) // 5
        assert float((model.predict(X, verbose=0).argmax(axis=1) == y).mean()) == reports[-1]["test"]
        assert compare_with_keras(model, widths(extract(model)), X).mismatches == 0
    after, tuned = reports
    assert after["test"] == after["post_training"]["test"] >= after["float"]["test"] - 0.03
    assert tuned["estimated_luts"] < 0.8 * after["estimated_luts"] and tuned["val"] >= after["val"] - 0.03
    assert "fine-tuned over 40 epochs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words", "status"),
    [
        ({"--out": "m.txt"}, "must end in .h5 or .keras", 2),
        ({"--data": "absent"}, "data set 'absent' not found", 1),
        ({"model": "absent.h5"}, "absent.h5 does not exist", 1),
        ({"--data": "digits"}, "gives 64 inputs, the model takes 6", 1),
    ],
)
def test_one_error_line(trained, change, words: str, status: int, tmp_path: Path, capsys) -> None:
    path, data = trained
    options = {"model": str(path), "--data": str(data), "--out": str(tmp_path / "m.h5"), **change}
    assert main([options.pop("model"), *(part for pair in options.items() for part in pair)]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and words in lines[0]


def test_dense_on_a_grid_gets_in_as_it_is() -> None:
    signal = {"activation_bits": (0, 6), "activation_range": 2.0}
    model = keras.Sequential(
        [
            keras.Input((6,)),
            nmp_input(),
            layers.Dense(5, name="a"),
            keras_activation(**signal),
            layers.Dense(3, name="b", activation="softmax"),
        ]
    )
    random = np.random.default_rng(2)
    for name in ("a", "b"):
        for variable in model.get_layer(name).weights:
            variable.assign(np.round(random.normal(0, 0.4, variable.shape) * 32) / 32)
    assert compare_with_keras(model, widths(extract(model)), inputs()).mismatches == 0
    model.get_layer("b").kernel.assign(random.normal(size=(5, 3)))
    with pytest.raises(ModelError, match="layer b, neuron 0: its weights are floats"):
        extract(model)


def nmp_input():
    from keras_models import NMPInputQuantizer

    return NMPInputQuantizer()


def keras_activation(**settings):
    from keras_models import NMPActivation

    return NMPActivation("relu", **settings)
