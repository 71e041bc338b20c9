"""Plans for heaps of bits against integer linear programming: as few LUT sites as there can be, or one more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import lil_array

from flow.parallel.atom_plans import AT_ONCE, SEARCHED, Effort, plan

WIDE = Effort(4, (0.5, 0.8, 1.0, 1.15, 1.3, 1.5, 1.7), 2)
# of an atom, by name: bits of its lower and its upper column, columns
ATOMS = {"six": (6, 0, 2), "four": (4, 1, 2), "alone": (2, 0, 1)}


class Program:
    """Whole numbers of atoms by stage and column, in chains that begin, go on and end: the fewest sites of all.

    A stage takes bits that earlier stages left. A chain's carry leaves it in a column of its own, for a site; beyond
    the last column it is nothing. A full adder is a site.
    """

    def __init__(self, heap: tuple[int, ...], stages: int) -> None:
        self.heap, self.width = heap, len(heap)
        self.names: dict[tuple[str, int, int], int] = {}
        self.costs: list[float] = []
        self.rows: list[tuple[dict[int, float], float, float]] = []
        for stage in range(stages):
            self._stage(stage)
        for column in range(self.width):
            self._limit(self._left(stages, column), -np.inf, 1)

    def sites(self) -> int:
        matrix = lil_array((len(self.rows), len(self.costs)))
        for number, (terms, _, _) in enumerate(self.rows):
            for name, factor in terms.items():
                matrix[number, name] = factor
        low, high = ([row[i] for row in self.rows] for i in (1, 2))
        found = milp(
            self.costs, integrality=np.ones(len(self.costs)), bounds=Bounds(0, np.inf),
            constraints=LinearConstraint(matrix.tocsr(), low, high),
        )  # fmt: skip
        assert found.success
        return round(found.fun)

    def _number(self, name: str, stage: int, column: int, cost: float = 0.0) -> int:
        key = name, stage, column
        if key not in self.names:
            self.names[key] = len(self.costs)
            self.costs.append(cost)
        return self.names[key]

    def _atoms(self, stage: int, column: int) -> Iterable[tuple[int, int, int, int]]:
        """The atoms that begin in a column: their number, bits of both columns, columns."""
        for name, (lower, upper, columns) in ATOMS.items():
            if column + columns <= self.width:
                yield self._number(name, stage, column, columns), lower, upper, columns
        if column + 1 == self.width:
            yield self._number("last", stage, column, 1), 6, 0, 1

    def _limit(self, terms: Iterable[tuple[int, float]], low: float, high: float) -> None:
        total: dict[int, float] = defaultdict(float)
        constant = 0.0
        for name, factor in terms:
            if name < 0:
                constant += factor
            else:
                total[name] += factor
        self.rows.append((total, low - constant, high - constant))

    def _stage(self, stage: int) -> None:
        for column in range(self.width + 1):
            flow = [(self._number("end", stage, column, float(column < self.width)), -1.0)]
            if column < self.width:
                flow += [(self._number("begin", stage, column), 1.0)]
                flow += [(name, -1.0) for name, _, _, _ in self._atoms(stage, column)]
            for before in (column - 1, column - 2):
                if before >= 0:
                    flow += [(n, 1.0) for n, _, _, columns in self._atoms(stage, before) if before + columns == column]
            self._limit(flow, 0, 0)
        for column in range(self.width):
            taken, carried = (self._number(name, stage, column) for name in ("taken", "carried"))
            full = self._number("full", stage, column, 1.0)
            self._limit([(carried, 1), (self._number("begin", stage, column), -1)], -np.inf, 0)
            room = [(carried, 1.0), (full, 3.0), (taken, -1.0)]
            room += [(name, lower) for name, lower, _, _ in self._atoms(stage, column)]
            if column:
                room += [(name, upper) for name, _, upper, _ in self._atoms(stage, column - 1)]
            self._limit(room, 0, np.inf)
            self._limit([*self._left(stage, column), (taken, -1.0)], 0, np.inf)

    def _left(self, stages: int, column: int) -> list[tuple[int, float]]:
        """Bits of a column before a stage; the heap's own stand at -1, which is no number's name."""
        found = [(-1, float(self.heap[column]))]
        for stage in range(stages):
            found += [(self._number("taken", stage, column), -1.0), (self._number("end", stage, column), 1.0)]
            found += [(self._number("full", stage, c), 1.0) for c in (column, column - 1) if c >= 0]
            found += [(name, 1.0) for name, _, _, _ in self._atoms(stage, column)]
            if column:
                found += [(n, 1.0) for n, _, _, columns in self._atoms(stage, column - 1) if columns > 1]
        return found


@pytest.mark.parametrize(
    ("heap", "stages"),
    [((3, 3, 3, 3, 1, 0), 2), ((4, 4, 4, 4, 0, 0), 2), ((6, 6, 6, 6, 0, 0, 0), 3), ((8, 8, 8, 8, 0, 0, 0, 0), 3)],
)
def test_plans_are_what_linear_programming_finds(heap, stages):
    best = Program(heap, stages).sites()
    assert plan(heap, heap, False, WIDE).sites == best
    assert best <= plan(heap, heap, False, SEARCHED).sites <= plan(heap, heap, False, AT_ONCE).sites


@pytest.mark.long
@pytest.mark.parametrize(
    ("heap", "stages"), [((16, 16, 16, 16, 0, 0, 0, 0, 0), 4), ((1, 7, 8, 8, 7, 5, 4, 5, 3, 2, 0), 3)]
)
def test_plans_of_large_heaps_come_close(heap, stages):
    best = Program(heap, stages).sites()
    assert best <= plan(heap, heap, False, WIDE).sites <= best + 1
