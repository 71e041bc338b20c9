"""The argmax head: a pipelined tournament of comparisons; the earlier logit wins a tie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow.core.fixed import Fixed
from flow.emit.rtl.expressions import Value, literal, part, resize
from flow.emit.templates import render
from flow.parallel.pipelining import Delays


@dataclass(frozen=True)
class Head:
    """The emitted head: Verilog text, output width, cycles and longest path."""

    text: str
    bits: int
    latency: int
    critical_path_ns: float


@dataclass(frozen=True)
class _Entry:
    value: Value
    index: Value


def argmax_module(module: str, formats: Sequence[Fixed], clock_period_ns: float, delays: Delays) -> Head:
    """A module that gives the index of the largest of the packed logits, aligned to their finest fraction."""
    finest = max(f.frac for f in formats)
    bits = max(f.bits + finest - f.frac + (not f.signed) for f in formats) or 1
    index_bits = max((len(formats) - 1).bit_length(), 1)
    level_ns = delays.adder(bits) + delays.lut + delays.net
    levels_per_stage = max(int((clock_period_ns - delays.register - delays.net) // level_ns), 1)
    body: list[str] = []
    registers: list[str] = []
    position = 0
    entries: list[_Entry] = []
    packed = Value("x", max(sum(f.bits for f in formats), 1), False)
    for j, fmt in enumerate(formats):
        raw = Value(f"x{j}", fmt.bits, fmt.signed)
        if fmt.bits:
            body.append(f"wire [{fmt.bits - 1}:0] x{j} = {part(packed, position, fmt.bits)};")
        body.append(f"wire signed [{bits - 1}:0] v0_{j} = {resize(raw, finest - fmt.frac, bits)};")
        entries.append(_Entry(Value(f"v0_{j}", bits, True), Value(literal(j, index_bits), index_bits, False)))
        position += fmt.bits
    latency, level = 0, 0
    while len(entries) > 1:
        level += 1
        registered = level % levels_per_stage == 0 or len(entries) == 2
        entries = _level(entries, level, registered, bits, index_bits, body, registers)
        latency += registered
    if latency == 0:
        body.append(f"reg  [{index_bits - 1}:0] only;")
        registers.append(f"only <= {entries[0].index.name};")
        entries, latency = [_Entry(entries[0].value, Value("only", index_bits, False))], 1
    text = render(
        "layer.v.j2",
        layer="argmax",
        design="the head",
        module=module,
        inputs=len(formats),
        neurons=1,
        latency=latency,
        summary=["v<l>_<j> and i<l>_<j> are the larger logit and its index after l rounds; the first wins a tie."],
        input_bits=packed.bits,
        output_bits=index_bits,
        body=body,
        registers=registers,
        outputs=[f"assign y = {entries[0].index.name};"],
    )
    return Head(text, index_bits, latency, min(level_ns * levels_per_stage, clock_period_ns))


def _level(
    entries: list[_Entry], level: int, registered: bool, bits: int, index_bits: int, body: list[str], regs: list[str]
) -> list[_Entry]:
    """One round of comparisons; with ``registered`` the winners go through registers."""
    result = []
    for k in range(0, len(entries), 2):
        pair = entries[k : k + 2]
        value, index = pair[0].value.name, pair[0].index.name
        if len(pair) == 2:
            right = f"r{level}_{k // 2}"
            body.append(f"wire {right} = {pair[1].value.name} > {value};")
            value, index = f"{right} ? {pair[1].value.name} : {value}", f"{right} ? {pair[1].index.name} : {index}"
        kind = "reg " if registered else "wire"
        names = f"v{level}_{k // 2}", f"i{level}_{k // 2}"
        for name, width, expression, sign in ((names[0], bits, value, "signed "), (names[1], index_bits, index, "")):
            body.append(f"{kind} {sign}[{width - 1}:0] {name}{'' if registered else f' = {expression}'};")
            if registered:
                regs.append(f"{name} <= {expression};")
        result.append(_Entry(Value(names[0], bits, True), Value(names[1], index_bits, False)))
    return result
