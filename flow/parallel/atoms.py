"""Chains of atoms: carry chains that take up to six bits per two columns, and no LUT of which has two ways out.

A slice of 7-series parts has one way out beside a LUT's O6 for its O5, for the sum and for the carry (UG474). A row
that adds three bits per column needs O5 and the sum, so it takes two sites per column unless the sum is registered at
once. An atom is two neighbouring columns of a chain whose LUTs keep to themselves: it takes six bits of its lower
column (06), five (05), or four and one of its upper column (14), and the carry from below, and gives two bits and a
carry. A column by itself takes two bits (2). The notation (upper, lower) and the idea are from M. Kumm and P. Zipf,
"Pipelined compressor tree optimization using integer linear programming", FPL 2014, and T. B. Preusser, "Generic and
universal parallel matrix summation with a flexible compression goal for Xilinx FPGAs", FPL 2017, arXiv 1806.08095;
FloPoCo builds the same (``XilinxGPC``).

A chain is written as a digit per column, lowest first: the bits that its LUT takes. A full adder (3) is a LUT by
itself, whose sum and carry both leave, as no chain lies beside it.

Where nothing reads the lowest bits of a sum but the carry that they give (a quantizer drops them), one LUT is enough
for two columns: of the five bits that it takes it need only say whether they are 3, so that the carry from below goes
on, or more. Such *carried* groups (``CARRIED``) are the lowest of a chain.
"""

from __future__ import annotations

from collections.abc import Sequence

from flow.core.errors import DesignError
from flow.parallel.graph import ZERO, Bit, Node, row_start

Atoms = tuple[int, ...]
SIX: Atoms = (6, 0)  # lower, upper
FIVE: Atoms = (5, 0)
FOUR: Atoms = (4, 1)
PAIRS = (SIX, FIVE, FOUR)
ALONE = 2  # bits of a column by itself
FULL_ADDER: Atoms = (3,)
NO_ATOMS: Atoms = (0,)  # of a chain of carried groups alone: its last carry leaves
PLACES = 3  # of every column: an atom has the six of both
# groups of columns of which only the carry goes on, as the most bits of each column, and the places of these bits
CARRIED: dict[Atoms, tuple[Atoms, ...]] = {
    (2,): ((0, 1),), (2, 2): ((0, 1), (2, 3)), (4, 1): ((0, 1, 2, 3), (4,)), (5, 0): ((0, 1, 2, 3, 4), ()),
}  # fmt: skip
CARRIED_PLACES = 5  # of every group
_LOWER: dict[Atoms, Atoms] = {
    SIX: (0, 1, 2, 3, 4, 5),
    FIVE: (0, 1, 2, 3, 5),
    FOUR: (0, 1, 2, 5),
}  # places of an atom's lower column
_UPPER = 4  # and the one of its upper column


def taken(atoms: Atoms) -> list[tuple[int, Atoms]]:
    """The parts of a chain, with their first columns. Raises DesignError for digits that are none."""
    if atoms == FULL_ADDER:
        return [(0, atoms)]
    found, column = [], 0
    while column < len(atoms):
        size = 1 if atoms[column] <= ALONE else 2
        part = atoms[column : column + size]
        if size == 2 and part not in PAIRS:
            raise DesignError(f"a chain of atoms has {part} in columns {column} and {column + 1}, which is no atom")
        found.append((column, part))
        column += size
    return found


def places(node: Node) -> tuple[Bit, list[Bit], list[Bit]]:
    """The bit that enters a row's chain from below, those in the places of its carried groups, and of its atoms.

    The places are those of ``nmp_atoms.v`` and ``nmp_carried.v``, ``ZERO`` where no bit is. Raises DesignError where
    the row's columns hold more than its groups and atoms take.
    """
    columns, under = list(node.columns[row_start(node) :]), node.carried_columns
    while columns and not columns[-1]:
        columns.pop()
    if len(columns) > under + len(node.atoms):
        raise DesignError(f"a chain of {under + len(node.atoms)} columns is to add {len(columns)}")
    columns += [()] * (under + len(node.atoms) - len(columns))
    lowest = node.carried[0][0] if node.carried else node.atoms[0]
    carry, columns[0] = _carry(columns[0], lowest) if node.atoms != FULL_ADDER else (ZERO, columns[0])
    passed = _carried_places(node, columns[:under])
    columns = columns[under:]
    found = [ZERO] * (PLACES * len(node.atoms))
    for c, part in taken(node.atoms):
        for i, digit in enumerate(part):
            if len(columns[c + i]) > digit:
                raise DesignError(f"column {c + i} of a chain of atoms has {len(columns[c + i])} bits, not {digit}")
        lower = sorted(columns[c], key=_inverted, reverse=True)
        if len(lower) == SIX[0] and _inverted(lower[-1]):
            raise DesignError(f"column {c} of a chain of atoms has six bits that are all inverted")
        for place, bit in zip(_LOWER.get(part, (0, 1, 2)), lower, strict=False):
            found[PLACES * c + place] = bit
        for bit in columns[c + 1] if part == FOUR else ():
            found[PLACES * c + _UPPER] = bit
    return carry, passed, found


def _carried_places(node: Node, columns: Sequence[Sequence[Bit]]) -> list[Bit]:
    found = [ZERO] * (CARRIED_PLACES * len(node.carried))
    column = 0
    for g, group in enumerate(node.carried):
        if group not in CARRIED:
            raise DesignError(
                f"a chain of atoms has {group} in columns of which only the carry goes on, which is no group"
            )
        for places_of in CARRIED[group]:
            if len(columns[column]) > len(places_of):
                raise DesignError(f"a group {group} of a chain has {len(columns[column])} bits in one column")
            for place, bit in zip(places_of, columns[column], strict=False):
                found[CARRIED_PLACES * g + place] = bit
            column += 1
    return found


def _carry(column: Sequence[Bit], digit: int) -> tuple[Bit, tuple[Bit, ...]]:
    """The bit of the lowest column that its LUT does not take, one that need not be inverted, and the others."""
    free = [b for b in column if not _inverted(b)]
    if len(column) <= digit or not free:
        return ZERO, tuple(column)
    rest = list(column)
    rest.remove(free[0])
    return free[0], tuple(rest)


def _inverted(bit: Bit) -> bool:
    return bit.inverted and not bit.constant
