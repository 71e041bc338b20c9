"""What every report is read into: one flat record, ``None`` where the file does not say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flow.core.errors import ReportError

SCALARS = (
    "tool",
    "version",
    "part",
    "top",
    "clock_target_ns",
    "clock_estimated_ns",
    "latency_min_cycles",
    "latency_max_cycles",
    "interval_min",
    "interval_max",
    "wns_ns",
)
RESOURCES = ("lut", "ff", "dsp", "bram18", "uram")


@dataclass(frozen=True)
class Resources:
    """Counts of a device's resources; ``bram18`` in 18 Kb blocks (a 36 Kb tile is two)."""

    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    bram18: int | None = None
    uram: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < 0:
                raise ReportError(f"{name} is negative: {value}")


@dataclass(frozen=True)
class Report:
    """One report file; names as the file prints them, periods and slack in ns, latency and interval in clock cycles.

    ``details`` holds what only one kind of report says (pipeline type, cosimulation status, stage, further slacks).
    Raises ReportError where figures contradict each other.
    """

    kind: str
    tool: str | None = None
    version: str | None = None
    part: str | None = None
    top: str | None = None
    clock_target_ns: float | None = None
    clock_estimated_ns: float | None = None
    latency_min_cycles: int | None = None
    latency_max_cycles: int | None = None
    interval_min: int | None = None
    interval_max: int | None = None
    resources: Resources = field(default_factory=Resources)
    available: Resources = field(default_factory=Resources)
    wns_ns: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("clock_target_ns", "clock_estimated_ns", "wns_ns"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and (name == "wns_ns" or value >= 0)):
                raise ReportError(f"{name} is {value}")
        pairs = (("latency_min_cycles", "latency_max_cycles"), ("interval_min", "interval_max"))
        for low_name, high_name in pairs:
            low, high = getattr(self, low_name), getattr(self, high_name)
            if low is not None and high is not None and low > high:
                raise ReportError(f"{low_name} {low} is above {high_name} {high}")

    def to_json(self) -> dict[str, Any]:
        """The tool-neutral JSON: the eleven scalars, ``resources`` and ``available``; then ``kind`` and ``details``."""
        data: dict[str, Any] = {name: getattr(self, name) for name in SCALARS if name != "wns_ns"}
        data["resources"] = asdict(self.resources)
        data["available"] = asdict(self.available)
        data["wns_ns"] = self.wns_ns
        return {**data, "kind": self.kind, "details": dict(self.details)}
