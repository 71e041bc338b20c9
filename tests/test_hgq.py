"""Models of HGQ 1 and 2, written here by hand as HGQ writes them, against readings in NumPy float64."""

import io
import itertools
import json
import zipfile

import h5py
import numpy as np
import pytest

from flow.bench.vectors import off_grid
from flow.core.errors import ModelError
from flow.core.evaluate import evaluate, quantize_inputs, to_float
from flow.core.passes.widths import widths
from flow.extract import compare_with_keras, extract, load_model

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
ROWS = 300


def rounded(values, mode):
    return {"TRN": np.floor(values), "RND": np.floor(values + 0.5), "RND_CONV": np.round(values)}[mode]


def bounded(values, signed, bits, mode):
    """Whole numbers into formats of so many bits."""
    high = 2.0 ** (bits - signed) - 1
    low = -(high + 1) * signed
    if mode == "WRAP":
        return (values - low) % 2.0**bits + low
    return np.clip(values, -high * signed if mode == "SAT_SYM" else low, high)


def quantized(values, signed, bits, frac, rounding, overflow):
    scale = 2.0 ** np.asarray(frac, np.float64)
    return np.where(bits > 0, bounded(rounded(values * scale, rounding), signed, bits, overflow) / scale, 0)


def outputs(path, inputs):
    """The integer design's answers, after the comparison with Keras."""
    model = load_model(path)
    design = widths(extract(model))
    assert compare_with_keras(model, design, inputs).mismatches == 0
    return design, to_float(evaluate(design, quantize_inputs(design, inputs)), design.output_formats)


def rows(elements, seed):
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1, (ROWS, elements)) * 2.0 ** rng.integers(-3, 7, (ROWS, 1))).astype(np.float32)


# ---- HGQ 1: proxies


def one_by_one(steps):
    """The steps of a model in float64, as one function."""

    def reference(x):
        x = x.astype(np.float64)
        for step in steps:
            x = step(x)
        return x

    return reference


