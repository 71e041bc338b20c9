"""Streamed networks as hls4ml layers: a window over pixels and what is computed at each of its positions.

Every node of the design is a layer of hls4ml's graph with ``io_stream``, a pack of all channels per pixel. hls4ml
clones the streams that several layers read, and makes every queue as deep as its map, so that no branch waits for
another. What a position computes is the grouped dense layer of `flow.emit.hls.layer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer as HlsLayer

from flow.core.design import Design, layer_output_formats
from flow.core.nodes import INPUT, Node, Window
from flow.emit.hls.extension import HEADER, check_backend, precision, scheduled
from flow.emit.hls.layer import Container, LayerInput, container, layer_code
from flow.emit.templates import render
from flow.streamed.shapes import is_whole, two, zeros_around

WINDOW_HEADER = "nmp_window.h"
ENTRY = "network_input"


@dataclass(frozen=True)
class NodeCode:
    """Everything the template needs of a node; ``order`` are the streams by source: channels stand side by side."""

    name: str
    told: str
    kind: str
    sizes: dict[str, int]
    streams: int
    order: tuple[int, ...]
    element: str
    whole: bool
    outputs: int
    interval: int
    function: str


class NMPStreamed(HlsLayer):  # type: ignore[misc]
    """A node of a streamed design. Attributes: ``nmp_node`` (number), ``nmp_design``; ``nmp_layer`` if it is dense."""

    _expected_attributes = [Attribute("nmp_design", value_type=object), Attribute("nmp_node", value_type=int)]  # noqa: RUF012

    def initialize(self) -> None:
        """Make the output variable: pixels of all channels, in their container."""
        check_backend(self)
        design, number = self.get_attr("nmp_design"), self.get_attr("nmp_node")
        if design.nodes[number].kind == "dense":
            self.set_attr("nmp_schedules", scheduled(self))
        shape = [*design.nodes[number].window.positions, len(design.spans(number))]
        self.add_output_variable(shape, precision=precision(output_container(design, number)))


def layers_of(design: Design) -> list[dict[str, Any]]:
    """The nodes as hls4ml's list of layers, behind their input."""
    entering = next(node.window.shape for node in design.nodes if INPUT in node.sources)
    shape = [*entering[:-1], len(design.spans(INPUT))]
    found: list[dict[str, Any]] = [{"class_name": "InputLayer", "name": ENTRY, "input_shape": shape}]
    for number, node in enumerate(design.nodes):
        names = [ENTRY if s == INPUT else node_name(design.nodes[s]) for s in dict.fromkeys(node.sources)]
        own = {"nmp_layer": design.layers[design.layer_of(number)]} if node.kind == "dense" else {}
        found.append({
            "class_name": "NMPStreamed", "name": node_name(node), "inputs": names, "nmp_design": design,
            "nmp_node": number, **own,
        })  # fmt: skip
    return found


def node_name(node: Node) -> str:
    """The node's name in hls4ml's graph."""
    return f"nmp_{node.name}"


def output_container(design: Design, number: int) -> Container:
    """The one format of a node's pixels."""
    node = design.nodes[number]
    if node.kind == "dense":
        formats = layer_output_formats(design.layers[design.layer_of(number)])
    else:
        formats = tuple(span.format for span in design.spans(number))
    return container(formats, f"node {node.name}")


def node_code(design: Design, number: int, interval: int = 1) -> NodeCode:
    """The generated code of a node around its layer, which takes ``interval`` cycles per position, 0 for as many as it
    needs."""
    node = design.nodes[number]
    distinct = list(dict.fromkeys(node.sources))
    form = container(tuple(span.format for span in design.spans_at(number)), f"inputs of node {node.name}")
    window = node.window
    told = f"{node.name}: {node.kind} at {' x '.join(map(str, window.positions)) or 1} positions"
    return NodeCode(
        node.name, told, node.kind, _sizes(window), len(distinct), tuple(distinct.index(s) for s in node.sources),
        form.ap_type, is_whole(window), len(design.spans(number)), interval, node_name(node),
    )  # fmt: skip


def _sizes(window: Window) -> dict[str, int]:
    height, width = two(window.shape[:-1])
    (top, bottom), (left, right) = zeros_around(window)
    found = {
        "height": height, "width": width, "channels": window.channels, "top": top, "left": left,
        "full_height": top + height + bottom, "full_width": left + width + right,
    }  # fmt: skip
    pairs = {"reach": window.reach, "": window.size, "stride": window.strides, "dilation": window.dilation}
    pairs |= {"repeat": window.repeats} if window.repeats else {}
    for key, values in pairs.items():
        rows, columns = two(values)
        prefix = f"{key}_" if key else ""
        found |= {f"{prefix}rows": rows, f"{prefix}columns": columns}
    return found


class StreamedConfig(LayerConfigTemplate):  # type: ignore[misc]
    """Weights, layer function and the node around it, in parameters.h."""

    def __init__(self) -> None:
        super().__init__(NMPStreamed)

    def format(self, node: Any) -> str:
        """The generated C++ of one node."""
        design, number = node.get_attr("nmp_design"), node.get_attr("nmp_node")
        text, interval = "", 1
        if design.nodes[number].kind == "dense":
            index = design.layer_of(number)
            code = layer_code(design.layers[index], LayerInput.of(design, index), node.get_attr("nmp_schedules"))
            text, interval = render("nmp_layer.h.j2", layer=code, stream=False, process=False) + "\n", code.interval
        return text + render("nmp_node.h.j2", node=node_code(design, number, interval))


class StreamedCall(FunctionCallTemplate):  # type: ignore[misc]
    """The call in the top function."""

    def __init__(self) -> None:
        super().__init__(NMPStreamed, include_header=[f"nnet_utils/{HEADER}", f"nnet_utils/{WINDOW_HEADER}"])

    def format(self, node: Any) -> str:
        """One call statement."""
        variables = [node.get_input_variable(name) for name in node.inputs]
        out = node.get_output_variable()
        types = ", ".join(v.type.name for v in (*variables, out))
        names = ", ".join(v.name for v in (*variables, out))
        name = node.get_attr("nmp_design").nodes[node.get_attr("nmp_node")].name
        return f"nmp_node_{name}<{types}>({names});"
