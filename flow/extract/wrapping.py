"""Quantizers that wrap among a model's steps: where nothing can overflow they saturate, where two meet they become one.

Wrapping is not monotone, so what `merge` and the staircases know of saturation does not hold for it. Here every chain
of quantizers behind a dense layer is looked at with the exact ranges of its sums: a quantizer whose range holds all
that reaches it is as good as a saturating one, a second one that changes nothing is left out, and rounding down twice
is rounding down once. Two that cannot be one get a dense layer of ones between them, which changes no number, and so
does one that wraps and the function of its values behind it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flow.core.fixed import Fixed, Quantizer, rounded
from flow.core.ranges import accumulator_range
from flow.extract.layer_steps import Dense, Elementwise, Quant, Relu, Softmax, Step
from flow.extract.merge import behind_relu
from flow.extract.quiet import quiet
from flow.extract.readout import identity, neurons_of

Span = tuple[int, int, int]  # smallest and largest mantissa, fraction bits
_MOST_ASKED = 1 << 16  # values of an element that a function is asked about
_FINE = 40  # fraction bits in which its answers are bounded


def settled(steps: Sequence[Step], elements: int) -> list[Step]:
    """Steps that equal ``steps`` over ``elements`` inputs; those of models in which nothing wraps as they are."""
    if not any(isinstance(s, Quant) and any(q.wraps for q in s.quantizers) for s in steps):
        return list(steps)
    walk = _Walk(elements)
    for index, step in enumerate(steps):
        walk.add(step, index == len(steps) - 1)
    walk.close()
    return walk.done


class _Walk:
    """The steps so far. ``spans`` are what the signal can be, None where that is not known."""

    def __init__(self, elements: int) -> None:
        self.done: list[Step] = []
        self.spans: list[Span | None] = [None] * elements
        self.before: list[Span | None] = self.spans  # of what the last quantizer sees
        self.relu: Relu | None = None  # waits for what follows

    def add(self, step: Step, is_last: bool) -> None:
        """Take one step."""
        if isinstance(step, Relu):
            self.relu = step
        elif isinstance(step, Quant):
            self._quant(step)
        elif isinstance(step, Elementwise) and step.scale is None and not (is_last and step.left_out):
            self._function(step)
        else:
            if not isinstance(step, Softmax):
                self.close()
            self.done.append(step)
            self.spans = _sums(step, self.spans) if isinstance(step, Dense) else [None] * len(self.spans)

    def close(self) -> None:
        """Put in the ReLU that waits; what wraps to negative numbers before it becomes a layer of its own."""
        if self.relu is None:
            return
        last = self.done[-1] if self.done else None
        if isinstance(last, Quant) and any(q.wraps and q.low < 0 for q in last.quantizers):
            self._apart(last)
        self.done.append(self.relu)
        self.spans = [s and (max(s[0], 0), max(s[1], 0), s[2]) for s in self.spans]
        self.relu = None

    def _function(self, step: Elementwise) -> None:
        self.close()
        last = self.done[-1] if self.done else None
        if isinstance(last, Quant) and any(q.wraps for q in last.quantizers):
            self._apart(last)
        self.done.append(step)
        self.spans = _answers(step, self.spans)

    def _apart(self, last: Quant) -> None:
        layer = identity(f"{last.layer}_values", len(last.quantizers))
        self.done.append(layer)
        self.spans = _sums(layer, self.spans)

    def _quant(self, step: Quant) -> None:
        last, relu = self.done[-1] if self.done else None, self.relu is not None
        if isinstance(last, Quant):
            spans = list(zip(self.before, self.spans, strict=True))
            pairs = zip(last.quantizers, step.quantizers, spans, strict=True)
            merged = [_as_one(first, second, relu, *both) for first, second, both in pairs]
            if all(merged):
                self.done.pop()
                self.relu = None
                self._append(step, [q for q in merged if q is not None], self.before)
                return
            if any(q.wraps for q in (*last.quantizers, *step.quantizers)):
                self._apart(last)
        if relu and any(q.wraps for q in step.quantizers):
            self.relu, step = None, Quant(step.layer, tuple(behind_relu(q) for q in step.quantizers))
        self.close()
        self._append(step, [_without(q, s) for q, s in zip(step.quantizers, self.spans, strict=True)], self.spans)

    def _append(self, step: Quant, quantizers: list[Quantizer], spans: list[Span | None]) -> None:
        self.done.append(Quant(step.layer, tuple(quantizers)))
        self.before = spans
        self.spans = [_after(q, s) for q, s in zip(quantizers, spans, strict=True)]


def _sums(dense: Dense, spans: list[Span | None]) -> list[Span | None]:
    """What a dense layer's sums can be, None for those of an element that could be anything."""
    found: list[Span | None] = []
    known = [s or (0, 0, 0) for s in spans]
    for neuron in neurons_of(dense):
        if any(w and s is None for w, s in zip(neuron.weights, spans, strict=True)):
            found.append(None)
            continue
        formats = tuple(Fixed(True, 1, frac) for _, _, frac in known)
        found.append(accumulator_range(neuron, formats, tuple((low, high) for low, high, _ in known)))
    return found


