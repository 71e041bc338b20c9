"""A Keras model to a checked integer design."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

from flow.core.check import check
from flow.core.design import HEADS, Design, Layer
from flow.core.errors import ModelError, UsageError
from flow.core.fixed import Quantizer
from flow.extract.chain import input_shape, layers_of
from flow.extract.float32 import require_range
from flow.extract.formats import parse_format
from flow.extract.probability import PROBABILITY, probabilities
from flow.extract.read import steps_of
from flow.extract.resolve import fold
from flow.extract.training_only import training_only

MAX_NAME = 64


def extract(model: Any, name: str | None = None, input_format: str | None = None, head: str = "logits") -> Design:
    """The integer design of a Keras model of NMP and QKeras layers; accumulators are left to the ``widths`` pass.

    ``input_format`` (such as ``s8.4``: signed, 8 bits, 4 of them fraction) is for models that do not quantize their
    inputs; with ``head`` "probability" a final sigmoid or tanh becomes a table. ``source`` of the design holds
    ``notes`` (lines for the user), ``input_format``, and what was read in which way. Raises ModelError with the layer's
    name and the remedy where a layer has no exact integer form.
    """
    if head not in (*HEADS, PROBABILITY):
        raise UsageError(f"unknown head {head!r}; known: {', '.join((*HEADS, PROBABILITY))}")
    elements = math.prod(input_shape(model))
    path = layers_of(model)
    steps = [step for applied in path for step in steps_of(applied)]
    if head == PROBABILITY:
        steps.append(probabilities(steps, math.prod(path[-1].output_shape)))
    given = Quantizer.saturating(parse_format(input_format)) if input_format else None
    assembler, resolved = fold(steps, elements, given)
    inputs, layers = assembler.finish()
    notes = [*training_only(path), *resolved.notes, *assembler.notes]
    if given is not None:
        notes.append(f"the model does not quantize its inputs: here they are rounded to {given.format}")
    source = {
        "notes": notes,
        "input_format": input_format,
        "versions": _versions(),
        "asked": resolved.asked,
        "real": resolved.real,
        "left_out": resolved.left_out,
        "probability": head == PROBABILITY,
    }
    design = check(
        Design(
            identifier(name or str(model.name), set()),
            inputs,
            _named(layers),
            "logits" if head == PROBABILITY else head,
            source,
        )
    )
    require_range(design)
    return design


def _named(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
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
