"""A quantized ONNX model to a checked integer design."""

from __future__ import annotations

import math

import numpy as np

from flow.core.check import check
from flow.core.design import HEADS, Design
from flow.core.errors import ModelError, UsageError
from flow.core.fixed import Quantizer
from flow.core.units import INPUT_UNIT, OUTPUT_UNIT
from flow.extract.design import identifier, named, named_nodes
from flow.extract.float32 import require_range
from flow.extract.formats import parse_format
from flow.extract.onnx.graph import graph_program
from flow.extract.onnx.program import Program
from flow.extract.onnx.quantized import program_of
from flow.extract.onnx.runtime import RUNTIME, versions
from flow.extract.onnx.stages import StageProgram
from flow.extract.onnx.stored import StoredOnnx
from flow.extract.onnx.walk import naming
from flow.extract.onnx.windows import channels_last
from flow.extract.probability import PROBABILITY
from flow.extract.resolve import fold


def extract_onnx(stored: StoredOnnx, input_format: str | None = None, head: str = "logits") -> Design:
    """The integer design of a quantized ONNX model; arguments and ``source`` as those of `flow.extract.extract`.

    ``source`` holds besides the ``runtime`` that it equals, and the units of inputs and outputs. Raises ModelError with
    the node's name and the remedy.
    """
    if head not in (*HEADS, PROBABILITY):
        raise UsageError(f"unknown head {head!r}; known: {', '.join((*HEADS, PROBABILITY))}")
    if not stored.is_quantized:
        raise ModelError(
            f"{stored.path} is a model of floats: build it with --quantize, or export it with QONNX's Quant"
        )
    if stored.is_graph:
        return _streamed(stored, input_format, head)
    given = Quantizer.saturating(parse_format(input_format)) if input_format else None
    program = program_of(stored, given is not None, head)
    with naming(stored):
        with np.errstate(all="ignore"):  # answers that are not finite are refused
            assembler, resolved = fold(program.steps, math.prod(stored.shape), given, RUNTIME)
        inputs, layers = assembler.finish()
    notes = [*program.notes, *resolved.notes, *assembler.notes]
    if given is not None:
        notes.append(f"the hardware takes inputs rounded to {given.format}")
    source = {
        "notes": notes, "input_format": input_format, "versions": versions(), "runtime": RUNTIME,
        "asked": resolved.asked, "real": resolved.real, "left_out": resolved.left_out,
        "probability": head == PROBABILITY, **_units(program),
    }  # fmt: skip
    own_head = "logits" if head == PROBABILITY else head
    design = check(Design(identifier(stored.name, set()), inputs, named(layers), own_head, source))
    require_range(design)
    return design


def _streamed(stored: StoredOnnx, input_format: str | None, head: str) -> Design:
    """A network of convolutions and pools."""
    if head == PROBABILITY:
        raise ModelError(f"{stored.path}: --head probability is not made for streamed networks; use --head logits")
    found, program = graph_program(stored, input_format)
    notes = list(found.notes)
    said = channels_last(stored.shape)
    notes += [said] if said else []
    if input_format:
        notes.append(f"the hardware takes inputs rounded to {parse_format(input_format)}")
    source = {
        "notes": notes, "input_format": input_format, "versions": versions(), "runtime": RUNTIME,
        "asked": list(found.asked), "real": list(found.real), "left_out": found.left_out, **_units(program),
    }  # fmt: skip
    layers, nodes = named_nodes(found)
    design = check(Design(identifier(stored.name, set()), found.inputs, layers, head, source, nodes))
    require_range(design)
    return design


def _units(program: Program | StageProgram) -> dict[str, float]:
    units = {INPUT_UNIT: program.input_unit, OUTPUT_UNIT: program.output_unit}
    return {name: unit for name, unit in units.items() if unit != 1}
