"""How much of a data set lies outside the input formats of a design: raw features in a model of standardised ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design
from flow.core.units import input_unit

# Of six models that learned input ranges on their own data at most 4 % of all values were outside, and 57 % of one
# input's; features in other units leave nearly all.
MOST_OF_ALL, MOST_OF_ONE = 0.1, 0.75
_NAMED = 5  # inputs named in a line


def saturated(design: Design, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
    """The share of each input's values (vectors x inputs) that lie a whole step or more outside its range.

    0 for inputs of two levels or fewer, whose thresholds are meant to be passed, and for data of 0 and 1 alone, which
    stay apart where a learned range ends just below 1.
    """
    shares, unit = np.zeros(len(design.inputs)), float(input_unit(design))
    for index, quantizer in enumerate(design.inputs):
        bits = np.isin(inputs[:, index], (0, 1)).all()
        if quantizer.high - quantizer.low > 1 and not bits:
            values, lsb = inputs[:, index].astype(np.float64), unit * 2.0**-quantizer.format.frac
            shares[index] = ((values >= (quantizer.high + 1) * lsb) | (values <= (quantizer.low - 1) * lsb)).mean()
    return shares


def saturation_text(
    design: Design, inputs: NDArray[np.floating], columns: Sequence[int | str], prepared: bool = False
) -> str | None:
    """What to say where much of the data saturates; None where little does. ``columns``: the data's, of each input.

    Inputs ``prepared`` as the model's own training did have the right scale: some of the few inputs of a small model
    may learn to be thresholds, and only one that is nearly always outside tells of other units.
    """
    shares = saturated(design, inputs)
    if not shares.size or (shares.max() < MOST_OF_ONE and (prepared or shares.mean() < MOST_OF_ALL)):
        return None
    worst = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] > 0]
    first = ", ".join(f"{columns[i]} ({shares[i]:.0%}, {_range(design, i)})" for i in worst[:_NAMED])
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    return f"{shares.mean():.0%} of the test part's input values lie outside the input formats: column {first}{more}"


def _range(design: Design, index: int) -> str:
    quantizer = design.inputs[index]
    lsb = float(input_unit(design)) * 2.0**-quantizer.format.frac
    return f"range {quantizer.low * lsb:g} to {quantizer.high * lsb:g}"
