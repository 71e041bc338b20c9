"""What the cells of both netlists compute, as functions of an and-inverter graph, LUTs whatever their pins' order."""

from __future__ import annotations

from collections.abc import Sequence

from flow.proof.netlist.aig import Aig, Literal
from flow.proof.netlist.cells import CELLS
from flow.proof.netlist.words import Function, Parameters, Ports, number


def is_lut(kind: str) -> bool:
    """Whether a cell is a look-up table, an inverter being one."""
    return kind in _LUTS


def _table(g: Aig, truth: int, inputs: Sequence[Literal]) -> Literal:
    """A LUT's function, built the same whatever the order of its inputs and however often one is among them."""
    nodes = sorted({literal >> 1 for literal in inputs} - {0})
    table = 0
    for row in range(1 << len(nodes)):
        values = {node: row >> i & 1 for i, node in enumerate(nodes)} | {0: 0}
        index = sum((values[literal >> 1] ^ literal & 1) << i for i, literal in enumerate(inputs))
        table |= (truth >> index & 1) << row
    return g.table(table, [2 * node for node in nodes])


def _lut(size: int) -> Function:
    def work(g: Aig, p: Parameters, ports: Ports) -> dict[str, list[Literal]]:
        return {"O": [_table(g, number(p.get("INIT", 0)), [ports[f"I{i}"][0] for i in range(size)])]}

    return work


_LUTS = (*(f"LUT{n}" for n in range(1, 7)), "INV")
_BUFFERS = ("IBUF", "OBUF", "BUFG")
FUNCTIONS: dict[str, Function] = {
    **CELLS,
    **{f"LUT{n}": _lut(n) for n in range(1, 7)},
    **dict.fromkeys(_BUFFERS, lambda g, p, ports: {"O": ports["I"]}),
}
