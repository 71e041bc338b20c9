"""Functions tried on values, many at once: what turns a failed comparison into a counterexample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flow.core.fixed import Ints
from flow.proof.text.space import Atom, Space, Vector
from flow.proof.text.sums import Form, Sums

Words = NDArray[np.uint64]  # numbers modulo 2**64, one per trial
COUNT = 512
_WORD = 1 << 64


class Trial:
    """Values of atoms: ``given`` ones, sums by their forms, others by the ``vectors`` that drive them."""

    def __init__(
        self, space: Space, sums: Sums, given: Mapping[int, Words], vectors: Mapping[int, Vector] | None = None
    ) -> None:
        self.space, self.sums, self.vectors = space, sums, vectors or {}
        self.known: dict[int, Words] = dict(given)
        self.count = len(next(iter(given.values()))) if given else 1
        self._bits: dict[int, Words] = {0: np.zeros(self.count, np.uint64), 1: np.ones(self.count, np.uint64)}

    def atom(self, number: int) -> Words:
        """An atom's values. Raises KeyError for one that nothing is known of."""
        if number not in self.known:
            bits = self.space.atoms[number].bits
            if number in self.sums.forms:
                self.known[number] = self.form(self.sums.forms[number]) & np.uint64((1 << bits) - 1)
            else:
                self.known[number] = self.word(self.vectors[number])
        return self.known[number]

    def word(self, bits: Vector) -> Words:
        """A vector's values, unsigned."""
        return self.form(Form({}, 0), bits)

    def form(self, form: Form, bits: Vector = ()) -> Words:
        """A form's values plus those of a vector, modulo ``2**64``."""
        total = np.full(self.count, form.constant % _WORD, np.uint64)
        for function, weight in [*form.weights.items(), *((bit, 1 << i) for i, bit in enumerate(bits))]:
            total += self.bit(function) * np.uint64(weight % _WORD)
        return total

    def bit(self, function: int) -> Words:
        """A function's values, 0 or 1."""
        open_ones, bdd = [function], self.space.bdd
        while open_ones:
            f = open_ones[-1]
            missing = [g for g in (bdd.low[f], bdd.high[f]) if g not in self._bits] if f not in self._bits else []
            open_ones += missing
            if missing:
                continue
            open_ones.pop()
            if f not in self._bits:
                atom, place = self.space.place(bdd.level[f])
                test = (self.atom(atom) >> np.uint64(place)) & np.uint64(1)
                self._bits[f] = np.where(test != 0, self._bits[bdd.high[f]], self._bits[bdd.low[f]])
        return self._bits[function]


def draw(atom: Atom, rng: np.random.Generator, count: int = COUNT) -> Words:
    """Values of an atom within its limits: the ends first, then random ones; modulo ``2**bits``."""
    values = rng.integers(atom.low, atom.high, count, np.int64 if atom.high < 1 << 63 else np.uint64, endpoint=True)
    values[0], values[1], values[2 : count // 8 : 2], values[3 : count // 8 : 2] = (atom.low, atom.high) * 2
    return np.asarray(values.astype(np.uint64) & np.uint64((1 << atom.bits) - 1), np.uint64)


def pinned(space: Space, values: dict[int, Words], functions: Sequence[int], rng: np.random.Generator) -> None:
    """Overwrite some trials so that each function, however rarely it holds, holds in one and fails in another."""
    row = COUNT // 4
    for function in functions:
        for wanted in (function, space.bdd.invert(function)):
            if wanted < 2 or row + 4 > COUNT:
                continue
            for level, taken in space.bdd.example(wanted).items():
                number, bit = space.place(level)
                if number in values:
                    word, mask = values[number][row : row + 4], np.uint64(1 << bit)
                    values[number][row : row + 4] = word | mask if taken else word & ~mask
            row += 4


def operands(space: Space, values: Mapping[int, Words], row: int) -> tuple[tuple[str, int], ...]:
    """Names and values of atoms in one trial, signed where the atom is."""
    chosen = ((space.atoms[number], values[number][row : row + 1]) for number in sorted(values))
    return tuple((atom.name, int(signed(atom, words)[0])) for atom, words in chosen)


def in_range(space: Space, values: Mapping[int, Words]) -> NDArray[np.bool_]:
    """The trials in which all atoms are within their limits."""
    found = np.ones(len(next(iter(values.values()), np.zeros(1))), np.bool_)
    for number, words in values.items():
        atom, numbers = space.atoms[number], signed(space.atoms[number], words)
        found &= (numbers >= atom.low) & (numbers <= atom.high)
    return found


def signed(atom: Atom, words: Words) -> Ints:
    """The values of an atom that words of its bits stand for, as int64."""
    values = words.astype(np.int64)
    return np.asarray(np.where((values > atom.high) & (atom.low < 0), values - (1 << atom.bits), values), np.int64)
