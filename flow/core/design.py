"""The integer design: what the hardware computes, as frozen data. Integers and formats only, never floats.

A design is a chain of dense layers over quantized inputs. Neurons stay in Keras order; groups hold indices, so
grouping never changes a number and any permutation is wiring. Every neuron has its own weight scale, bias grid and
output quantizer; every input element has its own format.

With input mantissas ``x_i`` (``fx_i`` fraction bits), weight mantissas ``w_i`` and scale ``2**-weight_frac``, a neuron
computes the exact accumulator ``sum_i w_i x_i 2**-(fx_i + weight_frac) + bias 2**-bias_frac`` and passes it through its
output quantizer; without one the accumulator itself is the output.

A design with ``nodes`` is streamed: each node slides a window over pixels, and a layer is what is computed at every
position. Its layers are those of its dense nodes in their order, and its inputs one image.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from flow.core.design_shape import DESIGN
from flow.core.errors import DesignError
from flow.core.fixed import Fixed, Ints, Quantizer
from flow.core.nodes import INPUT, Node, node_of
from flow.core.shapes import require
from flow.core.untrusted import parse_json, refused

SCHEMA = 1
HEADS = ("logits", "argmax")


@dataclass(frozen=True)
class Neuron:
    """One output unit: its weight column, scale, learned width, bias and output quantizer.

    ``weight_bits`` is the width the neuron learned (0 pruned, 1.58 ternary): it names the group, the mantissas are the
    truth. ``accumulator`` is the exact format of the sum, filled in by the ``widths`` pass.
    """

    weights: tuple[int, ...]
    weight_frac: int
    weight_bits: float
    bias: int = 0
    bias_frac: int = 0
    output: Quantizer | None = None
    accumulator: Fixed | None = None


@dataclass(frozen=True)
class Group:
    """Indices (ascending) of the neurons of one layer that share a learned weight width."""

    weight_bits: float
    neurons: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A dense layer. ``groups`` is empty until the ``group`` pass has run."""

    name: str
    neurons: tuple[Neuron, ...]
    groups: tuple[Group, ...] = ()

    @cached_property
    def matrix(self) -> Ints:
        """Weight mantissas as an int64 array, inputs x neurons."""
        columns = [n.weights for n in self.neurons]
        return np.array(columns, np.int64).reshape(len(columns), -1).T

    @property
    def inputs(self) -> int:
        """Number of input elements."""
        return len(self.neurons[0].weights) if self.neurons else 0


@dataclass(frozen=True)
class Design:
    """A whole network: input quantizers (applied by the host), dense layers, and what leaves the chip."""

    name: str
    inputs: tuple[Quantizer, ...]
    layers: tuple[Layer, ...]
    head: str = "logits"
    source: dict[str, Any] = field(default_factory=dict, compare=False)  # provenance: model file, framework versions
    nodes: tuple[Node, ...] = ()

    @property
    def input_formats(self) -> tuple[Fixed, ...]:
        """Format of each input element."""
        return tuple(q.format for q in self.inputs)

    @property
    def outputs(self) -> int:
        """Number of logits."""
        if not self.nodes:
            return len(self.layers[-1].neurons)
        last = self.nodes[-1]
        return last.window.count * (len(self.layers[-1].neurons) if last.kind == "dense" else last.window.channels)

    @property
    def output_formats(self) -> tuple[Fixed, ...]:
        """Format of each logit (needs the ``widths`` pass)."""
        if self.nodes:
            return tuple(span.format for span in self.spans(len(self.nodes) - 1)) * self.nodes[-1].window.count
        return layer_output_formats(self.layers[-1])

    def formats_into(self, index: int) -> tuple[Fixed, ...]:
        """Formats of the elements that enter layer ``index``."""
        if self.nodes:
            return tuple(span.format for span in self._spans_into(index))
        return self.input_formats if index == 0 else layer_output_formats(self.layers[index - 1])

    def ranges_into(self, index: int) -> tuple[tuple[int, int], ...]:
        """Mantissa ranges of the elements that enter layer ``index``: what the quantizers can produce."""
        if self.nodes:
            return tuple((span.low, span.high) for span in self._spans_into(index))
        if index == 0:
            return tuple((q.low, q.high) for q in self.inputs)
        return tuple(_neuron_range(n) for n in self.layers[index - 1].neurons)

    @property
    def pixel_count(self) -> int:
        """Pixels of a streamed design's input."""
        return next(node.window.pixel_count for node in self.nodes if INPUT in node.sources)

    def spans(self, node: int) -> tuple[Span, ...]:
        """Of each channel of a node's map, or of the design's `INPUT`: what its values can be."""
        if node == INPUT:
            channels = len(self.inputs) // self.pixel_count
            return tuple(Span(q.format, q.low, q.high) for q in self.inputs[:channels])
        if self.nodes[node].kind != "dense":
            return self.spans_at(node)
        layer = self.layers[self.layer_of(node)]
        formats = layer_output_formats(layer)
        return tuple(Span(fmt, *_neuron_range(n)) for fmt, n in zip(formats, layer.neurons, strict=True))

    def spans_at(self, node: int) -> tuple[Span, ...]:
        """Of each channel of the pixels that a node looks at: those of its sources side by side."""
        return tuple(span for source in self.nodes[node].sources for span in self.spans(source))

    def layer_of(self, node: int) -> int:
        """Number of the layer that a dense node applies."""
        return sum(n.kind == "dense" for n in self.nodes[:node])

    def node_of(self, layer: int) -> int:
        """Number of the node that applies a layer."""
        return [k for k, n in enumerate(self.nodes) if n.kind == "dense"][layer]

    def _spans_into(self, index: int) -> tuple[Span, ...]:
        node = self.node_of(index)
        window, spans = self.nodes[node].window, self.spans_at(node)
        if window.is_padded:  # with zeros
            spans = tuple(Span(s.format, min(s.low, 0), max(s.high, 0)) for s in spans)
        return spans * window.places


