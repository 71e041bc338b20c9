"""What the cocotb bench found: wrong vectors, protocol problems, timing seen. Written to disk atomically."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Outcome:
    """Collected over all phases. A vector is wrong once, however many phases it fails in."""

    outputs: list[dict[str, Any]]  # the elements of out_data, as in the description file
    seen: set[int] = field(default_factory=set)
    wrong: set[int] = field(default_factory=set)
    first_mismatch: dict[str, Any] | None = None
    problems: dict[str, int] = field(default_factory=dict)  # text -> how often
    phases: list[str] = field(default_factory=list)
    latency_seen: int | None = None
    interval_seen: int | None = None
    cycles: int = 0
    simulation_seconds: float = 0.0

    @property
    def faults(self) -> int:
        """Wrong vectors and distinct protocol problems."""
        return len(self.wrong) + len(self.problems)

    def problem(self, text: str) -> None:
        """Note a breach of the port protocol; the text carries no cycle numbers, so repeats are counted, not listed."""
        self.problems[text] = self.problems.get(text, 0) + 1

    def compare(self, vector: int, expected: str, actual: str, phase: str) -> None:
        """Compare one result with the golden one, both as bit strings, most significant bit first."""
        self.seen.add(vector)
        if expected != actual:
            self._differs(vector, phase, *self._first_element(expected, actual))

    def missing(self, vector: int, phase: str) -> None:
        """No result came for a vector."""
        self._differs(vector, phase, "out_valid", 1, 0)

    def _differs(self, vector: int, phase: str, name: str, expected: int | str, actual: int | str) -> None:
        self.wrong.add(vector)
        if self.first_mismatch is None:
            self.first_mismatch = {
                "vector": vector,
                "element": name,
                "expected": expected,
                "actual": actual,
                "phase": phase,
            }

    def _first_element(self, expected: str, actual: str) -> tuple[str, int | str, int | str]:
        end = len(expected)
        for element in self.outputs:
            part = slice(end - element["bits"], end)
            end -= element["bits"]
            if expected[part] != actual[part]:
                return element["name"], number(expected[part], element), number(actual[part], element)
        return "out_data", len(expected), f"{len(actual)} bits"

    def write(self, path: Path, vectors: int) -> None:
        """Write everything as JSON; a reader sees a whole file or none."""
        data = {
            "vectors": len(self.seen),
            "offered": vectors,
            "mismatches": self.faults,
            "first_mismatch": self.first_mismatch,
            "problems": [f"{text} ({count} times)" if count > 1 else text for text, count in self.problems.items()],
            "latency_seen": self.latency_seen,
            "interval_seen": self.interval_seen,
            "cycles": self.cycles,
            "simulation_seconds": round(self.simulation_seconds, 6),
            "phases": self.phases,
        }
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(json.dumps(data, indent=1) + "\n")
        temporary.replace(path)


def number(bits: str, element: dict[str, Any]) -> int | str:
    """The integer a bit string stands for, or the string itself where it holds an X or a Z."""
    if not bits or set(bits) - {"0", "1"}:
        return bits
    value = int(bits, 2)
    return value - (1 << len(bits)) if element["signed"] and bits[0] == "1" else value
