"""What a model has learned, layer by layer: widths, zeros and the hardware they take, as a table and as a picture."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_models.data.columns import summary_table
from keras_models.layers.counts import luts_by_layer
from keras_models.layers.export import export_integer, precision_layers
from keras_models.layers.widths import neuron_widths
from keras_models.training.budget import count_for

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

_HEADER = ("layer", "inputs", "neurons", "weight bits", "neurons x bits", "zero", "activation bits")


def precision_summary(model: keras.Model, count: str | None = None) -> str:
    """A table of a model's NMP layers: mean widths, neurons by width, zero weights and LUTs.

    ``count``: "adders" for LUT sites by adder graphs (the default where the package flow is installed and nothing is
    a convolution; some seconds for large models), or "estimate" for training's own LUTs. Raises ValueError for a model
    without NMP layers, or one that has no hardware to count.
    """
    description = export_integer(model)
    windows = any(item["kind"] == "convolution" for item in description)
    count = count_for(model, count, "estimate" if windows else "adders")
    dense = [item for item in description if item["kind"] != "quantizer"]
    if not dense:
        raise ValueError(f"model {model.name} has no NMP layers with weights")
    names = [layer.name for layer in precision_layers(model) for item in layer.export_integer()]
    luts = _luts(model, count, description)
    rows, place = [], -1
    for index, (item, name) in enumerate(zip(description, names, strict=True)):
        if item["kind"] != "quantizer":
            place += 1
            after = description[index + 1] if index + 1 < len(description) else None
            out = after["bits"] if after is not None and after["kind"] == "quantizer" else None
            rows.append(_row(name, item, out, luts[place]))
        elif place < 0:
            rows.append((name, str(len(item["bits"])), "", "", "", "", f"{item['bits'].mean():.2f}", ""))
    weights = np.concatenate([item["weights"].ravel() for item in dense])
    bits = np.concatenate([np.broadcast_to(item["weight_bits"], item["weights"].shape).ravel() for item in dense])
    rows.append(("total", "", str(sum(len(item["weight_bits"]) for item in dense)), f"{bits.mean():.2f}", "",
                 f"{(weights == 0).mean():.0%}", "", f"{sum(luts):,.0f}"))  # fmt: skip
    header = (*_HEADER, "LUT sites (estimate)" if count == "estimate" else "LUT sites")
    return "\n".join(summary_table(rows, header, right={1, 2, 3, 5, 6, 7}))


def _row(name: str, item: dict[str, Any], out: Any, luts: float) -> tuple[str, ...]:
    widths, counts = np.unique(item["weight_bits"], return_counts=True)
    listed = " ".join(f"{count}x{width:g}" for width, count in zip(widths, counts, strict=True))
    sizes, zero = (str(len(item["weights"])), str(len(item["weight_bits"]))), (item["weights"] == 0).mean()
    outputs = "" if out is None else f"{out.mean():.2f}"
    return (name, *sizes, f"{item['weight_bits'].mean():.2f}", listed, f"{zero:.0%}", outputs, f"{luts:,.0f}")


def _luts(model: keras.Model, count: str, description: Sequence[dict[str, Any]]) -> list[float]:
    """By dense layer."""
    if count == "estimate":
        return luts_by_layer(description)
    if count != "adders":
        raise ValueError(f"count {count!r} is not known; choose adders or estimate")
    return list(importlib.import_module("flow.build.counting").layer_sites(model).values())


def plot_widths(model: keras.Model, path: str | Path | None = None) -> Figure:
    """A matplotlib figure with a cell per neuron, coloured by its width; written to ``path`` where one is given.

    Raises ValueError for a model that learns no widths.
    """
    from keras_models.training.pictures import neuron_figure

    widths = neuron_widths(model)
    if not widths:
        raise ValueError(f"model {model.name} has no learned widths")
    figure = neuron_figure(widths)
    if path is not None:
        figure.savefig(path, dpi=100)
    return figure
