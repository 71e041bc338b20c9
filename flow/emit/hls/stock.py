"""The stock-layer form: the same numbers from hls4ml's own layers only, for any of its back ends.

Neurons of a layer that share weight width, weight scale and output quantizer become one stock ``Dense`` whose weight,
bias, accumulator and result types are exact; ``Concatenate`` joins them. That reorders neurons: the order is folded
into the rows of the next layer, and for the last layer it is part of the answer. Constants become a ``Dense`` of zeros.

The libraries' types saturate at the ends of a format only. Any other range low..high is reached in steps, each a stock
``BatchNormalization`` that adds a constant into a saturating unsigned type: less low, which cuts at low; plus what is
left above high - low, which cuts at high; and back. What wraps after a ReLU takes one such step: the sum's own type
cuts at 0, and one whole turn is added into the type that wraps.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
from hls4ml.model.graph import ModelGraph

from flow.core.design import Design, Layer, Neuron, layer_output_formats
from flow.core.errors import DesignError
from flow.core.fixed import Fixed, Ints, Quantizer, rounded
from flow.core.passes.names import hls_top
from flow.emit.hls.bench import stock_bench, vectors_files
from flow.emit.hls.layer import Container, LayerInput, constant_output, container
from flow.emit.hls.project import collect
from flow.files.plan import Plan

CAST = {"TRN": "AP_TRN", "RND": "AP_RND", "RND_CONV": "AP_RND_CONV"}


@dataclass(frozen=True)
class StockModel:
    """hls4ml's layer dictionaries and layer precisions; output ``k`` of the model is neuron ``order[k]``."""

    layers: list[dict[str, Any]]
    precisions: dict[str, dict[str, Any]]
    order: tuple[int, ...]


def stock_graph(
    design: Design, part: str | None, backend: str, clock_period_ns: float, output: str
) -> tuple[Any, StockModel]:
    """A ModelGraph of stock layers for any hls4ml back end; it gives logits, the head is left to the host."""
    stock = stock_model(design)
    # Where SmartHLS lies only matters to its Makefile; without a path hls4ml would look for it now.
    tool = {"smarthls_path": "SmartHLS"} if backend == "Libero" else {}
    config = hls4ml.backends.get_backend(backend).create_initial_config(
        part=part, clock_period=clock_period_ns, io_type="io_parallel", **tool
    )
    config |= {"OutputDir": output, "ProjectName": hls_top(design), "Backend": backend}
    model = {"Precision": "ap_fixed<16,6>", "ReuseFactor": 1, "Strategy": "Latency"}
    config["HLSConfig"] = {"Model": model, "LayerName": stock.precisions}
    return ModelGraph.from_layer_list(config, stock.layers), stock


def emit_hls_stock(
    design: Design, part: str, backend: str = "Vitis", clock_period_ns: float = 5.0, vectors: Ints | None = None
) -> Plan:
    """The stock-layer project (Vitis or Vivado) with an integer bench whose outputs are in neuron order.

    With head ``argmax`` the bench finds the index, as the host has to. ``vectors`` become the bench's data.
    """
    with tempfile.TemporaryDirectory(prefix="nmp-hls-") as folder:
        graph, stock = stock_graph(design, part, backend, clock_period_ns, str(Path(folder) / "project"))
        graph.config.get_writer_config()["WriteWeightsTxt"] = False  # text weights would need an absolute path
        files = collect(graph, design)
    files[f"{hls_top(design)}_test.cpp"] = stock_bench(design, hls_top(design), stock.order)
    if vectors is not None:
        files.update(vectors_files(design, np.asarray(vectors, np.int64), outputs_only=True))
    return dict(sorted(files.items()))


def stock_model(design: Design) -> StockModel:
    """The design as stock layers."""
    width = len(design.inputs)
    layers: list[dict[str, Any]] = [{"class_name": "InputLayer", "name": "network_input", "input_shape": [width]}]
    entering = container(design.input_formats, "inputs")
    precisions: dict[str, dict[str, Any]] = {"network_input": _types(result=_plain(entering))}
    order, source = tuple(range(width)), "network_input"
    _check_wrapping(design)
    for index, layer in enumerate(design.layers):
        parts = _parts(layer, LayerInput.of(design, index))
        names = []
        for number, part in enumerate(parts):
            name = f"{layer.name}_part{number}"
            layers.append(_dense(name, source, layer, part, order))
            precisions[name] = _dense_types(layer, part, entering)
            for step, (offset, result) in enumerate(_clip_steps(layer, part)):
                source_name, name = name, f"{layer.name}_part{number}_clip{step}"
                layers.append(_adds(name, source_name, len(part.neurons), offset))
                precisions[name] = _types(scale="ap_fixed<3,3>", bias=offset.type_name, result=result)
            names.append(name)
        entering = container(layer_output_formats(layer), f"layer {layer.name}")
        source = _concatenate(names, layer.name, entering, layers, precisions)
        order = tuple(j for part in parts for j in part.neurons)
    return StockModel(layers, precisions, order)


