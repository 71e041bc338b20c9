"""Models of any graph become a chain of layers that equals Keras: branches, joins, shared layers, models inside."""

from __future__ import annotations

import copy
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

with warnings.catch_warnings():  # third-party imports warn about their own dependencies
    warnings.simplefilter("ignore")
    import keras
    import qkeras

from flow.bench.vectors import off_grid
from flow.core.errors import DataError, ModelError
from flow.core.passes.widths import widths
from flow.core.ports import Port, ports
from flow.emit.rtl.verilog import port_lines
from flow.extract import compare_with_keras, extract, float32_exactness, keras_outputs, load_model, stored_model
from flow.extract import graph as graph_module
from flow.extract.graph_spec import graph_spec
from flow.extract.hgq_layers import HGQQuantizer
from flow.extract.stored_graph import is_path
from flow.extract.test_data import Preparation, fit_test_part
from keras_models.data import loaders

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
L = keras.layers


def bits(width: int, integer: int):
    return qkeras.quantized_bits(width, integer, alpha=1)


def quantized(tensor, width=6, integer=3, name=None):
    return qkeras.QActivation(bits(width, integer), name=name)(tensor)


def dense(units: int, name: str | None = None, **settings):
    return qkeras.QDense(units, kernel_quantizer=bits(4, 0), bias_quantizer=bits(4, 1), name=name, **settings)


def with_weights(model, random):
    """Random weights for all layers, those of models inside too."""
    for variable in model.weights:
        if variable.name in ("kernel", "bias"):
            variable.assign(random.normal(0, 0.7, variable.shape))
    return model


def random_graph(seed: int) -> keras.Model:
    """One to three inputs, a dozen layers and operations on whatever is there, one to three outputs."""
    random = np.random.default_rng(seed)
    inputs = [keras.Input((int(random.integers(1, 5)),), name=f"in{i}") for i in range(random.integers(1, 4))]
    pool = [quantized(t, int(random.integers(3, 7)), 2) for t in inputs]
    shared: dict[int, keras.layers.Layer] = {}
    for _ in range(random.integers(3, 12)):
        x = pool[random.integers(len(pool))]
        same = [t for t in pool if t.shape == x.shape]
        pool.append(grown(random, x, same[random.integers(len(same))], pool[0], shared))
        if random.random() < 0.5:  # keeps sums short
            pool[-1] = quantized(pool[-1])
    outputs = [pool[i] for i in random.permutation(len(pool))[: random.integers(1, 4)]]
    return with_weights(keras.Model(inputs, [dense(2, "end")(quantized(pool[-1])), *outputs]), random)


def grown(random, x, y, first, shared):
    """What a random layer or operation makes of ``x``, and of ``y`` of the same shape."""
    n, units, width = x.shape[1], int(random.integers(1, 5)), int(random.integers(3, 7))
    return [
        lambda: dense(units)(x),
        lambda: shared.setdefault(n, dense(n))(x),
        lambda: L.Add()([x, y]),
        lambda: L.Subtract()([x, y]),
        lambda: L.Average()([x, y]),
        lambda: x - y * 0.5,
        lambda: x * 2.0 + 0.75,
        lambda: x * 3.0,
        lambda: -x,
        lambda: L.Concatenate()([x, first]),
        lambda: x[:, : max(n - 1, 1)],
        lambda: x[:, ::-1],
        lambda: quantized(x, width),
        lambda: qkeras.QActivation(qkeras.quantized_relu(4, 2))(x),
        lambda: L.Activation("relu")(x),
        lambda: quantized(L.Activation("relu")(x), 5),
        lambda: L.Flatten()(L.Permute((2, 1))(L.Reshape((n, 1))(x))),
        lambda: quantized(normed(random)(x)),
        lambda: normed(random)(quantized(x, 4)),
        lambda: quantized(L.Activation("tanh")(quantized(x, 4)), 4, 1),
        lambda: qkeras.QActivation(qkeras.binary(alpha=1))(x),
        lambda: qkeras.QDense(units, kernel_quantizer=bits(4, 0))(quantized(x, 4)),
    ][random.integers(22)]()


