"""The argmax head: a pipelined tournament of comparisons; the earlier logit wins a tie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow.core.fixed import Fixed
from flow.emit.layout import statement
from flow.emit.rtl.expressions import Value, literal, part, resize
from flow.emit.rtl.sections import RULE, Section
from flow.emit.templates import render
from flow.parts.family import Delays


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


def argmax_module(
    module: str, formats: Sequence[Fixed], clock_period_ns: float, delays: Delays, every_level: bool = False
) -> Head:
    """A module that gives the index of the largest of the packed logits, aligned to their finest fraction.

    Rounds of comparisons go into registers as the clock asks, or ``every_level`` of them.
    """
    finest = max(f.frac for f in formats)
    bits = max(f.bits + finest - f.frac + (not f.signed) for f in formats) or 1
    index_bits = max((len(formats) - 1).bit_length(), 1)
    level_ns = delays.adder(bits) + delays.lut + delays.net
    levels_per_stage = 1 if every_level else max(int((clock_period_ns - delays.register - delays.net) // level_ns), 1)
    sections = [Section([f"{RULE} Logits, aligned to the finest fraction {RULE}"])]
    logits = sections[0].stage(0).body
    position = 0
    entries: list[_Entry] = []
    packed = Value("x", max(sum(f.bits for f in formats), 1), False)
    for j, fmt in enumerate(formats):
        raw = Value(f"x{j}", fmt.bits, fmt.signed)
        if fmt.bits:
            logits.append(f"wire [{fmt.bits - 1}:0] x{j} = {part(packed, position, fmt.bits)};  // {fmt}")
        logits += statement(f"wire signed [{bits - 1}:0] v0_{j} = {resize(raw, finest - fmt.frac, bits)};")
        entries.append(_Entry(Value(f"v0_{j}", bits, True), Value(literal(j, index_bits), index_bits, False)))
        position += fmt.bits
    latency, level = 0, 0
    while len(entries) > 1:
        level += 1
        registered = level % levels_per_stage == 0 or len(entries) == 2
        told = ", into registers" if registered else ""
        sections.append(Section([f"{RULE} Round {level}: {len(entries)} values{told} {RULE}"]))
        entries = _level(entries, level, registered, bits, index_bits, sections[-1])
        latency += registered
    last = Section([f"{RULE} Output {RULE}"])
    sections.append(last)
    if latency == 0:
        last.stage(0).registers.append(f"reg  [{index_bits - 1}:0] only;")
        last.stage(0).updates.append(f"only <= {entries[0].index.name};")
        entries, latency = [_Entry(entries[0].value, Value("only", index_bits, False))], 1
    last.stage(0).body.append(f"assign y = {entries[0].index.name};")
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
        sections=sections,
    )
    return Head(text, index_bits, latency, min(level_ns * levels_per_stage, clock_period_ns))


def _level(
    entries: list[_Entry], level: int, registered: bool, bits: int, index_bits: int, section: Section
) -> list[_Entry]:
    """One round of comparisons; with ``registered`` the winners go through registers."""
    tests, winners = section.stage(0), section.stage(1)
    result = []
    for k in range(0, len(entries), 2):
        pair = entries[k : k + 2]  # of an odd number the last one waits
        value, index = pair[0].value.name, pair[0].index.name
        if len(pair) == 2:
            right = f"r{level}_{k // 2}"
            tests.body.append(f"wire {right} = {pair[1].value.name} > {value};")
            value, index = f"{right} ? {pair[1].value.name} : {value}", f"{right} ? {pair[1].index.name} : {index}"
        names = f"v{level}_{k // 2}", f"i{level}_{k // 2}"
        for name, width, expression, sign in ((names[0], bits, value, "signed "), (names[1], index_bits, index, "")):
            if registered:
                winners.registers.append(f"reg  {sign}[{width - 1}:0] {name};")
                winners.updates.append(f"{name} <= {expression};")
            else:
                winners.body.append(f"wire {sign}[{width - 1}:0] {name} = {expression};")
        result.append(_Entry(Value(names[0], bits, True), Value(names[1], index_bits, False)))
    return result
