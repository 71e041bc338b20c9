"""Decides whether functions of an and-inverter graph are false for every assignment, by ABC's SAT sweeping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from flow.netproof.aig import FALSE, TRUE, Aig, Literal
from flow.tools import abc

# Nodes swept at once and conflicts of the SAT solver for a pair of them: all together, then what was left over with
# more patience, in smaller parts, and at last every function by itself.
_STAGES = ((100_000, 100), (100_000, 100_000), (4_000, 10_000), (0, 1_000_000))
_SEARCHES = 8  # counterexamples that are looked for


class Decider:
    """Runs ABC in ``folder``: for one question up to about four times ``cpu_s`` seconds of processor time."""

    def __init__(self, graph: Aig, folder: Path, cpu_s: float) -> None:
        self.graph, self.folder, self.cpu_s = graph, folder, cpu_s

    def false(self, literals: Sequence[Literal]) -> list[bool | None]:
        """Per function whether it is false for every assignment; None where that was not decided."""
        verdicts: list[bool | None] = [True if x == FALSE else False if x == TRUE else None for x in literals]
        for limit, conflicts in _STAGES:
            still_open = [i for i, v in enumerate(verdicts) if v is None]
            parts = list(self._parts(still_open, literals, limit))
            share, spent = max(self.cpu_s / max(len(parts), 1), 1), 0.0
            for part in parts:  # each with its share of the time, so that a hard one does not take that of the others
                if spent >= self.cpu_s:
                    break
                data = self.graph.aiger([literals[i] for i in part])[0]
                found = abc.constant_outputs(self.folder, data, conflicts, share)
                spent += share if found is None else 0
                for i, value in zip(part, found or [None] * len(part), strict=True):
                    verdicts[i] = None if value is None else value == FALSE
        return verdicts

    def _parts(self, wanted: Sequence[int], literals: Sequence[Literal], limit: int) -> Iterator[list[int]]:
        """Neighbours together, in parts of about ``limit`` nodes."""
        part: list[int] = []
        nodes: set[int] = set()
        for i in wanted:
            nodes.update(self.graph.cone([literals[i]]))
            part.append(i)
            if len(nodes) > limit:
                yield part
                part, nodes = [], set()
        if part:
            yield part

    def assignments(self, literals: Sequence[Literal]) -> list[dict[int, int] | None]:
        """Per function an assignment of its variables' nodes for which it is true; None where none was found.

        Only a few functions are looked at.
        """
        found: list[dict[int, int] | None] = []
        for literal in literals[:_SEARCHES]:
            data, inputs = self.graph.aiger([literal])
            values = abc.counterexample(self.folder, data, self.cpu_s / _SEARCHES)
            assignment = dict(zip(inputs, map(int, values), strict=True)) if values else None
            right = assignment is not None and self.graph.values([literal], assignment, 1) == [1]
            found.append(assignment if right else None)
        return found + [None] * (len(literals) - len(found))
