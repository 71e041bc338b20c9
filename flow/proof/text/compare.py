"""A module compared with what its nets are to be, one net at a time: each reads the others as they are to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from flow.proof.text import trial
from flow.proof.text.bdd import FALSE
from flow.proof.text.evaluate import Timing
from flow.proof.text.findings import Fault, Finding, Unread
from flow.proof.text.machine import Held, Machine
from flow.proof.text.nets import Cell, Net
from flow.proof.text.space import Space, Vector
from flow.proof.text.sums import Form
from flow.proof.text.syntax import Module

_WRITTEN_OUT = 20  # bits that a sum may depend on to be compared value by value where its form differs
_PINNED = 24


class Above(NamedTuple):
    """The bits of a sum from bit ``cut`` on."""

    form: Form
    cut: int


@dataclass(frozen=True)
class Spec:
    """What a net is to hold: ``wanted``, from the values of others; ``bits`` stand for it where it is read."""

    neuron: int
    bits: Vector
    wanted: Callable[[], Above | Form | Vector]


class Comparison(Machine):
    """A module whose nets named in ``specs`` are compared when they are first read; see ``findings``.

    By induction over the order in which nets read each other, every net holds what it is to hold.
    """

    def __init__(
        self, space: Space, module: Module, inputs: Mapping[str, Vector], cells: Mapping[str, Cell],
        specs: Mapping[str, Spec], layer: str,
    ) -> None:  # fmt: skip
        super().__init__(space, module, inputs, cells)
        self.specs, self.layer = specs, layer
        self.findings: list[Finding] = []
        self.vectors: dict[int, Vector] = {}  # by the atom of a net: what drives it
        self._held: dict[str, Held] = {}
        self._comparing: set[str] = set()
        self._rng = np.random.default_rng(0)

    def held(self, net: Net) -> Held | None:
        """The value that a net is to hold, after comparing what drives it; None for nets without one."""
        spec = self.specs.get(net.name)
        if spec is None:
            return None
        if net.name not in self._held:
            if net.name in self._comparing:
                raise Fault(f"{net.name} depends on itself")
            self._comparing.add(net.name)
            self._held[net.name] = self._compared_net(net, spec)
        return self._held[net.name]

    def _compared_net(self, net: Net, spec: Spec) -> Held:
        timing = Timing()
        try:
            bits = self.driven(net, 0, net.width, timing)
            if net.width != len(spec.bits):
                raise Fault(f"has {net.width} bits instead of {len(spec.bits)}")
            owner = self.space.owner(spec.bits[0])
            if owner:
                self.vectors[owner[0]] = bits
            self.compare(net.name, spec.neuron, bits, spec.wanted())
        except (Fault, Unread) as exc:
            self.note(net.name, spec.neuron, exc)
        except RecursionError:
            self.note(net.name, spec.neuron, Unread("is nested too deeply to be decided"))
        return Held(spec.bits, timing.stage, timing.settle)

    def output(self, name: str, low: int, wanted: Vector, latency: int, neuron: int) -> Vector:
        """Compare some bits of an output, ``latency`` cycles after the inputs; gives what drives them."""
        signal, timing = f"{name}[{low + len(wanted) - 1}:{low}]", Timing()
        try:
            net = self.elaboration.net(name, "output")
            if low + len(wanted) > net.width:
                raise Fault(f"lies outside of its {net.width} bits")
            bits = self.read(net, low, len(wanted), timing)
            stage = timing.settle if timing.stage is None else timing.stage
            if stage > latency or (timing.stage is not None and stage != latency):
                raise Fault(f"comes after {stage} clock cycles instead of {latency}")
            self.compare(signal, neuron, bits, wanted)
        except (Fault, Unread) as exc:
            self.note(signal, neuron, exc)
            return wanted
        return bits

    def note(self, signal: str, neuron: int, reason: Fault | Unread) -> None:
        """Keep what ended the comparison of a signal early."""
        self.findings.append(Finding(self.layer, neuron, signal, str(reason), isinstance(reason, Fault)))

    def compare(self, signal: str, neuron: int, bits: Vector, wanted: Above | Form | Vector) -> None:
        """Compare what drives a signal with what it is to be; notes a finding where they are not equal."""
        if isinstance(wanted, Above):
            wanted = self.sums.vector(wanted.form, wanted.cut + len(bits))[wanted.cut :]
        if isinstance(wanted, Form):
            modulus = 1 << len(bits)
            found = self.sums.canonical(self.sums.of(bits), modulus)
            wanted = self.sums.canonical(wanted, modulus)
            if found == wanted:
                return
            self._tried(signal, neuron, found, wanted, len(bits))
            return
        if bits != wanted:
            self._decided(signal, neuron, bits, wanted)

    def _few(self, found: Form, wanted: Form) -> bool:
        """Whether two sums depend on so few bits that they can be written out as functions."""
        levels = {level for f in (*found.weights, *wanted.weights) for level in self.space.bdd.support(f)}
        sums = any(self.space.place(level)[0] in self.sums.forms for level in levels)
        return len(levels) <= _WRITTEN_OUT and not sums

    def _decided(self, signal: str, neuron: int, bits: Vector, wanted: Vector) -> None:
        """Compare bit by bit, for all values that the signals read can take."""
        bdd, space = self.space.bdd, self.space
        wrong = FALSE
        for a, b in zip(bits, wanted, strict=True):
            wrong = bdd.either(wrong, bdd.differ(a, b))
        numbers = space.support([wrong])
        if numbers & self.sums.forms.keys():
            self._tried(signal, neuron, self.sums.of(bits), self.sums.of(wanted), len(bits))
            return
        for number in sorted(numbers):
            wrong = bdd.both(wrong, space.in_range(number))
        if wrong != FALSE:
            unused = self._below([*bits, *wanted]) - numbers
            values = {n: space.atoms[n].low % (1 << space.atoms[n].bits) for n in unused} | dict.fromkeys(numbers, 0)
            for level, taken in bdd.example(wrong).items():
                number, bit = space.place(level)
                values[number] |= taken << bit
            words = {n: np.array([v], np.uint64) for n, v in values.items()}
            tried = trial.Trial(space, self.sums, words)
            both = int(tried.word(bits)[0]), int(tried.word(wanted)[0])
            self._refuted(signal, neuron, both, trial.operands(space, {n: words[n] for n in numbers}, 0))

    def _below(self, functions: Sequence[int]) -> set[int]:
        """The atoms that functions depend on, those that sums add included, sums themselves not."""
        open_ones, found, sums = self.space.support(functions), set[int](), set[int]()
        while open_ones:
            number = open_ones.pop()
            if number not in self.sums.forms:
                found.add(number)
            elif number not in sums:
                sums.add(number)
                open_ones |= self.space.support(list(self.sums.forms[number].weights))
        return found

    def _tried(self, signal: str, neuron: int, found: Form, wanted: Form, width: int) -> None:
        """Look for values for which two forms differ; equal ones would have compared equal but for rare cases."""
        difference = found.plus(wanted, -1)
        functions = [f for f in difference.weights if self.space.owner(f) is None][:_PINNED]
        numbers = self._below([*found.weights, *wanted.weights])
        given = {number: trial.draw(self.space.atoms[number], self._rng) for number in sorted(numbers)}
        trial.pinned(self.space, given, functions, self._rng)
        tried, mask = trial.Trial(self.space, self.sums, given), np.uint64((1 << width) - 1)
        values = [tried.form(form) & mask for form in (found, wanted)]
        possible = trial.in_range(self.space, given)
        wrong = np.flatnonzero((values[0] != values[1]) & possible)
        if len(wrong):
            row = int(wrong[0])
            both = int(values[0][row]), int(values[1][row])
            self._refuted(signal, neuron, both, trial.operands(self.space, given, row))
        elif self._few(found, wanted):
            self._decided(signal, neuron, self.sums.bits(found, width), self.sums.bits(wanted, width))
        else:
            self.note(signal, neuron, Unread("could be neither proved nor refuted"))

    def _refuted(
        self, signal: str, neuron: int, values: tuple[int, int], operands: tuple[tuple[str, int], ...]
    ) -> None:
        what = f"has the bits of {values[0]} instead of {values[1]}"
        self.findings.append(Finding(self.layer, neuron, signal, what, True, operands))

    def with_vector(self, number: int, vector: tuple[int, ...]) -> None:
        """Add a counterexample at the inputs to a finding."""
        self.findings[number] = replace(self.findings[number], vector=vector)
