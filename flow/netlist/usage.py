"""Where the LUTs of a synthesized netlist come from: layer by layer, neuron by neuron.

Synthesis flattens the hierarchy and renames most nets, so a cell is traced three ways, surest first: by the Verilog
line it was made from, by the name of the net it drives, and otherwise by the cells that use what it drives. What only
one neuron uses is that neuron's; what several use is shared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flow.netlist.read import lut_sites, netlist_module

SHARED = -1  # in place of a neuron's index: logic that several neurons of a layer use
Owner = tuple[int, int]  # layer index, neuron index or SHARED

_DECLARED = re.compile(r"\b(?:n(\d+)_\w+|s\d+(?:_\w+)?)\b")
_SOURCE = re.compile(r"(?:^|[|/])([^|/:]+\.v):(\d+)\.")
_CLOCKING = {"C", "CLK", "CE"}  # what feeds these pins says nothing about the register's owner


def lut_usage(netlist: Path, top: str, layers: Mapping[str, Sequence[int]], rtl: Mapping[str, str]) -> dict[str, Any]:
    """LUT sites by layer: ``{"layers": {layer: {"neurons": {index: LUTs}, "shared": LUTs}}, "other": LUTs}``.

    ``layers`` holds each layer's output bits, neuron by neuron; ``rtl`` the emitted Verilog by file name. Raises
    ReportError where the netlist cannot be read.
    """
    with netlist_module(netlist, top) as module:
        tracer = _tracer(module, top, layers, rtl)
        return _by_layer(tracer, tracer.cells, list(layers))


def cell_namer(
    netlist: Path, top: str, layers: Mapping[str, Sequence[int]], rtl: Mapping[str, str]
) -> Callable[[str], str | None]:
    """Names a cell of the netlist by layer and neuron: ``dense_0 neuron 17``, ``dense_0 shared sums``, or None.

    Arguments and errors as for ``lut_usage``.
    """
    with netlist_module(netlist, top) as module:
        tracer, names = _tracer(module, top, layers, rtl), list(layers)

    def name(cell: str) -> str | None:
        owner = tracer.owner(cell) if cell in tracer.cells else None
        if owner is None:
            return None
        return f"{names[owner[0]]} shared sums" if owner[1] == SHARED else f"{names[owner[0]]} neuron {owner[1]}"

    return name


def _tracer(module: Mapping[str, Any], top: str, layers: Mapping[str, Sequence[int]], rtl: Mapping[str, str]) -> Tracer:
    cells = {n: c for n, c in module["cells"].items() if c["type"] != "$scopeinfo"}
    known = {**_output_nets(module["netnames"], layers), **_named_nets(module["netnames"], list(layers))}
    return Tracer(cells, known, _Lines(top, list(layers), rtl))


def _by_layer(tracer: Tracer, cells: Mapping[str, Any], layers: Sequence[str]) -> dict[str, Any]:
    found: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    other = 0
    for name, cell in cells.items():
        sites = lut_sites(cell["type"])
        owner = tracer.owner(name) if sites else None
        if owner is None:
            other += sites
        else:
            found[owner[0]][owner[1]] += sites
    rows = {
        layer: {
            "neurons": {str(n): luts for n, luts in sorted(found[i].items()) if n != SHARED},
            "shared": found[i].get(SHARED, 0),
        }
        for i, layer in enumerate(layers)
    }
    return {"layers": rows, "other": other}


def _output_nets(netnames: Mapping[str, Any], layers: Mapping[str, Sequence[int]]) -> dict[int, Owner]:
    """Owners of the bits of each layer's packed output, which often outlive the nets inside the layer."""
    owners: dict[int, Owner] = {}
    for i, (layer, widths) in reversed(list(enumerate(layers.items()))):
        bits = netnames.get(f"{layer}_y", {}).get("bits", [])
        neurons = [j for j, width in enumerate(widths) for _ in range(width)]
        owners.update({b: (i, j) for b, j in zip(bits, neurons, strict=False) if isinstance(b, int)})
    return owners


