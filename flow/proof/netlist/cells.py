"""What the Xilinx primitives of a synthesized netlist compute, as bits of an and-inverter graph.

The same as their models in Yosys' ``cells_sim.v``, to which the tests compare every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from flow.proof.netlist.aig import FALSE, TRUE, Aig, Literal, Word
from flow.proof.netlist.words import Function, Parameters, Ports, number


def _lut(size: int) -> Function:
    def work(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
        return {"O": [g.table(number(p.get("INIT", 0)), [ports[f"I{i}"][0] for i in range(size)])]}

    return work


def _lut6_2(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    truth, inputs = number(p.get("INIT", 0)), [ports[f"I{i}"][0] for i in range(6)]
    return {"O6": [g.table(truth, inputs)], "O5": [g.table(truth, inputs[:5])]}


def _chain(g: Aig, ports: Ports, carries: dict[int, Literal]) -> dict[str, Word]:
    """A carry chain; ``carries`` gives what enters at a position instead of the carry from the one below."""
    sums: Word = []
    out: Word = []
    for i, (select, data) in enumerate(zip(ports["S"], ports["DI"], strict=True)):
        carry = carries[i] if i in carries else out[-1]
        sums.append(g.differ(select, carry))
        out.append(g.choose(select, carry, data))
    return {"O": sums, "CO": out}


def _carry4(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    return _chain(g, ports, {0: g.either(ports["CI"][0], ports["CYINIT"][0])})


def _carry8(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    dual = p.get("CARRY_TYPE", "SINGLE_CY8") == "DUAL_CY4"
    return _chain(g, ports, {0: ports["CI"][0], **({4: ports["CI_TOP"][0]} if dual else {})})


def _select(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    return {"O": [g.choose(ports["S"][0], ports["I1"][0], ports["I0"][0])]}


CELLS: dict[str, Function] = {
    **{f"LUT{n}": _lut(n) for n in range(1, 7)},
    "LUT6_2": _lut6_2,
    "CARRY4": _carry4,
    "CARRY8": _carry8,
    "MUXF7": _select,
    "MUXF8": _select,
    "MUXF9": _select,
    "INV": lambda g, p, ports: {"O": [ports["I"][0] ^ 1]},
    "BUF": lambda g, p, ports: {"O": ports["I"]},
    "GND": lambda g, p, ports: {"G": [FALSE]},
    "VCC": lambda g, p, ports: {"P": [TRUE]},
}


@dataclass(frozen=True)
class FlipFlop:
    """A flip-flop of a netlist: what its set or reset pin is called, and the value that gives."""

    pin: str
    value: Literal
    asynchronous: bool = False


FLIP_FLOPS = {
    "FDRE": FlipFlop("R", FALSE),
    "FDSE": FlipFlop("S", TRUE),
    "FDCE": FlipFlop("CLR", FALSE, asynchronous=True),
    "FDPE": FlipFlop("PRE", TRUE, asynchronous=True),
}


def next_state(g: Aig, kind: str, p: Parameters, ports: Ports, state: Literal) -> Literal | None:
    """What a flip-flop holds after the clock's edge; None where it can change without one."""
    cell = FLIP_FLOPS[kind]
    data, reset = (ports[pin][0] ^ number(p.get(f"IS_{pin}_INVERTED", 0)) for pin in ("D", cell.pin))
    if cell.asynchronous and reset != FALSE:
        return None
    return g.choose(reset, cell.value, g.choose(ports["CE"][0], data, state))
