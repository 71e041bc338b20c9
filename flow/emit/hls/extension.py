"""The hls4ml extension: grouped dense layers and the argmax head as hls4ml layers with their own templates.

``register()`` makes them known to hls4ml for the Vitis and Vivado backends; it may be called any number of times.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import hls4ml
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer as HlsLayer
from hls4ml.model.layers import layer_map, register_layer
from hls4ml.model.types import (
    FixedPrecisionType,
    IntegerPrecisionType,
    RoundingMode,
    SaturationMode,
    UnspecifiedPrecisionType,
)

from flow.core.design import Layer, Neuron, layer_output_formats
from flow.core.errors import ModelError
from flow.core.fixed import Fixed, Quantizer
from flow.core.passes.group import layer_groups
from flow.core.passes.widths import accumulator_format
from flow.emit.hls.layer import Container, LayerCode, LayerInput, container, layer_code, quantizer_code
from flow.emit.hls.schedule import UNROLLED, Schedule, overridden, schedules
from flow.emit.templates import FOLDER, render

BACKENDS = ("Vitis", "Vivado")
_SERVED = (*BACKENDS, "VivadoAccelerator")  # which takes Vivado's templates
HEADER = "nmp_grouped_dense.h"
_INCLUDES = [f"nnet_utils/{HEADER}"]


class NMPGroupedDense(HlsLayer):  # type: ignore[misc]
    """A dense layer whose neurons form groups by weight width.

    Attributes: ``nmp_layer`` (flow.core.design.Layer) and, where it is known, ``nmp_input`` (LayerInput). Without the
    latter the formats come from the layer above and the accumulators are sized here.
    """

    _expected_attributes = [Attribute("nmp_layer", value_type=object)]  # noqa: RUF012

    def initialize(self) -> None:
        """Make the output variable, in the container of all neurons."""
        check_backend(self)
        layer, entering = self.get_attr("nmp_layer"), self.get_attr("nmp_input")
        if entering is None:
            entering = above(self)
            layer = sized(layer, entering)
            self.set_attr("nmp_layer", layer)
            self.set_attr("nmp_input", entering)
        self.set_attr("nmp_schedules", scheduled(self))
        formats = layer_output_formats(layer)
        self.set_attr("n_in", layer.inputs)
        self.set_attr("n_out", len(formats))
        self.set_attr("nmp_output", LayerInput(formats, tuple(neuron_range(n) for n in layer.neurons)))
        self.add_output_variable([len(formats)], precision=precision(container(formats, f"layer {layer.name}")))


class NMPQuantize(HlsLayer):  # type: ignore[misc]
    """A quantizer per element. Attributes: ``nmp_name`` and ``nmp_elements`` (tuple of flow.core.fixed.Quantizer)."""

    _expected_attributes = [Attribute("nmp_name", value_type=str), Attribute("nmp_elements", value_type=tuple)]  # noqa: RUF012

    def initialize(self) -> None:
        """Make the output variable, in the container of all elements."""
        check_backend(self)
        quantizers = self.get_attr("nmp_elements")
        source = self.get_input_variable().type
        if isinstance(source.precision, UnspecifiedPrecisionType):  # "auto" in a configuration of hls4ml's
            if len({q.overflow for q in quantizers}) > 1 or quantizers[0].overflow == "RELU_WRAP":
                raise ModelError(
                    f"layer {self.name} saturates some inputs and wraps others; state the inputs' precision"
                )
            overflow = SaturationMode.WRAP if quantizers[0].wraps else SaturationMode.SAT
            form, modes = raw_input(quantizers), (RoundingMode.TRN, overflow)
            source.precision = FixedPrecisionType(form.bits, form.integer_bits, True, *modes)
        self.set_attr("nmp_input", above(self))
        formats = tuple(q.format for q in quantizers)
        self.set_attr("nmp_output", LayerInput(formats, tuple((q.low, q.high) for q in quantizers)))
        self.add_output_variable([len(formats)], precision=precision(container(formats, self.name)))


def scheduled(node: Any) -> tuple[Schedule, ...]:
    """Every group's schedule from the configuration, which is told what it means for the whole pipeline.

    A reuse factor that no even share of the inputs has is replaced by the nearest one, with a warning.
    """
    config = node.model.config
    strategy, reuse = config.get_strategy(node), int(config.get_reuse_factor(node))
    default = overridden(UNROLLED, {"Strategy": strategy, "ReuseFactor": reuse}, f"layer {node.name}")
    found, notes = schedules(node.get_attr("nmp_layer"), default, config.get_layer_config(node).get("Groups") or ())
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    # hls4ml chooses dataflow or one pipeline for the top function from the strategies of whole layers.
    resource = any(s.strategy == "resource" for s in found)
    config.layer_name_strategy[node.name.lower()] = "resource" if resource else "latency"
    interval = max([1, *(s.reuse for s in found)])
    if interval > 1:
        config.pipeline_ii = max(interval, config.pipeline_ii or 1)
    return found


def check_backend(node: Any) -> None:
    """Raises ModelError for back ends without our templates: hls4ml would leave the layer out and say nothing."""
    backend = node.model.config.backend.name
    if backend not in _SERVED:
        raise ModelError(f"layer {node.name}: grouped layers are for {', '.join(_SERVED)}, not for {backend}; python -m"
                         f" flow.hls_stock --backend {backend} writes the same numbers in stock layers")  # fmt: skip


def above(node: Any) -> LayerInput:
    """Formats of the elements that enter a node. Raises ModelError where a layer between is not one of ours."""
    source = node.get_input_node()
    while source is not None and (source.class_name == "Reshape" or source.get_attr("activation") == "linear"):
        if source.class_name != "Reshape":  # dropout: with the type of what enters it hls4ml takes it out
            source.get_output_variable().type.precision = source.get_input_variable().type.precision
        source = source.get_input_node()
    known = None if source is None else source.get_attr("nmp_output")
    if isinstance(known, LayerInput):
        return known
    if source is None or source.class_name != "Input":
        name = "nothing" if source is None else f"layer {source.name} ({source.class_name})"
        raise ModelError(f"layer {node.name} follows {name}, whose exact formats are unknown; put a quantizer between")
    variable = source.get_output_variable()
    form = variable.type.precision
    fmt = Fixed(bool(form.signed), form.width, form.fractional)
    return LayerInput((fmt,) * variable.size(), ((fmt.low, fmt.high),) * variable.size())


def sized(layer: Layer, entering: LayerInput) -> Layer:
    """The layer with its exact accumulators and its groups."""
    neurons = tuple(
        replace(
            n, accumulator=accumulator_format(n, entering.formats, entering.ranges, f"layer {layer.name}, neuron {j}")
        )
        for j, n in enumerate(layer.neurons)
    )
    layer = replace(layer, neurons=neurons, groups=())
    return replace(layer, groups=layer_groups(layer))


def neuron_range(neuron: Neuron) -> tuple[int, int]:
    """Mantissas a neuron can put out."""
    if neuron.output:
        return neuron.output.low, neuron.output.high
    assert neuron.accumulator is not None
    return neuron.accumulator.low, neuron.accumulator.high


class NMPArgmax(HlsLayer):  # type: ignore[misc]
    """Index of the largest element, the first one on a tie."""

    def initialize(self) -> None:
        """Make the output variable: one unsigned integer."""
        check_backend(self)
        count = self.get_input_variable().shape[0]
        bits = max((count - 1).bit_length(), 1)
        self.add_output_variable([1], precision=IntegerPrecisionType(bits, signed=False))


class GroupedDenseConfig(LayerConfigTemplate):  # type: ignore[misc]
    """Weights and layer function, in parameters.h."""

    def __init__(self) -> None:
        super().__init__((NMPGroupedDense, NMPQuantize))

    def format(self, node: Any) -> str:
        """The generated C++ of one layer."""
        config = node.model.config
        stream = config.get_config_value("IOType") == "io_stream"
        process = config.pipeline_style == "dataflow" and not stream
        return render("nmp_layer.h.j2", layer=node_code(node), stream=stream, process=process)


class GroupedDenseCall(FunctionCallTemplate):  # type: ignore[misc]
    """The call in the top function."""

    def __init__(self) -> None:
        super().__init__((NMPGroupedDense, NMPQuantize), include_header=_INCLUDES)

    def format(self, node: Any) -> str:
        """One call statement."""
        params = self._default_function_params(node)
        types = f"{params['input_t']}, {params['output_t']}"
        return f"{node_code(node).function}<{types}>({params['input']}, {params['output']});"


class ArgmaxCall(FunctionCallTemplate):  # type: ignore[misc]
    """The call of the argmax head."""

    def __init__(self) -> None:
        super().__init__(NMPArgmax, include_header=_INCLUDES)

    def format(self, node: Any) -> str:
        """One call statement."""
        params = self._default_function_params(node)
        count = node.get_input_variable().shape[0]
        types = f"{params['input_t']}, {params['output_t']}, {count}"
        return f"nmp::argmax<{types}>({params['input']}, {params['output']});"


def node_code(node: Any) -> LayerCode:
    """The generated code of one of our nodes."""
    if node.class_name == "NMPQuantize":
        return quantizer_code(node.get_attr("nmp_name"), node.get_attr("nmp_elements"), node.get_attr("nmp_input"))
    config = node.model.config
    interval = int(config.pipeline_ii or 1) if config.pipeline_style == "pipeline" else 1
    return layer_code(node.get_attr("nmp_layer"), node.get_attr("nmp_input"), node.get_attr("nmp_schedules"), interval)


def raw_input(quantizers: Sequence[Quantizer]) -> Container:
    """A saturating type for raw inputs, fine enough that quantizing from it rounds as quantizing the real number.

    Cutting off bits below half a step changes no TRN or RND result; a range one step beyond every quantizer's saturates
    alike, one that wraps at more bits than every quantizer wraps alike. Ties of RND_CONV need the exact input: eight
    more bits make a wrong tie rare, not impossible.
    """
    used = [q for q in quantizers if q.format.bits] or [quantizers[0]]
    frac = max(q.format.frac + (9 if q.rounding == "RND_CONV" else 1) for q in used)
    integer = max(max(abs(q.low), abs(q.high)).bit_length() + 2 - q.format.frac for q in used)
    return Container(True, max(integer + frac, 2), frac)


def precision(form: Container) -> FixedPrecisionType:
    """A container as an hls4ml precision."""
    return FixedPrecisionType(form.bits, form.integer_bits, form.signed)


@cache
def register() -> None:
    """Make the layers known to hls4ml. Existing scripts then convert our layers like any other."""
    from flow.emit.hls import stream  # built on what is here

    for layer in (NMPGroupedDense, NMPQuantize, NMPArgmax, stream.NMPStreamed):
        if layer.__name__ not in layer_map:
            register_layer(layer.__name__, layer)
    for name in _SERVED:
        backend = hls4ml.backends.get_backend(name)
        for header in (HEADER, stream.WINDOW_HEADER):
            backend.register_source(FOLDER / header)
        for template in (GroupedDenseConfig, GroupedDenseCall, ArgmaxCall, stream.StreamedConfig, stream.StreamedCall):
            backend.register_template(template)
