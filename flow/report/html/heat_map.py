"""The heat map of a report page: one cell per neuron, coloured by what the reader chooses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow.report.wording import bits, format_bits, number, percent, span, step, table

COLUMNS = 32
METRICS = {
    "weight": "weight bits",
    "zeros": "zero weights, %",
    "sum": "accumulator bits",
    "output": "output bits",
    "luts": "LUT sites",
    "saturated": "saturated outputs, %",
}
_ABSENT_IN_SOME = ("luts", "saturated")  # reports


@dataclass(frozen=True)
class Cell:
    """A neuron: its index, what is read out, and per metric the text shown and the step of the ramp."""

    index: int
    label: str
    texts: tuple[str, ...]
    steps: tuple[int, ...]


def heat(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Metrics, their largest values and the grids, inputs first; None where the report does not hold neurons."""
    layers = [layer for layer in report.get("layers", []) if table(layer, "per_neuron")]
    if not layers:
        return None
    values = [_metric_values(layer) for layer in layers]
    names = [m for m in METRICS if m not in _ABSENT_IN_SOME or any(v[m] for v in values)]
    largest = {m: float(max((x or 0 for v in values for x in v[m]), default=0)) for m in names}
    largest["zeros"] = 100.0
    grids = [_inputs(report, largest["output"])] if table(report, "inputs") else []
    grids += [_layer(layer, v, names, largest) for layer, v in zip(layers, values, strict=True)]
    return {"metrics": [(m, METRICS[m], bits(largest[m])) for m in names], "grids": grids}


