"""Decides whether functions of an and-inverter graph are false for every assignment.

By ABC's SAT sweeping, and where a function has few variables, as the bits of a product have, by trying them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from flow.proof.netlist.aig import FALSE, TRUE, Aig, Literal
from flow.tools import abc

# Nodes swept at once and conflicts of the SAT solver for a pair of them: all together, then what was left over with
# more patience, in smaller parts, and at last every function by itself.
_STAGES = ((100_000, 100), (100_000, 100_000), (4_000, 10_000), (0, 1_000_000))
_SEARCHES = 8  # counterexamples that are looked for
_TRIED_AT_ONCE = 15  # variables, whose assignments are the bits of one number
_MOST_STEPS = 400_000  # of operations on such numbers for one function: about a second
_ALL_STEPS = 100 * _MOST_STEPS  # for all of them together


class Decider:
    """Runs ABC in ``folder``: for all questions together about three times ``cpu_s`` seconds of processor time, of
    which one stage of a question gets one."""

    def __init__(self, graph: Aig, folder: Path, cpu_s: float) -> None:
        self.graph, self.folder, self.cpu_s = graph, folder, cpu_s
        self.left_s = 3 * cpu_s
        self.left_steps = _ALL_STEPS
        self._known: dict[tuple[int, ...], bool] = {}  # of functions that were tried, by their structure

    def false(self, literals: Sequence[Literal]) -> list[bool | None]:
        """Per function whether it is false for every assignment; None where that was not decided."""
        verdicts: list[bool | None] = [True if x == FALSE else False if x == TRUE else None for x in literals]
        for stage, (limit, conflicts) in enumerate(_STAGES):
            if stage == 1:
                verdicts = [self._tried(x) if v is None else v for x, v in zip(literals, verdicts, strict=True)]
            still_open = [i for i, v in enumerate(verdicts) if v is None]
            parts = list(self._parts(still_open, literals, limit))
            rest = min(self.cpu_s, self.left_s)
            share = max(rest / max(len(parts), 1), 1)
            for part in parts:  # each with its share of the time, so that a hard one does not take that of the others
                if rest <= 0:
                    break
                data = self.graph.aiger([literals[i] for i in part])[0]
                found, spent = abc.constant_outputs(self.folder, data, conflicts, share)
                rest, self.left_s = rest - spent, self.left_s - spent
                for i, value in zip(part, found or [None] * len(part), strict=True):
                    verdicts[i] = None if value is None else value == FALSE
        return verdicts

    def _tried(self, literal: Literal) -> bool | None:
        """Whether a function of few variables is false; None where there are too many, or too much was tried.

        Products alike are many, and one of them is tried for all.
        """
        key = self._structure(literal)
        if key not in self._known:
            found = self._enumerated(literal) if self.left_steps > 0 else None
            if found is None:
                return None
            self._known[key] = not found
        return self._known[key]

    def _structure(self, literal: Literal) -> tuple[int, ...]:
        """The function whatever its variables are: its operations, with the places of their operands among them."""
        cone = self.graph.cone([literal])
        place = {node: 2 * i for i, node in enumerate(cone, 1)} | {0: 0}
        operands = [self.graph.left[n] for n in cone], [self.graph.right[n] for n in cone]
        sides = [[-1 if a < 0 else place[a >> 1] ^ (a & 1) for a in side] for side in operands]
        return (*sides[0], *sides[1], place[literal >> 1] ^ (literal & 1))

    def _enumerated(self, literal: Literal) -> dict[int, int] | None:
        """An assignment for which a function is true, empty where there is none; None where there are too many to try.

        A function without variables, which needs no trying, is not asked about.
        """
        cone = self.graph.cone([literal])
        variables = [n for n in cone if self.graph.left[n] < 0]
        low, high = variables[:_TRIED_AT_ONCE], variables[_TRIED_AT_ONCE:]
        steps = len(cone) << len(high)
        if steps > _MOST_STEPS:
            return None
        self.left_steps -= steps
        count = 1 << len(low)
        mask = (1 << count) - 1
        inputs = {n: mask // ((1 << (1 << i)) + 1) << (1 << i) for i, n in enumerate(low)}  # bit k is bit i of k
        for upper in range(1 << len(high)):
            inputs |= {n: mask * (upper >> i & 1) for i, n in enumerate(high)}
            (found,) = self.graph.values([literal], inputs, mask)
            if found:
                k = (found & -found).bit_length() - 1
                return {n: value >> k & 1 for n, value in inputs.items()}
        return {}

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
            if (tried := self._enumerated(literal)) is not None:
                found.append(tried or None)
                continue
            data, inputs = self.graph.aiger([literal])
            values = abc.counterexample(self.folder, data, self.cpu_s / _SEARCHES)
            assignment = dict(zip(inputs, map(int, values), strict=True)) if values else None
            right = assignment is not None and self.graph.values([literal], assignment, 1) == [1]
            found.append(assignment if right else None)
        return found + [None] * (len(literals) - len(found))
