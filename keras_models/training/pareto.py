"""The set of models of one run that no other beats in both validation score and estimated LUTs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Snapshot:
    """One model of a run: ``merit`` is the score to maximise (a mean squared error is negated)."""

    merit: float
    luts: float
    epoch: int
    weights: Sequence[np.ndarray]
    statistics: dict[str, Any]


class ParetoSet:
    """Keeps the snapshots that are not dominated."""

    def __init__(self) -> None:
        self.members: list[Snapshot] = []

    def admits(self, merit: float, luts: float) -> bool:
        """Whether a model of this merit and cost would enter."""
        return not any(s.merit >= merit and s.luts <= luts for s in self.members)

    def add(self, snapshot: Snapshot) -> None:
        """Enter a snapshot and drop those it dominates."""
        kept = [s for s in self.members if snapshot.merit < s.merit or snapshot.luts > s.luts]
        self.members = [*kept, snapshot]

    def sorted(self) -> list[Snapshot]:
        """Members by rising cost."""
        return sorted(self.members, key=lambda s: s.luts)

    def spread(self, count: int) -> list[Snapshot]:
        """At most ``count`` members, evenly spaced in the logarithm of their cost, both ends included."""
        members = self.sorted()
        if len(members) <= count:
            return members
        costs = np.log1p([s.luts for s in members])
        marks = np.linspace(costs[0], costs[-1], count)
        return [members[i] for i in sorted({int(np.argmin(np.abs(costs - mark))) for mark in marks})]
