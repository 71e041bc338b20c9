"""Pictures of a training run: neurons by width over the epochs, the front of score and cost, every neuron's width."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from keras_models.layers.widths import Histogram

COLUMNS = 2
HEAT_ROW = 64  # neurons in a row of the heat map; longer layers wrap


def width_figure(widths: Sequence[Mapping[str, Histogram]]) -> Figure:
    """Per layer, how many neurons had which width after each epoch (stacked areas)."""
    names = list(widths[-1])
    rows = math.ceil(len(names) / COLUMNS)
    figure = Figure(figsize=(5 * COLUMNS, 2.6 * rows), layout="constrained")
    every = sorted({float(width) for epoch in widths for histogram in epoch.values() for width in histogram})
    colors = colormaps["viridis"](np.linspace(0, 1, len(every)))
    epochs = np.arange(1, len(widths) + 1)
    for axes, name in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, names, strict=False):
        counts = [[epoch[name].get(f"{width:g}", 0) for epoch in widths] for width in every]
        axes.stackplot(epochs, counts, colors=colors, labels=[f"{width:g} bit" for width in every], step="mid")
        axes.set(title=name, xlabel="epoch", ylabel="neurons")
    for axes in figure.axes[len(names) :]:
        axes.remove()
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def front_figure(history: Sequence[Mapping[str, float]], higher_is_better: bool) -> Figure:
    """Validation score against estimated LUTs of every epoch; the epochs that no other beats are joined by a line."""
    points = [(row["estimated_luts"], row["val"]) for row in history]
    points = [p for p in points if all(math.isfinite(value) for value in p)]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="estimated LUT sites", ylabel="validation score" if higher_is_better else "validation loss")
    if points:
        luts, scores = zip(*points, strict=True)
        axes.scatter(luts, scores, s=8, c=np.arange(len(points)), cmap="viridis")
        axes.plot(*zip(*front_of(points, higher_is_better), strict=True), "r.-", label="front")
        axes.legend()
    if points and min(luts for luts, _ in points) > 0:
        axes.set_xscale("log")
    return figure


def front_of(points: Sequence[tuple[float, float]], higher_is_better: bool) -> list[tuple[float, float]]:
    """The (cost, score) points that no cheaper or equally cheap one reaches, by rising cost."""
    front: list[tuple[float, float]] = []
    sign = -1.0 if higher_is_better else 1.0
    for cost, score in sorted(points, key=lambda p: (p[0], sign * p[1])):
        if not front or sign * score < sign * front[-1][1]:
            front.append((cost, score))
    return front


def neuron_figure(widths: Mapping[str, np.ndarray]) -> Figure:
    """A heat map: one cell per neuron, coloured by its width."""
    figure = Figure(figsize=(10, 1.0 + 1.1 * len(widths)), layout="constrained")
    top = max(float(values.max()) for values in widths.values())
    for axes, (name, values) in zip(figure.subplots(len(widths), 1, squeeze=False).flat, widths.items(), strict=True):
        columns = min(HEAT_ROW, len(values))
        cells = np.full(columns * math.ceil(len(values) / columns), np.nan)
        cells[: len(values)] = values
        image = axes.imshow(cells.reshape(-1, columns), vmin=0, vmax=max(top, 1.0), cmap="viridis", aspect="auto")
        axes.set_title(name, fontsize=9)
        axes.set_yticks([])
    figure.colorbar(image, ax=figure.axes, label="bits")
    return figure


def run_pictures(
    history: Sequence[Mapping[str, float]], widths: Sequence[Mapping[str, Histogram]],
    neurons: Mapping[str, np.ndarray], higher_is_better: bool,
) -> dict[str, bytes]:  # fmt: skip
    """The PNG files of a run by name; those about widths only when some are learned."""
    figures = {"front": front_figure(history, higher_is_better)}
    if neurons:
        figures |= {"widths": width_figure(widths), "neurons": neuron_figure(neurons)}
    return {name: _png(figure) for name, figure in figures.items()}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def write_pictures(folder: Path, pictures: Mapping[str, bytes]) -> None:
    """Write ``NAME.png`` for each picture, each one whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        temporary = folder / f".{name}.png"
        temporary.write_bytes(data)
        temporary.replace(folder / f"{name}.png")
