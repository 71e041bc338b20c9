"""A model of any graph to a chain of layers: branches, joins, layers that are used twice, several inputs and outputs.

A *bundle* holds the steps since the values that its layer reads, unfinished for as long as they can still be folded
together as in a model of one path; a *signal*, what a tensor of the model is here, is a row of columns of bundles, so
that moving values costs nothing. Finishing a bundle makes each of its columns a place in the hardware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np

from flow.core.design import Layer, Neuron
from flow.core.errors import ModelError
from flow.core.fixed import Fixed, Quantizer
from flow.extract.assemble import fold
from flow.extract.dyadic import MAX_WEIGHT_BITS, exact_column, exact_fraction, power_of_two
from flow.extract.layer_steps import Affine, Dense, Quant, Relu, Softmax, Step
from flow.extract.merge import Unmergeable
from flow.extract.mix import KINDS, Mix, read_mix
from flow.extract.needed import needed_bits
from flow.extract.places import CARRIED_BITS, Chain, Place, chained, place_of
from flow.extract.read import steps_of
from flow.extract.remedies import joins, refusal
from flow.extract.trace import Call, Trace

_UNUSED = Quantizer(Fixed(False, 0, 0), "TRN", 0, 0)


@dataclass(eq=False)
class _Bundle:
    """``steps`` on ``base``: on elements of the model's inputs if ``raw``, else on places, whose formats come first."""

    base: tuple[int, ...]
    raw: bool
    steps: tuple[Step, ...]
    width: int
    finished: list[tuple[int, Fraction, Fraction]] = field(default_factory=list)  # place, factor, offset of each column
    sums: Layer | None = None  # the rows of a bundle that is nothing but sums
    is_layer: bool = False  # whether a dense layer of the model is among them


_Column = tuple[_Bundle, int]
_Term = tuple[_Column, Fraction, bool]  # a column, its factor, and whether nothing else reads it


@dataclass(frozen=True)
class Assembled:
    """Quantizers of all input elements, the chain behind them, and lines for the user."""

    inputs: tuple[Quantizer, ...]
    chain: Chain
    notes: tuple[str, ...]


def assemble_graph(traced: Trace, given: Quantizer | None) -> Assembled:
    """The traced model as a chain; ``given`` quantizes inputs that the model does not. Raises ModelError."""
    return _Graph(traced, given).assembled()


