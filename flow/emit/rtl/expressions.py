"""Verilog expressions of exact width: every operand is extended explicitly, so nothing depends on context rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow.core.fixed import Fixed, bits_for
from flow.emit.layout import statement
from flow.parallel.graph import Node


@dataclass(frozen=True)
class Value:
    """A named Verilog vector: ``bits`` wide, two's complement if ``signed``."""

    name: str
    bits: int
    signed: bool


def port_bits(formats: Sequence[Fixed]) -> int:
    """Width of a packed port; a port without bits is one ignored bit wide."""
    return max(sum(f.bits for f in formats), 1)


def literal(value: int, bits: int) -> str:
    """``value`` modulo ``2**bits`` as a sized constant."""
    return f"{bits}'d{value % (1 << bits)}"


def number(value: int, bits: int) -> str:
    """``value`` modulo ``2**bits`` as a reader expects it, with a minus sign where it is negative."""
    return f"-{literal(-value, bits)}" if value < 0 else literal(value, bits)


def resize(value: Value, shift: int, bits: int) -> str:
    """``value << shift`` (negative: arithmetic right shift) as exactly ``bits`` bits, sign or zero extended."""
    if value.bits == 0:
        return literal(0, bits)
    low, pad = max(-shift, 0), max(shift, 0)
    if pad >= bits:
        return literal(0, bits)
    taken = min(value.bits - low, bits - pad)
    fill = bits - pad - max(taken, 0)
    parts = []
    if fill:
        sign = f"{value.name}[{value.bits - 1}]" if value.bits > 1 else value.name
        extension = sign if fill == 1 else f"{{{fill}{{{sign}}}}}"
        parts.append(extension if value.signed else literal(0, fill))
    if taken > 0:
        parts.append(part(value, low, taken))
    if pad:
        parts.append(literal(0, pad))
    return parts[0] if len(parts) == 1 else "{" + ", ".join(parts) + "}"


def part(value: Value, low: int, bits: int) -> str:
    """Bits ``low .. low+bits-1`` of a value."""
    if low == 0 and bits == value.bits:
        return value.name
    return f"{value.name}[{low}]" if bits == 1 else f"{value.name}[{low + bits - 1}:{low}]"


def sum_lines(node: Node, name: str, operands: list[Value]) -> list[str]:
    """Declare ``name`` as a sum node's value. Low bits that an addition cannot change bypass the carry chain."""
    bits = node.bits
    head = f"wire {'signed ' if node.signed else ''}[{bits - 1}:0] {name}"
    keep = _untouched_low_bits(node, operands)
    if not keep:
        return statement(f"{head} = {_total(node, operands, 0, bits)};")
    base, base_shift = _base(node, operands)
    if keep >= bits:
        return statement(f"{head} = {resize(base, base_shift, bits)};")
    return [
        *statement(f"wire [{bits - keep - 1}:0] {name}_h = {_total(node, operands, keep, bits - keep)};"),
        *statement(f"{head} = {{{name}_h, {resize(base, base_shift, keep)}}};"),
    ]


def quantize_lines(node: Node, name: str, source: Value, low: int, high: int) -> list[str]:
    """Declare ``name`` as a quantize node's value; ``low..high`` is the source's range after its term's shift."""
    term = node.terms[0]
    tie = node.half_even and node.drop > 0 and low % (1 << node.drop) == 0  # then the lowest result is even
    low, high = (v >> node.drop if node.drop > 0 else v << -node.drop for v in (low, high))
    low -= low % 2 if tie else 0
    signed, width = bits_for(low, high)
    dropped = node.drop - term.shift  # bits of the source
    halves = node.half_even and dropped > 0
    rounded = _half_even(source, dropped, width) if halves else resize(source, -dropped, width)
    lines = statement(f"wire [{width - 1}:0] {name}_r = {rounded};")
    r = Value(f"{name}_r", width, signed)
    choices = []
    if node.overflow != "SAT":  # the lowest bits are what it is modulo a power of two
        if node.overflow == "RELU_WRAP" and low < 0:
            choices.append(f"{_below(r, 0)} ? {number(0, node.bits)} : ")
        low, high = node.low, node.high
    if low < node.low:
        choices.append(f"{_below(r, node.low)} ? {number(node.low, node.bits)} : ")
    if high > node.high:
        choices.append(f"{_above(r, node.high)} ? {number(node.high, node.bits)} : ")
    return [*lines, *statement(f"wire [{node.bits - 1}:0] {name} = {''.join(choices)}{resize(r, 0, node.bits)};")]


def _half_even(source: Value, low: int, width: int) -> str:
    """The bits from ``low`` up, bit 0 cleared where all below are zero (the rounding constant makes those of a tie)."""
    last = f"{resize(source, -low, 1)} & |{part(source, 0, min(low, source.bits))}"
    return f"{{{resize(source, -low - 1, width - 1)}, {last}}}" if width > 1 else last


def _below(value: Value, limit: int) -> str:
    if not value.signed:
        return f"{value.name} < {literal(limit, value.bits)}"
    sign = part(value, value.bits - 1, 1)
    if limit == 0:
        return sign
    if limit < 0 and limit & -limit == -limit:  # -2**k: negative and not all bits from k up set
        k = (-limit).bit_length() - 1
        return f"{sign} & ~&{part(value, k, value.bits - k)}"
    return f"$signed({value.name}) < {_signed(limit, value.bits)}"


def _above(value: Value, limit: int) -> str:
    if limit >= 0 and limit & (limit + 1) == 0:  # 2**k - 1: not negative and a bit from k up set
        k = limit.bit_length()
        top = value.bits - (1 if value.signed else 0)
        reach = f"|{part(value, k, top - k)}"
        return f"~{part(value, value.bits - 1, 1)} & {reach}" if value.signed else reach
    if value.signed:
        return f"$signed({value.name}) > {_signed(limit, value.bits)}"
    return f"{value.name} > {literal(limit, value.bits)}"


def _signed(value: int, bits: int) -> str:
    """A signed constant within the range of ``bits`` bits, other than the lowest."""
    return f"-{bits}'sd{-value}" if value < 0 else f"{bits}'sd{value}"


def _base(node: Node, operands: list[Value]) -> tuple[Value, int]:
    """The one positive operand that reaches bit 0."""
    index = min(range(len(node.terms)), key=lambda i: node.terms[i].shift)
    return operands[index], node.terms[index].shift


def _untouched_low_bits(node: Node, operands: list[Value]) -> int:
    """How many low result bits are the low bits of a single positive operand."""
    if not node.terms:
        return 0
    index = min(range(len(node.terms)), key=lambda i: node.terms[i].shift)
    if node.terms[index].negative:
        return 0
    others = [t.shift for i, t in enumerate(node.terms) if i != index]
    if node.constant:
        others.append((node.constant & -node.constant).bit_length() - 1)
    return max(min(others, default=0), 0)


def _total(node: Node, operands: list[Value], drop: int, bits: int) -> str:
    """The sum with ``drop`` low bits removed from every operand, in ``bits`` bits."""
    text = ""
    for term, operand in zip(node.terms, operands, strict=True):
        signed_or_reaching = operand.signed or operand.bits + term.shift > drop
        if not signed_or_reaching:
            continue
        sign = " - " if term.negative else " + " if text else ""
        text += (sign if text or not term.negative else "-") + resize(operand, term.shift - drop, bits)
    constant = node.constant >> drop
    if constant:
        value = literal(abs(constant), bits)
        text += (" - " if constant < 0 else " + ") + value if text else literal(constant, bits)
    return text or literal(0, bits)