@dataclass(frozen=True)
class Span:
    """What values can be: their format, least and largest mantissa."""

    format: Fixed
    low: int
    high: int


def layer_output_formats(layer: Layer) -> tuple[Fixed, ...]:
    """Formats of a layer's outputs; raises DesignError if the ``widths`` pass has not run."""
    formats = []
    for index, neuron in enumerate(layer.neurons):
        fmt = neuron.output.format if neuron.output else neuron.accumulator
        if fmt is None:
            raise DesignError(f"layer {layer.name}, neuron {index}: no accumulator format yet; run the widths pass")
        formats.append(fmt)
    return tuple(formats)


def _neuron_range(neuron: Neuron) -> tuple[int, int]:
    if neuron.output:
        return neuron.output.low, neuron.output.high
    if neuron.accumulator is None:
        raise DesignError("a neuron without output quantizer has no range before the widths pass")
    return neuron.accumulator.low, neuron.accumulator.high


def to_json(design: Design) -> str:
    """The design as JSON text; sorted, byte-identical for equal designs."""
    data = {"schema": SCHEMA, **asdict(design)}
    for quantizer in [*data["inputs"], *(n["output"] for layer in data["layers"] for n in layer["neurons"])]:
        if quantizer and quantizer["overflow"] == "SAT":
            del quantizer["overflow"]  # the default: files from before there was another stay as they are
    if not design.nodes:
        del data["nodes"]
    for node in data.get("nodes", ()):
        if not node["window"]["repeats"]:
            del node["window"]["repeats"]
    return json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n"


def from_json(text: str, where: str = "design.json") -> Design:
    """Read a design from JSON text. Raises DesignError naming the field that is missing or malformed."""
    with refused(DesignError, where, "rebuild it from the model"):
        data = parse_json(text, where)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ValueError(f"not a design file of schema {SCHEMA}")
        require(data, DESIGN, "")
        try:
            return Design(
                name=data["name"],
                inputs=tuple(_quantizer(q) for q in data["inputs"]),
                layers=tuple(_layer(layer) for layer in data["layers"]),
                head=data["head"],
                source=data.get("source", {}),
                nodes=tuple(node_of(node) for node in data.get("nodes", ())),
            )
        except DesignError as exc:  # of a format or quantizer, which do not know the file
            raise ValueError(str(exc)) from None


def with_layers(design: Design, layers: tuple[Layer, ...]) -> Design:
    """The same design with other layers."""
    return replace(design, layers=layers)


def _int(value: int) -> int:
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{value!r:.40} does not fit 64 bits")
    return value


def _fixed(data: dict[str, Any]) -> Fixed:
    return Fixed(data["signed"], _int(data["bits"]), _int(data["frac"]))


def _quantizer(data: dict[str, Any]) -> Quantizer:
    limits = _int(data["low"]), _int(data["high"])
    return Quantizer(_fixed(data["format"]), data["rounding"], *limits, data.get("overflow", "SAT"))


def _neuron(data: dict[str, Any]) -> Neuron:
    return Neuron(
        weights=tuple(_int(w) for w in data["weights"]),
        weight_frac=_int(data["weight_frac"]),
        weight_bits=float(data["weight_bits"]),
        bias=_int(data["bias"]),
        bias_frac=_int(data["bias_frac"]),
        output=_quantizer(data["output"]) if data["output"] is not None else None,
        accumulator=_fixed(data["accumulator"]) if data["accumulator"] is not None else None,
    )


def _layer(data: dict[str, Any]) -> Layer:
    groups = tuple(Group(float(g["weight_bits"]), tuple(_int(i) for i in g["neurons"])) for g in data["groups"])
    return Layer(data["name"], tuple(_neuron(n) for n in data["neurons"]), groups)
