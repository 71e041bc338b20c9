"""QONNX networks of convolutions made in code, small and with random weights: forms that are read, and refusals."""

from __future__ import annotations

import numpy as np
from onnx_models import Graph

SHAPE = (2, 6, 5)


class Maps(Graph):
    """Nodes one after the other on maps; ``channels`` are those of the signal."""

    def __init__(self, shape=SHAPE, seed=0):
        super().__init__(seed=seed, shape=(1, *shape))
        self.channels = shape[0]

    def filters(self, count, size, scale=0.07, bits=3, groups=1):
        """The name of quantized filters."""
        values = self.random.normal(0, 2 * np.mean(scale), (count, self.channels // groups, *size))
        return self.node("Quant", values, scale, 0.0, bits, signed=1, narrow=1, rounding_mode="ROUND")

    def conv(self, count, size=(3, 3), scale=0.07, bits=3, bias=None, **settings):
        weights = self.filters(count, size, scale, bits, settings.get("group", 1))
        more = [] if bias is None else [bias]
        self.signal = self.node("Conv", self.signal, weights, *more, kernel_shape=list(size), **settings)
        self.channels = self.width = count
        return self

    def flat(self, count, axis=1):
        """A Flatten, of maps that have ``count`` elements then."""
        self.then("Flatten", axis=axis)
        self.width = count
        return self

    def at(self, signal):
        """Go on at an earlier signal."""
        self.signal = signal
        return self

    def joined(self, kind, other):
        self.signal = self.node(kind, self.signal, other)
        return self


def _input(scale=0.25, bits=4, **settings):
    return Maps(**settings).quant(scale, bits)


def _act(graph, scale=0.137, bits=3):
    return graph.then("Relu").quant(scale, bits, signed=0)


def lenet():
    """Convolution, normalization, ReLU, a pool before the quantizer; another one; two dense layers."""
    graph = _input(0.3367, 8).conv(4).norm().then("Relu").then("MaxPool", kernel_shape=[2, 1], strides=[2, 1])
    graph = graph.quant(1 / 7, 3, signed=0).conv(3, (2, 2)).norm()
    return _act(graph, 1 / 7).flat(3 * 1 * 2).dense(5).norm().then("Relu").quant(1 / 7, 3, signed=0).dense(3)


def residual(second=0.14, kind="Add"):
    """A block whose input is added to what it makes, and pixels that are averaged."""
    graph = _act(_input().conv(3, (1, 1)).norm(), 0.14)
    before = graph.signal
    graph = graph.conv(3, (3, 3), pads=[1, 1, 1, 1]).norm().quant(second, 4)
    graph = _act(graph.joined(kind, before), 0.2)
    return graph.then("GlobalAveragePool").quant(0.05, 5, signed=0).flat(3).dense(3)


def _channels(count):
    return np.random.default_rng(count).uniform(0.04, 0.09, (count, 1, 1, 1))


def _separable():
    graph = _act(_input().conv(2, group=2, pads=[1, 1, 1, 1]))
    return _act(graph.conv(4, (1, 1))).flat(4 * 30).dense(2)


def _mean(**settings):
    return lambda: _act(_input().conv(3)).then("AveragePool", **settings).quant(0.03, 6, signed=0).flat(3 * 2).dense(2)


def _padded(value=None):
    graph = _input().then("Pad", "pads", *([] if value is None else [value]))
    graph.constants.append(_whole([0, 0, 1, 0, 0, 0, 0, 2], "pads"))
    return _act(graph.conv(2)).flat(2 * 5 * 5).dense(2)


def _whole(values, name):
    from onnx import numpy_helper

    return numpy_helper.from_array(np.array(values, np.int64), name)


def _enlarged(scales=(1.0, 1.0, 2.0, 3.0), **settings):
    graph = _act(_input().conv(2))
    graph.signal = graph.node("Resize", graph.signal, "", np.array(scales), **settings)
    return _act(graph.conv(2, pads=[1, 1, 1, 1])).then("GlobalMaxPool").flat(2).dense(2)


def _beside(second=0.14):
    """Channels of two branches and of what was before them, side by side."""
    graph = _act(_input().conv(2, (1, 1)), 0.14)
    before = graph.signal
    graph = _act(graph.conv(3, pads=[1, 1, 1, 1]), 0.14)
    first = graph.signal
    graph.at(before).channels = 2
    graph = _act(graph.conv(2, (1, 1)).norm(), second)
    graph.signal, graph.channels = graph.node("Concat", first, graph.signal, before, axis=1), 7
    return _act(graph.conv(2)).flat(2 * 4 * 3).dense(2)


def _flat_beside(kind="Concat"):
    graph = _act(_input().conv(2))
    first = graph.flat(24).signal
    graph.signal = graph.node(kind, graph.signal, first, **({"axis": 1} if kind == "Concat" else {}))
    return graph.quant(0.14)


def _sized():
    graph = _act(_input().conv(2))
    graph.constants.append(_whole([1, 2, 8, 9], "sizes"))
    graph.signal = graph.node("Resize", graph.signal, "", "", "sizes", mode="nearest")
    return _act(graph.conv(2)).then("GlobalMaxPool").flat(2).dense(2)


def perceptron(kind="Add", second=0.1, **settings):
    """Dense layers with a branch around one of them."""
    graph = Graph().quant(0.25, 6).dense(5).norm().then("Relu").quant(0.1, 4, signed=0)
    before = graph.signal
    graph = graph.dense(5).norm().quant(second, 4)
    graph.signal = graph.node(kind, before, graph.signal, **settings)
    graph.width = 10 if kind == "Concat" else 5
    return graph.then("Relu").quant(0.2, 3, signed=0).dense(3)


def _reshaped():
    graph = _act(_input().conv(2)).then("Reshape", "target")
    graph.constants.append(_whole([0, -1], "target"))
    graph.width = 24
    return graph.dense(2)


# form -> a small network with it
ACCEPTED = {
    "`Conv`, `BatchNormalization`, `Relu`, `MaxPool`, `Flatten`": lenet,
    "scales that are powers of two, of convolutions": lambda: _act(_input().conv(3, scale=0.125), 0.5)
    .flat(36).dense(2, 0.25),
    "filters with scales per channel": lambda: _act(_input().conv(3, scale=_channels(3)).norm()).flat(36).dense(2),
    "`Conv` with groups": lambda: _act(_input().conv(4, group=2)).flat(48).dense(2),
    "depthwise `Conv`, then one of single pixels": _separable,
    "strides, dilations, pads that differ": lambda: _act(
        _input().conv(3, (2, 3), strides=[2, 1], dilations=[2, 1], pads=[1, 0, 0, 2])).flat(3 * 3 * 5).dense(2),
    "`auto_pad` SAME_LOWER, a bias of floats": lambda: _act(
        _input().conv(3, bias=np.linspace(-1, 1, 3) / 3, auto_pad="SAME_LOWER", strides=[2, 2])).flat(27).dense(2),
    "`Conv` over one direction": lambda: _act(_input(shape=(2, 9)).conv(3, (3,), strides=[2], pads=[1, 0]))
    .then("MaxPool", kernel_shape=[2], strides=[2]).flat(6).dense(2),
    "`Pad` of zeros": _padded,
    "branches that `Add`": residual,
    "branches that `Sub`, one scale twice the other": lambda: residual(0.28, "Sub"),
    "branches that `Concat`, some of other scales": lambda: _beside(0.28),
    "`Resize` to whole multiples, nearest": lambda: _enlarged(mode="nearest"),
    "`Resize` with rounding down": lambda: _enlarged(
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "dense layers with branches that `Add`": perceptron,
    "dense layers with branches that `Concat`, one scale half the other": lambda: perceptron("Concat", 0.05, axis=1),
    "`AveragePool`": _mean(kernel_shape=[2, 2], strides=[2, 2]),
    "`AveragePool` of 3 x 1 values": lambda: _act(_input().conv(3, (4, 3))).then("AveragePool", kernel_shape=[3, 1])
    .quant(0.03, 6, signed=0).flat(9).dense(2),
    "`GlobalMaxPool`": lambda: _act(_input().conv(3)).then("GlobalMaxPool").flat(3).dense(2),
    "`MaxPool` with padding": lambda: _act(_input().conv(3)).then(
        "MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]).flat(12).dense(2),
    "`MaxPool` of sums": lambda: _input().conv(3).then("MaxPool", kernel_shape=[2, 2]).norm().then("Relu")
    .quant(0.14, 3, signed=0).flat(18).dense(2),
    "zeros around values with a zero point": lambda: _input().conv(3).quant(0.2, 4, signed=0, zero=7.0)
    .conv(2, pads=[1, 1, 1, 1]).quant(0.3).flat(24).dense(2),
    "zeros around `BipolarQuant`": lambda: _input().conv(3).then("BipolarQuant", 0.6).conv(2, pads=[1, 1, 1, 1])
    .quant(0.3).flat(24).dense(2),
    "`BipolarQuant` behind a convolution": lambda: _input().conv(3).norm().then("BipolarQuant", 0.6).flat(36).dense(2),
    "`Reshape` in place of `Flatten`": _reshaped,
    "maps at the end": lambda: _act(_input().conv(3)).conv(2, (2, 2)),
    "a quantizer behind the last convolution": lambda: _input().conv(2).quant(0.3, 4),
    "a pool at the end": lambda: _act(_input().conv(3)).then("GlobalMaxPool"),
    "`Softmax` behind a flattened map": lambda: _act(_input().conv(3)).flat(36).dense(3).then("Softmax", axis=1),
    "`ArgMax` behind a flattened map": lambda: _act(_input().conv(3)).flat(36).dense(3).then("ArgMax", axis=1),
}  # fmt: skip
REFUSED = {
    "branches whose scales are no multiples of each other": lambda: residual(0.11),
    "zeros around values with an offset": lambda: _input().conv(3).quant(0.2).then("Add", 0.15)
    .conv(2, pads=[1, 1, 1, 1]),
    "zeros around a `MaxPool` of negative values": lambda: _input().conv(3).quant(0.2, 4).then(
        "MaxPool", kernel_shape=[2, 2], pads=[1, 1, 0, 0]).conv(2),
    "means over the border": lambda: _mean(kernel_shape=[2, 2], pads=[1, 1, 0, 0])(),
    "means of floats": lambda: _input().conv(3).norm().then("Relu").then("GlobalAveragePool").quant(0.1)
    .flat(3).dense(2),
    "`ceil_mode` beyond the last pixel": lambda: _act(_input().conv(3)).then(
        "MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1).flat(3 * 2 * 2).dense(2),
    "a `Pad` of other values": lambda: _padded(1.0),
    "filters of floats": lambda: _input().then("Conv", np.full((1, 2, 3, 3), 1 / 3)),
    "branches that `Concat` along rows": lambda: _joined("Concat", axis=2),
    "`Concat` of flattened maps": lambda: _flat_beside(),
    "`Resize` that interpolates": lambda: _enlarged(mode="linear"),
    "`Resize` to sizes": lambda: _sized(),
    "`Add` of flattened maps": lambda: _flat_beside("Add"),
    "branches of which one is scaled 8,192 times the other": lambda: residual(0.14 * 8192),
    "products of branches": lambda: _joined("Mul"),
    "a map that is turned": lambda: _act(_input().conv(3)).then("Transpose", perm=[0, 2, 3, 1]).conv(2),
    "a scale for every element of a map": lambda: _input().conv(3).then("Mul", np.full((3, 4, 3), 0.5)).quant(0.2)
    .flat(36).dense(2),
}  # fmt: skip


def _joined(kind, **settings):
    graph = _act(_input().conv(3, (1, 1)))
    graph.signal = graph.node(kind, graph.signal, graph.signal, **settings)
    return graph.quant(0.2).conv(2)


FORMS = {"Convolutions that are exact": ACCEPTED, "Convolutions that are refused": REFUSED}
