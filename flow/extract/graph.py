"""A model of any graph to a chain of layers: branches, joins, layers that are used twice, several inputs and outputs.

A *signal*, what a tensor of the model is here, is a row of columns of bundles (`bundles`), so that moving values costs
nothing. The steps of a bundle stay unfinished for as long as they can still be folded together as in a model of one
path (`resolve`); finishing it makes each of its columns a sum of places in the hardware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from flow.core.errors import ModelError
from flow.core.fixed import Fixed, Quantizer
from flow.extract.bundles import Bundle, Form, affine, picked, scaled_forms
from flow.extract.convolution import window
from flow.extract.dyadic import MAX_WEIGHT_BITS, exact_column, exact_fraction, power_of_two
from flow.extract.graph_trace import Call, Trace
from flow.extract.layer_steps import Affine, Dense, Elementwise, Quant, Relu, Softmax, Step
from flow.extract.mix import KINDS, Mix, read_mix
from flow.extract.notes import left_out_note, real_note
from flow.extract.places import CARRIED_BITS, Chain, Place, chained, held, place_of
from flow.extract.read import BIAS, narrow, steps_of
from flow.extract.readout import Readout, behind, from_fractions
from flow.extract.remedies import IGNORED, joins, refusal
from flow.extract.resolve import GIVEN_TWICE, fold_part
from flow.extract.sums import affine as is_affine
from flow.extract.windows import MAXIMA, members

_UNUSED = Quantizer(Fixed(False, 0, 0), "TRN", 0, 0)

_Column = tuple[Bundle, int]
_Term = tuple[_Column, Fraction, bool]  # a column, its factor, and whether nothing else reads it


@dataclass(frozen=True)
class Assembled:
    """Quantizers of all input elements, the chain behind them, and what was done."""

    inputs: tuple[Quantizer, ...]
    chain: Chain
    notes: tuple[str, ...]
    real: tuple[str, ...]  # layers whose scale is taken as a real number
    left_out: str | None  # the sigmoid or tanh at the end of all outputs, which the design does not compute


def assemble_graph(traced: Trace, given: Quantizer | None) -> Assembled:
    """The traced model as a chain; ``given`` quantizes inputs that the model does not. Raises ModelError."""
    return _Graph(traced, given).assembled()


class _Graph:
    def __init__(self, traced: Trace, given: Quantizer | None) -> None:
        self.traced, self.given, self.given_used = traced, given, False
        self.places: list[Place] = []
        self.notes: list[str] = []
        self.real: list[str] = []
        self.functions: list[str] = []  # that are left out
        self.shared = {value: count > 1 for value, count in traced.readers().items()}
        self.values: dict[int, list[_Column]] = {}
        for value, entry in enumerate(traced.inputs):
            first = len(self.places)
            self.places += [Place(0, entry.name, i, _UNUSED) for i in range(entry.elements)]
            bundle = Bundle(tuple(range(first, len(self.places))), True, (), entry.elements)
            self.values[value] = [(bundle, j) for j in range(bundle.width)]
        self.inputs = len(self.places)
        self.quantized: dict[int, str] = {}  # input elements that have their quantizer, and by which layer

    def assembled(self) -> Assembled:
        """Everything, once."""
        for call in self.traced.calls:
            self.values[call.result] = self._called(call)
        outputs = self._outputs([column for value in self.traced.outputs for column in self.values[value]])
        if self.given is not None and not self.given_used:
            raise ModelError(GIVEN_TWICE)
        chain = chained(self.places, range(self.inputs), outputs)
        inputs = tuple(p.span for p in self.places[: self.inputs])
        is_same = self.functions == self.functions[:1] * len(self.traced.outputs) and self.functions[:1] != ["softmax"]
        left_out = self.functions[0] if self.functions and is_same else None
        return Assembled(inputs, chain, tuple(self.notes), tuple(dict.fromkeys(self.real)), left_out)

    def _called(self, call: Call) -> list[_Column]:
        sources = [self.values[s] for s in call.sources]
        if call.kind in IGNORED and len(sources) == 1:
            self.shared[call.result] |= self.shared[call.sources[0]]
            return sources[0]
        if call.kind in KINDS:
            return self._mixed(call, read_mix(call), sources)
        if call.kind in MAXIMA:
            return self._largest(call, sources[0])
        if len(sources) != 1:
            raise ModelError(joins(call.name, call.kind, len(sources)))
        signal, shared = sources[0], self.shared[call.sources[0]]
        for step in _steps(call):
            if isinstance(step, Dense):
                signal = self._dense(step, signal)
            elif not self._leaves_out(step, call):
                signal = self._elementwise(step, signal, shared)
            shared = False
        return signal

    def _leaves_out(self, step: Step, call: Call) -> bool:
        """Whether a step is a function at the end, which stays with the host."""
        is_softmax = isinstance(step, Softmax)
        if not is_softmax and not (isinstance(step, Elementwise) and step.left_out):
            return False
        name = "softmax" if isinstance(step, Softmax) else getattr(step, "name", "")
        uses = sum(other.applied.layer is call.applied.layer for other in self.traced.calls)
        if call.result not in self.traced.ends:
            if is_softmax:
                raise ModelError(f"layer {step.layer}: a softmax is only possible at the end; remove it")
            return False
        if uses > 1 or self.shared[call.result]:
            raise ModelError(
                f"layer {step.layer}: the {name} at the end of the model is read or used a second time; give the "
                "output a layer of its own"
            )
        count = int(np.prod(call.applied.output_shape))
        self._note(left_out_note(step.layer, name, count))
        self.functions.append(name)
        return True

    def _dense(self, step: Dense, signal: Sequence[_Column]) -> list[_Column]:
        if step.weights.shape[0] != len(signal):
            raise ModelError(f"layer {step.layer}: {step.weights.shape[0]} inputs expected, {len(signal)} arrive")
        forms = [self._finished(column) for column in signal]
        places = [form.place for form in forms]
        if None not in places:
            return self._behind([p for p in places if p is not None], step, True)
        used = sorted({place for form in forms for place in form.weights})
        position = {place: i for i, place in enumerate(used)}
        elements = tuple(tuple((position[p], w) for p, w in form.weights.items()) for form in forms)
        return self._behind(used, behind(step, Readout(elements, tuple(form.bias for form in forms))), True)

    def _behind(self, base: Sequence[int], dense: Dense, is_layer: bool) -> list[_Column]:
        """New columns: a dense layer on places."""
        entering = Quant(dense.layer, tuple(held(self.places[p].span) for p in base))
        bundle = Bundle(tuple(base), False, (entering, dense), dense.weights.shape[1], is_layer)
        return [(bundle, j) for j in range(bundle.width)]

    def _elementwise(self, step: Step, signal: Sequence[_Column], shared: bool) -> list[_Column]:
        """The signal after a step. What is quantized already and ``shared`` stays as it is for its other readers."""
        columns: list[_Column | None] = [None] * len(signal)
        groups: dict[int, list[int]] = {}
        for position, (bundle, _) in enumerate(signal):
            groups.setdefault(id(bundle), []).append(position)
        for positions in groups.values():
            part, own = [signal[p] for p in positions], picked(step, positions)
            bundle, numbers = part[0][0], [column for _, column in part]
            if bundle.forms is None and not (shared and bundle.is_quantized):
                new = bundle.then(own, numbers)
            elif isinstance(own, Affine | Elementwise) and is_affine(own):
                new = Bundle.of(scaled_forms([self._finished(column) for column in part], own))
                if isinstance(own, Elementwise):
                    self._take_real(own)
            else:
                ones: list[list[_Term]] = [[(column, Fraction(1), False)] for column in part]
                copied = self._rows(step.layer, ones, [Fraction(0)] * len(part))
                new = copied[0][0].then(own, range(len(part)))
            for j, position in enumerate(positions):
                columns[position] = (new, j)
        return [column for column in columns if column is not None]

    def _take_real(self, step: Elementwise) -> None:
        self.real.append(step.layer)
        if step.name != BIAS:
            self._note(real_note(step.layer))

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
        if all(len(own) == 1 and power_of_two(abs(float(own[0][1]))) is not None for own in terms):
            step = affine(call.name, [(own[0][1], o) for own, o in zip(terms, mix.offset, strict=True)])
            return self._elementwise(step, [own[0][0] for own in terms], shared)
        return self._rows(call.name, terms, mix.offset)

    def _largest(self, call: Call, signal: Sequence[_Column]) -> list[_Column]:
        """The largest value of every window, two at a time."""
        rows = [[signal[i] for i in row] for row in members(window(call.applied))]
        while any(len(row) > 1 for row in rows):
            pairs = {_key(*pair): pair for row in rows for pair in zip(row[::2], row[1::2], strict=False)}
            larger = dict(zip(pairs, self._larger(call.name, list(pairs.values())), strict=True))
            rows = [
                [larger[_key(*pair)] for pair in zip(row[::2], row[1::2], strict=False)] + row[len(row) & ~1 :]
                for row in rows
            ]
        return [row[0] for row in rows]

    def _larger(self, layer: str, pairs: Sequence[tuple[_Column, _Column]]) -> list[_Column]:
        """The larger value of every pair: the second, and by how much the first is above it."""
        ranges = [tuple(self._range(self._finished(column)) for column in pair) for pair in pairs]
        nothing, above, larger = [Fraction(0)] * len(pairs), list[Quantizer](), list[Quantizer]()
        for (low_a, high_a, frac_a), (low_b, high_b, frac_b) in ranges:
            frac = max(frac_a, frac_b)
            up_a, up_b = frac - frac_a, frac - frac_b
            most = max((high_a << up_a) - (low_b << up_b), 0)
            above.append(Quantizer(Fixed.holding(0, most, frac), "TRN", 0, most))
            ends = max(low_a << up_a, low_b << up_b), max(high_a << up_a, high_b << up_b)
            larger.append(Quantizer.wrapping(Fixed.holding(*ends, frac)))  # it never does: the sum has bits to spare
        terms: list[list[_Term]] = [[(a, Fraction(1), False), (b, Fraction(-1), False)] for a, b in pairs]
        more = self._elementwise(Quant(layer, tuple(above)), self._rows(layer, terms, nothing, False), False)
        terms = [[(b, Fraction(1), False), (m, Fraction(1), False)] for (_, b), m in zip(pairs, more, strict=True)]
        return self._elementwise(Quant(layer, tuple(larger)), self._rows(layer, terms, nothing, False), False)

    def _range(self, form: Form) -> tuple[int, int, int]:
        """Least and largest mantissa of a sum of places, and its fraction bits."""
        parts = [(exact_fraction(form.bias), 1, 1)]
        for place, weight in form.weights.items():
            mantissa, frac = exact_fraction(weight)
            span = self.places[place].span
            parts.append(((mantissa, frac + span.format.frac), span.low, span.high))
        finest = max(frac for (_, frac), _, _ in parts)
        ends = [sorted((m << finest - frac) * end for end in span) for (m, frac), *span in parts]
        return sum(low for low, _ in ends), sum(high for _, high in ends), finest

    def _rows(
        self, layer: str, terms: Sequence[Sequence[_Term]], offset: Sequence[Fraction], inline: bool = True
    ) -> list[_Column]:
        """A row of weights per element. With ``inline`` a sum that nothing else reads is not made but added up here."""
        rows = [self._row(own, o, inline) for own, o in zip(terms, offset, strict=True)]
        widest = [max(abs(m).bit_length() for m in [0, *exact_column(row.form.weights.values())[0]]) for row in rows]
        if inline and max(widest) > MAX_WEIGHT_BITS:
            return self._rows(layer, terms, offset, False)
        used = sorted({place for row in rows for place in row.form.weights})
        columns = [[row.form.weights.get(place, Fraction(0)) for place in used] for row in rows]
        names = dict.fromkeys(name for row in rows for name in row.layers)
        if len(names) == 1:
            self._note(f"layer {layer} is added up inside layer {next(iter(names))}")
            layer = next(iter(names))
        dense = from_fractions(layer, columns, [row.form.bias for row in rows], [row.label for row in rows])
        return self._behind(used, dense, bool(names))

    def _row(self, terms: Sequence[_Term], offset: Fraction, inline: bool) -> _Row:
        form, label, layers = Form({}, offset), CARRIED_BITS, list[str]()
        for (bundle, j), factor, once in terms:
            sums = bundle.sums() if inline and once and bundle.forms is None else None
            if sums is None:
                form = form.plus(self._finished((bundle, j)), factor)
            else:
                form, label = form.plus(sums[j], factor), max(label, bundle.label(j))
                layers += [bundle.steps[1].layer] if bundle.is_layer else []
        return _Row(form, label, tuple(layers))

    def _finished(self, column: _Column) -> Form:
        """The column as a sum of places."""
        bundle, j = column
        if bundle.forms is not None:
            return bundle.forms[j]
        if bundle.made is None:
            bundle.made = self._finish(bundle)
        return bundle.made[j]

    def _finish(self, bundle: Bundle) -> list[Form]:
        steps = list(bundle.steps)
        first = next((s for s in steps if not isinstance(s, Relu)), None)
        if bundle.raw and self.given is not None and not isinstance(first, Quant):
            steps.insert(0, Quant("inputs", (narrow(self.given),) * bundle.width))
            self.given_used = True
        assembler, resolved, readout = fold_part(steps, len(bundle.base))
        found = list(bundle.base)
        if bundle.raw:
            self._quantize_inputs(bundle, assembler.inputs or ())
        for number, layer in enumerate(assembler.layers):
            start, asked = len(self.places), number in resolved.asked
            made = [place_of(n, found, self.places, layer.name, j) for j, n in enumerate(layer.neurons)]
            self.places += [replace(place, asked=asked) for place in made]
            found = list(range(start, len(self.places)))
        for text in (*resolved.notes, *assembler.notes):
            self._note(text)
        self.real += resolved.real
        forms = []
        for terms, offset in zip(readout.elements, readout.offset, strict=True):
            form = Form({}, offset)
            for number, factor in terms:
                form = form.plus(Form({found[number]: Fraction(1)}), factor)
            forms.append(form)
        return forms

    def _quantize_inputs(self, bundle: Bundle, quantizers: Sequence[Quantizer]) -> None:
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

    def _outputs(self, columns: Sequence[_Column]) -> list[int]:
        """The places that hold the outputs; sums of places become places of their own."""
        forms = [self._finished(column) for column in columns]
        open_ones = [i for i, form in enumerate(forms) if form.place is None]
        found = [form.place for form in forms]
        if open_ones:
            terms: list[list[_Term]] = [[(columns[i], Fraction(1), False)] for i in open_ones]
            made = self._rows(self._name_of_values(), terms, [Fraction(0)] * len(terms))
            for i, column in zip(open_ones, made, strict=True):
                found[i] = self._finished(column).place
        return [place for place in found if place is not None]

    def _name_of_values(self) -> str:
        """A name for the layer that puts the outputs' values together."""
        name = f"{self.traced.calls[-1].name}_values" if self.traced.calls else "values"
        self._note(f"layer {name} is added: it puts the outputs' values together")
        return name

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _key(first: _Column, second: _Column) -> tuple[int, int, int, int]:
    return id(first[0]), first[1], id(second[0]), second[1]


@dataclass(frozen=True)
class _Row:
    """A sum of places: the widest label among its parts, and the dense layers that were added up in it."""

    form: Form
    label: float
    layers: tuple[str, ...]


def _steps(call: Call) -> list[Step]:
    if hasattr(call.applied.layer, "weights"):
        return steps_of(call.applied)
    if call.kind == "Relu":  # an operation, not a layer
        return [Relu(call.name)]
    raise ModelError(refusal(call.name, call.kind))
