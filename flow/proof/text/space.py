"""The values that functions are about: atoms, each a number of some bits, and vectors of functions of their bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow.proof.text.bdd import FALSE, TRUE, Bdd

Vector = tuple[int, ...]  # functions, the lowest bit first
_ATOM_BITS, _HIGHEST = 28, 1 << 20


@dataclass(frozen=True)
class Atom:
    """A value that functions take as given: ``low..high`` is known of it, in two's complement where ``low < 0``."""

    name: str
    bits: int
    low: int
    high: int


class Space:
    """Atoms and the functions of their bits. Higher bits are tested first, so comparisons and sums stay small."""

    def __init__(self) -> None:
        self.bdd = Bdd()
        self.atoms: list[Atom] = []
        self._ranges: dict[int, int] = {}

    def atom(self, name: str, bits: int, low: int = 0, high: int = -1) -> Vector:
        """A new atom's bits; without limits it takes every value of its bits, unsigned."""
        number = len(self.atoms)
        self.atoms.append(Atom(name, bits, low, high) if low <= high else Atom(name, bits, 0, (1 << bits) - 1))
        return tuple(self.bdd.variable((_HIGHEST - i) << _ATOM_BITS | number) for i in range(bits))

    def place(self, level: int) -> tuple[int, int]:
        """Atom and bit of a variable's level."""
        return level & ((1 << _ATOM_BITS) - 1), _HIGHEST - (level >> _ATOM_BITS)

    def owner(self, function: int) -> tuple[int, int] | None:
        """Atom and bit where ``function`` is a variable."""
        bdd = self.bdd
        if function < 2 or bdd.low[function] != FALSE or bdd.high[function] != TRUE:
            return None
        return self.place(bdd.level[function])

    def support(self, functions: Sequence[int]) -> set[int]:
        """The atoms that functions depend on."""
        return {self.place(level)[0] for f in set(functions) if f > 1 for level in self.bdd.support(f)}

    def in_range(self, number: int) -> int:
        """The function that holds where an atom is within its limits."""
        if number not in self._ranges:
            atom = self.atoms[number]
            bits = tuple(self.bdd.variable((_HIGHEST - i) << _ATOM_BITS | number) for i in range(atom.bits))
            low, high = constant(atom.low, atom.bits), constant(atom.high, atom.bits)
            outside = self.bdd.either(self.less(bits, low, atom.low < 0), self.less(high, bits, atom.low < 0))
            self._ranges[number] = self.bdd.invert(outside)
        return self._ranges[number]

    def less(self, left: Vector, right: Vector, signed: bool) -> int:
        """``left < right``, of equal length."""
        bdd, found = self.bdd, FALSE
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            if signed and i == len(left) - 1:
                a, b = b, a
            found = bdd.choose(a, bdd.both(b, found), bdd.either(b, found))
        return found

    def equal(self, left: Vector, right: Vector) -> int:
        """``left == right``, of equal length."""
        found = TRUE
        for a, b in zip(left, right, strict=True):
            found = self.bdd.both(found, self.bdd.invert(self.bdd.differ(a, b)))
        return found

    def select(self, test: int, yes: Vector, no: Vector) -> Vector:
        """``test ? yes : no``, of equal length."""
        return tuple(self.bdd.choose(test, a, b) for a, b in zip(yes, no, strict=True))

    def any(self, bits: Vector) -> int:
        """``|bits``."""
        found = FALSE
        for bit in bits:
            found = self.bdd.either(bit, found)
        return found

    def all(self, bits: Vector) -> int:
        """``&bits``."""
        found = TRUE
        for bit in bits:
            found = self.bdd.both(bit, found)
        return found

    def parity(self, bits: Vector) -> int:
        """``^bits``."""
        found = FALSE
        for bit in bits:
            found = self.bdd.differ(bit, found)
        return found

    def lookup(self, entries: Vector, index: Vector) -> int:
        """``entries[index]`` for as many entries as the index has values."""
        for bit in index:
            pairs = zip(entries[::2], entries[1::2], strict=True)
            entries = tuple(self.bdd.choose(bit, odd, even) for even, odd in pairs)
        return entries[0]


def constant(value: int, bits: int) -> Vector:
    """The bits of a number, modulo ``2**bits``."""
    return tuple((value >> i) & 1 for i in range(bits))


def extended(bits: Vector, width: int, signed: bool) -> Vector:
    """A vector cut or extended to ``width``."""
    if len(bits) >= width:
        return bits[:width]
    return bits + ((bits[-1] if signed and bits else FALSE),) * (width - len(bits))
