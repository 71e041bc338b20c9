"""A float model as dense layers with ReLU or nothing between them: what quantization starts from; NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PROBES = 32  # random directions over the outputs, where there are more outputs than this


@dataclass(frozen=True)
class FloatDense:
    """``x @ kernel + bias``, then max(., 0) if ``relu``; kernel (inputs, units)."""

    name: str
    kernel: Floats
    bias: Floats
    relu: bool = False


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
        return len(self.layers[0].kernel)

    def signals(self, X: Floats) -> list[Floats]:
        """The inputs (rows x features) and what every layer makes of them, the logits last."""
        found = [np.asarray(X, np.float64)]
        for layer in self.layers:
            sums = found[-1] @ layer.kernel + layer.bias
            found.append(np.maximum(sums, 0.0) if layer.relu else sums)
        return found

    def logits(self, X: Floats) -> Floats:
        """What the last layer makes of the inputs (rows x outputs), in float64."""
        return self.signals(X)[-1]

    def sensitivities(self, signals: list[Floats], seed: int = 0) -> list[tuple[Floats, Floats]]:
        """Of every layer: how much noise of its sums, and of its inputs, the outputs see (units,), (inputs,).

        The factor from the noise's variance to the variance it adds to all outputs together, a mean over the rows.
        """
        rows, outputs = signals[-1].shape
        if outputs <= PROBES:
            directions = np.broadcast_to(np.eye(outputs)[:, None, :], (outputs, rows, outputs))
        else:  # of random signs: each sees a mixture of all outputs, whose variance is the sum on average
            signs = np.random.default_rng(seed).choice([-1.0, 1.0], (PROBES, rows, outputs))
            directions = signs / np.sqrt(PROBES)
        found = []
        for layer, below, above in zip(self.layers[::-1], signals[-2::-1], signals[:0:-1], strict=True):
            if layer.relu:
                directions = directions * (above > 0)
            of_sums = np.square(directions).sum(axis=0).mean(axis=0)
            directions = directions @ layer.kernel.T
            found.append((of_sums, np.square(directions).sum(axis=0).mean(axis=0)))
            assert below.shape[1] == len(layer.kernel)
        return found[::-1]
