"""The build's description file: everything a bench must know to check the hardware, as data.

The top module has the ports ``clk``, ``rst`` (synchronous, active high), ``in_valid``, ``in_data``, ``out_valid``,
``out_data`` and, with ``ready``, ``in_ready`` and ``out_ready``. A data port is the concatenation of its elements'
mantissas, element 0 in the least significant bits, each at its own width; a port without bits is one ignored bit.
Where a vector takes several beats (``in_beats``, ``out_beats``), each carries the same number of bits of it, the lowest
first; then it counts as taken in the cycle of its first beat, and its result comes with the last.
A design that ``streams`` pixels works on several vectors at a time, as many as its queues take, and on the zeros around
the next one while none is there: its pace is that of its results, and a lone vector comes after a pause.
A result is sampled ``latency_cycles`` clock edges after the edge that took its vector; without ``timed`` latency and
interval are only a guess at how long to wait, and what was seen is noted, not judged.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from flow.core.errors import DesignError
from flow.core.fixed import MAX_BITS, Fixed
from flow.core.untrusted import parse_json, refused

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Element:
    """One number of a data port: its width, whether it is two's complement, and the name that errors show."""

    bits: int
    signed: bool
    name: str

    def __post_init__(self) -> None:
        if not 0 <= self.bits <= MAX_BITS:
            raise DesignError(f"{self.name}: an element of {self.bits} bits is outside 0..{MAX_BITS}")

    @classmethod
    def of(cls, fmt: Fixed, name: str) -> Element:
        """The element that carries mantissas of ``fmt``."""
        return cls(fmt.bits, fmt.signed, name)

    @property
    def low(self) -> int:
        """Smallest number the element can carry."""
        return -(1 << (self.bits - 1)) if self.signed and self.bits else 0

    @property
    def high(self) -> int:
        """Largest number the element can carry."""
        return (1 << (self.bits - self.signed)) - 1 if self.bits else 0


def total_bits(elements: tuple[Element, ...]) -> int:
    """Bits of the packed elements; the port is one bit wide where this is 0."""
    return sum(e.bits for e in elements)


@dataclass(frozen=True)
class Bench:
    """What the benches check: top module, sources (relative to the description's base folder), ports and timing."""

    top: str
    sources: tuple[str, ...]
    inputs: tuple[Element, ...]
    outputs: tuple[Element, ...]
    latency_cycles: int
    initiation_interval: int = 1
    ready: bool = False
    timed: bool = True
    in_beats: int = 1
    out_beats: int = 1
    streams: bool = False

    def __post_init__(self) -> None:
        if self.latency_cycles < 0 or self.initiation_interval < 1:
            raise DesignError(
                f"{self.top}: latency {self.latency_cycles} and initiation interval {self.initiation_interval} are not"
                " a timing (latency from 0, interval from 1)"
            )
        if not self.timed and not self.ready:
            raise DesignError(f"{self.top}: results at any time need the ready ports")
        if self.initiation_interval > 1 and not self.ready:
            raise DesignError(f"{self.top}: an initiation interval above 1 needs the ready ports")
        for beats, bits in ((self.in_beats, self.in_bits), (self.out_beats, self.out_bits)):
            if beats < 1 or bits % beats or (beats > 1 and (not self.ready or not bits)):
                raise DesignError(f"{self.top}: {bits} bits in {beats} beats need the ready ports and equal shares")
        for source in self.sources:
            if PurePosixPath(source).is_absolute():
                raise DesignError(f"{self.top}: source {source} must be a relative path")

    @property
    def in_bits(self) -> int:
        """Bits of the packed inputs."""
        return total_bits(self.inputs)

    @property
    def out_bits(self) -> int:
        """Bits of the packed outputs."""
        return total_bits(self.outputs)

    @property
    def ports(self) -> tuple[str, ...]:
        """Names of the top module's ports."""
        ready = ("in_ready", "out_ready") if self.ready else ()
        return ("clk", "rst", "in_valid", "in_data", "out_valid", "out_data", *ready)


_USUAL = {"in_beats": 1, "out_beats": 1, "streams": False}  # what need not be said


def to_json(bench: Bench) -> str:
    """The description as JSON text; byte-identical for equal benches."""
    data = {name: value for name, value in asdict(bench).items() if name not in _USUAL or value != _USUAL[name]}
    return json.dumps({"schema": SCHEMA, **data}, sort_keys=True, indent=1) + "\n"


def from_json(text: str, where: str = "bench.json") -> Bench:
    """Read a description. Raises DesignError naming the field that is missing or malformed."""
    with refused(DesignError, where, "rebuild it"):
        data = parse_json(text, where)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ValueError(f"not a bench description of schema {SCHEMA}")
        return Bench(
            top=str(data["top"]),
            sources=tuple(str(s) for s in data["sources"]),
            inputs=_elements(data["inputs"]),
            outputs=_elements(data["outputs"]),
            latency_cycles=int(data["latency_cycles"]),
            initiation_interval=int(data["initiation_interval"]),
            ready=bool(data["ready"]),
            timed=bool(data["timed"]),
            in_beats=int(data.get("in_beats", 1)),
            out_beats=int(data.get("out_beats", 1)),
            streams=bool(data.get("streams", int(data.get("in_beats", 1)) > 1)),
        )


def _elements(data: list[dict[str, Any]]) -> tuple[Element, ...]:
    return tuple(Element(int(e["bits"]), bool(e["signed"]), str(e["name"])) for e in data)
