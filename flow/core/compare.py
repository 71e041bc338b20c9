"""Two answers to the same vectors: the first vector and element in which they differ, and an engine's whole result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.design import Design
from flow.core.fixed import Ints

_HOST = 1e-5  # by how much a score may differ where the host computes a float function in another precision
_MOST_PROBLEMS = 3  # that are reported in one line


@dataclass(frozen=True)
class Difference:
    """One wrong result: which vector, which output element, and both values (text where the hardware gave X or Z)."""

    vector: int
    element: str
    expected: int | str
    actual: int | str
    phase: str = ""

    def __str__(self) -> str:
        where = f" ({self.phase})" if self.phase else ""
        return f"vector {self.vector}, {self.element}: expected {self.expected}, got {self.actual}{where}"


@dataclass(frozen=True)
class EngineResult:
    """What an engine said. ``mismatches`` counts wrong vectors and breaches of timing or protocol; 0 is agreement.

    Simulators give ``build_seconds`` and what they saw, the bulk run of ``native`` what its vectors were.
    """

    engine: str
    vectors: int
    mismatches: int
    seconds: float
    first_mismatch: Difference | None = None
    problems: tuple[str, ...] = ()
    note: str = ""
    build_seconds: float | None = None
    latency_seen: int | None = None
    interval_seen: int | None = None
    vectors_per_second: float | None = None
    distinct_vectors: int | None = None
    exhaustive: bool | None = None
    vectors_between_pauses: int | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> EngineResult:
        """The result that ``asdict`` made ``data`` of, perhaps through JSON."""
        first = data["first_mismatch"]
        return cls(**{**data, "first_mismatch": first and Difference(**first), "problems": tuple(data["problems"])})

    @property
    def agrees(self) -> bool:
        """Every vector came out right and on time."""
        return self.mismatches == 0

    @property
    def difference(self) -> str:
        """What is wrong first, in one line; empty where nothing is."""
        if self.agrees:
            return ""
        first = [str(self.first_mismatch)] if self.first_mismatch else []
        return "; ".join([*first, *self.problems[:_MOST_PROBLEMS]]) or "outputs differ"

    @property
    def message(self) -> str:
        """One line that says what is wrong first, or that nothing is."""
        if self.agrees:
            return f"engine {self.engine}: {self.vectors} vectors, no mismatch"
        return f"engine {self.engine}: {self.mismatches} mismatches; {self.difference}"

    def entry(self) -> dict[str, Any]:
        """The engine's entry in ``report.json``."""
        data: dict[str, Any] = {
            "vectors": self.vectors, "mismatches": self.mismatches, "seconds": round(self.seconds, 3)
        }  # fmt: skip
        if self.build_seconds is not None:
            data["build_seconds"] = round(self.build_seconds, 3)
            data["latency_cycles_seen"], data["interval_cycles_seen"] = self.latency_seen, self.interval_seen
            data["vectors_per_second"] = self.vectors_per_second
        if self.distinct_vectors is not None:
            data["distinct_vectors"], data["exhaustive"] = self.distinct_vectors, self.exhaustive
            data["vectors_between_pauses"] = self.vectors_between_pauses
        if self.note:
            data["note"] = self.note
        if not self.agrees:
            data["first_mismatch"] = self.difference
        return data


def output_names(design: Design) -> tuple[str, ...]:
    """What errors call the elements of a result: layer and neuron, or the class index."""
    if design.head == "argmax":
        return ("class index",)
    if design.nodes:
        pixels = design.nodes[-1].window.count
        channels = len(design.output_formats) // pixels
        where = [f", pixel {p}" if pixels > 1 else "" for p in range(pixels)]
        return tuple(f"node {design.nodes[-1].name}, channel {c}{pixel}" for pixel in where for c in range(channels))
    last = design.layers[-1]
    return tuple(f"layer {last.name}, neuron {j}" for j in range(len(last.neurons)))


def first_difference(
    different: NDArray[np.bool_], expected: NDArray[Any], actual: NDArray[Any], names: Sequence[str], phase: str = ""
) -> Difference | None:
    """The first True of ``different`` (vectors x elements), vector by vector, with both values; None without any."""
    if not different.any():
        return None
    row, column = (int(i) for i in np.argwhere(different)[0])
    return Difference(row, names[column], _shown(expected[row, column]), _shown(actual[row, column]), phase)


def compared(engine: str, design: Design, expected: Ints, actual: Ints, seconds: float) -> EngineResult:
    """An engine's outputs (vectors x outputs, mantissas) against those of the integer design."""
    different = expected != actual
    return EngineResult(
        engine, len(actual), int(different.any(axis=1).sum()), seconds,
        first_difference(different, expected, actual, output_names(design)),
    )  # fmt: skip


def _shown(value: Any) -> int | str:
    return f"{float(value):.9g}" if isinstance(value, float | np.floating) else int(value)


def same_score(metric: Any, own: Any, found: Any, left_out: Any) -> bool:
    """Whether a model's ``own`` score and its design's are equal: exactly, unless a function was ``left_out``.

    A sigmoid or tanh behind a regression's design is computed by the host, in float64 where the model does in float32.
    """
    return math.isclose(own, found, rel_tol=_HOST) if metric == "mse" and left_out else own == found
