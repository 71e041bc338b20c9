"""Estimated LUT sites of integer layers: digits of weights times the width of what they multiply; NumPy only.

An estimate, not a count: adders are counted per canonical signed digit, with constants fitted to the cost of adder
graphs (which share sub-sums); signals nobody uses and neurons of width 0 are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_models.digits import nonzero_digits

# LUT sites, fitted to what this project's generator makes of models trained on ten data sets with 150 to 2,400 of them;
# how well is measured by benchmarks/cost_model.py. The table's figures are those of LUTs, which are a site each.
LUT_PER_BIT = 0.529  # of a digit, per bit of the input it adds: chains take two bits per LUT, and sums are shared
LUT_PER_SUM_BIT = 0.604  # of a neuron's sum, per bit of its width: carries, bias and rounding
LUT_PER_ACTIVATION_BIT = 1.47  # ReLU and saturation
# A neuron with few input bits becomes tables where these cost less.
_TABLE_BITS = 13
_LUT_PER_TABLE_BIT = 1.07  # per bit of the result, while all inputs fit one LUT
_TABLE_GROWTH = 0.461  # of log2 of that, per input bit beyond what one LUT takes
_LUT_INPUTS = 6


def layer_luts(weights: np.ndarray, input_bits: np.ndarray, output_bits: np.ndarray | None) -> float:
    """Estimated LUT sites of one layer of neurons (weights, neurons) with its activation quantizer, if any.

    ``input_bits`` are widths of what the weights multiply, (weights,) or of each neuron (weights, neurons).
    """
    input_bits = np.asarray(input_bits, np.float64)
    input_bits = input_bits if input_bits.ndim == 2 else input_bits[:, None]
    digits = nonzero_digits(weights) * (input_bits > 0)
    alive = np.ones(weights.shape[1], bool) if output_bits is None else np.asarray(output_bits) > 0
    digits = digits * alive
    sums = (np.abs(weights) * (digits > 0) * np.ldexp(1.0, input_bits.astype(int))).sum(axis=0)
    sum_bits = np.where(sums > 0, np.log2(np.maximum(sums, 1.0)) + 1, 0.0)
    cost = LUT_PER_BIT * (digits * input_bits).sum(axis=0) + LUT_PER_SUM_BIT * sum_bits
    if output_bits is not None:
        cost = cost + LUT_PER_ACTIVATION_BIT * np.asarray(output_bits) * (sums > 0)
    result_bits = sum_bits if output_bits is None else np.asarray(output_bits)
    return float(np.minimum(cost, _table_luts(((digits > 0) * input_bits).sum(axis=0), result_bits)).sum())


def _table_luts(bits: np.ndarray, result_bits: np.ndarray) -> np.ndarray:
    """(units,) estimated LUT sites of neurons as tables of so many input bits; infinite where there are too many."""
    more = np.clip(bits, _LUT_INPUTS, _TABLE_BITS) - _LUT_INPUTS  # beyond, 2 to this power may have no float
    tables = _LUT_PER_TABLE_BIT * result_bits * 2.0 ** (_TABLE_GROWTH * more)
    return np.where(bits <= _TABLE_BITS, tables, np.inf)


def luts_of_export(description: Sequence[dict[str, Any]], input_bits: int = 8) -> float:
    """Estimated LUT sites of a chain of exported layers; ``input_bits`` stands for inputs whose width is unknown."""
    return sum(luts_by_layer(description, input_bits))


def luts_by_layer(description: Sequence[dict[str, Any]], input_bits: int = 8) -> list[float]:
    """`luts_of_export` layer by layer of neurons, all copies of a filter's adders counted."""
    description = _without_dead_neurons(description)
    bits: np.ndarray | None = None
    found = []
    for position, item in enumerate(description):
        if item["kind"] == "quantizer":
            bits = item["bits"]
            continue
        following = description[position + 1] if position + 1 < len(description) else None
        out = following["bits"] if following is not None and following["kind"] == "quantizer" else None
        met = channels_met(item, 1 if bits is None else len(bits))
        arriving = np.full(met.shape, input_bits) if bits is None else np.asarray(bits)[met]
        found.append(item.get("copies", 1) * layer_luts(item["weights"], arriving, out))
        bits = out
    return found


def channels_met(item: dict[str, Any], count: int) -> np.ndarray:
    """Which of ``count`` signals each weight of an exported layer meets, (weights,) or (weights, neurons).

    Behind a Flatten, fewer signals than inputs are channels, whose pixels follow each other.
    """
    return np.asarray(item.get("channels", np.arange(len(item["weights"])))) % count


def _without_dead_neurons(description: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give width 0 to signals that no later weight uses, from the last layer to the first."""
    items = [dict(item) for item in description]
    needed: np.ndarray | None = None  # outputs of the item before, None for all
    behind: dict[str, Any] | None = None  # the weights that use them, where these come next
    for item in reversed(items):
        count = len(item["bits"]) if item["kind"] == "quantizer" else item["weights"].shape[1]
        if behind is not None:
            needed, met = np.zeros(count, bool), channels_met(behind, count)
            needed[np.broadcast_to(met if met.ndim == 2 else met[:, None], behind["used"].shape)[behind["used"]]] = True
            behind = None
        if item["kind"] != "quantizer":
            behind = {**item, "used": (item["weights"] != 0) & (True if needed is None else needed)}
        elif needed is not None:
            item["bits"] = item["bits"] * needed
            needed = item["bits"] > 0
    return items
