"""A Keras model to a checked integer design."""

from __future__ import annotations

import contextlib
import math
import re
import sys
from typing import Any

from flow.core.check import check
from flow.core.design import HEADS, Design, Layer
from flow.core.errors import ModelError, UsageError
from flow.core.fixed import Fixed, Quantizer
from flow.extract.assemble import fold
from flow.extract.float32 import require_range
from flow.extract.graph import assemble_graph
from flow.extract.merge import Unmergeable
from flow.extract.read import steps_of
from flow.extract.trace import Trace, trace
from flow.extract.training_only import training_only

MAX_NAME = 64
_FORMAT = re.compile(r"([su])(\d{1,2})\.(-?\d{1,3})\Z")


def extract(model: Any, name: str | None = None, input_format: str | None = None, head: str = "logits") -> Design:
    """The integer design of a Keras model of NMP and QKeras layers; accumulators are left to the ``widths`` pass.

    ``input_format`` (such as ``s8.4``: signed, 8 bits, 4 of them fraction) is for models that do not quantize their
    inputs. ``source`` of the design holds ``notes`` (lines for the user) and ``input_format``. Raises ModelError with
    the layer's name and the remedy where a layer has no exact integer form.
    """
    if head not in HEADS:
        raise UsageError(f"unknown head {head!r}; known: {', '.join(HEADS)}")
    traced = trace(model)
    given = Quantizer.saturating(parse_format(input_format)) if input_format else None
    inputs, layers, notes, names = _parts(traced, given)
    notes = [*training_only([call.applied for call in traced.calls]), *notes]
    if given is not None:
        notes.append(f"the model does not quantize its inputs: here they are rounded to {given.format}")
    source = {"notes": notes, "input_format": input_format, "versions": _versions(), **names}
    design = check(Design(identifier(name or str(model.name), set()), inputs, layers, head, source))
    require_range(design)
    return design


_Parts = tuple[tuple[Quantizer, ...], tuple[Layer, ...], list[str], dict[str, Any]]


def _parts(traced: Trace, given: Quantizer | None) -> _Parts:
    """Inputs, layers, notes and names: as of one path of layers where that suffices, else as of any graph."""
    if traced.path is not None:
        with contextlib.suppress(Unmergeable):
            return _path(traced, given)
    return _graph(traced, given)


def _path(traced: Trace, given: Quantizer | None) -> _Parts:
    """Inputs, layers, notes and names of a model of one path."""
    steps = [step for applied in traced.path or () for step in steps_of(applied)]
    assembler = fold(steps, traced.inputs[0].elements, given)
    inputs, layers = assembler.finish()
    return inputs, _named(layers), assembler.notes, {}


def _graph(traced: Trace, given: Quantizer | None) -> _Parts:
    """Inputs, layers, notes and names of any other model: ``inputs``, ``neurons`` by layer, and ``outputs``."""
    found = assemble_graph(traced, given)
    layers, notes = _named(found.chain.layers), list(found.notes)
    labels = [f"{entry.name}[{i}]" for entry in traced.inputs for i in range(entry.elements)]
    outputs = list(found.chain.labels[-1])
    names = {
        "inputs": labels,
        "neurons": {layer.name: list(own) for layer, own in zip(layers, found.chain.labels, strict=True)},
        "outputs": outputs,
    }
    if len(traced.inputs) > 1:
        notes.append(f"a row of inputs holds those of the model one after the other: {_listed(labels)}")
    if len(traced.outputs) > 1:
        notes.append(f"a row of outputs holds those of the model one after the other: {_listed(outputs)}")
    if found.chain.carried:
        notes.append(
            f"{found.chain.carried} values are needed behind later layers and pass through those between, which costs "
            "registers and no logic"
        )
    return found.inputs, layers, notes, names


def _listed(names: list[str]) -> str:
    """Names of columns such as ``a[0]``, ``a[1]``, as ``a (columns 0 to 1)``."""
    parts: list[tuple[str, int]] = []
    for column, name in enumerate(names):
        stem = name.rpartition("[")[0]
        if not parts or parts[-1][0] != stem:
            parts.append((stem, column))
    ends = [*(start for _, start in parts[1:]), len(names)]
    return ", ".join(f"{stem} (columns {start} to {end - 1})" for (stem, start), end in zip(parts, ends, strict=True))


def parse_format(text: str) -> Fixed:
    """A format from text such as ``s8.4`` or ``u8.0``. Raises UsageError."""
    match = _FORMAT.match(text)
    if not match or not 0 < int(match[2]) <= 32 or abs(int(match[3])) > 64:
        raise UsageError(f"format {text!r} is not of the form s8.4 or u8.0 (sign, bits 1..32, fraction bits)")
    return Fixed(match[1] == "s", int(match[2]), int(match[3]))


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
