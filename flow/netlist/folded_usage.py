"""Where the LUTs of a folded netlist come from: per layer its weight groups, input buffer, output units and sequence.

Elements serve many neurons, so nothing can be traced to one. A cell belongs to the part that names the net it drives,
otherwise to the part that uses what it drives.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flow.emit.rtl.names import SHARED, layer_instance
from flow.netlist.read import netlist_module
from flow.netlist.slices import expected_sites
from flow.netlist.usage import Owner, Tracer

INPUT, OUTPUT, SEQUENCE = "input words", "output units", "sequence"
_PARTS = (  # of a layer's nets, beside the groups' own
    (INPUT, r"(buffer\d+|banks|held|block\d+|chosen|x_q|x|x_late\d+|fetched)\b"),
    (OUTPUT, r"(threshold|sum|parameters?|format|fields|used)\d+|place|turn|turn_q|draining|draining_q|out_\w+"),
    (SEQUENCE, r"(control|rooms|vectors|pause|read_at|step_late\d+|valid_q|last_q|end_q|close_q|running|step)\b"),
)


def folded_usage(netlist: Path, top: str, layers: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """LUT sites by layer: ``{"layers": {layer: {"parts": {part: LUTs}, "shared": LUTs}}, "other": LUTs}``.

    ``layers`` holds the labels of each layer's groups. Raises ReportError where the netlist cannot be read.
    """
    with netlist_module(netlist, top) as module:
        return _by_part(module, layers)


def part_namer(netlist: Path, top: str, layers: Mapping[str, Sequence[str]]) -> Callable[[str], str | None]:
    """Names a cell of a folded netlist by layer and part, or None; arguments and errors as for `folded_usage`."""
    with netlist_module(netlist, top) as module:
        tracer, parts = _tracer(module, layers)
    names = list(layers)

    def name(cell: str) -> str | None:
        owner = tracer.owner(cell) if cell in tracer.cells else None
        if owner is None:
            return None
        layer = names[owner[0]]
        return layer if owner[1] == SHARED else f"{layer} {parts[layer][owner[1]]}"

    return name


def _tracer(module: Mapping[str, Any], layers: Mapping[str, Sequence[str]]) -> tuple[Tracer, dict[str, list[str]]]:
    cells = {n: c for n, c in module["cells"].items() if c["type"] != "$scopeinfo"}
    parts = {layer: [*groups, INPUT, OUTPUT, SEQUENCE] for layer, groups in layers.items()}
    return Tracer(cells, _named_nets(module["netnames"], layers, parts), ()), parts


def _by_part(module: Mapping[str, Any], layers: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    tracer, parts = _tracer(module, layers)
    names = list(layers)
    found: dict[str, dict[int, int]] = {layer: defaultdict(int) for layer in names}
    other = 0
    for name, sites in expected_sites(module).by_cell.items():
        owner = tracer.owner(name)
        if owner is None:
            other += sites
        else:
            found[names[owner[0]]][owner[1]] += sites
    rows = {
        layer: {
            "parts": {part: found[layer][i] for i, part in enumerate(parts[layer]) if found[layer][i]},
            "shared": found[layer][SHARED],
        }
        for layer in names
    }
    return {"layers": rows, "other": other}


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