def _check_wrapping(design: Design) -> None:
    """Raise DesignError where a neuron wraps into fewer bits than the libraries' types have."""
    for layer in design.layers:
        for j, neuron in enumerate(layer.neurons):
            if neuron.output and neuron.output.wraps and neuron.output.format.bits == 1:
                raise DesignError(
                    f"layer {layer.name}, neuron {j}: it wraps into one bit, and hls4ml's types take two at least; the "
                    "grouped layers of the build's hls project have it exactly"
                )


@dataclass(frozen=True)
class _Part:
    constant: bool
    neurons: tuple[int, ...]


def _parts(layer: Layer, entering: LayerInput) -> list[_Part]:
    groups: dict[Any, list[int]] = {}
    for j, neuron in enumerate(layer.neurons):
        live = any(w and r != (0, 0) for w, r in zip(neuron.weights, entering.ranges, strict=True))
        fixed = neuron.output is not None and neuron.output.low == neuron.output.high
        key: tuple[Any, ...] = ("constant",)
        if live and not fixed:
            key = ("dense", neuron.weight_bits, neuron.weight_frac, str(neuron.output))
        groups.setdefault(key, []).append(j)
    return [_Part(key == ("constant",), tuple(groups[key])) for key in sorted(groups, key=str)]


def _dense(name: str, source: str, layer: Layer, part: _Part, order: Sequence[int]) -> dict[str, Any]:
    neurons = [layer.neurons[j] for j in part.neurons]
    if part.constant:
        weights = np.zeros((layer.inputs, len(part.neurons)))
        bias = np.array([math.ldexp(constant_output(n), -_result(n).frac) for n in neurons])
    else:
        weights = np.array([[math.ldexp(n.weights[i], -n.weight_frac) for n in neurons] for i in order])
        bias = np.array([math.ldexp(n.bias, -n.bias_frac) for n in neurons])
    return {
        "class_name": "Dense", "name": name, "inputs": [source], "n_in": layer.inputs, "n_out": len(part.neurons),
        "weight_data": weights, "bias_data": bias, "weight_quantizer": None, "bias_quantizer": None,
    }  # fmt: skip


def _dense_types(layer: Layer, part: _Part, entering: Container) -> dict[str, Any]:
    neurons = [layer.neurons[j] for j in part.neurons]
    if part.constant:
        form = container(tuple(Fixed.holding(min(c := constant_output(n), 0), max(c, 0), _result(n).frac)
                               for n in neurons), layer.name)  # fmt: skip
        form = Container(True, form.bits + (not form.signed), form.frac)
        return _types(weight="ap_fixed<2,2>", bias=_plain(form), accum=_plain(form), result=_plain(form))
    top = max(abs(w) for n in neurons for w in n.weights)
    weight = Container(True, max(top.bit_length() + 1, 2), neurons[0].weight_frac)
    biases = [Fixed.holding(min(n.bias, 0), max(n.bias, 0), n.bias_frac) for n in neurons]
    bias = container(tuple(biases), layer.name)
    sums = container(tuple(_sums(neurons)), layer.name)
    frac = max(sums.frac, entering.frac + weight.frac, bias.frac)
    bits, result = sums.integer_bits + (not sums.signed) + frac, _plain(sums)
    if neurons[0].output:
        # The HLS libraries' conversion reads the dropped bits at their place, which must exist.
        bits = max(bits, frac - neurons[0].output.format.frac + 2)
        result = _quantized(neurons[0].output, neurons)
    total = Container(True, bits, frac)
    return _types(weight=_plain(weight), bias=_plain(bias), accum=_plain(total), result=result)


def _concatenate(
    names: Sequence[str], layer: str, form: Container, layers: list[dict[str, Any]], precisions: dict[str, Any]
) -> str:
    joined = names[0]
    for number, name in enumerate(names[1:]):
        joint = f"{layer}_join{number}"
        layers.append({"class_name": "Concatenate", "name": joint, "inputs": [joined, name], "op": "Concatenate1d",
                       "axis": 1})  # fmt: skip
        precisions[joint] = _types(result=_plain(form))
        joined = joint
    return joined


