"""What layers become on their way to a design: steps in data-flow order, already integers and exact scales.

A Keras layer turns into zero or more steps; `assemble` folds the steps into a design or refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from flow.core.fixed import Ints, Quantizer


@dataclass(frozen=True)
class Quant:
    """Quantize every element, one quantizer per element of the flattened signal."""

    layer: str
    quantizers: tuple[Quantizer, ...]


@dataclass(frozen=True)
class Relu:
    """max(x, 0), exact."""

    layer: str


@dataclass(frozen=True)
class Affine:
    """``sign * 2**exponent * x + offset`` per element, exact; ``sign`` is -1, 0 or 1."""

    layer: str
    sign: Ints
    exponent: Ints
    offset: tuple[Fraction, ...]

    @classmethod
    def uniform(cls, layer: str, exponent: int, offset: Fraction, count: int) -> Affine:
        """The same positive scale and offset for ``count`` elements."""
        return cls(layer, np.ones(count, np.int64), np.full(count, exponent, np.int64), (offset,) * count)


@dataclass(frozen=True)
class Dense:
    """A matrix of weight mantissas (inputs x units), one scale, width and bias per column."""

    layer: str
    weights: Ints
    weight_frac: Ints
    weight_bits: NDArray[np.float64]
    bias: Ints
    bias_frac: Ints


@dataclass(frozen=True)
class Softmax:
    """A softmax, which hardware leaves out when it is last: it never changes the order of the logits."""

    layer: str


@dataclass(frozen=True, eq=False)
class Elementwise:
    """A float32 function of every element, known by what the model's runtime answers: ``function`` of rows x elements.

    ``scale`` and ``offset`` are there where it is an affine function in real numbers, which float32 rounds: then it is
    monotone, as others are that say so (``rises_or_falls``). ``name`` tells what it is; ``left_out`` says that it may
    be left out at the end, as a softmax may.
    """

    layer: str
    name: str
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    scale: tuple[Fraction, ...] | None = None
    offset: tuple[Fraction, ...] | None = None
    left_out: bool = False
    rises_or_falls: bool = False  # of every element one of both, in float32 too
    frac: int | None = None  # fraction bits of what it returns, where that is known


Step = Quant | Relu | Affine | Dense | Softmax | Elementwise
