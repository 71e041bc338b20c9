"""The integer design: what the hardware computes, as frozen data. Integers and formats only, never floats.

A design is a chain of dense layers over quantized inputs. Neurons stay in Keras order; groups hold indices, so
grouping never changes a number and any permutation is wiring. Every neuron has its own weight scale, bias grid and
output quantizer; every input element has its own format.

With input mantissas ``x_i`` (``fx_i`` fraction bits), weight mantissas ``w_i`` and scale ``2**-weight_frac``, a neuron
computes the exact accumulator ``sum_i w_i x_i 2**-(fx_i + weight_frac) + bias 2**-bias_frac`` and passes it through its
output quantizer; without one the accumulator itself is the output.
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

    @property
    def input_formats(self) -> tuple[Fixed, ...]:
        """Format of each input element."""
        return tuple(q.format for q in self.inputs)

    @property
    def output_formats(self) -> tuple[Fixed, ...]:
        """Format of each logit (needs the ``widths`` pass)."""
        return layer_output_formats(self.layers[-1])

    def formats_into(self, index: int) -> tuple[Fixed, ...]:
        """Formats of the elements that enter layer ``index``."""
        return self.input_formats if index == 0 else layer_output_formats(self.layers[index - 1])

    def ranges_into(self, index: int) -> tuple[tuple[int, int], ...]:
        """Mantissa ranges of the elements that enter layer ``index``: what the quantizers can produce."""
        if index == 0:
            return tuple((q.low, q.high) for q in self.inputs)
        return tuple(_neuron_range(n) for n in self.layers[index - 1].neurons)


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