class _Graph:
    def __init__(self, traced: Trace, given: Quantizer | None) -> None:
        self.traced, self.given, self.given_used = traced, given, False
        self.places: list[Place] = []
        self.notes: list[str] = []
        self.shared = {value: count > 1 for value, count in traced.readers().items()}
        self.values: dict[int, list[_Column]] = {}
        for value, entry in enumerate(traced.inputs):
            first = len(self.places)
            self.places += [Place(0, entry.name, i, _UNUSED) for i in range(entry.elements)]
            bundle = _Bundle(tuple(range(first, len(self.places))), True, (), entry.elements)
            self.values[value] = [(bundle, j) for j in range(bundle.width)]
        self.inputs = len(self.places)
        self.quantized: dict[int, str] = {}  # input elements that have their quantizer, and by which layer

    def assembled(self) -> Assembled:
        """Everything, once."""
        for call in self.traced.calls:
            self.values[call.result] = self._called(call)
        outputs = [self._output(column) for value in self.traced.outputs for column in self.values[value]]
        if self.given is not None and not self.given_used:
            raise ModelError("the model quantizes its inputs itself; leave the input format out")
        chain = chained(self.places, range(self.inputs), outputs)
        return Assembled(tuple(p.span for p in self.places[: self.inputs]), chain, tuple(self.notes))

    def _called(self, call: Call) -> list[_Column]:
        sources = [self.values[s] for s in call.sources]
        if call.kind in KINDS:
            return self._mixed(call, read_mix(call), sources)
        if len(sources) != 1:
            raise ModelError(joins(call.name, call.kind, len(sources)))
        signal = sources[0]
        for step in _steps(call):
            if isinstance(step, Dense):
                signal = self._dense(step, signal)
                continue
            if isinstance(step, Softmax) and (call.result not in self.traced.outputs or self.shared[call.result]):
                raise ModelError(f"layer {step.layer}: a softmax is only possible at the end; remove it")
            signal = self._elementwise(step, signal, self.shared[call.sources[0]])
        return signal

    def _dense(self, step: Dense, signal: Sequence[_Column]) -> list[_Column]:
        finished = [self._finished(column) for column in signal]
        if step.weights.shape[0] != len(finished):
            raise ModelError(f"layer {step.layer}: {step.weights.shape[0]} inputs expected, {len(finished)} arrive")
        scaled = [(factor, offset) for _, factor, offset in finished]
        before = _affine(step.layer, scaled) if any(f != 1 or o for f, o in scaled) else None
        return self._behind([place for place, _, _ in finished], [before, step] if before else [step], True)

    def _behind(self, base: Sequence[int], steps: Sequence[Step], is_layer: bool) -> list[_Column]:
        """New columns: ``steps``, of which one is a dense layer, on places."""
        dense = next(s for s in steps if isinstance(s, Dense))
        entering = Quant(dense.layer, tuple(self.places[p].span for p in base))
        bundle = _Bundle(tuple(base), False, (entering, *steps), dense.weights.shape[1], is_layer=is_layer)
        return [(bundle, j) for j in range(bundle.width)]

    def _elementwise(self, step: Step, signal: Sequence[_Column], shared: bool) -> list[_Column]:
        """The signal after a step. What is quantized already and ``shared`` stays as it is for its other readers."""
        columns: list[_Column | None] = [None] * len(signal)
        groups: dict[int, list[int]] = {}
        for position, (bundle, _) in enumerate(signal):
            groups.setdefault(id(bundle), []).append(position)
        for positions in groups.values():
            bundle, own = signal[positions[0]][0], [signal[p][1] for p in positions]
            quantized, apart = _is_quantized(bundle), None
            if isinstance(step, Affine):
                apart = self._settled if quantized and shared else None
            elif _is_settled(bundle) or (quantized and (shared or not _takes(bundle, _picked(step, positions), own))):
                apart = self._copied
            if apart is not None:
                bundle, own = apart([signal[p] for p in positions], step.layer), list(range(len(positions)))
            part = bundle if own == list(range(bundle.width)) else _restricted(bundle, own)
            new = replace(part, steps=(*part.steps, _picked(step, positions)), finished=[], sums=None)
            for j, position in enumerate(positions):
                columns[position] = (new, j)
        return [column for column in columns if column is not None]

    def _settled(self, signal: Sequence[_Column], layer: str) -> _Bundle:
        """Finished columns as they are, for a scale that their next reader takes."""
        finished = [self._finished(column) for column in signal]
        base = tuple(place for place, _, _ in finished)
        entering = Quant(layer, tuple(self.places[p].span for p in base))
        return _Bundle(base, False, (entering, _affine(layer, [(f, o) for _, f, o in finished])), len(base))

    def _copied(self, signal: Sequence[_Column], layer: str) -> _Bundle:
        """Finished columns as rows of their own, which later steps may change."""
        ones = [[(column, Fraction(1), False)] for column in signal]
        return self._rows(layer, ones, [Fraction(0)] * len(signal))[0][0]

    def _mixed(self, call: Call, mix: Mix, sources: Sequence[Sequence[_Column]]) -> list[_Column]:
        alone = [not self.shared[s] for s in call.sources]
        parts = list(zip(sources, mix.places, mix.factors, alone, strict=True))
        terms: list[list[_Term]] = [
            [(own[places[e]], factors[e], once) for own, places, factors, once in parts if places[e] >= 0]
            for e in range(len(mix.offset))
        ]
        shared = not all(alone)
        if mix.moves_only:
            self.shared[call.result] |= shared
            return [own[0][0] for own in terms]
        single = all(len(own) == 1 and power_of_two(abs(float(own[0][1]))) is not None for own in terms)
        if single:
            step = _affine(call.name, [(own[0][1], o) for own, o in zip(terms, mix.offset, strict=True)])
            return self._elementwise(step, [own[0][0] for own in terms], shared)
        return self._rows(call.name, terms, mix.offset)

    def _rows(
        self, layer: str, terms: Sequence[Sequence[_Term]], offset: Sequence[Fraction], inline: bool = True
    ) -> list[_Column]:
        """A row of weights per element. With ``inline`` a sum that nothing else reads is not made but added up here."""
        rows = [self._row(own, o, inline) for own, o in zip(terms, offset, strict=True)]
        used = sorted({place for row in rows for place in row.weights})
        position = {place: i for i, place in enumerate(used)}
        matrix, columns = np.zeros((len(used), len(rows)), np.int64), []
        for j, row in enumerate(rows):
            mantissas, frac = exact_column(list(row.weights.values()))
            if max((abs(m).bit_length() for m in mantissas), default=0) > MAX_WEIGHT_BITS:
                if inline:
                    return self._rows(layer, terms, offset, False)
                raise ModelError(f"layer {layer}, element {j}: adds values whose scales lie too far apart; rescale one")
            matrix[[position[p] for p in row.weights], j] = mantissas
            columns.append((frac, needed_bits(mantissas, row.label), *exact_fraction(row.bias)))
        fracs, bits, bias, bias_fracs = (np.array(c) for c in zip(*columns, strict=True))
        names = dict.fromkeys(name for row in rows for name in row.layers)
        if len(names) == 1:
            self._note(f"layer {layer} is added up inside layer {next(iter(names))}")
            layer = next(iter(names))
        step = Dense(layer, matrix, fracs, bits.astype(np.float64), bias, bias_fracs)
        return self._behind(used, [step], bool(names))

    def _row(self, terms: Sequence[_Term], offset: Fraction, inline: bool) -> _Row:
        row = _Row({}, offset, CARRIED_BITS, ())
        for column, factor, once in terms:
            neuron = self._linear(column) if inline and once else None
            if neuron is None:
                place, scale, constant = self._finished(column)
                row = row.plus({place: scale}, constant, factor)
            else:
                base, layer, found = neuron
                scale = Fraction(2) ** -found.weight_frac
                weights: dict[int, Fraction] = {}
                for place, weight in zip(base, found.weights, strict=True):
                    weights[place] = weights.get(place, Fraction(0)) + weight * scale
                row = row.plus(weights, found.bias * Fraction(2) ** -found.bias_frac, factor, found.weight_bits, layer)
        return row

    def _linear(self, column: _Column) -> tuple[tuple[int, ...], str, Neuron] | None:
        """The row of a column that is a plain sum of weighted places so far."""
        bundle, j = column
        kinds = [type(step) for step in bundle.steps if not isinstance(step, Affine)]
        if bundle.raw or kinds != [Quant, Dense]:
            return None
        if bundle.sums is None:
            bundle.sums = fold(bundle.steps, len(bundle.base), None).layers[-1]
        return bundle.base, bundle.sums.name if bundle.is_layer else "", bundle.sums.neurons[j]

    def _finished(self, column: _Column) -> tuple[int, Fraction, Fraction]:
        """The column's place, and the factor and offset that its reader takes it with."""
        bundle, j = column
        if not bundle.finished:
            bundle.finished = self._finish(bundle)
        return bundle.finished[j]

    def _finish(self, bundle: _Bundle) -> list[tuple[int, Fraction, Fraction]]:
        given = self.given if bundle.raw and not any(isinstance(s, Quant) for s in bundle.steps) else None
        assembler = fold(bundle.steps, len(bundle.base), given)
        after = assembler.end()
        self.given_used |= given is not None
        found = list(bundle.base)
        if bundle.raw:
            self._quantize_inputs(bundle, assembler.inputs or ())
        for layer in assembler.layers:
            first = len(self.places)
            self.places += [place_of(n, found, self.places, layer.name, j) for j, n in enumerate(layer.neurons)]
            found = list(range(first, len(self.places)))
        for text in assembler.notes:
            self._note(text)
        if after is None:
            return [(place, Fraction(1), Fraction(0)) for place in found]
        scales = [int(s) * Fraction(2) ** int(e) for s, e in zip(after.sign, after.exponent, strict=True)]
        return list(zip(found, scales, after.offset, strict=True))

    def _quantize_inputs(self, bundle: _Bundle, quantizers: Sequence[Quantizer]) -> None:
        by = bundle.steps[-1].layer if bundle.steps else "the input format"
        for element, quantizer in zip(bundle.base, quantizers, strict=True):
            place = self.places[element]
            if element in self.quantized and place.span != quantizer:
                raise ModelError(
                    f"layer {by} quantizes {place.label} otherwise than {self.quantized[element]} does; quantize each "
                    "input once, before it branches"
                )
            self.quantized.setdefault(element, by)
            self.places[element] = replace(place, span=quantizer)

    def _output(self, column: _Column) -> int:
        place, factor, offset = self._finished(column)
        if factor == 1 and not offset:
            return place
        ((bundle, j),) = self._rows(self.places[place].layer, [[(column, Fraction(1), False)]], [Fraction(0)])
        return self._finished((bundle, j))[0]

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True)
class _Row:
    """A sum of weighted places: the widest label among its parts, and the dense layers that were added up in it."""

    weights: dict[int, Fraction]
    bias: Fraction
    label: float
    layers: tuple[str, ...]

    def plus(
        self, weights: dict[int, Fraction], bias: Fraction, factor: Fraction, label: float = 0.0, layer: str = ""
    ) -> _Row:
        """The sum with ``factor`` times another one added."""
        total = dict(self.weights)
        for place, weight in weights.items():
            total[place] = total.get(place, Fraction(0)) + factor * weight
        layers = (*self.layers, *([layer] if layer else []))
        return _Row(total, self.bias + factor * bias, max(self.label, label), layers)


