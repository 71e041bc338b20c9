"""Layers and operations that move, add and scale values: read by asking them where each value goes and by what factor.

Every element of the answer is a constant plus at most one element of each source times a factor. Which kinds of layers
are of this form is known; factors and places are read off answers to chosen numbers, and believed only if random
numbers are answered accordingly.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.extract.arrays import failing
from flow.extract.dyadic import exact_fraction
from flow.extract.graph_trace import MOVING, Call
from flow.extract.quiet import quiet

KINDS = MOVING | {"Flatten", "Reshape"}
MAX_FACTOR_BITS = 20
_PROBES = 8


@dataclass(frozen=True)
class Mix:
    """``offset + sum over sources of factors[k] * source_k[places[k]]`` for every element; place -1 stands for none."""

    layer: str
    places: tuple[NDArray[np.int64], ...]
    factors: tuple[tuple[Fraction, ...], ...]
    offset: tuple[Fraction, ...]

    @property
    def moves_only(self) -> bool:
        """Whether every element is an element of a source as it is."""
        return not any(self.offset) and all(
            [p >= 0 for p in terms].count(True) == 1 and all(f == 1 for p, f in zip(terms, own, strict=True) if p >= 0)
            for terms, own in zip(zip(*self.places, strict=True), zip(*self.factors, strict=True), strict=True)
        )


def read_mix(call: Call) -> Mix:
    """The layer's places, factors and constants. Raises ModelError naming layer, element and remedy."""
    if call.kind == "Multiply" and len(call.sources) > 1:
        raise ModelError(
            f"layer {call.name} (Multiply) multiplies {len(call.sources)} signals with each other, which no row of "
            "weights can do; multiply by a constant, or remove it"
        )
    zeros = [np.zeros((1, *shape), np.float32) for shape in call.shapes]
    constant = _answer(call, zeros)[0]
    places, factors = [], []
    for k, zero in enumerate(zeros):
        alone = [_answer(call, [*zeros[:k], values, *zeros[k + 1 :]])[0] - constant for values in _marks(zero)]
        scale, marked = alone
        live = (scale != 0) & np.isfinite(marked)
        numbers = np.divide(marked, scale, out=np.zeros_like(marked), where=live)
        places.append(np.where(live, np.round(numbers) - 1, -1).astype(np.int64))
        factors.append(np.where(live, scale, 0.0))
    exact = tuple(tuple(Fraction(float(f)) for f in row) for row in factors)
    offset = tuple(Fraction(float(c)) for c in constant)
    for element, numbers in enumerate(zip(offset, *exact, strict=True)):
        for number in numbers:
            if abs(exact_fraction(number)[0]).bit_length() > MAX_FACTOR_BITS:
                raise ModelError(
                    f"layer {call.name} ({call.kind}), element {element}: {float(number):.9g} is no short binary "
                    "fraction; choose a power of two or a multiple of one, or a BatchNormalization, which may have any"
                )
    _check(call, constant, places, factors)
    return Mix(call.name, tuple(places), exact, offset)


def _marks(zero: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Ones, which answer with the factors, and numbers from 1, which answer with the places."""
    return [np.ones_like(zero), np.arange(1, zero.size + 1, dtype=np.float32).reshape(zero.shape)]


def _answer(call: Call, values: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """What the layer answers, rows x elements."""
    try:
        with quiet(), np.errstate(all="ignore"):
            answers = np.asarray(call.compute(values), np.float64)
    except Exception as exc:  # whatever a backend says about its own operation
        raise failing(call.name, call.kind, exc) from None
    return answers.reshape(len(values[0]), -1)


def _check(call: Call, constant: Any, places: list[Any], factors: list[Any]) -> None:
    random = np.random.default_rng(0)
    values = [np.round(random.uniform(-8, 9, (_PROBES, *shape))).astype(np.float32) for shape in call.shapes]
    expected = np.tile(constant, (_PROBES, 1))
    for source, place, factor in zip(values, places, factors, strict=True):
        flat = source.reshape(_PROBES, -1).astype(np.float64)
        if not ((place >= -1) & (place < flat.shape[1])).all():
            _refuse(call)
        expected += np.where(place >= 0, factor * flat[:, place], 0.0)
    if not np.array_equal(expected, _answer(call, values)):
        _refuse(call)


def _refuse(call: Call) -> None:
    raise ModelError(
        f"layer {call.name} ({call.kind}) does not answer with sums of constants and single values of its inputs, or "
        "not exactly; use powers of two as factors, or a BatchNormalization"
    )
