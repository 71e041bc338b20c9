"""The model's own inputs and outputs among the packed elements of a design, by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from flow.core.design import Design

_UNSEEN = re.compile(r"[^A-Za-z0-9_.=%()\[\]<>:+ /-]")
_OTHER = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True)
class Port:
    """An input or output of the model: elements ``first`` to ``first + count - 1`` of the design's."""

    name: str
    first: int
    count: int


def element_names(design: Design, which: Literal["inputs", "outputs"]) -> tuple[str, ...]:
    """What the data calls each input or output element, in characters that any text may hold; empty without names.

    They are for reading: two elements may have the same.
    """
    total = len(design.inputs) if which == "inputs" else design.outputs
    said: Any = design.source.get("names")
    found = said.get(which) if isinstance(said, dict) else None
    if not isinstance(found, list | tuple) or len(found) != total or not all(isinstance(n, str) for n in found):
        return ()
    return tuple(_UNSEEN.sub("_", name)[:64] for name in found)


def ports(design: Design, which: Literal["inputs", "outputs"]) -> tuple[Port, ...]:
    """The model's inputs or outputs in order; none for a design of one path, whose elements are one input or output."""
    total = len(design.inputs) if which == "inputs" else design.outputs
    said: Any = design.source.get("ports")
    entries = said.get(which) if isinstance(said, dict) else None
    found: list[Port] = []
    for entry in entries if isinstance(entries, list) else []:
        name, count = entry if isinstance(entry, list | tuple) and len(entry) == 2 else ("", 0)
        if not isinstance(name, str) or not isinstance(count, int) or not 0 < count <= total:
            return ()
        first = found[-1].first + found[-1].count if found else 0
        found.append(Port(_OTHER.sub("_", name)[:64], first, count))
    return tuple(found) if sum(port.count for port in found) == total else ()