@dataclass(frozen=True)
class _Offset:
    mantissa: int
    frac: int

    @property
    def type_name(self) -> str:
        form = Fixed.holding(min(self.mantissa, -1), max(self.mantissa, 0), self.frac)
        return f"ap_fixed<{form.bits + 1},{form.bits + 1 - form.frac}>"


def _saturates(quantizer: Quantizer) -> bool:
    """Whether a type of the HLS libraries has exactly this range."""
    form = Fixed.holding(quantizer.low, quantizer.high, quantizer.format.frac)
    if quantizer.overflow == "WRAP":
        return True
    if form.bits < 2 or quantizer.wraps:
        return False  # hls4ml gives the ac_fixed types of one bit a second one, below the point
    symmetric = form.signed and quantizer.low == -quantizer.high
    return symmetric or (quantizer.low, quantizer.high) == (form.low, form.high)


def _quantized(quantizer: Quantizer, neurons: Sequence[Neuron]) -> str:
    """The type whose conversion is the quantizer, or its rounding alone where the range needs steps of its own."""
    low, high, frac = quantizer.low, quantizer.high, quantizer.format.frac
    if quantizer.overflow == "WRAP":
        return _cast(quantizer.format, quantizer.rounding, "AP_WRAP")
    if quantizer.wraps:
        top = max([1, *(rounded(t.high, t.frac - frac, quantizer.rounding) for t in _sums(neurons))])
        return _cast(Fixed.holding(0, top, frac), quantizer.rounding, "AP_SAT")
    if not _saturates(quantizer) and low == 0:
        return _cast(_inside(quantizer), quantizer.rounding, "AP_SAT")
    if not _saturates(quantizer):
        ends = [rounded(m, t.frac - frac, quantizer.rounding) for t in _sums(neurons) for m in (t.low, t.high)]
        low, high = min([-1, *ends]), max([0, *ends])
        return _cast(Fixed.holding(low, high, frac), quantizer.rounding, "AP_WRAP")
    form = Fixed.holding(low, high, frac)
    return _cast(form, quantizer.rounding, "AP_SAT_SYM" if form.signed and low == -high else "AP_SAT")


def _clip_steps(layer: Layer, part: _Part) -> list[tuple[_Offset, str]]:
    """What the steps to an unusual range add, and the types they add it into.

    None adds 0: hls4ml takes such a layer out, whatever its type does. Where low is 0 the sum's own type cuts there.
    """
    quantizer = layer.neurons[part.neurons[0]].output
    if part.constant or quantizer is None or _saturates(quantizer):
        return []
    low, high, frac = quantizer.low, quantizer.high, quantizer.format.frac
    if quantizer.wraps:
        return [(_Offset(1 << quantizer.format.bits, frac), _cast(quantizer.format, "TRN", "AP_WRAP"))]
    inside = _inside(quantizer)
    over = inside.high - (high - low)
    steps = [(_Offset(offset, frac), _cast(inside, "TRN", "AP_SAT")) for offset in (-low, over)]
    steps.append((_Offset(low - over, frac), _cast(Fixed.holding(low, high, frac), "TRN", "AP_WRAP")))
    return [step for step in steps if step[0].mantissa]


def _inside(quantizer: Quantizer) -> Fixed:
    """The unsigned format, of at least two bits, in which a range that starts at 0 has its ends cut off."""
    return Fixed(False, max((quantizer.high - quantizer.low).bit_length(), 2), quantizer.format.frac)


def _adds(name: str, source: str, count: int, offset: _Offset) -> dict[str, Any]:
    """A stock layer that adds a constant to every element."""
    bias = np.full(count, math.ldexp(offset.mantissa, -offset.frac))
    return {
        "class_name": "BatchNormalization", "name": name, "inputs": [source], "n_in": count, "n_out": count,
        "n_filt": -1, "scale_data": np.ones(count), "bias_data": bias,
    }  # fmt: skip


def _cast(form: Fixed, rounding: str, saturation: str) -> str:
    sign, bits = "" if form.signed else "u", max(form.bits, 2)
    return f"ap_{sign}fixed<{bits},{bits - form.frac},{CAST[rounding]},{saturation}>"


def _sums(neurons: Sequence[Neuron]) -> list[Fixed]:
    return [n.accumulator for n in neurons if n.accumulator]


def _result(neuron: Neuron) -> Fixed:
    fmt = neuron.output.format if neuron.output else neuron.accumulator
    assert fmt is not None
    return fmt


def _plain(form: Container) -> str:
    """A type that holds the container, of two bits at least."""
    sign, bits = "" if form.signed else "u", max(form.bits, 2)
    return f"ap_{sign}fixed<{bits},{bits - form.frac}>"


def _types(**precisions: str) -> dict[str, Any]:
    return {"Precision": precisions}