def _named_nets(netnames: Mapping[str, Any], layers: Sequence[str]) -> dict[int, Owner]:
    """Owners of the bits that kept a name of a layer's Verilog."""
    by_instance = {f"u_{layer}": i for i, layer in enumerate(layers)}
    owners: dict[int, list[Owner]] = defaultdict(list)
    for name, net in netnames.items():
        instance, _, inner = name.partition(".")
        layer, match = by_instance.get(instance), _DECLARED.fullmatch(inner)
        if layer is None or not match:
            continue
        for bit in net["bits"]:
            if isinstance(bit, int):
                owners[bit].append((layer, int(match[1]) if match[1] else SHARED))
    return {bit: owner for bit, found in owners.items() if (owner := _common(found)) is not None}


class _Lines:
    """What the Verilog line a cell was made from says: the layer, and the neuron where the line declares its value."""

    def __init__(self, top: str, layers: Sequence[str], rtl: Mapping[str, str]) -> None:
        self.lines = {name: text.splitlines() for name, text in rtl.items()}
        self.by_file = {f"{top}_{layer}.v": i for i, layer in enumerate(layers)}

    def owner(self, source: str) -> Owner | None:
        for file, number in _SOURCE.findall(source):
            layer = self.by_file.get(file)
            if layer is None:
                continue
            lines = self.lines.get(file, [])
            text = lines[int(number) - 1] if int(number) <= len(lines) else ""
            match = _DECLARED.search(text.split("=")[0])
            return layer, int(match[1]) if match and match[1] else SHARED
        return None


class Tracer:
    """Finds the owner of every cell; answers are kept, since one cell is asked for by many."""

    def __init__(self, cells: Mapping[str, Any], nets: Mapping[int, Owner], lines: _Lines | None) -> None:
        self.cells, self.nets, self.lines = cells, nets, lines
        self.users: dict[int, list[str]] = defaultdict(list)
        for name, cell in cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "input" and port not in _CLOCKING:
                    for bit in bits:
                        if isinstance(bit, int):
                            self.users[bit].append(name)
        self.known: dict[str, Owner | None] = {}

    def owner(self, cell: str) -> Owner | None:
        """The layer and neuron a cell belongs to, without recursion: chains of cells can be deep."""
        stack, entered = [cell], set[str]()
        while stack:
            current = stack[-1]
            if current in self.known:
                stack.pop()
                continue
            direct = self._direct(current)
            users = [] if direct and direct[1] != SHARED else self._users_of(current)
            waiting = [u for u in users if u not in self.known and u not in entered]
            if waiting and current not in entered:
                entered.add(current)
                stack.extend(waiting)
                continue
            self.known[current] = _refined(direct, _common(self.known.get(u) for u in users))
            stack.pop()
        return self.known[cell]

    def _users_of(self, cell: str) -> list[str]:
        return [user for bit in self._driven(cell) for user in self.users.get(bit, ())]

    def _driven(self, cell: str) -> list[int]:
        entry = self.cells[cell]
        ports = entry["port_directions"]
        return [b for p, bits in entry["connections"].items() if ports[p] == "output" for b in bits
                if isinstance(b, int)]  # fmt: skip

    def _direct(self, cell: str) -> Owner | None:
        """By Verilog line, then by net name."""
        line = self.lines.owner(self.cells[cell].get("attributes", {}).get("src", "")) if self.lines else None
        if line and line[1] != SHARED:
            return line
        return _common(self.nets.get(b) for b in self._driven(cell)) or line


def _refined(direct: Owner | None, users: Owner | None) -> Owner | None:
    """A value without a neuron's name belongs to the neuron that alone uses it, if that is in the same layer."""
    if direct is None or (users is not None and users[0] == direct[0]):
        return users
    return direct


def _common(owners: Iterable[Owner | None]) -> Owner | None:
    """The owner all agree on; several neurons share; of several layers the first counts, which feeds the others."""
    known = {o for o in owners if o is not None}
    if not known:
        return None
    layer = min(o[0] for o in known)
    neurons = {o[1] for o in known if o[0] == layer}
    return layer, neurons.pop() if len(neurons) == 1 else SHARED
