"""Sums of weighed bits: the exact form of everything that adds, compared without trying values.

A sum of ``n`` bits is an atom that remembers its form. Where all of its bits are used with the weights of its value, it
is replaced by that form, provided that no carry is lost which is not lost in the end as well; what remains are weights
of single bits modulo a power of two, which are unique.
"""

from __future__ import annotations

from typing import NamedTuple

from flow.proof.text.bdd import FALSE
from flow.proof.text.space import Space, Vector, constant


class Form(NamedTuple):
    """``constant`` plus, for each function of ``weights``, its weight where it holds."""

    weights: dict[int, int]
    constant: int

    def plus(self, other: Form, factor: int = 1) -> Form:
        """``self + factor * other``."""
        weights = dict(self.weights)
        for function, weight in other.weights.items():
            weights[function] = weights.get(function, 0) + factor * weight
        return Form(weights, self.constant + factor * other.constant)

    def reduced(self, modulus: int) -> Form:
        """The form with weights within ``0 .. modulus-1`` and without those that are 0."""
        weights = {f: w % modulus for f, w in self.weights.items() if w % modulus}
        return Form(weights, self.constant % modulus)


class Sums:
    """The sums met so far; equal forms of equal width are the same vector."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.forms: dict[int, Form] = {}  # by atom
        self._vectors: dict[tuple[frozenset[tuple[int, int]], int, int], Vector] = {}
        self._written: dict[tuple[int, int], int] = {}  # by atom and bit of a sum: its function

    def of(self, bits: Vector) -> Form:
        """The value of a vector, unsigned."""
        weights: dict[int, int] = {}
        total = 0
        for i, bit in enumerate(bits):
            if bit < 2:
                total += bit << i
                continue
            weight = 1 << i
            if self.space.owner(bit) is None:
                other = self.space.bdd.invert(bit)
                if other < bit:  # of a function and its complement the elder counts
                    bit, weight, total = other, -weight, total + weight
            weights[bit] = weights.get(bit, 0) + weight
        return Form(weights, total)

    def vector(self, form: Form, width: int) -> Vector:
        """The lowest ``width`` bits of a sum: wiring where nothing is added, else an atom's."""
        small = form.reduced(1 << width)
        wired = _wiring(small, width)
        if wired is not None:
            return wired
        key = (frozenset(small.weights.items()), small.constant, width)
        if key not in self._vectors:
            self.forms[len(self.space.atoms)] = form
            self._vectors[key] = self.space.atom("a sum", width)
        return self._vectors[key]

    def canonical(self, form: Form, modulus: int) -> Form:
        """The same sum modulo ``modulus`` with sums replaced by what they add, the latest first."""
        form = form.reduced(modulus)
        while True:
            inner = self._inner(form)
            for atom in sorted(inner, reverse=True):
                unit = self._unit(atom, form, modulus)
                if unit is not None:
                    kept = {f: w for f, w in form.weights.items() if f not in inner[atom]}
                    form = Form(kept, form.constant).plus(self.forms[atom], unit).reduced(modulus)
                    break
            else:
                return form

    def _inner(self, form: Form) -> dict[int, set[int]]:
        """The sums among a form's bits, with the bits that are theirs."""
        found: dict[int, set[int]] = {}
        if self.forms:
            for function in form.weights:
                owner = self.space.owner(function)
                if owner and owner[0] in self.forms:
                    found.setdefault(owner[0], set()).add(function)
        return found

    def _unit(self, atom: int, form: Form, modulus: int) -> int | None:
        """How often a form holds a sum's value; None where it holds its bits otherwise, or a carry would be lost."""
        bits = self.space.atoms[atom].bits
        weights = [0] * bits
        for function, weight in form.weights.items():
            owner = self.space.owner(function)
            if owner and owner[0] == atom:
                weights[owner[1]] = weight
        unit = weights[0]
        if any((weight - (unit << i)) % modulus for i, weight in enumerate(weights)):
            return None
        if (unit << bits) % modulus:
            low, high = limits(self.forms[atom])
            if low < 0 or high >> bits:
                return None
        return unit

    def bits(self, form: Form, width: int) -> Vector:
        """The lowest ``width`` bits of a sum as functions of other atoms than sums."""
        bdd, small = self.space.bdd, self._flat(form).reduced(1 << width)
        columns: list[list[int]] = [[] for _ in range(width)]
        for i, bit in enumerate(constant(small.constant, width)):
            columns[i] += [bit] if bit else []
        for function, weight in small.weights.items():
            for i in range(width):
                if weight >> i & 1:
                    columns[i].append(function)
        for i, column in enumerate(columns):
            while len(column) > 1:  # full adders, as few carries as possible
                a, b, c = column.pop(0), column.pop(0), column.pop(0) if column else FALSE
                column.append(bdd.differ(a, bdd.differ(b, c)))
                if i + 1 < width:
                    columns[i + 1].append(bdd.choose(a, bdd.either(b, c), bdd.both(b, c)))
        return tuple(column[0] if column else FALSE for column in columns)

    def _flat(self, form: Form) -> Form:
        """The form without bits of sums. Those used apart are written out as functions."""
        found = Form({}, form.constant)
        for function, weight in form.weights.items():
            owner = self.space.owner(function)
            if owner and owner[0] in self.forms:
                if owner not in self._written:  # a chain of sums would else be written out again for every bit
                    self._written[owner] = self.bits(self.forms[owner[0]], owner[1] + 1)[-1]
                found = found.plus(self.of((self._written[owner],)), weight)
            else:
                found = found.plus(Form({function: 1}, 0), weight)
        return found


def limits(form: Form) -> tuple[int, int]:
    """The least and the largest value, taking every function for independent."""
    low = sum(min(w, 0) for w in form.weights.values())
    return low + form.constant, sum(max(w, 0) for w in form.weights.values()) + form.constant


def _wiring(form: Form, width: int) -> Vector | None:
    """The bits of a reduced form that adds nothing; None for any other."""
    bits = list(constant(form.constant, width))
    for function, weight in form.weights.items():
        place = weight.bit_length() - 1
        if weight != 1 << place or bits[place] != FALSE:
            return None
        bits[place] = function
    return tuple(bits)
