"""The self-checking C test bench of an hls4ml project and its vectors, all as integer mantissas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flow.core.design import Design, layer_output_formats
from flow.core.evaluate import argmax, evaluate, evaluate_layer
from flow.core.fixed import Fixed, Ints
from flow.emit.hls.layer import Container, container
from flow.emit.templates import render


def bench(design: Design, top: str, namespace: str | None = None, io_type: str = "io_parallel") -> str:
    """The test bench of a project whose top function is ``top``."""
    argmax_head = design.head == "argmax"
    outputs = 1 if argmax_head else design.outputs
    return render(
        "nmp_test.cpp.j2", top=top, namespace=namespace, argmax=argmax_head, layered=not design.nodes,
        inputs=_inputs(design), stream=io_type == "io_stream",
        layers=_layers(design), outputs=outputs, order=[] if argmax_head else list(range(outputs)),
    )  # fmt: skip


def stock_bench(design: Design, top: str, order: Sequence[int]) -> str:
    """The bench of a stock-layer project: output ``k`` of the hardware is neuron ``order[k]``, the head the bench's."""
    return render(
        "nmp_test.cpp.j2", top=top, namespace=None, argmax=design.head == "argmax", layered=False,
        inputs=_inputs(design), stream=False, layers=_layers(design)[-1:], outputs=len(order), order=list(order),
    )  # fmt: skip


def _inputs(design: Design) -> list[dict[str, Any]]:
    return _elements(design.input_formats, container(design.input_formats, "inputs"))


def _layers(design: Design) -> list[dict[str, Any]]:
    if design.nodes:  # of which the bench sees what leaves the last
        last, formats = design.nodes[-1].name, design.output_formats
        form = container(formats, f"node {last}")
        elements = [] if design.head == "argmax" else _elements(formats, form)
        return [{"name": last, "elements": elements, "output_type": form.ap_type}]
    types = [container(design.input_formats, "inputs").ap_type]
    layers: list[dict[str, Any]] = []
    for layer in design.layers:
        formats = layer_output_formats(layer)
        form = container(formats, f"layer {layer.name}")
        layers.append(
            {
                "name": layer.name,
                "function": f"nmp_{layer.name}",
                "elements": _elements(formats, form),
                "input_type": types[-1],
                "output_type": form.ap_type,
            }
        )
        types.append(form.ap_type)
    return layers


def vectors_files(design: Design, mantissas: Ints, outputs_only: bool = False) -> dict[str, str]:
    """The bench's data: input mantissas and what every neuron, or those of the last layer, must make of them."""
    columns = expected_columns(design, mantissas)
    if outputs_only:
        columns = columns[:, sum(len(layer.neurons) for layer in design.layers[:-1]) :]
    return {
        "tb_data/input_mantissas.dat": _rows(mantissas),
        "tb_data/expected_mantissas.dat": _rows(columns),
    }


def expected_columns(design: Design, mantissas: Ints) -> Ints:
    """Mantissas of all neurons of all layers, layer after layer, then the class index with head ``argmax``.

    Of a streamed design what leaves it, alone.
    """
    if design.nodes:
        return evaluate(design, mantissas)
    values, columns = mantissas, []
    for index, layer in enumerate(design.layers):
        values = evaluate_layer(layer, values, design.formats_into(index))
        columns.append(values)
    if design.head == "argmax":
        columns.append(argmax(values, design.output_formats))
    return np.concatenate(columns, axis=1)


def _elements(formats: tuple[Fixed, ...], form: Container) -> list[dict[str, Any]]:
    return [
        {"at": form.frac - f.frac if f.bits else 0, "bits": f.bits, "is_signed": str(f.signed).lower()} for f in formats
    ]


def _rows(values: Ints) -> str:
    return "".join(" ".join(map(str, row)) + "\n" for row in values.tolist())
