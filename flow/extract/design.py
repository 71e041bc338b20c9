"""A Keras model to a checked integer design."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flow.core.check import check
from flow.core.design import HEADS, Design, Layer
from flow.core.errors import ModelError, UsageError
from flow.core.fixed import Quantizer
from flow.core.nodes import Form, Node
from flow.extract.chain import Applied
from flow.extract.float32 import require_range
from flow.extract.formats import parse_format
from flow.extract.graph import assemble_graph
from flow.extract.graph_trace import Trace, trace
from flow.extract.maps import Streamed
from flow.extract.probability import PROBABILITY, probabilities
from flow.extract.read import steps_of
from flow.extract.resolve import fold
from flow.extract.streamed import stream
from flow.extract.training_only import training_only
from flow.extract.windows import TooLarge

MAX_NAME = 64


def extract(
    model: Any,
    name: str | None = None,
    input_format: str | None = None,
    head: str = "logits",
    form: Form = "auto",
) -> Design:
    """The integer design of a Keras model of NMP and QKeras layers; accumulators are left to the ``widths`` pass.

    ``input_format`` (such as ``s8.4``: signed, 8 bits, 4 of them fraction) is for models that do not quantize their
    inputs; ``form`` is whether windows over pixels are unrolled (a row of weights at every position) or streamed, by
    default unrolled where that is small enough; with ``head`` "probability" a final sigmoid or tanh becomes a table.
    ``source`` of the design holds
    ``notes`` (lines for the user), ``input_format``, and what was read in which way. Raises ModelError with the layer's
    name and the remedy where a layer has no exact integer form.
    """
    if head not in (*HEADS, PROBABILITY):
        raise UsageError(f"unknown head {head!r}; known: {', '.join((*HEADS, PROBABILITY))}")
    traced = trace(model)
    given = Quantizer.saturating(parse_format(input_format)) if input_format else None
    found = _formed(traced, given, head, form)
    notes = [*training_only([call.applied for call in traced.calls]), *found.notes]
    if given is not None:
        notes.append(f"the model does not quantize its inputs: here they are rounded to {given.format}")
    source = {"notes": notes, "input_format": input_format, "versions": _versions(), **found.source}
    source["probability"] = head == PROBABILITY
    own_name, own_head = identifier(name or str(model.name), set()), "logits" if head == PROBABILITY else head
    design = check(Design(own_name, found.inputs, found.layers, own_head, source, found.nodes))
    require_range(design)
    return design


@dataclass(frozen=True)
class _Found:
    """Inputs and layers of a design, lines for the user, and what its ``source`` says of how they were read."""

    inputs: tuple[Quantizer, ...]
    layers: tuple[Layer, ...]
    notes: list[str]
    source: dict[str, Any]
    nodes: tuple[Node, ...] = ()


def _formed(traced: Trace, given: Quantizer | None, head: str, form: Form) -> _Found:
    """The model in one form or the other."""
    if form == "streamed":
        return _streamed(traced, given, head)
    try:
        return _graph(traced, given, head) if traced.path is None else _path(traced, traced.path, given, head)
    except TooLarge:
        if form == "unrolled":
            raise
    return _streamed(traced, given, head)


def _streamed(traced: Trace, given: Quantizer | None, head: str) -> _Found:
    """A model whose layers slide over pixels."""
    if head == PROBABILITY:
        raise ModelError("--head probability is not made for streamed networks; use --head logits")
    found = stream(traced, given)
    layers, nodes = named_nodes(found)
    source = {"asked": list(found.asked), "real": list(found.real), "left_out": found.left_out}
    return _Found(found.inputs, layers, list(found.notes), source, nodes)


def named_nodes(found: Streamed) -> tuple[tuple[Layer, ...], tuple[Node, ...]]:
    """Layers and nodes of a streamed model under names that are identifiers, each another one."""
    taken: set[str] = set()
    names = iter([identifier(node.name, taken) for node in found.nodes])
    nodes = tuple(replace(node, name=next(names)) for node in found.nodes)
    own = iter(node.name for node in nodes if node.kind == "dense")
    return tuple(Layer(next(own), layer.neurons) for layer in found.layers), nodes


def _path(traced: Trace, path: list[Applied], given: Quantizer | None, head: str) -> _Found:
    """A model of one path of layers."""
    steps = [step for applied in path for step in steps_of(applied)]
    if head == PROBABILITY:
        steps.append(probabilities(steps, math.prod(path[-1].output_shape)))
    assembler, resolved = fold(steps, traced.inputs[0].elements, given)
    inputs, layers = assembler.finish()
    source = {"asked": resolved.asked, "real": resolved.real, "left_out": resolved.left_out}
    return _Found(inputs, named(layers), [*resolved.notes, *assembler.notes], source)


def _graph(traced: Trace, given: Quantizer | None, head: str) -> _Found:
    """Any other model; ``source`` names its ``ports`` with their elements, and its ``neurons`` by layer."""
    if head == PROBABILITY or (head == "argmax" and len(traced.outputs) > 1):
        why = "one output" if head == "argmax" else "one path of layers"
        raise ModelError(f"--head {head} is for models of {why}, which this is not; use --head logits")
    found = assemble_graph(traced, given)
    layers, notes, chain = named(found.chain.layers), list(found.notes), found.chain
    ports = {"inputs": [(e.name, e.elements) for e in traced.inputs], "outputs": traced.named_outputs}
    for which, entries in ports.items():
        if len(entries) > 1:
            notes.append(f"a row of {which} holds those of the model one after the other: {_listed(entries)}")
    if chain.carried:
        notes.append(
            f"{chain.carried} values are needed behind later layers and pass through those between, which costs "
            "registers and no logic"
        )
    source = {
        "asked": [list(pair) for pair in chain.asked],
        "real": list(found.real),
        "left_out": found.left_out,
        "ports": {which: [list(entry) for entry in entries] for which, entries in ports.items()},
        "neurons": {layer.name: list(own) for layer, own in zip(layers, chain.labels, strict=True)},
    }
    return _Found(found.inputs, layers, notes, source)


def _listed(entries: Sequence[tuple[str, int]]) -> str:
    """Names with the columns that they take, such as ``a (columns 0 to 1)``."""
    parts, first = [], 0
    for name, count in entries:
        parts.append(f"{name} (columns {first} to {first + count - 1})" if count > 1 else f"{name} (column {first})")
        first += count
    return ", ".join(parts)


def named(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers under names that are identifiers, each another one."""
    taken: set[str] = set()
    return tuple(Layer(identifier(layer.name, taken), layer.neurons) for layer in layers)


def identifier(name: str, taken: set[str]) -> str:
    """``name`` as an identifier that differs from all ``taken`` ones even without case; it is added to them."""
    base = re.sub(r"[^A-Za-z0-9_]", "_", name) or "model"
    if not re.match(r"[A-Za-z_]", base):
        base = f"m_{base}"
    base = base[: MAX_NAME - 6]
    unique, number = base, 1
    while unique.lower() in taken:
        number += 1
        unique = f"{base}_{number}"
    taken.add(unique.lower())
    return unique


def _versions() -> dict[str, str]:
    modules = {name: sys.modules.get(name) for name in ("keras", "qkeras", "tensorflow", "jax")}
    return {name: str(module.__version__) for name, module in modules.items() if module is not None}


def require_numbers(values: Any, elements: int) -> None:
    """Raise ModelError unless ``values`` is vectors x ``elements``."""
    if values.ndim < 2 or math.prod(values.shape[1:]) != elements:
        raise ModelError(f"the model takes {elements} inputs, the data has shape {values.shape[1:]}")
