"""Quantized ONNX models become exact integer designs, equal to their runtime node by node, or are refused truly."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx_models import ACCEPTED, FORMS, Graph, biased, brevitas, outcome, read, vectors

import flow
from flow.build.options import Options
from flow.build.state import ModelFile, finish
from flow.core.design import from_json, to_json
from flow.core.errors import DesignError, FlowError, ModelError, UsageError
from flow.core.evaluate import evaluate, quantize_inputs, real_inputs, real_outputs
from flow.core.saturation import saturated
from flow.core.units import input_unit, output_unit
from flow.extract.onnx import constants, reader, stored
from flow.extract.onnx.compare import compare_with_onnx, onnx_ends_in, onnx_predictions
from flow.extract.onnx.design import extract_onnx

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"
PAGE = Path(__file__).parents[1] / "docs" / "howto" / "onnx.md"
ROWS = 300
EXECUTED = [
    make for form, make in ACCEPTED.items() if "`Quant` with" in form or "`Gemm`" in form or "`Flatten`" in form
]


@pytest.mark.parametrize("name", ACCEPTED)
def test_designs_equal_the_runtime(name: str, tmp_path: Path) -> None:
    model = read(ACCEPTED[name](), tmp_path)
    design = finish(extract_onnx(model))
    found = compare_with_onnx(model, design, vectors(design, ROWS))
    assert (found.engine, found.vectors, found.mismatches, found.problems) == ("qonnx", 2 * ROWS, 0, ())
    same = re.search(r"give the same on (\d+) of", found.note)
    assert same is None or int(same[1]) > 0.9 * found.vectors  # the others meet a tie, which float32 sums round away


@pytest.mark.parametrize("make", [brevitas, *EXECUTED])
def test_nodes_one_by_one_are_what_qonnx_executes(make, tmp_path: Path) -> None:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    graph = make()
    model = read(graph, tmp_path)
    wrapped = ModelWrapper(str(tmp_path / "m.onnx")).transform(InferShapes())
    inputs = np.random.default_rng(0).normal(0, 2, (4, 8)).astype(np.float32)
    whole = [execute_onnx(wrapped, {"x": row.reshape(graph.shape)})[graph.signal].ravel() for row in inputs]
    np.testing.assert_allclose(onnx_predictions(model, inputs), whole, rtol=0, atol=1e-6)


def small() -> Graph:
    """Two inputs of four bits: every vector can be tried."""
    return Graph(2, 1).quant(0.25, 4).dense(4).norm().quant(0.15, 3, signed=0).dense(2, 0.02)


def every_vector(design):
    return real_inputs(design, np.stack(np.meshgrid(*[np.arange(q.low, q.high + 1) for q in design.inputs]), -1)
                       .reshape(-1, len(design.inputs)))  # fmt: skip


def one_sum_off(neuron, frac, step):
    """A neuron whose thresholds lie one step of its sums beside their places, of inputs with ``frac`` fraction bits."""
    own = neuron.weight_frac + frac
    finest = max(own, neuron.bias_frac)
    moved = (neuron.bias << finest - neuron.bias_frac) + (step * math.gcd(*neuron.weights) << finest - own)
    return replace(neuron, bias=moved, bias_frac=finest, accumulator=None)


def test_a_threshold_one_off_is_found_wherever_it_is(tmp_path: Path) -> None:
    model = read(small(), tmp_path)
    design = finish(extract_onnx(model))
    inputs = every_vector(design)
    assert not compare_with_onnx(model, design, inputs).mismatches
    layer = design.layers[0]
    for j, neuron in enumerate(layer.neurons):
        for step in (-1, 1):
            moved = one_sum_off(neuron, design.inputs[0].format.frac, step)
            changed = replace(layer, neurons=(*layer.neurons[:j], moved, *layer.neurons[j + 1 :]))
            found = compare_with_onnx(model, finish(replace(design, layers=(changed, *design.layers[1:]))), inputs)
            assert 0 < found.mismatches < len(inputs) and found.first_mismatch is not None, (j, step)


def test_a_weight_read_wrongly_is_found_by_the_runtimes_own_sums(tmp_path: Path, monkeypatch) -> None:
    model, own = read(small(), tmp_path), constants.Levels.mantissas

    def one_off(self, values):
        found = own(self, values)
        found[0, 0] += 1
        return found

    monkeypatch.setattr(constants.Levels, "mantissas", one_off)
    design = finish(extract_onnx(model))  # and it agrees with itself
    found = compare_with_onnx(model, design, every_vector(design))
    assert found.mismatches and found.first_mismatch is None
    assert re.match(r"layer MatMul_3, neuron 0: onnxruntime's sum is \S+, the integers' \S+", found.difference)


def test_scales_of_inputs_and_outputs_are_units_of_the_host(tmp_path: Path) -> None:
    model = read(brevitas(), tmp_path)
    design = finish(extract_onnx(model))
    assert {q.format for q in design.inputs} == {flow.core.fixed.Fixed(True, 8, 0)}
    assert input_unit(design) == np.float32(0.3367) and output_unit(design) == pytest.approx(0.07 / 7)
    assert from_json(to_json(design)).source["input_unit"] == design.source["input_unit"]
    inputs = np.random.default_rng(1).normal(0, 12, (50, 8)).astype(np.float32)
    by_hand = np.clip(np.round(inputs / np.float32(0.3367)), -127, 127)
    np.testing.assert_array_equal(quantize_inputs(design, inputs), by_hand)
    np.testing.assert_allclose(flow.evaluate(design, inputs), onnx_predictions(model, inputs), atol=1e-5)
    outputs = real_outputs(design, evaluate(design, quantize_inputs(design, inputs)))
    np.testing.assert_array_equal(outputs, flow.evaluate(design, inputs))
    assert not saturated(design, inputs).any() and saturated(design, 100 * inputs).mean() > 0.5
    for unit in (0, -1.0, "1", True, float("inf"), 0.1):
        with pytest.raises(DesignError, match="input_unit"):
            input_unit(replace(design, source={"input_unit": unit}))


def test_with_an_input_format_the_hardware_quantizes(tmp_path: Path) -> None:
    for graph in (brevitas(), Graph().quant(0.3, 4, zero=2.0).dense(3), Graph().dense(4).quant(0.2).dense(3)):
        model = read(graph, tmp_path)
        design = finish(extract_onnx(model, "s12.6"))
        assert input_unit(design) == 1 and str(design.inputs[0].format) == "s12.6" and len(design.layers) > 1
        assert not compare_with_onnx(model, design, vectors(design, ROWS)).mismatches
    with pytest.raises(ModelError, match="the model quantizes its inputs itself; leave the input format out"):
        extract_onnx(read(Graph().quant(0.25).dense(3), tmp_path), "s12.6")


@pytest.mark.parametrize("kind", ["Softmax", "Sigmoid", "Tanh", "ArgMax", "TopK", "Softmax ArgMax"])
def test_endings_are_left_out(kind: str, tmp_path: Path) -> None:
    graph = brevitas(outputs=4)
    if kind == "TopK":
        graph.constants.append(reader.numpy_helper.from_array(np.array([1], np.int64), "k"))
        graph.then("TopK", "k", outputs=2)
        graph.signal = graph.signal.replace("_0", "_1")  # the places, not the values
    else:
        for one in kind.split():
            graph.then(one, **({"axis": 1} if one == "ArgMax" else {}))
    model = read(graph, tmp_path)
    for head in ("logits", "argmax"):
        design = finish(replace(extract_onnx(model), head=head))
        assert not compare_with_onnx(model, design, vectors(design, ROWS)).mismatches
    name = graph.nodes[-1].name
    assert any(name in n and "is left out: the design ends in its logits" in n for n in design.source["notes"])
    assert onnx_ends_in(model) == (None if kind in ("ArgMax", "TopK") else kind.split()[0].lower())
    if kind in ("Sigmoid", "Tanh"):
        design = finish(extract_onnx(model, head="probability"))
        assert not compare_with_onnx(model, design, vectors(design, ROWS)).mismatches
    else:
        with pytest.raises(ModelError, match="probability"):
            extract_onnx(model, head="probability")


@pytest.mark.parametrize("section", FORMS)
def test_forms_become_what_the_page_says(section: str, tmp_path: Path) -> None:
    text = PAGE.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| (?!form |---)(.*?) \| (.*) \|$", text, re.MULTILINE))
    found = {form: outcome(make, tmp_path) for form, make in FORMS[section].items()}
    assert found == rows
    assert all(line.startswith("exact" if section == "What is exact" else "refused: ") for line in found.values())
    assert not any("Keras" in line or "\n" in line for line in found.values())


def test_shapes_that_are_not_fixed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the shape \[1, None\] of its input is not fixed; export it with a"):
        read(Graph(shape=(1, "n")).quant(), tmp_path)


def test_without_the_extra_a_line_names_it(tmp_path: Path, monkeypatch) -> None:
    path = brevitas().save(tmp_path)
    monkeypatch.setattr(stored.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs the packages onnx and qonnx: pip install 'nmp-flow\[onnx\]'"):
        ModelFile(path).extracted()


def test_layers_of_onnx_models_are_not_built_by_themselves(tmp_path: Path) -> None:
    path = brevitas().save(tmp_path)
    with pytest.raises(UsageError, match="--layer is for Keras models"):
        Options.of(path, layer="all")


def test_a_build_says_which_runtime_it_was(tmp_path: Path) -> None:
    graph = biased(Graph().quant(0.1, 6), 4).then("Relu").quant(0.2, 3, signed=0).dense(2, 0.02, 6)
    path, random = graph.save(tmp_path), np.random.default_rng(0)
    rows = random.normal(0, 1, (60, 8))
    np.savez(tmp_path / "d.npz", X=rows, y=(rows[:, 0] > 0).astype(int), split=np.arange(60) % 3)
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "flow.build", "--model", path, "--data", tmp_path / "d.npz", "--out", out, "--engines",
         "integer", "--vectors", "100"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert list(report["verification"]) == ["integer", "qonnx"]  # sorted in the file
    assert not any(engine["mismatches"] for engine in report["verification"].values())
    assert report["score"]["value"] == report["keras_score"]["value"]
    assert "ONNX model against integers: done" in done.stdout
    assert "accuracy of the ONNX model on the same rows" in done.stdout and "Keras" not in done.stdout
    page = (out / "report.html").read_text()
    assert "ONNX model" in page and "Keras model" not in page
    again = flow.load_design(out)
    np.testing.assert_array_equal(flow.evaluate(again, rows), flow.evaluate(flow.load_design(path), rows))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collection of published models is not at ../shared/models")
def test_the_keyword_spotter_of_mlperf_tiny_is_exact() -> None:
    file = ModelFile(SHARED / "kws_w3a3_qonnx.onnx")
    design = finish(file.extracted())
    assert [len(layer.neurons) for layer in design.layers] == [256, 256, 256, 12]
    found = compare_with_onnx(file.onnx, design, vectors(design, 60))
    assert (found.mismatches, found.problems) == (0, ())


DAMAGE = {
    "nan": lambda a: np.full_like(a, np.nan), "infinite": lambda a: np.full_like(a, np.inf), "zero": np.zeros_like,
    "negative": lambda a: -a, "huge": lambda a: np.full_like(a, 3e38), "tiny": lambda a: np.full_like(a, 1e-42),
    "empty": lambda a: a.reshape(-1)[:0], "longer": lambda a: np.concatenate([a.reshape(-1)] * 3),
    "of another rank": lambda a: a[None, None],
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_constants_are_refused_or_change_nothing(damage: str, tmp_path: Path) -> None:
    """Whatever a constant becomes, the model is refused in a line, or its design equals what the runtime does then."""
    model, refused = read(brevitas(), tmp_path), 0
    for name, array in model.constants.items():
        other = replace(model, constants={**model.constants, name: np.asarray(DAMAGE[damage](array), np.float32)})
        try:
            design = finish(extract_onnx(other))
        except FlowError as exc:
            assert "\n" not in str(exc)
            refused += 1
            continue
        assert not compare_with_onnx(other, design, vectors(design, 10)).mismatches, name
    assert refused or damage in ("negative", "of another rank")
