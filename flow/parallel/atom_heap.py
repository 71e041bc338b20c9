"""Adds up a heap of bits with chains of atoms, as its plan says, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

from flow.parallel.atom_chains import Chain, Plan, chain_sites, result_bits
from flow.parallel.atom_plans import AT_ONCE, Effort, plan
from flow.parallel.atoms import SIX
from flow.parallel.bit_heap import Heap, HeapBit, HeapColumns, Packing, Row


def pack_atoms(
    heap: Sequence[Sequence[HeapBit]], registered: bool = False, effort: Effort = AT_ONCE, unread: int = 0
) -> Packing:
    """Chains of atoms that add ``heap`` (bits per column) modulo ``2**len(heap)``: the cheapest found.

    If ``registered``, the sum goes into registers alone, so that the last row may add three bits per column. Nothing
    reads its ``unread`` lowest bits.
    """
    counts, free = tuple(len(column) for column in heap), tuple(sum(b.free for b in column) for column in heap)
    return _Packer(heap).run(plan(counts, free, registered, effort, unread))


def estimate_atoms(heights: Sequence[int]) -> int:
    """Sites for a heap of so many bits per column, all given and not inverted."""
    counts = tuple(heights)
    return plan(counts, counts, False).sites


def pack_partly(
    heap: Sequence[Sequence[HeapBit]], bit_sites: float, effort: Effort = AT_ONCE
) -> tuple[tuple[Row, ...], HeapColumns] | None:
    """The first chains of a heap's plan, and the columns that they leave, where a bit less is worth ``bit_sites``.

    None where adding all of it is worth it.
    """
    counts, free = tuple(len(column) for column in heap), tuple(sum(b.free for b in column) for column in heap)
    found = plan(counts, free, False, effort)
    sites, left = 0, sum(counts)
    cost, kept = bit_sites * left, 0
    for number, chain in enumerate(found.chains, 1):
        result = result_bits(chain, len(counts))
        sites += chain_sites(chain, result)
        left += result - sum(chain.columns) - chain.carry
        if sites + bit_sites * left < cost:
            cost, kept = sites + bit_sites * left, number
    if found.sites + bit_sites * min(left, len(counts)) <= cost:
        return None
    packer = _Packer(heap)
    for chain in found.chains[:kept]:
        packer.add(chain)
    return tuple(packer.rows), tuple(tuple(sorted(column)) for column in packer.heap)


class _Packer:
    """Carries a plan out on the bits of a heap: those of low levels first, of these those that need an inversion."""

    def __init__(self, heap: Sequence[Sequence[HeapBit]]) -> None:
        self.heap: Heap = [list(column) for column in heap]
        self.rows: list[Row] = []

    def run(self, found: Plan) -> Packing:
        for chain in found.chains:
            self.add(chain)
        last = tuple(tuple(sorted(column)) for column in self.heap)
        levels = max((b.level for column in last for b in column), default=0)
        return Packing(tuple(self.rows), last, found.sites, levels, found.last, found.carried)

    def add(self, chain: Chain) -> None:
        columns = [self._take(c, count) for c, count in enumerate(chain.columns, chain.start)]
        columns[0] = (*columns[0], *self._take(chain.start, chain.carry, free=True))
        width = result_bits(chain, len(self.heap))
        level = 1 + max(bit.level for column in columns for bit in column)
        for i in range(width):
            self.heap[chain.start + i].append(HeapBit(level, True, len(self.rows), i))
        self.rows.append(Row(chain.start, tuple(columns), width, chain.atoms))

    def _take(self, column: int, count: int, free: bool = False) -> tuple[HeapBit, ...]:
        """``count`` bits of a column, those that need an inversion first; of six one needs none."""
        bits = sorted((b for b in self.heap[column] if b.free or not free), key=lambda b: (b.free, b))
        taken = bits[:count]
        if count == SIX[0] and not taken[-1].free:
            taken = [*bits[: count - 1], next(b for b in bits if b.free)]
        for bit in taken:
            self.heap[column].remove(bit)
        return tuple(taken)
