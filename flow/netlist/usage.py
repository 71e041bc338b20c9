"""Where the LUTs of a synthesized netlist come from: layer by layer, neuron by neuron.

Synthesis flattens the hierarchy and renames most nets, so a cell is traced three ways, surest first: by the Verilog
line it was made from, by the name of the net it drives, and otherwise by the cells that use what it drives. Whose a
line and a name is, emission has said (``LayerNames``). What only one neuron uses is that neuron's; what several use is
shared.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flow.emit.rtl.names import SHARED, LayerNames

Owner = tuple[int, int]  # layer index, neuron index or SHARED

_SOURCE = re.compile(r"(?:^|[|/])([^|/:]+\.v):(\d+)\.")
_CLOCKING = {"C", "CLK", "CE"}  # what feeds these pins says nothing about the register's owner


class Origins:
    """What the cells of a netlist belong to.

    ``title`` calls an owner in words; ``rows`` arranges sites by owner as a table by layer.
    """

    def __init__(
        self, tracer: Tracer, title: Callable[[Owner], str], rows: Callable[[Mapping[Owner, int]], dict[str, Any]]
    ) -> None:
        self._tracer, self._title, self._rows = tracer, title, rows

    def name(self, cell: str) -> str | None:
        """A cell by layer and neuron or part, such as ``dense_0 neuron 17``; None where nothing is known."""
        owner = self._tracer.owner(cell) if cell in self._tracer.cells else None
        return None if owner is None else self._title(owner)

    def usage(self, sites: Mapping[str, int]) -> dict[str, Any]:
        """LUT sites by layer, of those by cell: ``{"layers": {layer: ...}, "other": sites}``."""
        found: Counter[Owner | None] = Counter()
        for cell, count in sites.items():
            found[self._tracer.owner(cell)] += count
        other = found.pop(None, 0)
        return {"layers": self._rows({o: n for o, n in found.items() if o is not None}), "other": other}


def lut_origins(module: Mapping[str, Any], layers: Mapping[str, Sequence[int]], names: Sequence[LayerNames]) -> Origins:
    """Of parallel hardware: a layer's row is ``{"neurons": {index: sites}, "shared": sites}``.

    ``layers`` holds each layer's output bits, neuron by neuron; ``names`` are the emitted layers' in the same order.
    """
    cells = {n: c for n, c in module["cells"].items() if c["type"] != "$scopeinfo"}
    outputs = [(name.output, widths) for name, widths in zip(names, layers.values(), strict=True)]
    known = {**_output_nets(module["netnames"], outputs), **_named_nets(module["netnames"], names)}

    def title(owner: Owner) -> str:
        layer, neuron = list(layers)[owner[0]], owner[1]
        return f"{layer} shared sums" if neuron == SHARED else f"{layer} neuron {neuron}"

    def rows(found: Mapping[Owner, int]) -> dict[str, Any]:
        return {
            layer: {
                "neurons": {str(n): sites for (of, n), sites in sorted(found.items()) if of == i and n != SHARED},
                "shared": found.get((i, SHARED), 0),
            }
            for i, layer in enumerate(layers)
        }

    return Origins(Tracer(cells, known, names), title, rows)


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
