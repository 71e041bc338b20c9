"""QONNX models made in code, small and with random weights, as Brevitas exports them or as other tools might.

python tests/onnx_models.py        prints the tables of docs/howto/onnx.md
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from flow.bench.vectors import make_vectors, off_grid
from flow.core.errors import ModelError
from flow.core.evaluate import real_inputs
from flow.core.units import input_unit
from flow.extract.onnx import reader, stored
from flow.extract.onnx.design import extract_onnx

NAME = "m.onnx"
DOMAIN = "qonnx.custom_op.general"
CUSTOM = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold")


def vectors(design, count):
    """Corners, random steps of the inputs, and floats between and beyond them."""
    exact = real_inputs(design, make_vectors(design, count))
    return np.concatenate([exact, off_grid(design.inputs, count, 0) * input_unit(design)])


class Graph:
    """Nodes one after the other; ``signal`` is the name of what the last one made."""

    def __init__(self, inputs=8, seed=0, shape=None, opset=13):
        self.random = np.random.default_rng(seed)
        self.shape, self.width, self.signal, self.opset = shape or (1, inputs), inputs, "x", opset
        self.nodes, self.constants = [], []

    def constant(self, values):
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, kind, *inputs, outputs=1, **settings):
        made = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        domain = DOMAIN if kind in CUSTOM else ""
        node = helper.make_node(kind, names, made, f"{kind}_{len(self.nodes)}", domain=domain, **settings)
        self.nodes.append(node)
        return made[0]

    def then(self, kind, *more, **settings):
        """A node of the signal and constants."""
        self.signal = self.node(kind, self.signal, *more, **settings)
        return self

    def quant(self, scale=0.25, bits=4, signed=1, narrow=0, zero=0.0, mode="ROUND", kind="Quant"):
        return self.then(kind, scale, zero, bits, signed=signed, narrow=narrow, rounding_mode=mode)

    def weights(self, units, scale=0.07, bits=3, narrow=1, zero=0.0):
        """The name of quantized weights, units x inputs, as PyTorch has them."""
        values = self.random.normal(0, 2 * np.mean(scale), (units, self.width))
        settings = {"signed": 1, "narrow": narrow, "rounding_mode": "ROUND"}
        return self.node("Quant", values, scale, zero, bits, **settings)

    def dense(self, units, scale=0.07, bits=3, narrow=1, zero=0.0):
        turned = self.node("Transpose", self.weights(units, scale, bits, narrow, zero), perm=[1, 0])
        self.signal, self.width = self.node("MatMul", self.signal, turned), units
        return self

    def norm(self):
        draw = self.random
        parts = draw.normal(1, 0.3, self.width), draw.normal(0, 0.3, self.width), draw.normal(0, 0.3, self.width)
        return self.then("BatchNormalization", *parts, draw.uniform(0.3, 2, self.width), epsilon=1e-5)

    def model(self):
        entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)
        ends = helper.make_tensor_value_info(self.signal, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "g", [entry], [ends], self.constants)
        sets = [helper.make_opsetid("", self.opset), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=sets, ir_version=8)

    def save(self, folder: Path, name: str = NAME) -> Path:
        onnx.save(self.model(), str(folder / name))
        return folder / name


def brevitas(scale=0.07, signed=0, units=6, outputs=3) -> Graph:
    """An MLP as Brevitas exports it: inputs of 8 bits, BatchNorm and ReLU before quantizers of 3 bits."""
    graph = Graph(opset=11).quant(0.3367, 8, narrow=1).dense(units, scale).norm().then("Relu")
    graph.quant(1 / 7, 3, signed=signed).dense(units, scale).norm().then("Relu").quant(1 / 7, 3, signed=signed)
    return graph.dense(outputs)


def per_channel(count):
    """Scales of so many output channels, none a power of two."""
    return np.random.default_rng(count).uniform(0.04, 0.09, (count, 1))


def biased(graph: Graph, units=5) -> Graph:
    """A Gemm whose bias is an integer of its sums, quantized by the product of both scales, as Brevitas does it."""
    unit = np.float32(0.1) * np.float32(0.07)
    bias = graph.node("Quant", graph.random.normal(0, 0.2, units), unit, 0.0, 16, signed=1, narrow=0,
                      rounding_mode="ROUND")  # fmt: skip
    graph.signal = graph.node("Gemm", graph.signal, graph.weights(units), bias, transB=1)
    graph.width = units
    return graph


def _input(**settings):
    return Graph(**settings).quant(0.25, 6)


def _thresholds(channels, scale=1.0, offset=0.0) -> Graph:
    graph = _input().dense(5)
    table = np.sort(graph.random.normal(0, 1, (channels, 7)), axis=1)
    return graph.then("MultiThreshold", table, out_dtype="INT4", out_scale=scale, out_bias=offset)


def _turned() -> Graph:
    graph = Graph().quant()
    graph.signal = graph.node("MatMul", graph.signal, graph.signal)
    return graph


def _ends(kind, **settings):
    return lambda: _input().dense(5).quant(0.2).dense(3).then(kind, **settings)


# form -> a small network with it
ACCEPTED = {
    "`Quant` with scales per tensor, `BatchNormalization`, `Relu`": brevitas,
    "weights with scales per channel": lambda: brevitas(per_channel(6)),
    "scales that are powers of two": lambda: _input().dense(6, 0.125).then("Relu").quant(0.5, 3, signed=0)
    .dense(3, 0.25),
    "such scales, `BatchNormalization`": lambda: _input().dense(6, 0.125).norm().quant(0.5, 3).dense(3, 0.25),
    "inputs whose scale is no power of two": lambda: Graph().quant(0.3, 5).dense(5).quant(0.2).dense(3),
    "outputs with scales per channel": lambda: _input().dense(6).quant(0.3, 4).dense(4, per_channel(4)),
    "`BipolarQuant`": lambda: _input().dense(6).norm().then("BipolarQuant", 0.6).dense(3),
    "`Quant` of one signed bit": lambda: _input().dense(6).quant(0.4, 1, narrow=1).dense(3),
    "`BipolarQuant` of inputs": lambda: Graph().then("BipolarQuant", 1.0).dense(6, 0.5, 2).then("BipolarQuant", 1.0)
    .dense(3),
    "`Gemm` with a bias by the scale of its sums": lambda: biased(Graph().quant(0.1, 6)).then("Relu")
    .quant(0.2, 4, signed=0).dense(3),
    "`Add` of a bias of floats": lambda: _input().dense(5).then("Add", np.linspace(-1, 1, 5) / 3).quant(0.2).dense(3),
    "zero point of activations": lambda: _input().dense(5).quant(0.2, 4, signed=0, zero=7.0).dense(3),
    "zero point of weights": lambda: _input().dense(5, zero=1.0).quant(0.2).dense(3),
    "rounding `FLOOR`": lambda: Graph().quant(0.25, 6, mode="FLOOR").dense(5).quant(0.2, mode="FLOOR").dense(3),
    "rounding `CEIL`": lambda: _input().dense(5).quant(0.2, mode="CEIL").dense(3),
    "rounding `HALF_UP`": lambda: _input().dense(5).quant(0.2, mode="HALF_UP").dense(3),
    "`IntQuant`, rounding `DOWN`": lambda: _input().dense(5).quant(0.2, mode="DOWN", kind="IntQuant").dense(3),
    "`Trunc`": lambda: _input().dense(5).quant(0.2, 6).then("Trunc", 0.2, 0.0, 6, 4, rounding_mode="FLOOR").dense(3),
    "`Trunc` with a scale of its output": lambda: _input().dense(5).quant(0.2, 6).then(
        "Trunc", 0.2, 0.0, 6, 0.8, 4, rounding_mode="FLOOR", signed=1, narrow=0).dense(3),
    "`MultiThreshold`": lambda: _thresholds(5).dense(3),
    "`MultiThreshold` of one row, scaled": lambda: _thresholds(1, 0.5, -1.0).dense(3),
    "`Mul`, `Add` behind a quantizer": lambda: _input().dense(5).quant(0.2).then("Mul", 0.7).then("Add", 0.15).dense(3),
    "`Div`, `Sub` before a quantizer": lambda: _input().dense(5).then("Div", 0.3).then("Sub", 0.11).quant(0.2).dense(3),
    "two quantizers": lambda: _input().dense(5).quant(0.2, 5).then("Relu").quant(0.3, 3).dense(3),
    "`Sigmoid` before a quantizer": lambda: _input().dense(5).then("Sigmoid").quant(0.125, 3, signed=0).dense(3),
    "`Flatten`, `Reshape`": lambda: Graph(shape=(1, 2, 4)).quant(0.25, 5).then("Flatten", axis=1).dense(5).quant(0.2)
    .dense(3),
    "sums that float32 cannot hold": lambda: Graph().quant(0.3, 23).dense(3).quant(0.2).dense(2),
    "a quantizer at the end": lambda: _input().dense(5).quant(0.3, 4),
    "`Relu` at the end": lambda: _input().dense(5).quant(0.3).dense(3).then("Relu"),
    "`BatchNormalization` at the end": lambda: _input().dense(5, 0.125).quant(0.5).dense(3, 0.25).norm(),
    "`Softmax` at the end": _ends("Softmax", axis=1),
    "`Sigmoid` at the end": _ends("Sigmoid"),
    "`ArgMax` at the end": _ends("ArgMax", axis=1),
}  # fmt: skip
REFUSED = {
    "a model of floats": lambda: Graph().then("MatMul", np.ones((8, 2)) / 3),
    "inputs without a quantizer": lambda: Graph().dense(3),
    "inputs scaled before their quantizer": lambda: Graph().then("Mul", 0.3).quant().dense(3),
    "zero point of inputs": lambda: Graph().quant(0.3, zero=1.0).dense(3),
    "weights of floats": lambda: Graph().quant().then("MatMul", np.full((8, 2), 1 / 3)),
    "a product of two signals": _turned,
    "weights with scales per input": lambda: Graph().quant().dense(3, np.linspace(0.1, 0.2, 8)[None, :]),
    "activations with scales per channel": lambda: Graph().quant().dense(3).quant([[0.1, 0.2, 0.3]]).dense(2),
    "`Erf` and other nodes": lambda: Graph().quant().then("Erf").quant(0.1).dense(3),
    "activations of many bits": lambda: Graph().quant(0.3, 25).dense(3),
    "weights of many bits": lambda: Graph().quant().dense(3, bits=33),
    "a bit width that is no whole number": lambda: Graph().quant(0.3, 2.5).dense(3),
    "an unknown rounding": lambda: Graph().quant(mode="ODD").dense(3),
    "a negative scale": lambda: Graph().quant(-0.3).dense(3),
    "two dense layers without a quantizer between": lambda: Graph().quant().dense(3).dense(2),
    "`Softmax` inside": lambda: Graph().quant().dense(3).then("Softmax").quant(0.1).dense(2),
    "floats at the end": lambda: Graph().quant().dense(3).norm().then("Relu"),
    "`Trunc` with a zero point": lambda: Graph().quant().dense(3).quant(0.2).then(
        "Trunc", 0.2, 1.0, 4, 3, rounding_mode="FLOOR").dense(2),
    "`Cast` to whole numbers": lambda: Graph().quant().then("Cast", to=6).dense(3),
    "the last of several largest": lambda: Graph().quant().dense(3).then("ArgMax", axis=1, select_last_index=1),
}  # fmt: skip
FORMS = {"What is exact": ACCEPTED, "What is refused": REFUSED}


def read(graph: Graph, folder: Path) -> stored.StoredOnnx:
    """As a build reads it, but in this process."""
    path = graph.save(folder)
    found, arrays = reader.read(path)
    return stored.collected(path, json.loads(json.dumps(found)), arrays)


def outcome(make, folder: Path) -> str:
    """``exact`` with what is said of it, or the refusal."""
    try:
        design = extract_onnx(read(make(), folder))
    except ModelError as exc:
        return f"refused: {str(exc).replace(f'{folder / NAME}', '').lstrip(': ')}"
    return "; ".join(["exact", *map(_plain, design.source["notes"])])


def _plain(text: str) -> str:
    """What is said of a form, without what is the same in every row."""
    text = re.sub(r"^layer [\w, ]+: |, equal to what qonnx's float32 answers to .* sums of layer \w+", "", text)
    text = re.sub(r"the model takes images of .*", "rows of inputs have channels last", text)
    return re.sub(r"(units of [\d.]+).*", r"\1", text)


def page(folder: Path, forms_by_section: dict) -> str:
    """Tables of docs/howto/onnx.md, a section each."""
    parts = []
    for section, forms in forms_by_section.items():
        rows = [f"| {form} | {outcome(make, folder)} |" for form, make in forms.items()]
        parts.append("\n".join([f"## {section}", "", "| form | what becomes of it |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as own:
        from onnx_maps import FORMS as OF_MAPS

        print(page(Path(own), FORMS | OF_MAPS), end="")
