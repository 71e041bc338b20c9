"""Verilog of rows of bits and of tables.

A row is wiring below the first addition, then one carry chain (``nmp_row.v``, ``nmp_atoms.v``, ``nmp_carried.v``) or a
plain ``+``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flow.core.errors import DesignError
from flow.emit.layout import instance, statement
from flow.emit.rtl.expressions import Value, literal, part
from flow.emit.templates import render, static
from flow.parallel.atoms import FULL_ADDER, PLACES, Atoms, places
from flow.parallel.graph import ZERO, Bit, LayerGraph, Node, plain_addition, row_start
from flow.parallel.lut_networks import bit_functions
from flow.parts.family import Family

LANES = 3
_ROW, _SUM = "nmp_row", "nmp_sum"  # with and without the two single bits at the end of the chain
_TABLE = "nmp_table"
_ATOMS, _CARRIED, _FULL_ADDER = "nmp_atoms", "nmp_carried", "nmp_full_adder"
ROW_FILE, SUM_FILE, ATOMS_FILE, FULL_ADDER_FILE = f"{_ROW}.v", f"{_SUM}.v", f"{_ATOMS}.v", f"{_FULL_ADDER}.v"
CARRIED_FILE, TABLE_FILE = f"{_CARRIED}.v", f"{_TABLE}.v"
_GROUPS: dict[Atoms, int] = {(2,): 1, (2, 2): 2, (4, 1): 4, (5, 0): 5}  # digits of ``nmp_carried.v``
Lane = list[Bit]


def row_lines(node: Node, name: str, values: Mapping[int, Value]) -> list[str]:
    """Declare ``name`` as a row's value; ``values`` gives each operand by its node."""
    start, head = row_start(node), f"wire {'signed ' if node.signed else ''}[{node.bits - 1}:0] {name}"
    low = [column[0] if column else ZERO for column in node.columns[: min(start, node.bits)]]
    if start >= len(node.columns):
        return statement(f"{head} = {_vector(low + [ZERO] * (node.bits - len(low)), values)};")
    if node.carried:
        return _chain(node, 0, name, head, values)
    bits = node.bits - start
    result = f"{name}_h" if start else name
    write = _chain if node.atoms else _addition
    lines = write(node, start, result, head if not start else f"wire [{bits - 1}:0] {result}", values)
    return lines if not start else [*lines, *statement(f"{head} = {{{result}, {_vector(low, values)}}};")]


def modules(graphs: Sequence[LayerGraph], family: Family) -> dict[str, str]:
    """The modules that the graphs' rows and tables are made of, by file."""
    nodes = [node for graph in graphs for node in graph.nodes]
    found = row_modules(family) if any(has_chain(node) for node in nodes) else {}
    used = {_chain_file(node) for node in nodes if node.atoms}
    found |= {file: text for file, text in atoms_modules(family).items() if file in used}
    return found | (table_modules(family) if any(node.kind == "table" for node in nodes) else {})


def row_modules(family: Family) -> dict[str, str]:
    """The modules of a row's addition by file, from primitives of ``family`` or, where it has none, a plain sum."""
    row = render("nmp_row.v.j2", carry=family.carry_bits, parts=family.title)
    return {ROW_FILE: row, SUM_FILE: static(SUM_FILE)}


def atoms_modules(family: Family) -> dict[str, str]:
    """The modules of chains of atoms, without and with carried columns, and of a full adder, in the same way."""
    return {
        file: render(f"{template}.j2", carry=family.carry_bits, parts=family.title, groups=file == CARRIED_FILE)
        for file, template in ((ATOMS_FILE,) * 2, (CARRIED_FILE, ATOMS_FILE), (FULL_ADDER_FILE,) * 2)
    }


def table_modules(family: Family) -> dict[str, str]:
    """The module of a table by file, in the same way."""
    return {TABLE_FILE: render(f"{TABLE_FILE}.j2", carry=family.carry_bits, parts=family.title)}


def _chain_file(node: Node) -> str:
    if node.carried:
        return CARRIED_FILE
    return FULL_ADDER_FILE if node.atoms == FULL_ADDER else ATOMS_FILE


