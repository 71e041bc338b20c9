"""Values of a graph on their way into hardware: sums of places, and bundles of steps that are not yet finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.extract.dyadic import power_of_two
from flow.extract.layer_steps import Affine, Dense, Elementwise, Quant, Step
from flow.extract.readout import parameters, scaled


@dataclass(frozen=True)
class Form:
    """An exact sum of places, by number, times factors, and a constant."""

    weights: Mapping[int, Fraction]
    bias: Fraction = Fraction(0)

    def plus(self, other: Form, factor: Fraction) -> Form:
        """The sum with ``factor`` times another one added."""
        total = dict(self.weights)
        for place, weight in other.weights.items():
            total[place] = total.get(place, Fraction(0)) + factor * weight
        return Form({p: w for p, w in total.items() if w}, self.bias + factor * other.bias)

    def then(self, scale: Fraction, offset: Fraction) -> Form:
        """This sum scaled and moved."""
        return Form({p: w * scale for p, w in self.weights.items() if scale}, self.bias * scale + offset)

    @property
    def place(self) -> int | None:
        """The place that it is; None where it is more than that."""
        ((place, weight),) = self.weights.items() if len(self.weights) == 1 else ((-1, 0),)
        return place if weight == 1 and not self.bias else None


@dataclass(eq=False)
class Bundle:
    """Columns: ``steps`` on ``base``, on elements of the model's inputs if ``raw``, else on places of the hardware.

    The steps of the latter are the formats of the places, a dense layer, and what follows it. A bundle of ``forms``
    has no steps: it is finished.
    """

    base: tuple[int, ...]
    raw: bool
    steps: tuple[Step, ...]
    width: int
    is_layer: bool = False  # whether a dense layer of the model is among the steps
    forms: list[Form] | None = None
    made: list[Form] | None = field(default=None, repr=False)  # of steps that were finished

    @classmethod
    def of(cls, forms: Sequence[Form]) -> Bundle:
        """A finished bundle."""
        return cls((), False, (), len(forms), forms=list(forms))

    @property
    def is_quantized(self) -> bool:
        """Whether a quantizer has made few values of the columns."""
        return any(isinstance(step, Quant) for step in self.steps[0 if self.raw else 1 :])

    def then(self, step: Step, columns: Sequence[int]) -> Bundle:
        """These columns followed by a step on them."""
        part = self if list(columns) == list(range(self.width)) else self._only(columns)
        return replace(part, steps=(*part.steps, step), made=None)

    def _only(self, columns: Sequence[int]) -> Bundle:
        at = next((i for i, step in enumerate(self.steps) if isinstance(step, Dense)), None)
        if at is None:
            steps = tuple(picked(step, columns) for step in self.steps)
            return replace(self, base=tuple(self.base[c] for c in columns), steps=steps, width=len(columns))
        after = (picked(step, columns) for step in self.steps[at:])
        return replace(self, steps=(*self.steps[:at], *after), width=len(columns))

    def sums(self) -> list[Form] | None:
        """The columns where they are plain sums so far; None where anything else is among the steps."""
        kinds = [type(step) for step in self.steps if not isinstance(step, Affine)]
        if self.raw or kinds != [Quant, Dense]:
            return None
        dense = self.steps[1]
        assert isinstance(dense, Dense)
        for step in self.steps[2:]:
            assert isinstance(step, Affine)
            dense = scaled(dense, step)
        found = []
        for j in range(self.width):
            unit, sums = Fraction(2) ** -int(dense.weight_frac[j]), Form({})
            for place, weight in zip(self.base, dense.weights[:, j].tolist(), strict=True):
                sums = sums.plus(Form({place: unit * weight}), Fraction(1)) if weight else sums
            found.append(sums.then(Fraction(1), int(dense.bias[j]) * Fraction(2) ** -int(dense.bias_frac[j])))
        return found

    def label(self, column: int) -> float:
        """The width of the column's weights."""
        return float(next(s for s in self.steps if isinstance(s, Dense)).weight_bits[column])


def affine(layer: str, terms: Sequence[tuple[Fraction, Fraction]]) -> Affine:
    """Powers of two (or 0) and offsets as a step."""
    sign = np.array([(s > 0) - (s < 0) for s, _ in terms], np.int64)
    exponent = np.array([power_of_two(abs(float(s))) or 0 for s, _ in terms], np.int64)
    return Affine(layer, sign, exponent, tuple(o for _, o in terms))


def scaled_forms(forms: Sequence[Form], step: Affine | Elementwise) -> list[Form]:
    """Finished columns after a scale."""
    return [form.then(s, o) for form, s, o in zip(forms, *parameters(step), strict=True)]


def picked(step: Any, columns: Sequence[int]) -> Any:
    """The step for these elements: whatever it holds for each of them (the last axis of arrays)."""
    changed: dict[str, Any] = {}
    for each in fields(step):
        value = getattr(step, each.name)
        if isinstance(value, np.ndarray):
            changed[each.name] = value[..., list(columns)]
        elif isinstance(value, tuple):
            changed[each.name] = tuple(value[c] for c in columns)
    if isinstance(step, Elementwise):
        changed["function"] = _among(step, columns)
    return replace(step, **changed)


def _among(step: Elementwise, columns: Sequence[int]) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The step's function of these columns alone."""
    if step.scale is None:
        return step.function  # the same for every element
    width, own = len(step.scale), list(columns)

    def function(values: NDArray[np.float32]) -> NDArray[np.float32]:
        whole = np.zeros((len(values), width), np.float32)
        whole[:, own] = values
        return np.asarray(step.function(whole)[:, own], np.float32)

    return function
