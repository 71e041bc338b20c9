"""The hls4ml extension: grouped dense layers and the argmax head as hls4ml layers with their own templates.

``register()`` makes them known to hls4ml for the Vitis and Vivado backends; it may be called any number of times.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import hls4ml
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer as HlsLayer
from hls4ml.model.layers import layer_map, register_layer
from hls4ml.model.types import FixedPrecisionType, IntegerPrecisionType

from flow.emit.hls_layer import Container, LayerCode, container, layer_code
from flow.emit.templates import FOLDER, render
from flow.ir import layer_output_formats

BACKENDS = ("Vitis", "Vivado")
HEADER = "nmp_grouped_dense.h"
_INCLUDES = [f"nnet_utils/{HEADER}"]


class NMPGroupedDense(HlsLayer):  # type: ignore[misc]
    """A dense layer whose neurons form groups by weight width.

    Attributes: ``nmp_layer`` (flow.ir.Layer), ``nmp_input`` (flow.emit.hls_layer.LayerInput).
    """

    _expected_attributes = [Attribute("nmp_layer", value_type=object), Attribute("nmp_input", value_type=object)]  # noqa: RUF012

    def initialize(self) -> None:
        """Make the output variable, in the container of all neurons."""
        layer = self.get_attr("nmp_layer")
        form = container(layer_output_formats(layer), f"layer {layer.name}")
        self.add_output_variable([len(layer.neurons)], precision=precision(form))


class NMPArgmax(HlsLayer):  # type: ignore[misc]
    """Index of the largest element, the first one on a tie."""

    def initialize(self) -> None:
        """Make the output variable: one unsigned integer."""
        count = self.get_input_variable().shape[0]
        bits = max((count - 1).bit_length(), 1)
        self.add_output_variable([1], precision=IntegerPrecisionType(bits, signed=False))


class GroupedDenseConfig(LayerConfigTemplate):  # type: ignore[misc]
    """Weights and layer function, in parameters.h."""

    def __init__(self) -> None:
        super().__init__(NMPGroupedDense)

    def format(self, node: Any) -> str:
        """The generated C++ of one layer."""
        return render("nmp_layer.h.j2", layer=node_code(node))


class GroupedDenseCall(FunctionCallTemplate):  # type: ignore[misc]
    """The call in the top function."""

    def __init__(self) -> None:
        super().__init__(NMPGroupedDense, include_header=_INCLUDES)

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
    """The generated code of a grouped dense node."""
    return layer_code(node.get_attr("nmp_layer"), node.get_attr("nmp_input"))


def precision(form: Container) -> FixedPrecisionType:
    """A container as an hls4ml precision."""
    return FixedPrecisionType(form.bits, form.integer_bits, form.signed)


@cache
def register() -> None:
    """Make the layers known to hls4ml. Existing scripts then convert our layers like any other."""
    for name, layer in (("NMPGroupedDense", NMPGroupedDense), ("NMPArgmax", NMPArgmax)):
        if name not in layer_map:
            register_layer(name, layer)
    for name in BACKENDS:
        backend = hls4ml.backends.get_backend(name)
        backend.register_source(FOLDER / HEADER)
        for template in (GroupedDenseConfig, GroupedDenseCall, ArgmaxCall):
            backend.register_template(template)
