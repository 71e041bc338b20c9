"""A float model as dense layers and convolutions with ReLU or nothing between them; NumPy only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ELEMENTS = 1 << 24  # that the windows of a layer hold at a time
FEWEST_ROWS = 32
PROBES = 32  # random directions over the outputs, where there are more outputs than this


@dataclass(frozen=True)
class Windows:
    """A window of a convolution or a pool on an image of ``shape``, channels last, flattened.

    ``pixels`` (positions, places) are the pixels under it, -1 for padding. Of a convolution each of the ``groups`` sees
    its share of the channels. With ``repeats`` the window is on an image that has each pixel so many times in each
    direction, as UpSampling layers make it. ``padded`` are zeros in each direction where no ``padding`` of Keras
    places them so.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str
    pixels: NDArray[np.int64]
    groups: int = 1
    repeats: tuple[int, ...] = ()
    padded: tuple[tuple[int, int], ...] = ()

    @cached_property
    def seen(self) -> NDArray[np.int64]:
        """(groups, positions, weights) elements that the weights of a filter meet; for padding one behind the last."""
        channels = self.shape[-1]
        own = np.arange(channels).reshape(self.groups, 1, 1, -1)
        elements = self.pixels[:, :, None] * channels + own
        found = np.where(self.pixels[:, :, None] < 0, math.prod(self.shape), elements)
        return found.reshape(self.groups, len(self.pixels), -1)

    def largest(self, values: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """(rows, elements) maxima of every channel under the window, and the elements that they are."""
        elements = (self.pixels[:, :, None] * self.shape[-1] + np.arange(self.shape[-1])).transpose(0, 2, 1)
        padded = np.where(self.pixels[:, None, :] < 0, -np.inf, values[:, elements])
        first = padded.argmax(axis=-1)
        chosen = np.take_along_axis(np.broadcast_to(elements, padded.shape), first[..., None], -1)
        return padded.max(axis=-1).reshape(len(values), -1), chosen.reshape(len(values), -1)


@dataclass(frozen=True)
class FloatDense:
    """``x @ kernel + bias``, then max(., 0) if ``relu``, then the maxima of ``pool``; kernel (weights, units).

    With ``windows`` a convolution, which does so at every position: its outputs are by position, then by filter.
    """

    name: str
    kernel: Floats
    bias: Floats
    relu: bool = False
    windows: Windows | None = None
    pool: Windows | None = None

    @property
    def inputs(self) -> int:
        """Number of elements that the layer takes."""
        return len(self.kernel) if self.windows is None else math.prod(self.windows.shape)

    @property
    def groups(self) -> int:
        """Groups of units that see inputs of their own."""
        return 1 if self.windows is None else self.windows.groups

    def met(self, values: Floats) -> Floats:
        """(groups, rows by positions, weights): what the weights meet, of (rows, elements)."""
        if self.windows is None:
            return values[None]
        padded = np.concatenate([values, np.zeros((len(values), 1))], axis=1)
        found = padded[:, self.windows.seen].transpose(1, 0, 2, 3)
        return found.reshape(len(found), -1, found.shape[-1])

    def sums(self, values: Floats, kernel: Floats | None = None) -> Floats:
        """(rows, outputs) without bias, of this or of another kernel; before the pool."""
        kernel = self.kernel if kernel is None else kernel
        if self.windows is None:
            return values @ kernel
        by_group = kernel.reshape(len(kernel), self.groups, -1).transpose(1, 0, 2)
        return (self.met(values) @ by_group).transpose(1, 0, 2).reshape(len(values), -1)

    def each(self, by_unit: Floats, like: Floats) -> Floats:
        """What is given by unit for every element of ``like`` (..., outputs)."""
        return by_unit if like.shape[-1] == len(by_unit) else np.tile(by_unit, like.shape[-1] // len(by_unit))

    def back(self, directions: Floats) -> Floats:
        """(..., elements): what reaches the inputs of (..., sums)."""
        if self.windows is None:
            return directions @ self.kernel.T
        around = directions.shape[:-1]
        by_group = self.kernel.reshape(len(self.kernel), self.groups, -1).transpose(1, 2, 0)
        own = directions.reshape(-1, len(self.windows.pixels), self.groups, by_group.shape[1]).transpose(2, 0, 1, 3)
        shares = own @ by_group[:, None]  # groups, rows, positions, weights
        found = np.zeros((shares.shape[1], self.inputs + 1))
        for group, seen in zip(shares, self.windows.seen, strict=True):
            for weight, elements in enumerate(seen.T):
                if self.windows.repeats:
                    np.add.at(found.T, elements, group[:, :, weight].T)
                else:  # at all positions different ones, but for padding
                    found[:, elements] += group[:, :, weight]
        return found[:, :-1].reshape(*around, -1)


@dataclass(frozen=True)
class FloatChain:
    """Dense layers one after another; the last has no ReLU: its sums are the logits.

    ``left_out`` names what follows them in the float model and is left out (``"softmax"``), empty for nothing.
    ``notes`` are lines for the user on how the model was read.
    """

    name: str
    layers: tuple[FloatDense, ...]
    left_out: str = ""
    notes: tuple[str, ...] = ()

    @property
    def inputs(self) -> int:
        """Number of input features."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        last = self.layers[-1]
        return len(last.bias) * (1 if last.windows is None else len((last.pool or last.windows).pixels))

    @property
    def signal_widths(self) -> list[int]:
        """Features of the inputs, and of what the layers make of them, that have formats of their own: channels."""
        first = self.layers[0].windows
        return [self.inputs if first is None else first.shape[-1], *(len(layer.bias) for layer in self.layers)]

    def rows_at_once(self, most: int) -> int:
        """So many of ``most`` rows that what the windows of a layer hold stays within `ELEMENTS`."""
        held = max((layer.windows.seen.size for layer in self.layers if layer.windows is not None), default=0)
        return min(most, max(ELEMENTS // held, FEWEST_ROWS)) if held else most

    def signals(self, X: Floats) -> list[Floats]:
        """The inputs (rows x features) and what every layer makes of them, the logits last."""
        found = [np.asarray(X, np.float64)]
        for layer in self.layers:
            sums = layer.sums(found[-1])
            sums = sums + layer.each(layer.bias, sums)
            sums = np.maximum(sums, 0.0) if layer.relu else sums
            found.append(sums if layer.pool is None else layer.pool.largest(sums)[0])
        return found

    def logits(self, X: Floats) -> Floats:
        """What the last layer makes of the inputs (rows x outputs), in float64."""
        rows = self.rows_at_once(max(len(X), 1))
        return np.concatenate([self.signals(X[i : i + rows])[-1] for i in range(0, max(len(X), 1), rows)])

    def sensitivities(self, signals: list[Floats], seed: int = 0) -> list[tuple[Floats, Floats]]:
        """Of every layer: how much noise of its sums, and of its inputs, the outputs see (units,), (features,).

        The factor from the noise's variance to the variance it adds to all outputs together, a mean over the rows; of
        filters and channels the sum over their positions.
        """
        outputs = signals[-1].shape[1]
        rows = self.rows_at_once(len(signals[-1]) * min(outputs, PROBES)) // min(outputs, PROBES) or 1
        signals = [values[:rows] for values in signals]
        rows = len(signals[-1])
        if outputs <= PROBES:
            directions = np.broadcast_to(np.eye(outputs)[:, None, :], (outputs, rows, outputs))
        else:  # of random signs: each sees a mixture of all outputs, whose variance is the sum on average
            signs = np.random.default_rng(seed).choice([-1.0, 1.0], (PROBES, rows, outputs))
            directions = signs / np.sqrt(PROBES)
        found, widths = [], self.signal_widths
        for index in reversed(range(len(self.layers))):
            layer, below, above = self.layers[index], signals[index], signals[index + 1]
            if layer.pool is not None:
                sums = layer.sums(below)
                above, chosen = layer.pool.largest(sums + layer.each(layer.bias, sums))
                directions = directions * (above > 0) if layer.relu else directions
                spread = np.zeros((*directions.shape[:-1], sums.shape[-1]))
                for direction, into in zip(directions, spread, strict=True):
                    np.add.at(into, (np.arange(rows)[:, None], chosen), direction)
                directions = spread
            elif layer.relu:
                directions = directions * (above > 0)
            of_sums = np.square(directions).sum(axis=0).mean(axis=0)
            directions = layer.back(directions)
            of_inputs = np.square(directions).sum(axis=0).mean(axis=0)
            found.append((by_feature(of_sums, widths[index + 1]), by_feature(of_inputs, widths[index])))
            assert below.shape[1] == layer.inputs
        return found[::-1]


def by_feature(values: Floats, count: int) -> Floats:
    """(count,) sums over pixels of (elements,), channels last."""
    return values if len(values) == count else values.reshape(-1, count).sum(axis=0)
