"""Where the LUTs of a synthesized netlist come from: layer by layer, neuron by neuron.

Synthesis flattens the hierarchy and renames most nets, so a cell is traced three ways, surest first: by the Verilog
line it was made from, by the name of the net it drives, and otherwise by the cells that use what it drives. Whose a
line and a name is, emission has said (``LayerNames``). What only one neuron uses is that neuron's; what several use is
shared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flow.emit.rtl.names import SHARED, LayerNames
from flow.netlist.read import netlist_module
from flow.netlist.slices import expected_sites

Owner = tuple[int, int]  # layer index, neuron index or SHARED

_SOURCE = re.compile(r"(?:^|[|/])([^|/:]+\.v):(\d+)\.")
_CLOCKING = {"C", "CLK", "CE"}  # what feeds these pins says nothing about the register's owner


def lut_usage(
    netlist: Path, top: str, layers: Mapping[str, Sequence[int]], names: Sequence[LayerNames]
) -> dict[str, Any]:
    """LUT sites by layer: ``{"layers": {layer: {"neurons": {index: LUTs}, "shared": LUTs}}, "other": LUTs}``.

    ``layers`` holds each layer's output bits, neuron by neuron; ``names`` are the emitted layers' in the same order.
    Raises ReportError where the netlist cannot be read.
    """
    with netlist_module(netlist, top) as module:
        tracer = _tracer(module, layers, names)
        return _by_layer(tracer, expected_sites(module).by_cell, list(layers))


def cell_namer(
    netlist: Path, top: str, layers: Mapping[str, Sequence[int]], names: Sequence[LayerNames]
) -> Callable[[str], str | None]:
    """Names a cell of the netlist by layer and neuron: ``dense_0 neuron 17``, ``dense_0 shared sums``, or None.

    Arguments and errors as for ``lut_usage``.
    """
    with netlist_module(netlist, top) as module:
        tracer, titles = _tracer(module, layers, names), list(layers)

    def name(cell: str) -> str | None:
        owner = tracer.owner(cell) if cell in tracer.cells else None
        if owner is None:
            return None
        return f"{titles[owner[0]]} shared sums" if owner[1] == SHARED else f"{titles[owner[0]]} neuron {owner[1]}"

    return name


def _tracer(module: Mapping[str, Any], layers: Mapping[str, Sequence[int]], names: Sequence[LayerNames]) -> Tracer:
    cells = {n: c for n, c in module["cells"].items() if c["type"] != "$scopeinfo"}
    outputs = [(name.output, widths) for name, widths in zip(names, layers.values(), strict=True)]
    known = {**_output_nets(module["netnames"], outputs), **_named_nets(module["netnames"], names)}
    return Tracer(cells, known, names)


def _by_layer(tracer: Tracer, sites_of: Mapping[str, int], layers: Sequence[str]) -> dict[str, Any]:
    found: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    other = 0
    for name, sites in sites_of.items():
        owner = tracer.owner(name)
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


def _output_nets(netnames: Mapping[str, Any], outputs: Sequence[tuple[str, Sequence[int]]]) -> dict[int, Owner]:
    """Owners of the bits of each layer's packed output, which often outlive the nets inside the layer."""
    owners: dict[int, Owner] = {}
    for i, (net, widths) in reversed(list(enumerate(outputs))):
        bits = netnames.get(net, {}).get("bits", [])
        neurons = [j for j, width in enumerate(widths) for _ in range(width)]
        owners.update({b: (i, j) for b, j in zip(bits, neurons, strict=False) if isinstance(b, int)})
    return owners


def _named_nets(netnames: Mapping[str, Any], names: Sequence[LayerNames]) -> dict[int, Owner]:
    """Owners of the bits that kept a name of a layer's Verilog; an input's name says nothing of what made it."""
    by_instance = {layer.instance: (i, layer) for i, layer in enumerate(names)}
    owners: dict[int, list[Owner]] = defaultdict(list)
    for name, net in netnames.items():
        instance, _, inner = name.partition(".")
        index, layer = by_instance.get(instance, (0, None))
        neuron = layer.neuron_of(inner) if layer else None
        if neuron is None:
            continue
        for bit in net["bits"]:
            if isinstance(bit, int):
                owners[bit].append((index, neuron))
    return {bit: owner for bit, found in owners.items() if (owner := _common(found)) is not None}


class Tracer:
    """Finds the owner of every cell; answers are kept, since one cell is asked for by many."""

    def __init__(self, cells: Mapping[str, Any], nets: Mapping[int, Owner], names: Sequence[LayerNames]) -> None:
        self.cells, self.nets = cells, nets
        self.files = {layer.file: (i, layer) for i, layer in enumerate(names)}
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
        line = self._line(self.cells[cell].get("attributes", {}).get("src", ""))
        if line and line[1] != SHARED:
            return line
        return _common(self.nets.get(b) for b in self._driven(cell)) or line

    def _line(self, source: str) -> Owner | None:
        """Whose the Verilog line is that a cell was made from."""
        for file, number in _SOURCE.findall(source):
            if file in self.files:
                index, layer = self.files[file]
                return index, layer.neuron_at(int(number))
        return None


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
