"""Registers that only the netlist has, since synthesis moved some behind logic: they hold what a wire of the text is.

Yosys takes the registers in front of a table of constants for the address registers of a ROM, and puts registers behind
it: the table's wire, whose name they have, is their state. That is one more part of the relation between both sides: it
has to hold again after the clock's edge, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flow.proof.netlist.aig import FALSE, TRUE, Literal
from flow.proof.netlist.arrays import Cone
from flow.proof.netlist.cones import Text
from flow.proof.netlist.registers import Register

_ONLY = "a register that only the netlist has"


def with_wires(text: Text) -> tuple[list[Cone], dict[int, str]]:
    """The text's cones with wires in place of such registers, and one cone more for each of these.

    The second result names the variables of registers whose wire is not known: what depends on them is not decided.
    """
    graph, cones = text.graph, list(text.cones)
    claimed = {partner.state >> 1 for partner in text.partners.values()}
    extra = {r.state >> 1: (bit, r) for bit, r in text.gate.registers.items() if r.state >> 1 not in claimed}
    wires: dict[int, Literal] = {}
    unknown: dict[int, str] = {}
    first = _first_values(text) if extra else {}
    todo = [cone.netlist for cone in cones] if extra else []
    while todo:
        reached = [node for node in graph.cone(todo) if node in extra and node not in wires and node not in unknown]
        todo = []
        for node in reached:
            bit, register = extra[node]
            guess = f"register {bit}"
            wire = None if guess in text.refused else _wire(text, register, text.gate.names[bit], first)
            if wire is None:
                unknown[node] = _ONLY
                continue
            name, state, following = wire
            wires[node] = state ^ (register.state & 1)
            cones.append(Cone((name,), following, register.next, guess=guess))
            todo += [following, register.next]
    if wires:
        sides = [literal for cone in cones for literal in (cone.text, cone.netlist)]
        held = graph.replaced(sides, wires)
        cones = [replace(c, text=held[2 * i], netlist=held[2 * i + 1]) for i, c in enumerate(cones)]
    return cones, unknown


def _wire(
    text: Text, register: Register, names: list[tuple[str, int]], first: Mapping[int, Literal]
) -> tuple[str, Literal, Literal] | None:
    """A wire of the text by its name, what it is, and what after the clock's edge: a function of registers alone."""
    for name, index in names:
        for literal in text.side.word(text.side.names.get(name, [])[index : index + 1]):
            function = text.function(literal, register.clock)
            if function is None:
                continue
            at_first = text.graph.replaced([literal], first)[0]
            if at_first not in (FALSE, TRUE) or int(at_first == TRUE) == register.first:
                return f"{name}[{index}]", *function
    return None


def _first_values(text: Text) -> dict[int, Literal]:
    """What the variables of registers are at the start, where the text says it."""
    return {
        partner.state >> 1: TRUE if int(text.held[bit].first) ^ (partner.state & 1) else FALSE
        for bit, partner in text.partners.items()
        if text.held[bit].first in ("0", "1")
    }
