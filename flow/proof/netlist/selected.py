"""A word of a table that is read of several block RAMs: in the netlist it is no register, but a selection among them.

Each block RAM holds the words of one value of the address's upper bits, and registers beside them hold these bits.
Where the selection is part of the logic behind it, no net of the netlist is the word: it is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flow.proof.netlist.aig import Aig, Literal, Word


@dataclass(frozen=True)
class Table:
    """One bit of every word of a table, bit i being word i's; the words that are ``defined``; the address read at."""

    values: int
    defined: int
    address: Word


State = tuple[Literal, Literal]  # what holds a value in the netlist, and what that is next


def selected(graph: Aig, table: Table, holder: Callable[[Literal], State | None]) -> State | None:
    """What the block RAMs select, and what that is next; None where no registers of the netlist hold the parts.

    ``holder`` finds what the netlist holds a value in that is given as it is next.
    """
    for low in range(len(table.address) - 1, 0, -1):
        upper = [holder(bit) for bit in table.address[low:]]
        if None in upper:
            return None  # fewer lower bits would need this one as well
        parts = [holder(graph.lookup(part, table.address[:low])) for part in _parts(table, low)]
        if None not in parts:
            now, after = (_choice(graph, [p[i] for p in parts if p], [u[i] for u in upper if u]) for i in (0, 1))
            return now, after
    return None


def _parts(table: Table, low: int) -> list[int]:
    """The table in parts of 2 ** ``low`` words."""
    mask, count = (1 << (1 << low)) - 1, -(-table.defined.bit_length() // (1 << low))
    return [table.values >> (part << low) & mask for part in range(count)]


def _choice(graph: Aig, parts: Sequence[Literal], select: Sequence[Literal]) -> Literal:
    """The part with the number that ``select`` is, lowest bit first; where there is none, a bit selects nothing."""
    if not select:
        return parts[0]
    half = 1 << len(select) - 1
    below = _choice(graph, parts[:half], select[:-1])
    return graph.choose(select[-1], _choice(graph, parts[half:], select[:-1]), below) if parts[half:] else below