def normed(random):
    """A normalization with scales that are no powers of two."""
    initial = keras.initializers.RandomUniform(0.5, 2, seed=int(random.integers(1 << 20)))
    return L.BatchNormalization(moving_variance_initializer=initial, beta_initializer=initial)


def compared(model, seed: int = 0, rows: int = 150, exact: bool = True):
    """The model's design, after Keras, whole and layer by layer, agreed with it on rows on and off its input grids."""
    design = widths(extract(model))
    random = np.random.default_rng(seed)
    inputs = random.normal(0, 3, (rows, len(design.inputs))).astype(np.float32)
    inputs = np.concatenate([inputs, off_grid(design.inputs, rows, seed)])
    result = compare_with_keras(model, design, inputs)
    assert result.mismatches == 0, (seed, result)
    if exact and not float32_exactness(design):
        found = keras_outputs(model, inputs, design, exact=True)
        assert np.array_equal(keras_outputs(model, inputs, design), found), seed
    return design


def test_random_graphs_equal_keras():
    refused, carried = 0, 0
    for seed in range(9):
        try:
            design = compared(random_graph(seed), seed, 60, seed % 5 == 0)
        except ModelError as exc:
            assert "float32" in str(exc), (seed, exc)
            refused += 1
            continue
        carried += any("pass through" in note for note in design.source["notes"])
    assert refused < 3 and carried > 3, (refused, carried)


def test_a_planted_fault_of_what_is_carried_is_seen(monkeypatch):
    def shifted(places, inputs, outputs):
        chain = kept(places, inputs, outputs)
        first = chain.layers[0]
        neurons = [
            replace(n, weights=n.weights[1:] + n.weights[:1]) if n.weight_bits == 1.58 else n for n in first.neurons
        ]
        return replace(chain, layers=(replace(first, neurons=tuple(neurons)), *chain.layers[1:]))

    kept = graph_module.chained
    model = residual()
    compared(model, exact=False)
    monkeypatch.setattr(graph_module, "chained", shifted)
    with pytest.raises(AssertionError):
        compared(model, exact=False)


def residual() -> keras.Model:
    """A residual block between a quantizer and two heads, one of them a softmax."""
    random = np.random.default_rng(3)
    entry = keras.Input((5,), name="features")
    x = quantized(entry, name="q")
    h = dense(5, "inner")(qkeras.QActivation(qkeras.quantized_relu(4, 2), name="r")(dense(6, "outer")(x)))
    y = quantized(L.Add(name="plus")([x, h]), name="q2")
    return with_weights(keras.Model(entry, [dense(3, "scores", activation="softmax")(y), dense(1, "level")(y)]), random)


def test_a_residual_block_takes_no_layer_for_its_sum():
    design = compared(residual())
    assert [layer.name for layer in design.layers] == ["outer", "inner", "scores_level"]
    assert design.source["ports"] == {"inputs": [["features", 5]], "outputs": [["scores", 3], ["level", 1]]}
    assert ports(design, "outputs") == (Port("scores", 0, 3), Port("level", 3, 1))
    lines = port_lines(design)
    bits = [f.bits for f in design.output_formats]
    assert f"out_data[{sum(bits[:3]) - 1}:0] is scores, out_data[{sum(bits) - 1}:{sum(bits[:3])}] is level" in lines
    assert "layer plus is added up inside layer inner" in design.source["notes"]
    assert any("scores (columns 0 to 2), level (column 3)" in note for note in design.source["notes"])
    carried = [label for label in design.source["neurons"]["outer"] if label.startswith("features")]
    assert carried == [f"features[{i}]" for i in range(5)]


def test_a_class_is_of_one_output():
    design = extract(residual())
    with pytest.raises(ModelError, match="--head argmax is for models of one output"):
        extract(residual(), head="argmax")
    dataset = loaders.load_dataset("digits")
    with pytest.raises(DataError, match=r"the model has 2 outputs \(scores, level\)"):
        fit_test_part(dataset, Preparation(), design)


def wrapping(tensor, *form):
    """A quantizer that wraps: sign, width and fraction bits."""
    layer = HGQQuantizer("TRN", "WRAP")
    found = layer(tensor)
    layer.set_weights([np.array([part]) for part in form])
    return found


