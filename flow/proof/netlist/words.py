"""What Yosys' word-level cells compute, as bits of an and-inverter graph: the meaning of Verilog text read by Yosys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flow.proof.netlist.aig import FALSE, TRUE, Aig, Literal, Word

Ports = Mapping[str, Word]
Parameters = Mapping[str, Any]
Function = Callable[[Aig, Parameters, Ports], dict[str, Word]]


def number(value: Any) -> int:
    """A parameter of a Yosys cell: a binary string, or an integer; undefined bits count as 0."""
    return value if isinstance(value, int) else int(value.replace("x", "0").replace("z", "0") or "0", 2)


def extended(word: Word, width: int, signed: bool) -> Word:
    """``word`` at ``width`` bits: cut, or extended by its sign or by zeros."""
    fill = word[-1] if signed and word else FALSE
    return word[:width] + [fill] * (width - len(word))


def added(g: Aig, a: Word, b: Word, carry: Literal) -> tuple[Word, Literal]:
    """``a + b + carry`` at their width, and the carry out; built as a carry chain is."""
    total = []
    for one, two in zip(a, b, strict=True):
        differ = g.differ(one, two)
        total.append(g.differ(differ, carry))
        carry = g.choose(differ, carry, one)
    return total, carry


def summed(g: Aig, words: list[Word], width: int) -> Word:
    """The sum of words of ``width`` bits, modulo ``2**width``: three are made two until a carry chain can add them.

    A word of one bit is added as a carry into one of these additions, as the hardware's bit rows do.
    """
    singles = [w[0] for w in words if w[0] != FALSE and all(bit == FALSE for bit in w[1:])]
    wide = [w for w in words if any(bit != FALSE for bit in w[1:])]
    while len(singles) > max(len(wide) - 1, min(len(wide), 1)):
        wide.append([singles.pop(), *[FALSE] * (width - 1)])
    while len(wide) > 2:
        columns = list(zip(*wide[:3], strict=True))
        carries = [singles.pop(0) if singles else FALSE, *(g.majority(*column) for column in columns)][:width]
        wide = [carries, [g.differ(z, g.differ(y, x)) for x, y, z in columns], *wide[3:]]
    wide += [[FALSE] * width for _ in range(2 - len(wide))]
    return added(g, wide[0], wide[1], singles[0] if singles else FALSE)[0]


def _operands(p: Parameters, ports: Ports, width: int) -> tuple[Word, Word]:
    """Both operands at ``width`` bits; both count as signed only where both are."""
    signed = bool(number(p["A_SIGNED"]) and number(p["B_SIGNED"]))
    return extended(ports["A"], width, signed), extended(ports["B"], width, signed)


def _bitwise(gate: Callable[[Aig, Literal, Literal], Literal]) -> Function:
    def work(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
        a, b = _operands(p, ports, number(p["Y_WIDTH"]))
        return {"Y": [gate(g, x, y) for x, y in zip(a, b, strict=True)]}

    return work


def _unary(work: Callable[[Aig, Word], Word]) -> Function:
    def wide(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
        return {"Y": work(g, extended(ports["A"], number(p["Y_WIDTH"]), bool(number(p["A_SIGNED"]))))}

    return wide


def any_of(g: Aig, word: Word) -> Literal:
    """Whether a bit of ``word`` is true."""
    found = FALSE
    for bit in word:
        found = g.either(found, bit)
    return found


def all_of(g: Aig, word: Word) -> Literal:
    """Whether every bit of ``word`` is true."""
    return any_of(g, [b ^ 1 for b in word]) ^ 1


def _parity(g: Aig, word: Word) -> Literal:
    found = FALSE
    for bit in word:
        found = g.differ(bit, found)
    return found


def _truth(work: Callable[[Aig, Parameters, Ports], Literal]) -> Function:
    """A cell whose result is one bit, extended by zeros."""

    def wide(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
        return {"Y": extended([work(g, p, ports)], number(p["Y_WIDTH"]), False)}

    return wide


def _equal(g: Aig, p: Parameters, ports: Ports) -> Literal:
    a, b = _operands(p, ports, max(len(ports["A"]), len(ports["B"])))
    return any_of(g, [g.differ(x, y) for x, y in zip(a, b, strict=True)]) ^ 1


def _less(g: Aig, p: Parameters, ports: Ports) -> Literal:
    """``A < B``: the sign of ``A - B`` at one more bit than either has."""
    a, b = _operands(p, ports, max(len(ports["A"]), len(ports["B"])) + 1)
    return added(g, a, [x ^ 1 for x in b], TRUE)[0][-1]


def _swapped(work: Callable[[Aig, Parameters, Ports], Literal]) -> Callable[[Aig, Parameters, Ports], Literal]:
    return lambda g, p, ports: work(
        g, {**p, "A_SIGNED": p["B_SIGNED"], "B_SIGNED": p["A_SIGNED"]}, {"A": ports["B"], "B": ports["A"]}
    )


def _inverted(work: Callable[[Aig, Parameters, Ports], Literal]) -> Callable[[Aig, Parameters, Ports], Literal]:
    return lambda g, p, ports: work(g, p, ports) ^ 1


def _add(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    width = number(p["Y_WIDTH"])
    return {"Y": added(g, *_operands(p, ports, width), FALSE)[0]}


def _subtract(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    a, b = _operands(p, ports, number(p["Y_WIDTH"]))
    return {"Y": added(g, a, [x ^ 1 for x in b], TRUE)[0]}


def _negate(g: Aig, word: Word) -> Word:
    return added(g, [FALSE] * len(word), [b ^ 1 for b in word], TRUE)[0]


def _sum(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    width = number(p["Y_WIDTH"])
    words = [extended(ports[f"A{i}"], width, bool(s)) for i, s in enumerate(p["SIGNED"])]
    return {"Y": summed(g, words, width)}


def _multiply(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    width = number(p["Y_WIDTH"])
    a, b = _operands(p, ports, width)
    rows = [([FALSE] * i + [g.both(x, bit) for x in a])[:width] for i, bit in enumerate(b)]
    return {"Y": summed(g, rows, width)}


def _shifted(g: Aig, word: Word, by: Word, fill: Literal, left: bool) -> Word:
    """``word`` shifted by an unsigned number, stage by stage; what comes in is ``fill``."""
    width = len(word)
    for stage, bit in enumerate(by):
        step = min(1 << stage, width)
        moved = [fill] * step + word[: width - step] if left else word[step:] + [fill] * step
        word = [g.choose(bit, m, w) for m, w in zip(moved, word, strict=True)]
    return word


def _shift(left: bool, arithmetic: bool) -> Function:
    def work(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
        width, signed = number(p["Y_WIDTH"]), bool(number(p["A_SIGNED"]))
        wide = extended(ports["A"], max(width, len(ports["A"])), signed)
        fill = wide[-1] if arithmetic and signed and not left else FALSE
        return {"Y": _shifted(g, wide, ports["B"], fill, left)[:width]}

    return work


def _shift_by(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    """``$shift``: by a number that is negative for a shift to the left where it is signed."""
    width, by = number(p["Y_WIDTH"]), ports["B"]
    word = extended(ports["A"], max(width, len(ports["A"])), bool(number(p["A_SIGNED"])))
    right = _shifted(g, word, by, FALSE, left=False)[:width]
    if not number(p["B_SIGNED"]):
        return {"Y": right}
    back = _shifted(g, word, _negate(g, by), FALSE, left=True)[:width]
    return {"Y": [g.choose(by[-1], x, y) for x, y in zip(back, right, strict=True)]}


def _select(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    """``$shiftx``: as ``$shift``, but what is selected beyond A is undefined."""
    over = [g.undefined() for _ in range(number(p["Y_WIDTH"]))]
    inside = _shift_by(g, p, {**ports, "A": [TRUE] * len(ports["A"])})["Y"]
    return {"Y": [g.choose(i, y, o) for i, y, o in zip(inside, _shift_by(g, p, ports)["Y"], over, strict=True)]}


def _mux(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    return {"Y": [g.choose(ports["S"][0], one, zero) for zero, one in zip(ports["A"], ports["B"], strict=True)]}


def _pmux(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    """The part of B whose select is true, A without any; of several, which is undefined, the first."""
    word, width = ports["A"], len(ports["A"])
    for i in reversed(range(len(ports["S"]))):
        part = ports["B"][i * width : (i + 1) * width]
        word = [g.choose(ports["S"][i], one, zero) for one, zero in zip(part, word, strict=True)]
    return {"Y": word}


def _bmux(g: Aig, p: Parameters, ports: Ports) -> dict[str, Word]:
    word, width = ports["A"], number(p["WIDTH"])
    for bit in reversed(ports["S"]):
        half = len(word) // 2
        word = [g.choose(bit, one, zero) for zero, one in zip(word[:half], word[half:], strict=True)]
    return {"Y": word[:width]}


WORDS: dict[str, Function] = {
    "$and": _bitwise(Aig.both),
    "$or": _bitwise(Aig.either),
    "$xor": _bitwise(Aig.differ),
    "$xnor": _bitwise(lambda g, a, b: g.differ(a, b) ^ 1),
    "$not": _unary(lambda g, a: [b ^ 1 for b in a]),
    "$pos": _unary(lambda g, a: a),
    "$buf": _unary(lambda g, a: a),
    "$neg": _unary(_negate),
    "$reduce_and": _truth(lambda g, p, ports: all_of(g, ports["A"])),
    "$reduce_or": _truth(lambda g, p, ports: any_of(g, ports["A"])),
    "$reduce_bool": _truth(lambda g, p, ports: any_of(g, ports["A"])),
    "$reduce_xor": _truth(lambda g, p, ports: _parity(g, ports["A"])),
    "$reduce_xnor": _truth(lambda g, p, ports: _parity(g, ports["A"]) ^ 1),
    "$logic_not": _truth(lambda g, p, ports: any_of(g, ports["A"]) ^ 1),
    "$logic_and": _truth(lambda g, p, ports: g.both(any_of(g, ports["A"]), any_of(g, ports["B"]))),
    "$logic_or": _truth(lambda g, p, ports: g.either(any_of(g, ports["A"]), any_of(g, ports["B"]))),
    "$eq": _truth(_equal),
    "$eqx": _truth(_equal),
    "$ne": _truth(_inverted(_equal)),
    "$nex": _truth(_inverted(_equal)),
    "$lt": _truth(_less),
    "$gt": _truth(_swapped(_less)),
    "$ge": _truth(_inverted(_less)),
    "$le": _truth(_inverted(_swapped(_less))),
    "$add": _add,
    "$sum": _sum,
    "$sub": _subtract,
    "$mul": _multiply,
    "$shl": _shift(left=True, arithmetic=False),
    "$sshl": _shift(left=True, arithmetic=False),
    "$shr": _shift(left=False, arithmetic=False),
    "$sshr": _shift(left=False, arithmetic=True),
    "$shift": _shift_by,
    "$shiftx": _select,
    "$mux": _mux,
    "$pmux": _pmux,
    "$bmux": _bmux,
}