def table_lines(node: Node, name: str, values: Mapping[int, Value]) -> list[str]:
    """Declare ``name`` as a table's value: a table per result bit, of the bits of the index that it depends on."""
    lines = [f"wire {'signed ' if node.signed else ''}[{node.bits - 1}:0] {name};"]
    for bit, (support, entries) in enumerate(bit_functions(node.table)):
        index, target = [node.columns[i][0] for i in support], f"{name}[{bit}]"
        if len(support) < 2:
            one = _vector([replace(b, inverted=b.inverted != bool(entries[0])) for b in index], values)
            lines.append(f"assign {target} = {one if support else literal(entries[0], 1)};")
            continue
        digits = sum(value << i for i, value in enumerate(entries))
        width = len(entries)
        parameters = [f".N({len(support)})", f".M({width})", f".T({width}'h{digits:0{-(-width // 4)}x})"]
        ports = [f".x({_vector(index, values)})", f".y({target})"]
        lines += instance(_TABLE, f"{name}_t{bit}", parameters, ports)
    return lines


def has_chain(node: Node) -> bool:
    """Whether a row becomes an instance of ``nmp_row``."""
    return node.kind == "row" and not node.atoms and not plain_addition(node.columns)


def _chain(node: Node, start: int, name: str, head: str, values: Mapping[int, Value]) -> list[str]:
    """Add the columns from ``start`` on into ``name``, declared by ``head``, on a chain of atoms."""
    bits, width = node.bits - start, len(node.atoms)
    carry, passed, held = places(node)
    lanes = [held[i::PLACES] for i in range(PLACES)]
    if node.atoms == FULL_ADDER:
        parameters = _mask("N", held)
        ports = [f".x({_vector(held, values, False)})", f".y({name})"]
        return [f"{head};", *instance(_FULL_ADDER, f"{name}_row", parameters, ports)]
    given = min(bits, width + 1)
    digits = "".join(f"{digit:x}" for digit in reversed(node.atoms))
    parameters = [f".W({width})", *([f".Y({given})"] if given <= width else [])]
    parameters += [".D(1)"] if carry != ZERO and not passed else []
    parameters += [f".K({4 * width}'h{digits})", *_masks(lanes)]
    ports = [*_lane_ports(lanes, values), f".d({_vector([carry], values)})"]
    if passed:
        groups = len(node.carried)
        kinds = "".join(f"{_GROUPS[group]:x}" for group in reversed(node.carried))
        parameters += [f".G({groups})", f".KX({4 * groups}'h{kinds})", *_mask("NX", passed)]
        ports.append(f".x({_vector(passed, values, False)})")
    result = f"{name}[{given - 1}:0]" if given < bits else name
    lines = [
        f"{head};",
        *instance(_CARRIED if passed else _ATOMS, f"{name}_row", parameters, [*ports, f".y({result})"]),
    ]
    if given < bits:
        lines.append(f"assign {name}[{bits - 1}:{given}] = {literal(0, bits - given)};")
    return lines


def _addition(node: Node, start: int, name: str, head: str, values: Mapping[int, Value]) -> list[str]:
    """Add the columns from ``start`` on into ``name``, declared by ``head``."""
    bits = node.bits - start
    columns = node.columns[start : start + 1 + max(c for c, column in enumerate(node.columns[start:]) if column)]
    if not has_chain(node):
        first, second = _two_operands(columns, bits)
        return statement(f"{head} = {_vector(first, values)} + {_vector(second, values)};")
    ends, lanes = _lanes(columns)
    width, given = len(columns), min(bits, len(columns) + 2)
    parameters = [f".W({width})", *([f".Y({given})"] if given < width + 2 else [])]
    parameters += _masks(lanes)
    ports = _lane_ports(lanes, values)
    single = [f".{x}({_vector([bit], values)})" for x, bit in zip("de", ends, strict=True)]
    result = f"{name}[{given - 1}:0]" if given < bits else name
    module, ports = (_SUM, ports) if ends == [ZERO, ZERO] else (_ROW, ports + single)
    lines = [f"{head};", *instance(module, f"{name}_row", parameters, [*ports, f".y({result})"])]
    if given < bits:
        lines.append(f"assign {name}[{bits - 1}:{given}] = {literal(0, bits - given)};")
    return lines


