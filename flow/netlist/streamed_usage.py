"""Where the LUTs of a streamed netlist come from: per node the queues before it, its window, its core, what it queues.

Values go from part to part in this order, so a net with names in several of them was made by the first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flow.emit.rtl.names import SHARED
from flow.netlist.usage import Origins, Owner, Tracer

PARTS = ("queues before it", "window", "core", "queue behind it")
_BEFORE, _WINDOW, _CORE, _BEHIND = range(len(PARTS))
_NAME = re.compile(r"(?:u_)?(?:(?:in|n\d+)_(?P<reader>\d+)|(?P<kind>[nwcjm])(?P<node>\d+))(?=[_.]|$)")
_KINDS = {"j": _WINDOW, "w": _WINDOW, "n": _CORE, "m": _CORE, "c": _BEHIND}
_BACKWARD = re.compile(r"(\w*ready|\w*free|clk|rst)$")  # what goes against the stream, or to all


def streamed_origins(module: Mapping[str, Any], nodes: Sequence[str]) -> Origins:
    """Of streamed hardware: the row of a node, by its name, is ``{"parts": {part: sites}, "shared": sites}``."""
    cells = {n: c for n, c in module["cells"].items() if c["type"] != "$scopeinfo"}

    def title(owner: Owner) -> str:
        return nodes[owner[0]] if owner[1] == SHARED else f"{nodes[owner[0]]} {PARTS[owner[1]]}"

    def rows(found: Mapping[Owner, int]) -> dict[str, Any]:
        return {
            name: {
                "parts": {part: found[i, k] for k, part in enumerate(PARTS) if found.get((i, k))},
                "shared": found.get((i, SHARED), 0),
            }
            for i, name in enumerate(nodes)
        }

    return Origins(Tracer(cells, _owners(module["netnames"], len(nodes)), ()), title, rows)


def _owners(netnames: Mapping[str, Any], count: int) -> dict[int, Owner]:
    owners: dict[int, Owner] = {}
    for name, net in netnames.items():
        found = _NAME.match(name)
        if found is None or _BACKWARD.search(name):
            continue
        owner = (
            (int(found["reader"]), _BEFORE) if found["kind"] is None else (int(found["node"]), _KINDS[found["kind"]])
        )
        if owner[0] < count:
            for bit in net["bits"]:
                if isinstance(bit, int):
                    owners[bit] = min(owners.get(bit, owner), owner)
    return owners
