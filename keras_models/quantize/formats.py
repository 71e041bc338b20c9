"""The formats of NMP layers in NumPy: which width and range cost which error, and what a format makes of values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_models.quantizers.learned import MAX_RANGE
from keras_models.quantizers.precision import TERNARY

Floats = NDArray[np.float64]
WEIGHT_BITS = (0, TERNARY, 3, 4, 5, 6, 7, 8, 9, 10, 12)
SIGNAL_BITS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16)
MOST = int(MAX_RANGE)
_BELOW = (0, 1, 2)  # powers of two below the smallest that holds every value: they saturate and round finer


@dataclass(frozen=True)
class Choices:
    """Per width the best range of every column and the error it leaves: (widths, columns) each."""

    bits: tuple[float, ...]
    log2_range: Floats
    error: Floats

    def smallest(self, allowed: Floats) -> NDArray[np.intp]:
        """Of every column the place of the smallest width whose error is allowed, else of the smallest error."""
        fits = self.error <= allowed
        return np.asarray(np.where(fits.any(axis=0), fits.argmax(axis=0), self.error.argmin(axis=0)), np.intp)


def exponent_of(largest: Floats) -> Floats:
    """The smallest exponents e with ``largest <= 2^e``; that of the smallest range for 0."""
    with np.errstate(divide="ignore"):
        return np.clip(np.ceil(np.log2(largest)), -MOST, MOST)


def round_weights(kernel: Floats, bits: float, log2_range: Floats) -> Floats:
    """What `WeightQuantizer` makes of float32 weights (inputs, units) at one width, ranges (units,)."""
    if bits == 0:
        return np.zeros_like(kernel)
    shift = 1 if bits < 2 else int(bits) - 1
    limit = 1 if bits < 2 else 2 ** (int(bits) - 1) - 1
    step = 2.0 ** (log2_range - shift)
    return np.clip(np.floor(kernel / step + 0.5), -limit, limit) * step


def round_signals(values: Floats, bits: Floats | float, log2_range: Floats, signed: NDArray[np.bool_]) -> Floats:
    """What `ActivationQuantizer` makes of values (rows, features); all else by feature."""
    bits = np.broadcast_to(np.asarray(bits, np.float64), log2_range.shape)
    step = 2.0 ** (log2_range - bits + signed)
    low = np.where(signed, -(2.0 ** (bits - 1)), 0.0)
    high = np.where(signed, 2.0 ** (bits - 1), 2.0**bits) - 1
    rounded = np.clip(np.floor(values / step + 0.5), low, high) * step
    return np.where(bits > 0, rounded, 0.0)


def weight_choices(kernel: Floats, error_of: Callable[[Floats], Floats]) -> Choices:
    """Errors of all widths; ``error_of`` gives those of a difference of kernels (inputs, units), by unit."""
    top = exponent_of(np.abs(kernel).max(axis=0, initial=0.0))

    def tried(bits: float, below: int) -> tuple[Floats, Floats]:
        ranges = np.clip(top - below + (bits == TERNARY), -MOST, MOST)  # ternary values are half its range
        return ranges, error_of(round_weights(kernel, bits, ranges) - kernel)

    return _best(WEIGHT_BITS, tried)


def signal_choices(
    values: Floats, signed: NDArray[np.bool_], top: Floats, widths: Sequence[int] = SIGNAL_BITS, clip: bool = True
) -> Choices:
    """Mean squared errors of signals (rows, features); with ``clip`` ranges below 2^top are tried too."""

    def tried(bits: float, below: int) -> tuple[Floats, Floats]:
        ranges = np.maximum(top - (below if clip else 0), -MOST)
        rounded = round_signals(values, bits, ranges, signed)
        # What a constant 0 leaves out of a signal is its variance: the mean goes into the next layer's bias.
        return ranges, np.var(values, axis=0) if bits == 0 else np.square(rounded - values).mean(axis=0)

    return _best(widths, tried)


def _best(widths: Sequence[float], tried: Callable[[float, int], tuple[Floats, Floats]]) -> Choices:
    rows = []
    for bits in widths:
        found = [tried(bits, below) for below in _BELOW]
        ranges, errors = (np.stack(part) for part in zip(*found, strict=True))
        best = errors.argmin(axis=0)[None]
        rows.append((np.take_along_axis(ranges, best, 0)[0], np.take_along_axis(errors, best, 0)[0]))
    ranges, errors = (np.stack(part) for part in zip(*rows, strict=True))
    return Choices(tuple(widths), ranges, errors)