def test_quantizers_that_wrap_on_several_branches():
    random = np.random.default_rng(6)
    entry = keras.Input((4,))
    x = wrapping(entry, 1, 6, 3)
    h = L.Activation("relu")(wrapping(dense(4)(x), 1, 5, 2))
    again = wrapping(wrapping(dense(4)(x), 1, 5, 3), 0, 4, 1)
    y = wrapping(L.Add()([x, h]), 1, 5, 1)
    model = keras.Model(entry, [dense(2)(L.Concatenate()([y, again])), wrapping(h, 1, 3, 1)])
    compared(with_weights(model, random))


def test_what_a_relu_leaves_may_wrap_to_negative_numbers():
    """A function of sums of such values is asked about negative ones, too."""
    entry = keras.Input((4,))
    wrapped = wrapping(L.Activation("relu")(dense(4)(wrapping(entry, 1, 6, 3))), 1, 4, 3)
    curve = qkeras.QActivation(qkeras.quantized_tanh(5, use_real_tanh=True))(dense(3)(wrapped))
    model = with_weights(keras.Model(entry, [curve, wrapped]), np.random.default_rng(0))
    design = compared(model)
    assert "RELU_WRAP" in {n.output.overflow for layer in design.layers for n in layer.neurons if n.output}


def nested() -> keras.Model:
    """A model inside, called twice, and a Sequential one; an image as input."""
    random = np.random.default_rng(5)
    entry = keras.Input((4,))
    inner = keras.Model(entry, qkeras.QActivation(qkeras.quantized_relu(4, 1), name="act")(dense(4, "dense")(entry)))
    inner.name = "block"
    other = keras.Sequential(
        [keras.Input((4,)), dense(4, "dense"), qkeras.QActivation(bits(4, 1), name="q")], name="seq"
    )
    image = keras.Input((2, 2), name="image")
    x = L.Flatten(name="flat")(L.Permute((2, 1), name="turn")(quantized(image, name="q_in")))
    z = L.Average(name="mean")([x, other(inner(inner(x)))])
    return with_weights(keras.Model(image, dense(3, "end")(quantized(z, 8, 4, name="q_mean"))), random)


@pytest.mark.parametrize("make", [residual, nested, lambda: random_graph(4)], ids=["residual", "nested", "random"])
def test_files_of_all_forms_give_the_same_design(make, tmp_path):
    model = make()
    design = compared(model, rows=60, exact=False)
    model.save(tmp_path / "m.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "m.h5")
    model.save_weights(tmp_path / "m.weights.h5")
    (tmp_path / "m.json").write_text(model.to_json())
    apart = stored_model.read(tmp_path / "m.json", tmp_path / "m.weights.h5")
    for file in (tmp_path / "m.keras", tmp_path / "m.h5", apart):
        found = widths(extract(load_model(file)))
        assert [layer.neurons for layer in found.layers] == [layer.neurons for layer in design.layers]
        assert found.inputs == design.inputs


def old_functional() -> dict:
    """Operations on tensors as Keras 2 stored them; its two branches are added up."""

    def layer(kind, name, config, inbound):
        return {"class_name": kind, "config": {"name": name, **config}, "name": name, "inbound_nodes": inbound}

    quantizer = {"class_name": "quantized_bits", "config": {"bits": 4, "integer": 1, "alpha": 1}}
    own = {"units": 3, "kernel_quantizer": quantizer, "bias_quantizer": quantizer}
    part = {"slice_spec": [{"start": None, "stop": None, "step": None}, {"start": 1, "stop": 4, "step": None}]}
    layers = [
        layer("InputLayer", "x", {"batch_input_shape": [None, 4]}, []),
        layer("QActivation", "q", {"activation": "quantized_bits(6,2,alpha=1)"}, [[["x", 0, 0, {}]]]),
        layer("QDense", "d", own, [[["q", 0, 0, {}]]]),
        layer("SlicingOpLambda", "cut", {"function": "__operators__.getitem"}, [["q", 0, 0, part]]),
        layer(
            "TFOpLambda", "twice", {"function": "math.multiply"}, [["_CONSTANT_VALUE", -1, 2.0, {"y": ["cut", 0, 0]}]]
        ),
        layer(
            "TFOpLambda", "sum", {"function": "__operators__.add"}, [["d", 0, 0, {"y": ["twice", 0, 0], "name": None}]]
        ),
        layer("TFOpLambda", "both", {"function": "concat"}, [[["sum", 0, 0, {"axis": 1}], ["q", 0, 0, {"axis": 1}]]]),
    ]
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["both", 0, 0]]}
    return {"class_name": "Functional", "config": {"name": "old", "layers": layers, **ends}}


