"""What a step of the hardware's inputs and outputs is in the model's own numbers, where that is no power of two.

A model whose input quantizer has the scale 0.3 takes real numbers, and its hardware the integers that the quantizer
makes of them: the host divides by the unit before it rounds, in float32 as the model does. Outputs are multiplied by
theirs. Both stand in a design's ``source`` and are 1 where nothing does.
"""

from __future__ import annotations

import math

import numpy as np

from flow.core.design import Design
from flow.core.errors import DesignError

INPUT_UNIT, OUTPUT_UNIT = "input_unit", "output_unit"


def input_unit(design: Design) -> np.float32:
    """What the host divides inputs by. Raises DesignError where the design holds no positive float32."""
    unit = np.float32(_unit(design, INPUT_UNIT))
    if float(unit) != design.source.get(INPUT_UNIT, 1):
        raise DesignError(f"its {INPUT_UNIT} is no float32; rebuild the design from the model")
    return unit


def output_unit(design: Design) -> float:
    """What outputs are multiples of, besides their fraction bits. Raises DesignError where that is no such number."""
    return _unit(design, OUTPUT_UNIT)


def _unit(design: Design, name: str) -> float:
    given = design.source.get(name)
    if given is None:
        return 1.0
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not math.isfinite(given) or not given > 0:
        raise DesignError(f"its {name} {given!r:.40} is no positive number; rebuild the design from the model")
    return float(given)
