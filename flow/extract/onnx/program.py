"""What a quantized ONNX model does to its signal, twice: as steps for a design, and as what its runtime executes."""

from __future__ import annotations

from dataclasses import dataclass

from flow.extract.layer_steps import Affine, Dense, Elementwise, Step
from flow.extract.onnx.constants import Floats
from flow.extract.onnx.quantizers import Made
from flow.extract.onnx.runtime import Function


@dataclass(frozen=True)
class Called:
    """A node that the runtime executes; ``made`` where it quantizes, ``is_relu`` where it is one that commutes."""

    name: str
    function: Function
    made: Made | None = None
    is_relu: bool = False


@dataclass(frozen=True)
class Summed:
    """A dense layer: sums of whole numbers, or of numbers on a grid, by ``dense``, times a ``scale`` for each unit.

    ``bare`` is the layer without biases, which ``dense`` has where they are short; the runtime's ``function`` is its
    sums, scaled, and ``added`` on top, from real ``weights``.
    """

    dense: Dense
    bare: Dense
    scale: Floats
    added: Floats
    weights: Floats
    function: Function


@dataclass(frozen=True)
class Program:
    """All steps, all that is executed, and how outputs are read.

    ``outputs`` makes those of the design, multiples of ``output_unit``, of the last whole numbers (None: they are
    those); inputs are divided by ``input_unit``. ``nodes`` are all that the signal goes through, as the file has them,
    with a function at the end that a design leaves out, ``ending``, but without the choice of a class.
    """

    steps: tuple[Step, ...]
    executed: tuple[Called | Summed, ...]
    outputs: Affine | Elementwise | None
    input_unit: float
    output_unit: float
    notes: tuple[str, ...]
    nodes: tuple[Function, ...]
    ending: str | None