def _mask(name: str, bits: Sequence[Bit]) -> list[str]:
    """The parameter with a 1 for every bit that is taken inverted; none where no bit is."""
    mask = sum((bit.inverted and not bit.constant) << i for i, bit in enumerate(bits))
    return [f".{name}({len(bits)}'b{mask:0{len(bits)}b})"] if mask else []


def _masks(lanes: Sequence[Sequence[Bit]]) -> list[str]:
    """The parameters that say which bits of lanes a, b and c are taken inverted."""
    return [parameter for x, lane in zip("ABC", lanes, strict=True) for parameter in _mask(f"N{x}", lane)]


def _lane_ports(lanes: Sequence[Sequence[Bit]], values: Mapping[int, Value]) -> list[str]:
    return [f".{x}({_vector(lane, values, False)})" for x, lane in zip("abc", lanes, strict=True)]


def _two_operands(columns: Sequence[Sequence[Bit]], bits: int) -> tuple[Lane, Lane]:
    """The bits as two operands of ``bits`` bits; inverted ones are in the second."""
    first, second = [ZERO] * bits, [ZERO] * bits
    for c, column in enumerate(columns):
        ordered = sorted(column, key=lambda b: (b.inverted and not b.constant, b.constant))
        if len(ordered) == 1 and ordered[0].inverted and not ordered[0].constant:
            ordered.insert(0, ZERO)
        for lane, bit in zip((first, second), ordered, strict=False):
            lane[c] = bit
    return first, second


def _lanes(columns: Sequence[Sequence[Bit]]) -> tuple[list[Bit], list[Lane]]:
    """The two bits at the end of the chain and the three operands; a value's bits stay in one operand."""
    rest = list(columns[0])
    free = [b for b in rest if b.constant or not b.inverted][: max(len(rest) - LANES, 0)]
    for bit in free:
        rest.remove(bit)
    lanes: list[Lane] = [[] for _ in range(LANES)]
    for c, column in enumerate([rest, *columns[1:]]):
        if len(column) > LANES:
            raise DesignError(f"a row of bits has {len(column)} bits in one column, more than a carry chain adds")
        waiting = list(column)
        for lane in lanes:
            following = [b for b in waiting if c and (b.node, b.index) == (lane[-1].node, lane[-1].index + 1)]
            lane.append(following[0] if following else ZERO)
            if following:
                waiting.remove(following[0])
        empty = [lane for lane in lanes if lane[-1] == ZERO]
        for lane, bit in zip(empty, waiting, strict=False):
            lane[-1] = bit
    return [*free, ZERO, ZERO][:2], lanes


def _vector(lane: Sequence[Bit], values: Mapping[int, Value], invert: bool = True) -> str:
    """Bits, lowest first, as a Verilog expression; inverted ones get a ``~`` if ``invert``."""
    pieces: list[str] = []
    i = 0
    while i < len(lane):
        j = i + 1
        while j < len(lane) and _continues(lane[i], lane[j], j - i, invert):
            j += 1
        pieces.append(_slice(lane[i:j], values, invert))
        i = j
    return pieces[0] if len(pieces) == 1 else "{" + ", ".join(reversed(pieces)) + "}"


def _continues(first: Bit, bit: Bit, distance: int, invert: bool) -> bool:
    if first.constant or bit.constant:
        return first.constant and bit.constant
    return (
        bit.node == first.node
        and bit.index == first.index + distance
        and (bit.inverted == first.inverted or not invert)
    )


def _slice(bits: Sequence[Bit], values: Mapping[int, Value], invert: bool) -> str:
    if bits[0].constant:
        return f"{len(bits)}'b{sum(b.inverted << i for i, b in enumerate(bits)):b}"
    text = part(values[bits[0].node], bits[0].index, len(bits))
    return f"~{text}" if invert and bits[0].inverted else text
