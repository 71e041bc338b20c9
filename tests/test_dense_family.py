"""Normalizations, curves and float biases: integer designs equal to Keras on every vector, and what is said of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dense_family as family
import numpy as np
import pytest

from flow.core.errors import ModelError, UsageError
from flow.core.evaluate import evaluate, quantize_inputs, to_float
from flow.core.fixed import Fixed
from flow.core.passes.widths import widths
from flow.extract import compare_with_keras, extract, load_model, parse_format
from flow.extract.resolve import _Resolver
from flow.extract.staircase import Line

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.* deprecated - use:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning"),
]


@pytest.mark.parametrize("name", [name for name in family.FAMILY if name not in family.TENSORFLOW])
def test_models_equal_their_designs(name):
    assert family.family_mismatches(name) == 0


def test_models_equal_their_designs_on_tensorflow():
    names = [*family.TENSORFLOW, "norm", "norm of few levels", "folded norm, float bias", "float sigmoid", "wide sums"]
    program = [sys.executable, str(ROOT / "tests" / "dense_family.py"), *names]
    env = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, capture_output=True, text=True, env=env, cwd=ROOT)
    assert f"mismatches on tensorflow: {dict.fromkeys(names, 0)}" in done.stdout, done.stdout + done.stderr[-3000:]


def test_a_normalization_equals_its_definition_in_float64():
    model = family.family_model("norm")
    design, inputs = widths(extract(model)), family.family_inputs(2000)
    found = to_float(evaluate(design, quantize_inputs(design, inputs)), design.output_formats)
    assert np.array_equal(found, family.normalized(model, inputs))
    assert any("integer thresholds, equal to what Keras's float32 answers to all" in n for n in design.source["notes"])
    assert [len(layer.neurons) for layer in design.layers] == [4, 3]  # one line for each neuron


def test_a_step_one_sum_too_late_is_found(monkeypatch):
    own = _Resolver._take

    def late(self, dense, sums, reading, parts):
        base, (line, *rest) = parts[0]
        moved = Line(line.multiplier, line.offset - line.multiplier, *list(vars(line).values())[2:])
        own(self, dense, sums, reading, [(base, (moved, *rest)), *parts[1:]])

    model = family.family_model("norm")
    monkeypatch.setattr(_Resolver, "_take", late)
    monkeypatch.setattr("flow.extract.line_neurons._check", lambda reading, parts: None)  # it would find it sooner
    result = compare_with_keras(model, extract(model), family.family_inputs(family.VECTORS))
    assert result.mismatches > 0


def test_sums_too_wide_for_float32_take_scales_as_real_numbers():
    model = family.family_model("wide sums")
    design = extract(model, input_format="s24.16")
    assert design.source["real"] and not design.source["asked"]
    assert any("float32 does not hold the sums" in note for note in design.source["notes"])


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_folded_normalizations_load_from_files(tmp_path, ending):
    model = family.family_model("folded norm")
    model.save(tmp_path / f"m.{ending}")
    assert extract(load_model(tmp_path / f"m.{ending}")).layers == extract(model).layers


@pytest.mark.parametrize("name", ["sigmoid at the end", "tanh in the last layer"])
def test_probabilities_are_what_keras_answers_rounded_to_eight_bits(name):
    model, inputs = family.family_model(name), family.family_inputs(family.VECTORS)
    design = widths(extract(model, head="probability"))
    found = evaluate(design, quantize_inputs(design, inputs)) * 2.0 ** (8 - design.output_formats[0].frac)
    answers = model.predict(inputs, verbose=0).astype(np.float64)
    assert np.array_equal(found, np.rint(answers * 256))
    assert compare_with_keras(model, design, inputs).mismatches == 0


def test_a_function_left_out_at_the_end_is_said():
    notes = extract(family.family_model("sigmoid at the end")).source["notes"]
    assert any("ends in its logits, and the class is 1 where the logit is above 0" in note for note in notes)


def test_what_cannot_be_exact_is_refused_truly():
    layers = [family.bits(), family.dense(4, activation="sigmoid", name="curve"), family.dense()]
    model = family.keras.Sequential([family.keras.Input((family.INPUTS,)), *layers])
    with pytest.raises(ModelError, match="layer curve, neuron 0: sigmoid returns floats that no quantizer follows"):
        extract(model)
    with pytest.raises(ModelError, match="--head probability is for models that end in a sigmoid"):
        extract(family.family_model("norm"), head="probability")
    with pytest.raises(ModelError, match=r"softmax takes all logits at once, .* use --head argmax"):
        extract(family.family_model("norm at the end"), head="probability")
    with pytest.raises(ModelError, match="sees the inputs before any quantizer; state their format with --inp"):
        extract(family.family_model("norm at the inputs"))


def test_formats_are_understood_as_hls4ml_writes_them():
    assert parse_format("ap_fixed<16,6>") == parse_format("s16.10") == Fixed(True, 16, 10)
    assert parse_format("ap_ufixed<8, 8>") == Fixed(False, 8, 0)
    for bad in ("ap_fixed<0,0>", "ap_fixed<16>", "ap_int<8>", "ap_fixed<99,2>"):
        with pytest.raises(UsageError, match="--input-format"):
            parse_format(bad)