def _steps(call: Call) -> list[Step]:
    if hasattr(call.applied.layer, "weights"):
        return steps_of(call.applied)
    if call.kind == "Relu":  # an operation, not a layer
        return [Relu(call.name)]
    raise ModelError(refusal(call.name, call.kind))


def _is_quantized(bundle: _Bundle) -> bool:
    return any(isinstance(step, Quant) for step in bundle.steps[0 if bundle.raw else 1 :])


def _is_settled(bundle: _Bundle) -> bool:
    """Whether the bundle is places as they are, which only a row of weights can change."""
    return not bundle.raw and not any(isinstance(step, Dense) for step in bundle.steps)


def _takes(bundle: _Bundle, step: Step, columns: Sequence[int]) -> bool:
    """Whether these quantized columns can take a step without a row of weights of its own before it."""
    if [type(s) for s in bundle.steps if isinstance(s, Quant | Affine)][-1] is Affine:
        return False
    part = _restricted(bundle, columns)
    try:
        fold((*part.steps, step), len(part.base), None)
    except Unmergeable:
        return False
    return True


def _affine(layer: str, scaled: Sequence[tuple[Fraction, Fraction]]) -> Affine:
    """Powers of two (or 0) and offsets as a step."""
    sign = np.array([(s > 0) - (s < 0) for s, _ in scaled], np.int64)
    exponent = np.array([power_of_two(abs(float(s))) or 0 for s, _ in scaled], np.int64)
    return Affine(layer, sign, exponent, tuple(o for _, o in scaled))


def _restricted(bundle: _Bundle, columns: Sequence[int]) -> _Bundle:
    """The bundle with these columns only."""
    at = next((i for i, step in enumerate(bundle.steps) if isinstance(step, Dense)), None)
    if at is None:
        steps = tuple(_picked(step, columns) for step in bundle.steps)
        return _Bundle(tuple(bundle.base[c] for c in columns), bundle.raw, steps, len(columns))
    after = (_picked(step, columns) for step in bundle.steps[at:])
    return replace(bundle, steps=(*bundle.steps[:at], *after), width=len(columns), finished=[], sums=None)


def _picked(step: Any, columns: Sequence[int]) -> Any:
    """The step for these elements: whatever it holds for each of them (the last axis of arrays)."""
    changed: dict[str, Any] = {}
    for each in fields(step):
        value = getattr(step, each.name)
        if isinstance(value, np.ndarray):
            changed[each.name] = value[..., list(columns)]
        elif isinstance(value, tuple):
            changed[each.name] = tuple(value[c] for c in columns)
    return replace(step, **changed)