def proxy(path, seed, rounding="TRN", overflow="WRAP", kind="FixedPointQuantizer"):
    """A proxy of two dense layers, with a quantizer before and behind every ReLU; and what computes it in float64."""
    rng, sizes = np.random.default_rng(seed), (5, 7, 4)
    layers, arrays, steps = [], {}, []

    def add(class_name, name, weights, **config):
        before = layers[-1]["config"]["name"] if layers else "in"
        layers.append({"class_name": class_name, "name": name, "config": {"name": name, "dtype": "float32", **config},
                       "inbound_nodes": [[[before, 0, 0, {}]]]})  # fmt: skip
        arrays[name] = weights

    def quantizer(name, shape, count, least_bits, is_unsigned=False):
        bits = rng.integers(least_bits, 9, shape)
        signed = np.where(bits > 0, 0 if is_unsigned else rng.integers(0, 2, shape), 0)
        integers = np.where(bits > 0, rng.integers(0, 5, shape), 0)
        weights = {n: a.astype(np.int8) for n, a in zip(("keep_negative", "bits", "integers"),
                                                        (signed, bits, integers), strict=True)}  # fmt: skip
        add(kind, name, weights, RND=rounding, SAT=overflow, shape=list(shape), fusible=False, overrides={"layers": {}})
        steps.append(lambda x: quantized(x, signed, bits, bits - integers, rounding, overflow))

    quantizer("in_q", (1, sizes[0]), sizes[0], 1)
    for number, (fan_in, units) in enumerate(itertools.pairwise(sizes)):
        kernel = (rng.integers(-9, 10, (fan_in, units)) * 2.0 ** rng.integers(-4, 1, (fan_in, units))).astype("f4")
        bias = (rng.integers(-500_000, 500_000, units) / 2.0**14).astype("f4")  # of up to 20 bits
        add("Dense", f"d{number}", {"kernel": kernel, "bias": bias}, units=units, use_bias=True, activation="linear")
        steps.append(lambda x, k=kernel, b=bias: x @ k.astype(np.float64) + b)
        quantizer(f"d{number}_q", (1,), units, 7)
        if number == 0:
            add("Activation", "relu", {}, activation="relu")
            steps.append(lambda x: np.maximum(x, 0))
            quantizer("relu_q", (1, units), units, 0, is_unsigned=True)
    first = {"class_name": "InputLayer", "name": "in", "config": {"name": "in", "batch_input_shape": [None, sizes[0]]},
             "inbound_nodes": []}  # fmt: skip
    ends = {"input_layers": [["in", 0, 0]], "output_layers": [[layers[-1]["config"]["name"], 0, 0]]}
    config = {"class_name": "Functional", "config": {"name": "proxy", "layers": [first, *layers], **ends}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.13.1"
        for name, weights in arrays.items():
            group = file.create_group(f"model_weights/{name}")
            group.attrs["weight_names"] = [f"{name}/{n}:0".encode() for n in weights]
            for key, values in weights.items():
                group.create_dataset(f"{name}/{key}:0", data=values)

    return one_by_one(steps)


@pytest.mark.parametrize("seed", range(6))
def test_a_proxy_is_read_exactly(seed, tmp_path):
    rounding = ("TRN", "RND", "RND_CONV")[seed % 3]
    overflow = ("WRAP", "WRAP", "WRAP", "SAT", "SAT_SYM", "WRAP")[seed]
    reference = proxy(tmp_path / "p.h5", seed, rounding, overflow)
    inputs = rows(5, seed)
    design, found = outputs(tmp_path / "p.h5", inputs)
    assert np.array_equal(found, reference(inputs))
    wraps = {q.overflow for q in (*design.inputs, *(n.output for la in design.layers for n in la.neurons)) if q}
    assert ("WRAP" in wraps) == (overflow == "WRAP")


# ---- HGQ 2: what it trained


def conf(q_type, rounding, overflow, **more):
    settings = {"q_type": q_type, "round_mode": rounding, "overflow_mode": overflow, "trainable": True, "scaler": None,
                "affine": None, "bw_mapper": None, "is_weight": False, **more}  # fmt: skip
    return {"module": "hgq.quantizer.config", "class_name": "QuantizerConfig", "config": settings}


def widths_of(rng, shape, q_type, overflow):
    """Sign, integer and fraction bits as they count, and their variables in Keras 3's order."""
    k, i, f = rng.integers(0, 2, shape), rng.integers(-1, 4, shape), rng.integers(-1, 6, shape)
    f = np.maximum(f, -i)  # what is narrower is another test's
    trained = (f if q_type == "kif" else i + f) + rng.uniform(-0.45, 0.45, shape)
    integer = i + rng.uniform(-0.45, 0.45, shape)
    sign, floats = k.astype(np.uint8), [a.astype(np.float32) for a in (trained, integer)]
    if overflow == "WRAP":
        variables = [floats[0], sign, floats[1], np.float32(0.01)]
    else:
        variables = [*(floats if q_type == "kbi" else floats[::-1]), sign]
    return (k, i, f), variables


def trained(path, seed, lane="WRAP", rounding="RND", einsum=False, edit=lambda entry: entry, function=None):
    """A model of two dense layers as HGQ 2 saves it, the second with output quantizers; and its float64 reading.

    With a ``function``, a name and what computes it, a `QUnaryFunctionLUT` stands between them.
    """
    rng, sizes, steps = np.random.default_rng(seed), (5, 8, 3), []
    layers = [{"class_name": "InputLayer", "config": {"name": "in", "batch_shape": [None, sizes[0]]}}]
    weights = {}

    def constant(shape):
        values = rng.normal(0, 2, shape).astype(np.float32)
        (k, i, f), variables = widths_of(rng, shape, "kbi", "SAT_SYM")
        return values, variables, quantized(values.astype(np.float64), k, np.where(k + i + f > 0, k + i + f, 0), f,
                                            "RND", "SAT_SYM")  # fmt: skip

    def signal(shape, q_type):
        (k, i, f), variables = widths_of(rng, shape, q_type, lane)
        steps.append(lambda x: quantized(x, k, k + i + f, f, rounding, lane))
        return variables

    for number, (fan_in, units) in enumerate(itertools.pairwise(sizes)):
        q_type, has_oq = ("kif", "kbi")[number], number == 1
        kind = "QEinsumDense" if einsum else "QDense"
        name = f"q_{'einsum_' if einsum else ''}dense" + (f"_{number}" if number else "")
        iq = signal((1, fan_in), q_type)
        kernel, kq, exact = constant((fan_in, units))
        bias, bq, exact_bias = constant((units,))
        steps.append(lambda x, k=exact, b=exact_bias: x @ k + b)
        if not number:
            steps.append(lambda x: np.maximum(x, 0))
        oq = signal((1, units), q_type) if has_oq else []
        own = {"equation": "...a,ab->...b", "bias_axes": "b"} if einsum else {"units": units, "use_bias": True}
        layers.append(edit({
            "module": "hgq.layers.core.dense", "class_name": kind, "registered_name": f"hgq>{kind}",
            "config": {
                "name": f"layer_{number}", "activation": "linear" if number else "relu", **own, "enable_iq": True,
                "enable_oq": has_oq, "iq_conf": conf(q_type, rounding, lane),
                "oq_conf": conf(q_type, f"S_{rounding}", lane) if has_oq else None,
                "kq_conf": conf("kbi", "RND", "SAT_SYM", is_weight=True), "bq_conf": conf("kbi", "RND", "SAT_SYM"),
            },
        }))  # fmt: skip
        weights[f"layers/{name}/vars"] = [kernel, bias, np.float32(1e-5), np.uint32(7)]
        for part, variables in (("iq", iq), ("kq", kq), ("bq", bq), ("oq", oq)):
            weights[f"layers/{name}/{part}/quantizer/vars"] = variables
        if function and not number:
            own = {"name": "curve", "activation": function[0], "enable_iq": True, "enable_oq": True,
                   "iq_conf": conf("kif", rounding, lane), "oq_conf": conf("kif", rounding, lane)}  # fmt: skip
            layers.append({"module": "hgq.layers.activation", "class_name": "QUnaryFunctionLUT",
                           "registered_name": "hgq>QUnaryFunctionLUT", "config": own})  # fmt: skip
            weights["layers/q_unary_function_lut/vars"] = [np.float32(1e-5), np.uint32(7)]
            weights["layers/q_unary_function_lut/iq/quantizer/vars"] = signal((1, units), "kif")
            steps.append(function[1])
            weights["layers/q_unary_function_lut/oq/quantizer/vars"] = signal((1, units), "kif")
    config = {"class_name": "Sequential", "config": {"name": "trained", "layers": layers}}
    stored = io.BytesIO()
    with h5py.File(stored, "w") as file:
        for group, arrays in weights.items():
            for number, values in enumerate(arrays):
                file[f"{group}/{number}"] = values
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("model.weights.h5", stored.getvalue())

    return one_by_one(steps)


def test_inputs_of_every_kind_are_read_as_the_integer_design_reads_them(tmp_path):
    proxy(tmp_path / "p.h5", 9)
    design, _ = outputs(tmp_path / "p.h5", rows(5, 6))
    coarse = [q.format.frac for q in design.inputs]
    outputs(tmp_path / "p.h5", off_grid(design.inputs, 4000, 0))
    assert min(coarse) < 0 < max(coarse), "some underflow, some overflow"


@pytest.mark.parametrize("seed", range(6))
def test_what_hgq_2_trained_is_read_exactly(seed, tmp_path):
    lane, rounding = ("WRAP", "SAT", "SAT_SYM")[seed % 3], ("RND", "TRN", "RND_CONV")[seed // 2]
    reference = trained(tmp_path / "m.keras", seed, lane, rounding, einsum=seed == 4)
    inputs = rows(5, seed)
    _, found = outputs(tmp_path / "m.keras", inputs)
    assert np.array_equal(found, reference(inputs))


@pytest.mark.parametrize("seed", range(2))
def test_a_function_between_quantizers_is_read_exactly(seed, tmp_path):
    lane = ("SAT", "WRAP")[seed]
    function = ("tanh", lambda x: np.tanh(x)) if seed else ("sigmoid", lambda x: 1 / (1 + np.exp(-x)))
    reference = trained(tmp_path / "m.keras", seed, lane, "RND_CONV", function=function)
    inputs = rows(5, seed)
    _, found = outputs(tmp_path / "m.keras", inputs)
    assert np.array_equal(found, reference(inputs))


def changed(key, value, part=None):
    def edit(entry):
        config = entry["config"][part]["config"] if part else entry["config"]
        config[key] = value
        return entry

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (changed("scaler", 2.0, "iq_conf"), "a quantizer with a scaler; use kbi or kif"),
        (changed("q_type", "float", "kq_conf"), "a quantizer with the type 'float'"),
        (changed("overflow_mode", "WRAP_SM", "iq_conf"), "treats overflow by 'WRAP_SM'"),
        (lambda e: {**e, "class_name": "QConv2D"}, "is HGQ 2's QConv2D, which is not read"),
        (lambda e: {**e, "class_name": "QBatchNormalization"}, "give a QDense in its place the values of its qscaler"),
        (changed("enable_oq", True), "does not store the settings of its quantizers"),
        (changed("overflow_mode", "SAT", "iq_conf"), "does not store the variables of its quantizers in order"),
    ],
)  # fmt: skip
def test_what_is_not_read_of_hgq_2_is_refused_in_a_line(edit, reason, tmp_path):
    trained(tmp_path / "m.keras", 0, edit=edit)
    with pytest.raises(ModelError) as told:
        load_model(tmp_path / "m.keras")
    assert reason in str(told.value) and "layer layer_" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kind": "HQuantize"}, "does not store its signals' ranges; run HGQ's trace_minmax() on the training data"),
        ({"kind": "UnaryLUT"}, "is an activation as a table, which is not read"),
        ({"overflow": "SAT_ZERO"}, "treats overflow by 'SAT_ZERO'"),
        ({"rounding": "RND_INF"}, "rounds by 'RND_INF'"),
    ],
)
def test_what_is_not_read_of_hgq_1_is_refused_in_a_line(settings, reason, tmp_path):
    proxy(tmp_path / "p.h5", 0, **settings)
    with pytest.raises(ModelError) as told:
        load_model(tmp_path / "p.h5")
    assert reason in str(told.value) and "layer in_q" in str(told.value) and "\n" not in str(told.value)
