"""Two lines in an hls4ml script: our Keras layers become grouped layers and predict what Keras predicts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

os.environ.setdefault("KERAS_BACKEND", "jax")

import flow
import flow.hls
from flow.core.errors import ModelError, UsageError
from flow.core.evaluate import evaluate, quantize_inputs, to_float
from flow.core.passes.widths import widths
from flow.emit.hls.schedule import UNROLLED, schedules
from flow.extract import extract

# Keras on TensorFlow copies arrays in a way NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def model() -> Any:
    from keras_models import build_mlp

    return build_mlp(5, (6,), 3, seed=2)


def test_convert_from_keras_model_equals_the_integer_model(model: Any, tmp_path: Path) -> None:
    import hls4ml

    flow.hls.register()
    flow.hls.register()
    config = flow.hls4ml_config(model, tmp_path / "hls.yml")
    assert yaml.safe_load((tmp_path / "hls.yml").read_text()) == config
    project = hls4ml.converters.convert_from_keras_model(
        model, output_dir=str(tmp_path / "p"), backend="Vitis", hls_config=config, io_type="io_parallel"
    )
    assert [n.class_name for n in project.get_layers()] == [
        "Input",
        "NMPQuantize",
        "NMPGroupedDense",
        "NMPGroupedDense",
    ]
    project.compile()
    x = np.random.default_rng(0).normal(0, 3, (200, 5))
    design = widths(extract(model))
    expected = to_float(evaluate(design, quantize_inputs(design, x)), design.output_formats)
    assert np.array_equal(project.predict(np.ascontiguousarray(x)), expected)


def test_streams_and_schedules_of_groups_equal_the_integer_model(model: Any, tmp_path: Path) -> None:
    import hls4ml

    flow.hls.register()
    config = flow.hls4ml_config(model, strategy="Resource", reuse_factor=6)
    first, *_ = (layer for layer in extract(model).layers)
    groups = config["LayerName"][first.name]["Groups"]
    assert all(g["Strategy"] == "Resource" and g["ReuseFactor"] == 5 for g in groups)  # 5 inputs
    widest = max(groups, key=lambda g: g["WeightBits"])
    widest.update(Strategy="Latency", ReuseFactor=3)
    project = hls4ml.converters.convert_from_keras_model(
        model, output_dir=str(tmp_path / "p"), backend="Vitis", hls_config=config, io_type="io_stream"
    )
    project.compile()
    code = (tmp_path / "p" / "firmware" / "parameters.h").read_text()
    assert f"{widest['WeightBits']:g}-bit weights" in code and "strategy latency, reuse factor 3" in code
    assert "strategy resource, reuse factor 6" in code and "hls::stream<data_T> &in" in code
    x = np.random.default_rng(1).normal(0, 3, (100, 5))
    design = widths(extract(model))
    expected = to_float(evaluate(design, quantize_inputs(design, x)), design.output_formats)
    assert np.array_equal(project.predict(np.ascontiguousarray(x)), expected)


def test_a_reuse_factor_without_an_even_share_is_replaced_with_a_warning(model: Any, tmp_path: Path) -> None:
    import hls4ml

    flow.hls.register()
    config = {"Model": {"Precision": {"default": "ap_fixed<16,6>"}, "ReuseFactor": 4, "Strategy": "Resource"}}
    with pytest.warns(UserWarning, match="Invalid ReuseFactor=4") as told:
        hls4ml.converters.convert_from_keras_model(model, output_dir=str(tmp_path / "p"), backend="Vivado",
                                                   hls_config=config)  # fmt: skip
    last = str(told[-1].message)
    assert last.startswith("Invalid ReuseFactor=4 in layer output, group of ")
    assert last.endswith("Using ReuseFactor=3 instead. Valid ReuseFactor(s): 1,2,3,6.")


def test_the_command_writes_what_the_library_returns(model: Any, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from flow.hls.config_command import app

    model.save(tmp_path / "m.keras")
    run = CliRunner().invoke(app, ["--model", str(tmp_path / "m.keras"), "--out", str(tmp_path / "hls.yml")])
    assert run.exit_code == 0, run.output
    assert yaml.safe_load((tmp_path / "hls.yml").read_text()) == flow.hls4ml_config(model)
    run = CliRunner().invoke(app, ["--model", str(tmp_path / "m.keras"), "--strategy", "Fast"])
    assert run.exit_code == 2 and "'Fast' is not one of 'Latency', 'Resource'" in run.output


def test_the_configuration_lists_groups_of_every_layer(model: Any) -> None:
    config = flow.hls.hls4ml_config(model)
    for layer in extract(model).layers:
        neurons = [j for group in config["LayerName"][layer.name]["Groups"] for j in group["Neurons"]]
        assert sorted(neurons) == list(range(len(layer.neurons)))


def test_groups_are_annotated_with_the_types_of_their_numbers(model: Any) -> None:
    """Narrow enough that one bit less does not hold them; a changed one is refused, not ignored."""
    for layer in extract(model).layers:
        for group in flow.hls4ml_config(model)["LayerName"][layer.name]["Groups"]:
            neurons = [layer.neurons[j] for j in group["Neurons"]]
            weights = [w * 2.0**-n.weight_frac for n in neurons for w in n.weights]
            if not any(weights):
                assert "weight" not in group["Precision"]
                continue
            sign, width, integer = re.fullmatch(r"ap_(u?)fixed<(\d+),(-?\d+)>", group["Precision"]["weight"]).groups()
            step, bits = 2.0 ** (int(integer) - int(width)), int(width) - (not sign)
            assert all((w / step).is_integer() for w in weights)
            assert not all((w / step / 2).is_integer() for w in weights)
            low, high = min(weights) / step, max(weights) / step
            assert (0 if sign else -(2**bits)) <= low and high <= 2**bits - 1
            assert (not sign and low < -(2 ** (bits - 1))) or high > 2 ** (bits - 1) - 1
    groups = [{**group, "Precision": {"weight": "ap_fixed<2,1>"}}]
    with pytest.raises(UsageError, match="is the model's own"):
        schedules(layer, UNROLLED, groups)


def test_a_configuration_of_hls4mls_own_will_do(model: Any, tmp_path: Path) -> None:
    """With ``auto`` the input gets the type that no quantizer notices."""
    import hls4ml

    assert flow.__getattr__("hls") is flow.hls
    flow.hls.register()
    x = np.random.default_rng(2).normal(0, 3, (50, 5))
    config = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
    project = hls4ml.converters.convert_from_keras_model(
        model, output_dir=str(tmp_path / "p"), backend="Vitis", hls_config=config
    )
    assert (
        str(project.get_input_variables()[0].type.precision)
        .replace("fixed", "ap_fixed")
        .startswith(flow.hls4ml_config(model)["LayerType"]["Input"]["Precision"]["result"].split(",AP")[0])
    )
    project.compile()
    assert np.array_equal(project.predict(x), np.asarray(model(x), np.float64))
    for granularity in ("type", "model"):
        hls4ml.utils.config_from_keras_model(model, granularity=granularity, backend="Vivado")


# hls4ml leaves files of this back end open.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_dropout_between_layers_leaves_no_trace(tmp_path: Path) -> None:
    import hls4ml
    import keras

    from keras_models import NMPDense, NMPInputQuantizer

    flow.hls.register()
    layers = [NMPInputQuantizer(), NMPDense(3, activation="relu"), keras.layers.Dropout(0.2), NMPDense(2)]
    project = hls4ml.converters.convert_from_keras_model(
        (model := keras.Sequential([keras.Input((4,)), *layers])), output_dir=str(tmp_path / "p"),
        backend="VivadoAccelerator", part="xc7z020clg400-1", hls_config=flow.hls4ml_config(model),
    )  # fmt: skip
    assert [n.class_name for n in project.get_layers()] == ["Input", "NMPQuantize", *["NMPGroupedDense"] * 2]
    project.compile()
    x = np.random.default_rng(3).normal(0, 3, (50, 4))
    assert np.array_equal(project.predict(x), np.asarray(model(x), np.float64))


@pytest.mark.parametrize("backend", ["Quartus", "Catapult", "oneAPI"])
def test_a_back_end_without_our_templates_is_refused_with_the_way_out(model: Any, tmp_path: Path, backend: str) -> None:
    """hls4ml itself would write a project without these layers, and say nothing."""
    import hls4ml

    flow.hls.register()
    with pytest.raises(ModelError, match=f"not for {backend}; python -m flow.hls_stock --backend {backend}"):
        hls4ml.converters.convert_from_keras_model(model, output_dir=str(tmp_path / "p"), backend=backend)


def test_a_grouped_layer_after_a_foreign_one_is_refused(tmp_path: Path) -> None:
    import hls4ml
    import keras

    from keras_models import NMPDense

    flow.hls.register()
    layers = [keras.layers.Input((4,)), keras.layers.Dense(3, name="plain"), NMPDense(2, name="ours")]
    with pytest.raises(ModelError, match=r"layer ours follows layer plain .*put a quantizer between"):
        hls4ml.converters.convert_from_keras_model(
            keras.Sequential(layers), output_dir=str(tmp_path / "p"), backend="Vitis",
            hls_config={"Model": {"Precision": "ap_fixed<16,6>", "ReuseFactor": 1}},
        )  # fmt: skip


def test_a_files_name_is_no_model() -> None:
    with pytest.raises(ModelError, match=r"m\.keras is a file's name.*load_model"):
        flow.hls4ml_config("m.keras")
