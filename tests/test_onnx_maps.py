"""QONNX networks of convolutions become streamed designs, equal to their runtime, or are refused truly."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx_maps import ACCEPTED, FORMS, Maps, lenet, residual
from onnx_models import outcome, read, vectors

import flow
from flow.bench.vectors import make_vectors
from flow.build.images import turned
from flow.build.options import Options
from flow.build.quantization import QuantizedFile
from flow.build.state import ModelFile, finish
from flow.core.design import from_json, to_json
from flow.core.errors import ModelError
from flow.core.evaluate import evaluate, real_inputs
from flow.extract import compare_with_keras
from flow.extract.float_model import float_chain
from flow.extract.onnx.compare import compare_with_onnx, onnx_ends_in, onnx_predictions
from flow.extract.onnx.design import extract_onnx
from flow.extract.test_data import Preparation
from keras_models.data.loaders import load_dataset

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras' own, of NumPy
PAGE = Path(__file__).parents[1] / "docs" / "howto" / "onnx.md"
ROWS = 60


@pytest.mark.parametrize("name", ACCEPTED)
def test_designs_equal_the_runtime(name: str, tmp_path: Path) -> None:
    model = read(ACCEPTED[name](), tmp_path)
    design = finish(extract_onnx(model))
    assert design.nodes and from_json(to_json(design)) == design
    assert len(np.unique(evaluate(design, make_vectors(design, ROWS)))) > 2
    found = compare_with_onnx(model, design, vectors(design, ROWS))
    assert (found.engine, found.vectors, found.mismatches, found.problems) == ("qonnx", 2 * ROWS, 0, ())
    same = re.search(r"give the same on (\d+) of", found.note)
    assert same is None or int(same[1]) > 0.7 * found.vectors  # the others meet a tie, which float32 sums round away


@pytest.mark.parametrize("name", [name for name in ACCEPTED if "ArgMax" not in name])
def test_rows_with_channels_last_are_what_qonnx_makes_of_channels_first(name: str, tmp_path: Path) -> None:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    graph = ACCEPTED[name]()
    model = read(graph, tmp_path)
    wrapped = ModelWrapper(str(tmp_path / "m.onnx")).transform(InferShapes())
    images = np.random.default_rng(0).normal(0, 1, (4, *graph.shape[1:])).astype(np.float32)
    whole = np.concatenate([execute_onnx(wrapped, {"x": image[None]})[graph.signal] for image in images])
    found = onnx_predictions(model, np.moveaxis(images, 1, -1))
    np.testing.assert_allclose(found, np.moveaxis(whole, 1, -1).reshape(4, -1), rtol=0, atol=1e-6)


def _other_bias(design):
    *before, last = design.layers
    neurons = (replace(last.neurons[0], bias=last.neurons[0].bias + 1), *last.neurons[1:])
    return replace(design, layers=(*before, replace(last, neurons=neurons)))


def _turned_window(design):
    number, node = next((k, n) for k, n in enumerate(design.nodes) if n.window.padded[:1] == ((1, 1),))
    window = replace(node.window, padded=((2, 0), (1, 1)))
    return replace(design, nodes=(*design.nodes[:number], replace(node, window=window), *design.nodes[number + 1 :]))


@pytest.mark.parametrize("change", [_other_bias, _turned_window])
def test_a_design_that_is_another_is_found(change, tmp_path: Path) -> None:
    model = read(residual(), tmp_path)
    right, wrong = extract_onnx(model), change(extract_onnx(model))
    forgotten = tuple(
        replace(layer, neurons=tuple(replace(n, accumulator=None) for n in layer.neurons)) for layer in wrong.layers
    )
    found = compare_with_onnx(model, finish(replace(wrong, layers=forgotten)), vectors(finish(right), ROWS))
    assert found.mismatches and not found.problems


def test_a_window_that_is_not_the_nodes_is_found(tmp_path: Path, monkeypatch) -> None:
    """Were pads read in the wrong order, extraction and exact numbers would agree with each other, not the runtime."""
    from flow.extract.onnx import windows

    right = windows.pairs_of
    monkeypatch.setattr(windows, "pairs_of", lambda where, pads, n: tuple(p[::-1] for p in right(where, pads, n)))
    graph = Maps().quant().conv(2, pads=[1, 0, 0, 1]).quant(0.2).conv(1, (2, 2))
    model = read(graph, tmp_path)
    design = finish(extract_onnx(model))
    found = compare_with_onnx(model, design, vectors(design, ROWS))
    assert found.mismatches and "onnxruntime's sum is" in found.problems[0]


def _random(seed: int) -> Maps:
    """Up to four convolutions, pools, repeated pixels and joined branches over a small image."""
    rng = np.random.default_rng(seed)
    graph = Maps((int(rng.integers(1, 4)), int(rng.integers(5, 8)), int(rng.integers(5, 8))), seed)
    graph = graph.quant(0.3, 4)
    for _ in range(rng.integers(1, 4)):
        groups = graph.channels if rng.random() < 0.3 else 1
        size = [int(k) for k in rng.integers(1, 4, 2)]
        pads = [int(rng.integers(0, k)) for k in size * 2]
        before, channels = graph.signal, graph.channels
        if rng.random() < 0.3:
            size, pads, groups = [3, 3], [1, 1, 1, 1], 1
        count = channels if pads == [1, 1, 1, 1] else groups * int(rng.integers(1, 3))
        graph = graph.conv(count, size, float(rng.uniform(0.05, 0.1)), group=groups, pads=pads)
        graph = (graph.norm() if rng.random() < 0.5 else graph).quant(float(rng.choice([0.15, 0.3, 0.6])), 4)
        if pads == [1, 1, 1, 1] and size == [3, 3]:
            kind = str(rng.choice(["Add", "Sub", "Sum", "Concat"]))
            graph.signal = graph.node(kind, graph.signal, before, **({"axis": 1} if kind == "Concat" else {}))
            graph.channels *= 1 + (kind == "Concat")
            if kind == "Concat" and rng.random() < 0.5:
                continue  # a convolution on values of several scales
        graph = graph.then("Relu").quant(0.3, 4)
        if rng.random() < 0.3:
            graph = graph.then("MaxPool", kernel_shape=[2, 1])
        if rng.random() < 0.2:
            graph = graph.then("Resize", "", np.array([1.0, 1.0, 1.0, 2.0]), mode="nearest")
    return graph.then(str(rng.choice(["GlobalMaxPool", "GlobalAveragePool"]))).quant(0.2, 4)


@pytest.mark.parametrize("seed", range(16))
def test_random_networks_are_exact(seed: int, tmp_path: Path) -> None:
    model = read(_random(seed), tmp_path)
    design = finish(extract_onnx(model))
    found = compare_with_onnx(model, design, vectors(design, 30))
    assert (found.mismatches, found.problems) == (0, ())


@pytest.mark.parametrize("section", FORMS)
def test_forms_become_what_the_page_says(section: str, tmp_path: Path) -> None:
    text = PAGE.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| (?!form |---)(.*?) \| (.*) \|$", text, re.MULTILINE))
    found = {form: outcome(make, tmp_path) for form, make in FORMS[section].items()}
    assert found == rows
    assert all(line.startswith("exact" if section.endswith("exact") else "refused: ") for line in found.values())
    assert not any("Keras" in line or "\n" in line for line in found.values())


def test_pools_before_quantizers_take_no_layer(tmp_path: Path) -> None:
    design = finish(extract_onnx(read(lenet(), tmp_path)))
    kinds = [node.kind for node in design.nodes]
    assert kinds[:3] == ["dense", "max", "dense"]
    assert [q.format.bits for q in design.spans(1)] == [3] * 4  # the pool sees what the quantizer makes


def test_an_input_format_may_be_given(tmp_path: Path) -> None:
    graph = Maps().conv(3).then("Relu").quant(0.137, 3, signed=0).flat(36).dense(2)
    model = read(graph, tmp_path)
    with pytest.raises(ModelError, match="state the inputs' format with --input-format"):
        extract_onnx(model)
    design = finish(extract_onnx(model, "s6.4"))
    assert not compare_with_onnx(model, design, vectors(design, ROWS)).mismatches


def test_softmax_is_left_out_and_probabilities_are_refused(tmp_path: Path) -> None:
    model = read(ACCEPTED["`Softmax` behind a flattened map"](), tmp_path)
    assert onnx_ends_in(model) == "softmax"
    assert any("softmax of layer Softmax_9 is left out" in note for note in extract_onnx(model).source["notes"])
    with pytest.raises(ModelError, match="--head probability is not made for streamed networks"):
        extract_onnx(model, head="probability")


def test_architectures_that_are_not_made_are_refused(tmp_path: Path) -> None:
    file = ModelFile(lenet().save(tmp_path))
    with pytest.raises(ModelError, match="convolutions and branches of ONNX models are streamed, not unrolled"):
        file.extracted(form="unrolled")
    dense = ModelFile(Maps((2,)).quant().dense(2).save(tmp_path, "dense.onnx"))
    with pytest.raises(
        ModelError, match="is one path of dense layers, which is not streamed; leave --architecture streaming out"
    ):
        dense.extracted(form="streamed")


def _float_convolutions(stride=1, pads=(1, 1, 1, 1), groups=1):
    graph, draw = Maps(), np.random.default_rng(1)
    graph = graph.then("Conv", draw.normal(0, 0.3, (4, 2 // groups, 3, 3)), draw.normal(0, 0.3, 4), pads=list(pads),
                       strides=[stride, stride], group=groups)  # fmt: skip
    graph.width = 4
    graph = graph.norm().then("Relu").then("MaxPool", kernel_shape=[2, 2], strides=[1, 1])
    graph = graph.then("Conv", draw.normal(0, 0.3, (3, 4, 1, 1))).then("Relu")
    return graph.then("AveragePool", kernel_shape=[2, 1])


def _float_flat(**settings):
    graph = _float_convolutions(**settings)
    rows, columns = (4, 4) if settings.get("stride", 1) == 1 else (1, 2)
    draw = np.random.default_rng(2)
    return graph.then("Flatten").then("Gemm", draw.normal(0, 0.3, (3, 3 * rows * columns)), draw.normal(0, 1, 3),
                                      transB=1)  # fmt: skip


FLOATS = {
    "pads of both sides": _float_flat,
    "strides with the pads of PyTorch": lambda: _float_flat(stride=2),
    "groups": lambda: _float_flat(groups=2),
    "one side": lambda: _float_convolutions(pads=(2, 1, 0, 1)).then("GlobalAveragePool").then("Flatten"),
    "a map at the end": _float_convolutions,
}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", FLOATS)
def test_chains_of_float_convolutions_are_onnxruntimes(name: str, streams: bool, tmp_path: Path) -> None:
    import onnxruntime

    path = FLOATS[name]().save(tmp_path)
    chain = float_chain(path, streams)
    images = np.random.default_rng(0).normal(0, 1, (5, 2, 6, 5)).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    whole = np.concatenate([session.run(None, {"x": image[None]})[0] for image in images])
    found = chain.logits(np.moveaxis(images, 1, -1).reshape(5, -1))
    np.testing.assert_allclose(found, np.moveaxis(whole, 1, -1).reshape(5, -1), rtol=0, atol=1e-5)
    assert any("channels last" in text for text in chain.notes)
    assert not streams or any(layer.windows is not None for layer in chain.layers)


def test_float_forms_that_are_no_chain_are_refused(tmp_path: Path) -> None:
    graph = _float_convolutions()
    branch = graph.then("Relu").signal
    graph.joined("Add", graph.then("Relu").signal).joined("Add", branch)
    with pytest.raises(ModelError, match="joins or takes up branches; --quantize takes one path"):
        float_chain(graph.save(tmp_path))
    padded = Maps().then("Conv", np.ones((2, 2, 3, 3))).then("Relu")
    padded = padded.then("MaxPool", kernel_shape=[2, 2], pads=[1, 0, 0, 1])
    with pytest.raises(ModelError, match="has pads that no Keras pool has; export it without"):
        float_chain(padded.save(tmp_path))
    with pytest.raises(ModelError, match="the model is quantized already; build it without --quantize"):
        float_chain(lenet().save(tmp_path))


def test_a_float_network_is_quantized_and_streamed(tmp_path: Path) -> None:
    """Data with channels first are turned; pads that Keras has not become zeros in front of a convolution."""
    path, random = FLOATS["strides with the pads of PyTorch"]().save(tmp_path), np.random.default_rng(0)
    images = random.normal(0, 1, (300, 2, 6, 5)).astype(np.float32)
    last = np.moveaxis(images, 1, -1).reshape(300, -1)
    labels = float_chain(path).logits(last).argmax(axis=1)
    np.savez(tmp_path / "d.npz", X=images, y=labels, split=np.arange(300) % 3)
    dataset, told = turned(ModelFile(path), load_dataset(str(tmp_path / "d.npz")))
    assert [remark.text for remark in told] == [
        "data d: its images have channels first and were turned to channels last"
    ]
    np.testing.assert_array_equal(dataset.X, last)
    assert turned(ModelFile(path), dataset) == (dataset, ())  # they are turned once
    options = Options.of(path, quantize=True, architecture="streaming")
    file = QuantizedFile(options, dataset, Preparation())
    design = file.design(options)
    assert [node.window.padded for node in design.nodes if node.window.is_padded] == [((1, 1), (1, 1))]
    rows = real_inputs(design, make_vectors(design, 200))
    assert not compare_with_keras(file.keras(), design, rows).mismatches
    found = flow.evaluate(design, last).argmax(axis=1)
    assert (found == labels).mean() > 0.9


@pytest.mark.tool
@pytest.mark.long
def test_images_of_dense_layers_with_branches_are_turned_too(tmp_path: Path) -> None:
    """They are streamed, so that their rows have channels last, as those of convolutions have."""
    graph = Maps((2, 3, 2)).quant().flat(12).dense(4).norm().quant(0.1)
    before = graph.signal
    graph = graph.dense(4).norm().quant(0.1).joined("Add", before).quant(0.2).dense(2)
    model = ModelFile(graph.save(tmp_path))
    images = np.random.default_rng(0).normal(0, 1, (20, 2, 3, 2)).astype(np.float32)
    np.savez(tmp_path / "d.npz", X=images, y=np.arange(20) % 2, split=np.arange(20) % 3)
    dataset, told = turned(model, load_dataset(str(tmp_path / "d.npz")))
    assert len(told) == 1 and dataset.X.shape == (20, 12)
    design = finish(model.extracted())
    assert compare_with_onnx(model.onnx, design, dataset.X).mismatches == 0


def test_a_build_says_how_images_lie(tmp_path: Path, capsys) -> None:
    """The whole way to Verilog in Icarus, on images of one's own; the model's own score is the hardware's."""
    path, random = residual().save(tmp_path), np.random.default_rng(0)
    images, labels = random.normal(0, 1, (60, 6, 5, 2)), random.integers(0, 3, 60)
    np.savez(tmp_path / "d.npz", X=images.astype(np.float32), y=labels, split=np.arange(60) % 3)
    hw = flow.hardware(
        path, data=tmp_path / "d.npz", out=tmp_path / "out", engines="integer,icarus", vectors=20, verbose=True
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "the model takes images of 2 x 6 x 5 (channels first)" in said and "channels last" in said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["architecture"] == "streaming" and report["score"]["value"] == report["keras_score"]["value"]
    assert {name: e["mismatches"] for name, e in report["verification"].items()} == dict.fromkeys(
        ("integer", "qonnx", "icarus"), 0
    )
    assert "channels last" in (tmp_path / "out" / "report.html").read_text()
    np.testing.assert_allclose(
        hw.predict(images.reshape(60, -1)), onnx_predictions(ModelFile(path).onnx, images), atol=1
    )
