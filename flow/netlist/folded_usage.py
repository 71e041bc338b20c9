"""Where the LUTs of a folded netlist come from: per layer its weight groups, input buffer, output units and sequence.

Elements serve many neurons, so nothing can be traced to one. A cell belongs to the part that names the net it drives,
otherwise to the part that uses what it drives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flow.emit.rtl.names import SHARED, layer_instance
from flow.netlist.usage import Origins, Owner, Tracer

INPUT, OUTPUT, SEQUENCE = "input words", "output units", "sequence"
_PARTS = (  # of a layer's nets, beside the groups' own
    (INPUT, r"(buffer\d+|banks|held|block\d+|chosen|x_q|x|x_late\d+|fetched)\b"),
    (OUTPUT, r"(threshold|sum|parameters?|format|fields|used)\d+|place|turn|turn_q|draining|draining_q|out_\w+"),
    (SEQUENCE, r"(control|rooms|vectors|pause|read_at|step_late\d+|valid_q|last_q|end_q|close_q|running|step)\b"),
)


def folded_origins(module: Mapping[str, Any], layers: Mapping[str, Sequence[str]]) -> Origins:
    """Of folded hardware: a layer's row is ``{"parts": {part: sites}, "shared": sites}``.

    ``layers`` holds the labels of each layer's groups.
    """
    cells = {n: c for n, c in module["cells"].items() if c["type"] != "$scopeinfo"}
    parts = {layer: [*groups, INPUT, OUTPUT, SEQUENCE] for layer, groups in layers.items()}

    def title(owner: Owner) -> str:
        layer = list(layers)[owner[0]]
        return layer if owner[1] == SHARED else f"{layer} {parts[layer][owner[1]]}"

    def rows(found: Mapping[Owner, int]) -> dict[str, Any]:
        return {
            layer: {
                "parts": {part: found[i, k] for k, part in enumerate(parts[layer]) if found.get((i, k))},
                "shared": found.get((i, SHARED), 0),
            }
            for i, layer in enumerate(layers)
        }

    return Origins(Tracer(cells, _named_nets(module["netnames"], layers, parts), ()), title, rows)


def _named_nets(
    netnames: Mapping[str, Any], layers: Mapping[str, Sequence[str]], parts: Mapping[str, Sequence[str]]
) -> dict[int, Owner]:
    """Owners of the bits that kept a name inside a layer; names that say nothing of a part are left to the users."""
    owners: dict[int, Owner] = {}
    indices = {layer_instance(layer): (i, layer) for i, layer in enumerate(layers)}
    for name, net in netnames.items():
        instance, _, inner = name.partition(".")
        if instance not in indices:
            continue
        index, layer = indices[instance]
        part = _part(inner, layers[layer])
        if part is not None:
            at = (index, list(parts[layer]).index(part))
            for bit in net["bits"]:
                if isinstance(bit, int):
                    owners.setdefault(bit, at)
    return owners


def _part(inner: str, groups: Sequence[str]) -> str | None:
    group = re.match(r"(binary|ternary|signed\d+)(?=[_.\[])", inner)
    if group and group[1] in groups:
        return group[1]
    return next((part for part, pattern in _PARTS if re.match(pattern, inner)), None)