def _answers(step: Elementwise, spans: list[Span | None]) -> list[Span | None]:
    """What a function can return of values in known spans, by asking it about all of them where they are few."""
    known = [s for s in spans if s is not None]
    count = max((high - low + 1 for low, high, _ in known), default=0)
    if len(known) < len(spans) or not 0 < count <= _MOST_ASKED:
        return [None] * len(spans)
    lows, highs, fracs = (np.array(ends, np.int64) for ends in zip(*known, strict=True))
    rows = np.ldexp(np.minimum(lows + np.arange(count)[:, None], highs).astype(np.float64), -fracs)
    with quiet():
        answers = np.asarray(step.function(rows.astype(np.float32)), np.float64)
    if not np.isfinite(answers).all():
        return [None] * len(spans)
    ends = [np.ldexp(e, _FINE).tolist() for e in (answers.min(axis=0), answers.max(axis=0))]
    return [(math.floor(low), math.ceil(high), _FINE) for low, high in zip(*ends, strict=True)]


def _after(quantizer: Quantizer, span: Span | None) -> Span:
    low, high = (quantizer.low, quantizer.high) if span is None else quantizer.range_over(*span)
    return low, high, quantizer.format.frac


def _reaches(quantizer: Quantizer, span: Span, relu: bool) -> tuple[int, int]:
    """The mantissas that a quantizer has to hold."""
    low, high = (rounded(v, span[2] - quantizer.format.frac, quantizer.rounding) for v in span[:2])
    if relu or quantizer.overflow == "RELU_WRAP":
        low, high = max(low, 0), max(high, 0)
    return low, high


def _without(quantizer: Quantizer, span: Span | None) -> Quantizer:
    """The quantizer, as a saturating one where nothing overflows."""
    if not quantizer.wraps or span is None:
        return quantizer
    low, high = _reaches(quantizer, span, False)
    if low < quantizer.format.low or high > quantizer.format.high:
        return quantizer
    least = max(quantizer.low, 0) if quantizer.overflow == "RELU_WRAP" else quantizer.low
    return Quantizer(quantizer.format, quantizer.rounding, least, quantizer.high)


def _as_one(
    first: Quantizer, second: Quantizer, relu: bool, before: Span | None, span: Span | None
) -> Quantizer | None:
    """One quantizer that equals ``second`` after ``first``, with a ReLU between them if ``relu``; None if none does."""
    if second.low == second.high == 0:
        return second
    if span is not None and second.format.frac >= first.format.frac and (not relu or first.low >= 0):
        up = second.format.frac - first.format.frac
        if second.low <= span[0] << up and span[1] << up <= second.high:
            return first  # the second one changes nothing
    if before is None:
        return None
    low, high = _reaches(first, before, False)
    if first.wraps or low < first.low or high > first.high:
        return None
    is_exact = before[2] <= first.format.frac
    if second.format.frac <= first.format.frac:
        same = is_exact or first.rounding == second.rounding == "TRN"
        return _without(behind_relu(second) if relu else second, before) if same else None
    less = second.format.frac - first.format.frac
    if not second.wraps:
        return None
    form = Fixed(second.format.signed, max(second.format.bits - less, 0), first.format.frac)
    return _without(Quantizer.wrapping(form, first.rounding, relu), before)