def test_operations_as_keras_2_stored_them():
    random = np.random.default_rng(7)
    weights = {"d": (random.normal(0, 0.7, (4, 3)).astype(np.float32), np.zeros(3, np.float32))}
    stored = stored_model.StoredModel(Path("old.h5"), old_functional(), weights, "h5", "2.15.0", None)
    model = load_model(stored)
    x = model.layers[1](keras.ops.convert_to_tensor(random.normal(0, 2, (50, 4)).astype(np.float32)))
    d = next(layer for layer in model.layers if layer.name == "d")
    expected = np.concatenate([np.asarray(d(x)) + 2 * np.asarray(x)[:, 1:4], np.asarray(x)], axis=1)
    design = compared(model)
    assert np.array_equal(keras_outputs(model, np.asarray(x), design), expected)
    assert [layer.name for layer in design.layers] == ["d"]


def fork(change):
    """A small model whose signal ``change`` joins with a second one."""
    entry = keras.Input((3,), name="entry")
    x = quantized(entry)
    return keras.Model(entry, dense(2, "end")(quantized(change(x, dense(3, "d")(x), entry))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y, _: L.Multiply(name="m")([x, y]), r"layer m \(Multiply\) multiplies 2 signals"),
        (lambda x, y, _: L.Maximum(name="m")([x, y]), r"layer m \(Maximum\) takes 2 signals together"),
        (lambda x, y, _: x * 0.3, r"element 0: 0.3\d* is no short binary fraction; choose a power of two"),
        (lambda x, y, _: x + L.Softmax(name="s")(y), "layer s: a softmax is only possible at the end"),
        (lambda x, y, e: x + quantized(e, 3, 1, "other"), "layer other quantizes entry.0. otherwise"),
        (lambda x, y, e: y + dense(3, "raw")(e), "no quantizer comes before the first dense layer"),
        (lambda x, y, _: keras.ops.sin(x), "layer sin.* is of type Sin"),
    ],
)
def test_what_cannot_be_joined_is_refused_by_name(change, words):
    with pytest.raises(ModelError, match=words):
        extract(fork(change))


def test_inputs_that_a_model_does_not_quantize_take_the_stated_format():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    model = with_weights(keras.Model([a, b], dense(2)(L.Concatenate()([quantized(a), b]))), np.random.default_rng(0))
    design = widths(extract(model, input_format="s5.2"))
    assert [str(f) for f in design.input_formats] == ["s6.2", "s6.2", "s5.2", "s5.2"]
    inputs = np.random.default_rng(1).normal(0, 3, (100, 4)).astype(np.float32)
    assert compare_with_keras(model, design, inputs).mismatches == 0
    with pytest.raises(ModelError, match="quantizes its inputs itself"):
        extract(residual(), input_format="s5.2")


def test_mutated_graphs_end_in_a_model_or_one_line():
    from test_extract_files import mutate

    random = np.random.default_rng(1)
    values = [None, -1, 10**12, 1.5, float("nan"), "x" * 300, [], {}, [[]], {"class_name": "Lambda"}, True, ["q", 0, 0]]
    sources = [old_functional(), json.loads(nested().to_json()), json.loads(residual().to_json())]
    outcomes = [0, 0]
    for number in range(600):
        config = copy.deepcopy(sources[number % 3])
        for _ in range(random.integers(1, 4)):
            mutate(config, random, values)
        try:
            assert is_path(config) or graph_spec(config).calls
            outcomes[0] += 1
        except ModelError as exc:
            outcomes[1] += 1
            assert len(str(exc)) < 600 and "\n" not in str(exc)
    assert min(outcomes) > 60, outcomes
