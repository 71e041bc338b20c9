"""QONNX models made in code, small and with random weights, as Brevitas exports them or as other tools might."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"
CUSTOM = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold")


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

    def save(self, folder: Path, name="m.onnx") -> Path:
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


MODELS = {
    "scales per tensor": brevitas,
    "scales per channel": lambda: brevitas(per_channel(6)),
    "powers of two alone": lambda: _input().dense(6, 0.125).then("Relu").quant(0.5, 3, signed=0).dense(3, 0.25),
    "powers of two, normalized": lambda: _input().dense(6, 0.125).norm().quant(0.5, 3).dense(3, 0.25),
    "outputs per channel": lambda: _input().dense(6).quant(0.3, 4).dense(4, per_channel(4)),
    "bipolar inside": lambda: _input().dense(6).norm().then("BipolarQuant", 0.6).dense(3),
    "bipolar, one bit": lambda: _input().dense(6).quant(0.4, 1, narrow=1).dense(3),
    "bipolar inputs": lambda: Graph().then("BipolarQuant", 1.0).dense(6, 0.5, 2).then("BipolarQuant", 1.0).dense(3),
    "bias of the sums": lambda: biased(Graph().quant(0.1, 6)).then("Relu").quant(0.2, 4, signed=0).dense(3),
    "bias of floats": lambda: _input().dense(5).then("Add", np.linspace(-1, 1, 5) / 3).quant(0.2).dense(3),
    "zero point": lambda: _input().dense(5).quant(0.2, 4, signed=0, zero=7.0).dense(3),
    "zero point of weights": lambda: _input().dense(5, zero=1.0).quant(0.2).dense(3),
    "floor": lambda: Graph().quant(0.25, 6, mode="FLOOR").dense(5).quant(0.2, mode="FLOOR").dense(3),
    "ceil": lambda: _input().dense(5).quant(0.2, mode="CEIL").dense(3),
    "half up": lambda: _input().dense(5).quant(0.2, mode="HALF_UP").dense(3),
    "towards zero": lambda: _input().dense(5).quant(0.2, mode="DOWN", kind="IntQuant").dense(3),
    "truncated": lambda: _input().dense(5).quant(0.2, 6).then("Trunc", 0.2, 0.0, 6, 4, rounding_mode="FLOOR").dense(3),
    "truncated, second version": lambda: _input().dense(5).quant(0.2, 6).then(
        "Trunc", 0.2, 0.0, 6, 0.8, 4, rounding_mode="FLOOR", signed=1, narrow=0).dense(3),
    "thresholds": lambda: _thresholds(5).dense(3),
    "thresholds for all": lambda: _thresholds(1, 0.5, -1.0).dense(3),
    "scaled behind quantizers": lambda: _input().dense(5).quant(0.2).then("Mul", 0.7).then("Add", 0.15).dense(3),
    "divided and subtracted": lambda: _input().dense(5).then("Div", 0.3).then("Sub", 0.11).quant(0.2).dense(3),
    "two quantizers": lambda: _input().dense(5).quant(0.2, 5).then("Relu").quant(0.3, 3).dense(3),
    "sigmoid inside": lambda: _input().dense(5).then("Sigmoid").quant(0.125, 3, signed=0).dense(3),
    "ends in a quantizer": lambda: _input().dense(5).quant(0.3, 4),
    "ends in a ReLU": lambda: _input().dense(5).quant(0.3).dense(3).then("Relu"),
    "ends in a normalization": lambda: _input().dense(5, 0.125).quant(0.5).dense(3, 0.25).norm(),
    "reshaped": lambda: Graph(shape=(1, 2, 4)).quant(0.3, 5).then("Flatten", axis=1).dense(5).quant(0.2).dense(3),
}  # fmt: skip


def _thresholds(channels, scale=1.0, offset=0.0) -> Graph:
    graph = _input().dense(5)
    table = np.sort(graph.random.normal(0, 1, (channels, 7)), axis=1)
    return graph.then("MultiThreshold", table, out_dtype="INT4", out_scale=scale, out_bias=offset)