def _metric_values(layer: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    neurons, profile = layer["per_neuron"], table(layer, "profile")
    return {
        "weight": neurons["weight_bits"],
        "zeros": [100 * z / layer["inputs"] if layer["inputs"] else 0 for z in neurons["zero_weights"]],
        "sum": [format_bits(f) for f in neurons["accumulator"]],
        "output": [format_bits(o or a) for o, a in zip(neurons["output"], neurons["accumulator"], strict=True)],
        "luts": neurons.get("luts", ()),
        "saturated": [100 * n / profile["rows"] for n in profile["saturated"]] if profile.get("rows") else (),
    }


def _layer(
    layer: Mapping[str, Any], values: Mapping[str, Sequence[Any]], names: Sequence[str], largest: Mapping[str, float]
) -> dict[str, Any]:
    cells = []
    for j, label in enumerate(_labels(layer)):
        mine = [values[m][j] if values[m] else None for m in names]
        texts = tuple(_text(m, v) for m, v in zip(names, mine, strict=True))
        steps = tuple(step(v, largest[m]) for m, v in zip(names, mine, strict=True))
        cells.append(Cell(j, label, texts, steps))
    weights = layer["inputs"] * layer["neurons"]
    note = (
        f"{number(layer['inputs'])} inputs, {number(layer['neurons'])} neurons, "
        f"{bits(round(layer['mean_weight_bits'], 2))} weight bits on average, "
        f"{percent(layer['zero_weights'] / weights if weights else None, 0)} of the weights zero"
    )
    return {"name": layer["name"], "kind": "neuron", "note": note, "rows": _rows(cells),
            "names": _named_in_order(layer["per_neuron"]), "table": _table(layer)}  # fmt: skip


def _text(metric: str, value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if metric in ("zeros", "saturated") else bits(value)


def _labels(layer: Mapping[str, Any]) -> list[str]:
    """What is said of each neuron on hover, on focus and to a screen reader; holds every number the cell can show."""
    neurons, profile, labels = layer["per_neuron"], table(layer, "profile"), []
    for j, width in enumerate(neurons["weight_bits"]):
        zeros, accumulator, output = (neurons[k][j] for k in ("zero_weights", "accumulator", "output"))
        share = 100 * zeros / layer["inputs"] if layer["inputs"] else 0
        said = [f"{layer['name']}, neuron {j}{_named(neurons, j)}", f"{bits(width)}-bit weights{_word(width)}"]
        said.append(f"{number(zeros)} of {number(layer['inputs'])} weights zero ({share:.0f} %)")
        low, high = neurons["accumulator_range"][j]
        said.append(f"sum {span(low, high)} in {number(format_bits(accumulator))} bits ({accumulator})")
        rounding = neurons["rounding"][j]
        said.append(
            f"output {number(format_bits(output))} bits ({output}, {rounding})" if output else "output is the sum"
        )
        if "luts" in neurons:
            said.append(f"{number(neurons['luts'][j])} LUT sites of its own")
        if output and profile:
            said.append(f"{percent(profile['saturated'][j] / max(profile['rows'], 1))} of its outputs saturate")
        labels.append("; ".join(said))
    return labels


def _word(width: Any) -> str:
    return {0: ", pruned", 1.58: ", ternary", 1: ", binary"}.get(width, "")


def _table(layer: Mapping[str, Any]) -> dict[str, Any]:
    """The same neurons as rows of text."""
    neurons = layer["per_neuron"]
    head = ["neuron", "weight bits", "zero weights", "smallest sum", "largest sum", "sum format", "output format"]
    rows = [
        [str(j), bits(neurons["weight_bits"][j]), number(neurons["zero_weights"][j]),
         number(neurons["accumulator_range"][j][0]), number(neurons["accumulator_range"][j][1]),
         neurons["accumulator"][j], neurons["output"][j] or "the sum", *_luts(neurons, j)]
        for j in range(len(neurons["weight_bits"]))
    ]  # fmt: skip
    return {"head": [*head, *(["LUT sites"] if "luts" in neurons else [])], "rows": rows}


def _luts(neurons: Mapping[str, Any], index: int) -> list[str]:
    return [number(neurons["luts"][index])] if "luts" in neurons else []


def _inputs(report: Mapping[str, Any], most: float) -> dict[str, Any]:
    """The inputs as a grid of their own: they have a format, but no weights."""
    inputs, cells = report["inputs"], []
    for i, text in enumerate(inputs["format"]):
        width = format_bits(text) or 0
        label = f"input {i}{_named(inputs, i)}; {width} bits ({text}, {inputs['rounding'][i]}); "
        label += f"values {span(*inputs['range'][i])}"
        cells.append(Cell(i, label, (str(width),), (step(width, max(most, 8)),)))
    widths = [format_bits(text) or 0 for text in inputs["format"]]
    note = f"{number(len(cells))} elements, {number(sum(widths))} bits; here always the bits of each element"
    rows = _rows(cells, _across(len(cells)))
    return {"name": "inputs", "kind": "input", "note": note, "rows": rows, "names": _named_in_order(inputs),
            "table": _input_table(inputs)}  # fmt: skip


def _named_in_order(columns: Mapping[str, Any]) -> str:
    """The names of elements in one line, where there are few enough to be read."""
    names = [str(name) for name in columns.get("name") or []]
    return ", ".join(f"{i} {name}" for i, name in enumerate(names)) if len(names) <= COLUMNS else ""


def _input_table(inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the data calls its features, with their formats; None where they have no names."""
    names = inputs.get("name") or []
    if not names:
        return None
    rows = [[str(i), str(names[i]), text, *(number(v) for v in inputs["range"][i]), inputs["rounding"][i]]
            for i, text in enumerate(inputs["format"])]  # fmt: skip
    return {"head": ["input", "feature", "format", "smallest", "largest", "rounding"], "rows": rows}


def _named(columns: Mapping[str, Any], place: int) -> str:
    """What the data calls an element, where the report knows."""
    names = columns.get("name") or []
    return f", {names[place]}" if place < len(names) else ""


def _across(count: int) -> int:
    """Columns for the inputs: a square number of them is most likely a picture, and then looks like one."""
    side = math.isqrt(count)
    return side if side * side == count and 8 <= side <= COLUMNS else COLUMNS


def _rows(cells: Sequence[Cell], across: int = COLUMNS) -> list[Sequence[Cell]]:
    return [cells[start : start + across] for start in range(0, len(cells), across)]
