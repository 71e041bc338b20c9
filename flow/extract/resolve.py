"""Float32 functions between dense layers, as integer forms: steps of Keras layers to steps that a design is made of.

What follows a dense layer, up to where its values are quantized, is a function of the layer's integer sum. It is read
by asking Keras, or whichever runtime the functions are of: every sum, or of monotone functions as many as bisection
needs. The staircase that comes of it is clipped lines (`staircase`), so neurons with quantizers of their own; the next
dense layer adds them up. Where float32 does not hold the sums themselves, there is no certain answer: then scales and
offsets are taken as the real numbers that the runtime's float32 constants are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flow.core.errors import FlowError, ModelError
from flow.core.fixed import MAX_BITS, Quantizer
from flow.extract.assemble import Assembler
from flow.extract.layer_steps import Affine, Dense, Elementwise, Quant, Relu, Softmax, Step
from flow.extract.line_neurons import Lines, are_short, neurons_of_lines
from flow.extract.notes import left_out_note, real_note
from flow.extract.read import narrow
from flow.extract.readout import Readout, behind, identity, scaled
from flow.extract.real_steps import read_in_real_numbers
from flow.extract.staircase import Steps, comparisons, lines
from flow.extract.sums import Reading, Sums, affine, are_few, can_bisect, read, sums_of
from flow.extract.wrapping import settled

MOST_LINES = 64  # of one neuron
MOST_ROUNDED = 8  # of one neuron that float32's rounding alone makes irregular
GIVEN_TWICE = "the model quantizes its inputs itself; leave the input format out"
_STATE_IT = (
    "state the inputs' format with --input-format, such as s16.10 "
    '(16 bits with sign, 10 of them fraction; hls4ml\'s "ap_fixed<16,6>" is the same), or auto: chosen from --data'
)
NO_FORMAT = f"no quantizer comes before the first dense layer; {_STATE_IT}"


@dataclass
class Resolved:
    """Steps without float32 functions, and what was done: notes, and the layers read exactly and in real numbers."""

    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)  # dense layers, by number, whose sums the runtime was asked about
    real: list[str] = field(default_factory=list)  # layers whose scale is taken as a real number
    left_out: str | None = None  # the sigmoid or tanh at the end, which the design does not compute


def resolve(steps: Sequence[Step], elements: int, runtime: str = "Keras") -> Resolved:
    """Steps that an `Assembler` takes, equal to ``steps``. Raises ModelError naming layer and remedy."""
    return _Resolver(elements, runtime).run(list(steps))


def fold(
    steps: Sequence[Step], elements: int, given: Quantizer | None, runtime: str = "Keras"
) -> tuple[Assembler, Resolved]:
    """All steps folded over ``elements`` inputs; ``given`` quantizes the inputs of models that do not themselves.

    ``runtime`` is what the functions of the steps are asked of. Raises ModelError naming layer and remedy.
    """
    if given is not None:
        first = next((s for s in steps if not isinstance(s, Relu)), None)
        if isinstance(first, Quant):
            raise ModelError(GIVEN_TWICE)
        steps = [Quant("inputs", (narrow(given),) * elements), *steps]
    resolved = resolve(settled(steps, elements), elements, runtime)
    assembler = Assembler(elements)
    for index, step in enumerate(resolved.steps):
        assembler.add(step, index == len(resolved.steps) - 1)
    return assembler, resolved


def fold_part(steps: Sequence[Step], elements: int, runtime: str = "Keras") -> tuple[Assembler, Resolved, Readout]:
    """Steps folded that others follow, and how those read what the last layer returns.

    Raises ModelError naming layer and remedy.
    """
    resolver = _Resolver(elements, runtime)
    resolved = resolver.run(settled(steps, elements), is_part=True)
    assembler = Assembler(elements)
    for step in resolved.steps:
        assembler.add(step, False)
    after = assembler.end()
    readout = resolver.readout or Readout.identity(assembler.elements)
    return assembler, resolved, readout if after is None else readout.then(after)


class _Resolver:
    def __init__(self, elements: int, runtime: str = "Keras") -> None:
        self.elements, self.runtime = elements, runtime
        self.done = Resolved()
        self.readout: Readout | None = None
        self.before: str | None = None  # the layer whose float scale the next dense layer takes, or took
        self.after: str | None = None

    def run(self, steps: list[Step], is_part: bool = False) -> Resolved:
        """All steps; where others follow (``is_part``), ``readout`` stays for those, and no dense layer is needed."""
        places = [i for i, s in enumerate(steps) if isinstance(s, Dense)]
        if not places and not is_part:
            raise ModelError("the model has no dense layer; add NMPDense or QDense layers")
        self._inputs(steps[: places[0]] if places else steps)
        for start, end in zip(places, [*places[1:], len(steps)][: len(places)], strict=True):
            dense = steps[start]
            assert isinstance(dense, Dense)
            self._group(dense, steps[start + 1 : end], end == len(steps) and not is_part)
        return self.done

    def _inputs(self, chain: list[Step]) -> None:
        """What comes before the first dense layer: up to its first quantizer the host does it."""
        first = next((i for i, s in enumerate(chain) if isinstance(s, Quant)), None)
        if first is None:
            what = next((s for s in chain if not isinstance(s, Relu)), None)
            _refuse_function(what)
            raise ModelError(NO_FORMAT if what is None else f"layer {what.layer} sees the inputs, and {NO_FORMAT}")
        before = next((s for s in chain[:first] if not isinstance(s, Relu)), None)
        if before is not None:
            _refuse_function(before)
            raise ModelError(
                f"layer {before.layer} sees the inputs before any quantizer; state their format with --input-format, "
                "such as s16.10, or do its work in the preprocessing"
            )
        if self._is_plain(chain):
            self.done.steps += chain
            return
        self.done.steps += chain[: first + 1]
        rest = chain[first + 1 :]
        if all(affine(s) for s in rest):
            self._tail(rest, self.elements)
        else:
            self._group(identity(rest[0].layer, self.elements), rest, False)

    def _is_plain(self, chain: Sequence[Step], is_last: bool = False) -> bool:
        """Whether a design takes the chain as it is."""
        if any(isinstance(s, Elementwise) for s in chain):
            return False
        assembler = Assembler(self.elements)
        try:
            for step in [*self.done.steps, *chain]:
                assembler.add(step, isinstance(step, Softmax))
            if is_last:
                assembler.finish()
        except FlowError:
            return False
        return True

    def _group(self, dense: Dense, chain: list[Step], is_last: bool) -> None:
        self.before, self.after = self.after, None
        if self.readout is not None:
            dense, self.readout = self._behind(dense, self.readout), None
        if is_last and chain and isinstance(chain[-1], Elementwise) and chain[-1].left_out:
            self.done.left_out = chain[-1].name
            self.done.notes.append(left_out_note(chain[-1].layer, chain[-1].name, dense.weights.shape[1]))
            chain = chain[:-1]
        if self._is_plain([dense, *chain], is_last):
            self.done.steps += [dense, *chain]
            return
        if any(isinstance(s, Softmax) for s in (chain[:-1] if is_last else chain)):
            softmax = next(s for s in chain if isinstance(s, Softmax))
            raise ModelError(f"layer {softmax.layer}: a softmax is only possible at the end; remove it")
        ends = [chain.pop()] if chain and isinstance(chain[-1], Softmax) else []
        count = len(chain)
        while count and affine(chain[count - 1]):
            count -= 1
        head, tail = chain[:count], chain[count:]
        if not head:
            self.done.steps.append(self._scale(dense, tail))
            for step in tail:
                self._real(step)
        elif self._is_plain([dense, *head]):
            self.done.steps += [dense, *head]
            self._tail(tail, dense.weights.shape[1])
        else:
            self._function(dense, head)
            self._tail(tail, dense.weights.shape[1])
        if is_last and (self.readout is not None or isinstance(self.done.steps[-1], Affine)):
            count = dense.weights.shape[1] if self.readout is None else len(self.readout.elements)
            values = identity(f"{dense.layer}_values", count)
            self.done.steps.append(values if self.readout is None else behind(values, self.readout))
            self.done.notes.append(f"layer {values.layer} is added: it puts the outputs' values together")
        self.done.steps += ends

    def _behind(self, dense: Dense, readout: Readout) -> Dense:
        """A dense layer that takes over the scales before it. Raises ModelError where its weights become too wide."""
        try:
            return behind(dense, readout)
        except ModelError as exc:
            if self.before is None:
                raise
            raise ModelError(f"{exc.args[0].split(';')[0]}; {_quantize(self.before, dense.layer)}") from None

    def _scale(self, dense: Dense, chain: Sequence[Step]) -> Dense:
        """A dense layer and the scales that follow it, as one. Raises ModelError where that is too wide."""
        scales = [step for step in chain if isinstance(step, Affine | Elementwise)]
        try:
            for step in scales:
                dense = scaled(dense, step)
            sums_of([*self.done.steps, dense], self.elements)
        except FlowError:
            if self.before is None or not scales:
                raise
            raise ModelError(
                f"layer {dense.layer}: the float scales of layer {self.before} before it and of layer "
                f"{scales[-1].layer} behind it together take more than the {MAX_BITS} bits of a sum; "
                + _quantize(self.before, dense.layer)
            ) from None
        return dense

    def _real(self, step: Step) -> None:
        if isinstance(step, Elementwise):
            self.done.real.append(step.layer)
            if step.name != "bias":
                self.after = step.layer
                self.done.notes.append(real_note(step.layer, self.runtime))

    def _tail(self, tail: Sequence[Step], count: int) -> None:
        """Scales behind the last quantizer: what the next layer has to multiply by."""
        readout = self.readout or Readout.identity(count)
        for step in tail:
            assert isinstance(step, Affine | Elementwise)
            readout = readout.then(step)
            self._real(step)
        self.readout = None
        if not tail and readout == Readout.identity(count):
            return
        simple = readout.as_affine(tail[-1].layer if tail else self.done.steps[-1].layer)
        if simple is None:
            self.readout = readout
        else:
            self.done.steps.append(simple)

    def _function(self, dense: Dense, head: list[Step]) -> None:
        """A dense layer and what makes few values of its sums."""
        sums = sums_of([*self.done.steps, dense], self.elements)
        relus = [i for i, s in enumerate(head) if isinstance(s, Relu)]
        regular = isinstance(head[-1], Quant) and all(affine(s) for s in head[: relus[0] if relus else -1])
        regular &= not relus or all(isinstance(s, Relu) for s in head[relus[0] : -1])
        names = ", ".join(dict.fromkeys(s.layer for s in head if isinstance(s, Elementwise | Affine)))
        wraps = any(isinstance(s, Quant) and any(q.wraps for q in s.quantizers) for s in head)
        if wraps and (regular or not are_few(sums)):
            self._in_real_numbers(dense, head, regular, names, "what follows wraps", None)
            return
        is_exact = all(sums.is_exact)
        if not is_exact and (regular or not can_bisect(head)):
            self._in_real_numbers(dense, head, regular, names, "float32 does not hold the sums before it", sums)
            return
        reading = read(head, sums)
        found = [lines(steps, MOST_ROUNDED if regular else MOST_LINES) for steps in reading.steps]
        if any(f is None for f in found):
            why = f"float32's rounding makes more than {MOST_ROUNDED} lines of it"
            self._in_real_numbers(dense, head, regular, names, why, sums)
            return
        parts = [f for f in found if f is not None]
        self._take(dense, sums, reading, parts)
        if is_exact:
            self.done.asked.append(sum(isinstance(s, Dense) for s in self.done.steps) - 1)
        more = sum(len(p) for _, p in parts) - sum(1 for _, p in parts if p)
        how = f"all {sums.count} sums" if reading.is_complete else f"those that decide all {sums.count} sums"
        text = (
            f"layer {names or head[-1].layer}: integer thresholds, equal to what {self.runtime}'s float32 answers to "
        )
        rounded = "" if is_exact else ", each rounded to float32 once, which does not hold them"
        text += f"{how} of layer {dense.layer}{rounded}" + (f"; they take {more} neurons more" if more else "")
        self.done.notes.append(text)
        if regular and any(s.falls and (s.rises > 0).any() for s in reading.steps):
            self.done.notes.append(f"layer {names}: float32 is not monotone there; the thresholds follow it")

    def _in_real_numbers(
        self, dense: Dense, head: list[Step], regular: bool, names: str, why: str, sums: Sums | None
    ) -> None:
        """Scales and offsets as real numbers: as thresholds where ``sums`` are given and fit, else in the weights."""
        if not regular:
            where = names or head[0].layer
            raise ModelError(f"layer {where}: {why}; give its dense layer fewer bits of inputs or weights")
        self.done.real += [step.layer for step in head if isinstance(step, Elementwise)]
        self.done.notes.append(
            f"layer {names}: {why}, so scale and offset are taken as the real numbers that {self.runtime}'s "
            "constants are"
        )
        reading = None if sums is None else read_in_real_numbers(head, sums)
        if self._as_lines(dense, sums, reading, lambda steps: lines(steps, 1)):
            return
        try:
            whole = self._scale(dense, head)
        except FlowError:
            if self._as_lines(dense, sums, reading, lambda steps: comparisons(steps, MOST_LINES)):
                return
            raise
        self.done.steps += [whole, *(s for s in head if isinstance(s, Relu | Quant))]

    def _take(self, dense: Dense, sums: Sums, reading: Reading, parts: Sequence[Lines]) -> None:
        layer, quantizers, self.readout = neurons_of_lines(dense, sums, reading, parts)
        self.done.steps += [layer, quantizers]

    def _as_lines(
        self, dense: Dense, sums: Sums | None, reading: Reading | None, cut: Callable[[Steps], Lines | None]
    ) -> bool:
        """Take the staircases as what ``cut`` makes of them, where that is possible."""
        if sums is None or reading is None:
            return False
        parts = [found for steps in reading.steps if (found := cut(steps)) is not None]
        if len(parts) < len(reading.steps) or not are_short(dense, reading, parts):
            return False
        self._take(dense, sums, reading, parts)
        more = sum(max(len(own) - 1, 0) for _, own in parts)
        if more:
            self.done.notes[-1] += f"; no weight holds their products, so thresholds take {more} neurons more"
        return True


def _quantize(before: str, layer: str) -> str:
    """What to do where float scales make weights or sums too wide."""
    return f"put a QActivation between layers {before} and {layer}, such as quantized_bits(8,2,alpha=1), and train on"


def _refuse_function(step: Step | None) -> None:
    """Raise ModelError for a function, perhaps a quantizer, of inputs that may be any float."""
    if isinstance(step, Elementwise) and step.scale is None:
        raise ModelError(
            f"layer {step.layer}: {step.name} is read by its answers to every value that enters, and no format says "
            f"which those are; {_STATE_IT}"
        )
