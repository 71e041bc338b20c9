"""Streamed networks: what Keras predicts, bit for bit, in hardware that keeps the time it states."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import replace

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

with warnings.catch_warnings():  # third-party imports warn about their own dependencies
    warnings.simplefilter("ignore")
    import keras
    import qkeras

from flow.bench.vectors import make_vectors, pack
from flow.build.options import Options
from flow.build.quantization import QuantizedFile
from flow.build.state import finish
from flow.build.streaming import stream_hardware
from flow.core.check import check
from flow.core.design import Design, Layer, Neuron, from_json, to_json
from flow.core.errors import DesignError, ModelError
from flow.core.evaluate import evaluate, real_inputs
from flow.core.fixed import Fixed, Quantizer
from flow.core.nodes import INPUT, Node, Window
from flow.emit.hls.project import emit_hls
from flow.emit.hls.schedule import HlsChoices
from flow.emit.rtl.streamed import core_rtl, emit_streamed, paces
from flow.emit.rtl.testbench import describe
from flow.extract import compare_with_keras, extract
from flow.extract.test_data import Preparation
from flow.files import plan
from flow.parallel.sites import Target
from flow.parts.catalog import resolve
from flow.streamed.cores import Solver
from flow.streamed.queues import Queued, queued
from flow.streamed.timing import timing
from flow.tools.hls_compile import self_check
from flow.verify import simulate
from flow.verify.hls import run_hls
from keras_models import NMPConv2D, NMPDense, NMPDepthwiseConv2D, NMPInputQuantizer
from tests.streamed_designs import random_design, run

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]
L = keras.layers
BITS = {"kernel_quantizer": "quantized_bits(3,0,alpha=1)", "bias_quantizer": "quantized_bits(4,1,alpha=1)"}


def relu():
    return qkeras.QActivation("quantized_relu(3,1)")


def model(kind):
    keras.utils.set_random_seed(7)
    entry = keras.Input((5, 4, 2))
    if kind == "learned":
        layers = [NMPInputQuantizer(input_bits=(0, 2, 4)), NMPConv2D(3, (2, 3), padding="same"), L.MaxPooling2D(2)]
        return keras.Sequential([entry, *layers, NMPDepthwiseConv2D(2), L.Flatten(), NMPDense(3)])
    x = qkeras.QActivation("quantized_bits(4,1,alpha=1)")(entry)
    if kind == "residual":
        x = relu()(qkeras.QConv2D(3, 3, padding="same", **BITS)(x))
        y = relu()(qkeras.QConv2D(3, (3, 2), padding="same", **BITS)(x))
        x = relu()(L.Add()([x, y]))
        x = relu()(L.Concatenate()([x, qkeras.QConv2D(2, 1, **BITS)(x)]))
    elif kind == "repeated":
        x = relu()(qkeras.QConv2D(2, 3, padding="same", **BITS)(x))
        y = L.UpSampling2D((3, 2))(L.MaxPooling2D(2)(x))
        x = L.UpSampling2D((1, 2))(qkeras.QConv2D(2, (3, 3), padding="same", **BITS)(y))
        return keras.Model(entry, x)
    elif kind == "separable":
        own = {
            "depthwise_quantizer": "quantized_bits(3,0,alpha=1)",
            "pointwise_quantizer": "quantized_bits(3,0,alpha=1)",
        }
        settings = {"strides": 2, "padding": "same", "depth_multiplier": 2, "bias_quantizer": BITS["bias_quantizer"]}
        x = qkeras.QSeparableConv2D(3, (2, 3), activation="quantized_relu(5,2)", **settings, **own)(x)
    elif kind == "depthwise":
        x = L.ZeroPadding2D(((1, 0), (0, 2)))(x)
        x = relu()(qkeras.QDepthwiseConv2D(2, depthwise_quantizer="quantized_bits(3,0,alpha=1)", use_bias=False)(x))
        x = L.AveragePooling2D(2)(x)
        x = L.MaxPooling2D(2, strides=1, padding="same")(x)
    else:
        x = qkeras.QConv2D(3, 2, strides=2, **BITS)(x)
        x = L.BatchNormalization()(x)
        x = L.MaxPooling2D(2, strides=1)(relu()(x))
    x = L.GlobalMaxPooling2D()(x) if kind == "depthwise" else L.Flatten()(x)
    made = keras.Model(entry, qkeras.QDense(3, **BITS)(x))
    for layer in made.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([np.array(w, np.float32) for w in ([1, 0.7, -2], [0.3, 0, 1], [0.1, 1, 0], [1, 0.5, 2])])
    return made


@pytest.mark.parametrize("kind", ["residual", "depthwise", "normalized", "learned", "repeated", "separable"])
def test_streamed_equals_unrolled_equals_keras(kind):
    made = model(kind)
    streamed, unrolled = (finish(extract(made, form=form)) for form in ("streamed", "unrolled"))
    assert streamed.nodes and not unrolled.nodes and from_json(to_json(streamed)) == streamed
    inputs = make_vectors(streamed, 40)
    assert compare_with_keras(made, streamed, real_inputs(streamed, inputs)).agrees
    assert np.array_equal(evaluate(streamed, inputs), evaluate(unrolled, inputs))


@pytest.mark.parametrize("seed", [2, 7, 11, 19])
def test_random_designs_are_exact_and_on_time_in_icarus(seed, tmp_path):
    assert run(seed, tmp_path) == ""


@pytest.mark.parametrize("seed", [1, 15, 51])
def test_images_of_one_or_two_pixels_with_zeros_around_them_are_on_time(seed, tmp_path):
    assert run(seed, tmp_path, (1, 2)) == ""


def branching(size=(5, 4)):
    """A map that goes through a window and around it."""
    quantizer = Quantizer.saturating(Fixed(True, 3, 0))
    rng = np.random.default_rng(5)

    def layer(name, count):
        return Layer(
            name, tuple(Neuron(tuple(map(int, rng.integers(-1, 2, count))), 0, 1.58, 1, 0, quantizer) for _ in range(2))
        )

    nodes = (
        Node("slide", "dense", (INPUT,), Window((*size, 1), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))),
        Node("join", "dense", (0, INPUT), Window.pixel((*size, 3))),
    )
    return finish(
        Design("fork", (quantizer,) * (size[0] * size[1]), (layer("slide", 9), layer("join", 3)), "logits", {}, nodes)
    )


def single_pixels():
    """Images of a pixel, which goes through two layers and around them."""
    design = branching((1, 1))
    first, last = design.nodes
    nodes = (
        replace(first, window=Window.pixel((1, 1, 1))),
        Node("more", "dense", (0,), Window.pixel((1, 1, 2))),
        replace(last, sources=(1, INPUT)),
    )
    slide, join = design.layers
    one = replace(slide, neurons=tuple(replace(n, weights=n.weights[:1]) for n in slide.neurons))
    more = Layer("more", tuple(replace(n, weights=n.weights[:2]) for n in join.neurons))
    return finish(replace(design, layers=(one, more, join), nodes=nodes))


def test_many_small_images_are_under_way_at_a_time(tmp_path):
    """Each takes a cycle, however long the way is: queues hold as many as are on it."""
    design = single_pixels()
    hardware = stream_hardware(design, resolve("xc7z020"), 10.0, None, None)
    assert hardware.rtl.initiation_interval == 1 and hardware.rtl.latency_cycles > 4
    assert simulated(design, hardware.rtl, tmp_path, 60).agrees


def simulated(design, rtl, folder, count=6):
    plan.write({f"rtl/{name}": text for name, text in rtl.files.items()}, folder)
    inputs = make_vectors(design, count)
    bench, expected = describe(design, rtl), evaluate(design, inputs)
    return simulate.run_cocotb("icarus", bench, folder, inputs, expected, folder / "sim", long_cycles=200)


def test_queues_are_as_deep_as_they_must_be(tmp_path):
    """At the bound, with one place less, and with so few that branches wait for each other: as it was calculated."""
    design, part = branching(), resolve("xc7z020")
    solver = Solver(design, part, Target(10.0, part.family))
    cores = solver.fastest()
    rtls = core_rtl(cores, 10.0)
    pace = paces(design, cores, rtls)
    found = queued(design, pace)
    assert found.timing.interval == 42  # a pixel or a zero a cycle
    skip = (INPUT, 1)
    for edge, places in found.places.items():
        less = timing(design, pace, {**found.places, edge: places - 1}) if places > 1 else None
        assert less is None or less.interval > 42
    assert simulated(design, emit_streamed(design, rtls, found), tmp_path / "bound").agrees
    places = {**found.places, skip: found.places[skip] - 1}
    slower = timing(design, pace, places)
    assert slower is not None and slower.interval > 42
    assert simulated(design, emit_streamed(design, rtls, Queued(places, slower)), tmp_path / "less").agrees
    places = {**found.places, skip: 3}
    assert timing(design, pace, places) is None
    stands = simulated(design, emit_streamed(design, rtls, Queued(places, found.timing)), tmp_path / "stands")
    assert "in_ready stayed 0" in stands.message


def test_a_lone_image_comes_on_time_in_the_native_harness(tmp_path):
    """The time of a result of many beats is that of its last one, however long the first ones were held."""
    design = branching()
    rtl = stream_hardware(design, resolve("xc7z020"), 10.0, None, None).rtl
    plan.write({f"rtl/{name}": text for name, text in rtl.files.items()}, tmp_path)
    inputs, bench = make_vectors(design, 4)[:4], describe(design, rtl)
    assert bench.out_beats > 1
    made = simulate.build_verilator(bench, tmp_path, tmp_path / "model")
    packed = pack(inputs, bench.inputs), pack(evaluate(design, inputs), bench.outputs)
    quiet = 2 * (bench.latency_cycles + bench.initiation_interval)
    rows = np.array([(0, 0, 0, 0, 0), (1, quiet, 0, 0, 0), (1, quiet, 0, 0, 5), (1, quiet, 0, 0, 0)], np.uint32)
    for off in (0, 1):
        stated = replace(bench, latency_cycles=bench.latency_cycles - off)
        found = simulate.stream_native(stated, *packed, tmp_path / f"off{off}", made, schedule=rows)
        assert found.agrees != bool(off) and (not off or "did not come after" in found.message), found


def test_a_planted_bug_is_found(tmp_path):
    design = branching()
    rtl = stream_hardware(design, resolve("xc7z020"), 10.0, None, None).rtl
    name = "stream_window.v"  # zeros below the map become what comes next
    bug = replace(rtl, files={**rtl.files, name: rtl.files[name].replace("at_row >= LOWER ||", "")})
    assert bug.files[name] != rtl.files[name] and not simulated(design, bug, tmp_path).agrees


def test_what_is_not_streamed_is_refused_in_a_line():
    entry = keras.Input((4, 4, 1))
    x = qkeras.QActivation("quantized_bits(4,1,alpha=1)")(entry)
    up = keras.Model(entry, qkeras.QConv2D(1, 1, **BITS)(L.UpSampling2D(interpolation="bilinear")(x)))
    with pytest.raises(ModelError, match="interpolation='nearest'"):
        extract(up, form="streamed")
    signed = keras.Model(entry, qkeras.QConv2D(1, 1, **BITS)(L.MaxPooling2D(2, padding="same", strides=1)(x)))
    with pytest.raises(ModelError, match="may be negative"):
        extract(signed, form="streamed")


def float_file(folder, normalized):
    keras.utils.set_random_seed(2)
    entry = keras.Input((6, 2))
    x = L.BatchNormalization()(entry) if normalized else entry
    x = L.Conv1D(3, 3, padding="same", activation="relu")(x)
    made = keras.Model(entry, L.Dense(2)(L.Flatten()(x)))
    if normalized:
        made.layers[1].set_weights([np.array(w, np.float32) for w in ([1, 2], [0.5, -1], [0, 1], [1, 1])])
    made.save(folder / "float.keras")
    return Options(folder / "float.keras", resolve("xc7z020"), folder, architecture="streaming", quantize=True)


@pytest.mark.parametrize("normalized", [False, True])  # before padding: by a layer of its own
def test_a_float_model_is_quantized_and_streamed(normalized, tmp_path):
    options = float_file(tmp_path, normalized)
    quantized = QuantizedFile(options, None, Preparation())
    design = quantized.design(options)
    assert [node.window.count for node in design.nodes] == [6, 6, 1][not normalized :]
    assert compare_with_keras(quantized.keras(), design, real_inputs(design, make_vectors(design, 30))).agrees


def test_a_float_model_without_convolutions_has_nothing_to_stream(tmp_path):
    keras.Sequential([keras.Input((6,)), L.Dense(2)]).save(tmp_path / "float.keras")
    options = Options(tmp_path / "float.keras", resolve("xc7z020"), tmp_path, architecture="streaming", quantize=True)
    with pytest.raises(ModelError, match="leave --architecture streaming out"):
        QuantizedFile(options, None, Preparation()).design(options)


def test_damaged_nodes_are_found():
    design = branching()
    slide, join = design.nodes
    for nodes in (
        (slide,),
        (slide, replace(join, sources=(5,))),
        (slide, replace(join, window=Window.pixel((5, 4, 4)))),
        (replace(slide, window=replace(slide.window, strides=(0, 1))), join),
        (replace(slide, window=replace(slide.window, shape=(20, 1))), join),
    ):
        with pytest.raises(DesignError):
            check(replace(design, nodes=nodes))
    data = json.loads(to_json(design))
    data["nodes"][0]["kind"] = "mean"
    with pytest.raises(DesignError, match="unknown kind"):
        from_json(json.dumps(data))


@pytest.mark.parametrize("kind", ["residual", "repeated"])
def test_the_hls_project_of_a_stream_computes_what_the_integers_do(kind, tmp_path):
    """Its C simulation, on streams of pixels; then with a window that forgets a row."""
    design = finish(extract(model(kind), form="streamed"))
    inputs = make_vectors(design, 60)
    files = emit_hls(design, "xc7z020clg400-1", "Vitis", 5.0, inputs[:10], chosen=HlsChoices("io_stream"))
    plan.write(files, tmp_path)
    assert np.array_equal(run_hls(design, inputs, tmp_path), evaluate(design, inputs))
    assert "PASS 10 vectors" in self_check(tmp_path / "csim" / "bench", tmp_path).text
    header = "firmware/nnet_utils/nmp_window.h"
    text = files[header].decode()
    wrong = text.replace("lines[r - 1][column][k] = above;", "lines[r - 1][column][k] = 0;")
    assert wrong != text
    plan.write({header: wrong.encode()}, tmp_path)
    assert not np.array_equal(run_hls(design, inputs, tmp_path), evaluate(design, inputs))


@pytest.mark.parametrize("seed", [3, 5, 12])
def test_random_streams_are_exact_as_hls_projects(seed, tmp_path):
    design = random_design(seed)
    inputs = make_vectors(design, 40)
    plan.write(emit_hls(design, "xc7z020clg400-1", chosen=HlsChoices("io_stream")), tmp_path)
    assert np.array_equal(run_hls(design, inputs, tmp_path), evaluate(design, inputs))
