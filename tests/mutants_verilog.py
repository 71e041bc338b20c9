"""Mutation operators for Verilog as this project emits it."""

from __future__ import annotations

import itertools
import random
import re

from mutants import Edit, Operator, Site, blanked, closing, negated, nudged, replaced, spans, swapped

# Definitions for the proof are no part of the hardware, and a loop that does not end is a hang of its compiler.
_FORMAL = r"^`ifdef FORMAL$.*?^`(?:endif|else)$"
_NAME = r"[A-Za-z_]\w*"
_ASSIGNED = rf"^ *(?:assign {_NAME}(?:\[(\d+)(?::(\d+))?\])?|wire (?:signed )?(?:\[(\d+):0\] )?{_NAME}) = ([^;\n]+);"
_MOST_CYCLES = 2000  # after which a delayed fault shows
_WATCHED = 12  # bits of a rare pattern


def mask(text: str) -> str:
    """The text without comments, texts, attributes, directives, heads of loops and definitions for the proof."""
    return blanked(text, r"//[^\n]*", r'"[^"\n]*"', r"\(\* .*? \*\)", _FORMAL, r"^`[^\n]*$", r"for \([^)\n]*\)")


def _flipped(match: re.Match[str], rng: random.Random) -> str:
    width, base = int(match[1]), {"b": 2, "d": 10, "h": 16}[match[3]]
    value = int(match[4], base) ^ 1 << rng.randrange(width)
    digits = {2: f"{value:b}", 10: f"{value}", 16: f"{value:x}"}[base]
    return f"{width}'{match[2]}{match[3]}{digits.zfill(len(match[4]) if base != 10 else 1)}"


_CONSTANT = r"(?<![\w'])(\d+)'(s?)([bdh])([0-9a-fA-F]+)\b"


def _constants(text: str, mask: str, rng: random.Random) -> list[Site]:
    return replaced(_CONSTANT, _flipped)(text, blanked(mask, r"^ *memory\[[^\n]*$"), rng)


def _memory(text: str, mask: str, rng: random.Random) -> list[Site]:
    rest = blanked(mask, r"^(?! *memory\[)[^\n]*$")
    return replaced(_CONSTANT, _flipped)(text, rest, rng)


def _slices(text: str, mask: str, rng: random.Random) -> list[Site]:
    """A slice or an index, one bit further up or down."""
    found: list[Site] = []
    for m in spans(r"(?<!memory)(?<=\w)\[(\d+)(?::(\d+))?\](?! = \d+'h)|(?<=\[)(\d+)(?=\+:)", mask):
        if m[3]:
            found.append((Edit(m.start(), m.end(), nudged(m, rng)),))
            continue
        ends = [int(v) for v in m.groups()[:2] if v]
        step = 1 if min(ends) == 0 or rng.random() < 0.5 else -1
        found.append((Edit(m.start(), m.end(), f"[{':'.join(str(v + step) for v in ends)}]"),))
    return found


def _declared(mask: str, keyword: str = "reg") -> dict[str, tuple[re.Match[str], str]]:
    """Names declared alone in a line: where, and with what sign and range."""
    pattern = rf"^ *{keyword} +((?:signed )?(?:\[[^\]\n]*\] )?)({_NAME});"
    return {m[2]: (m, m[1]) for m in spans(pattern, mask)}


def _register_removed(text: str, mask: str, rng: random.Random) -> list[Site]:
    """A register becomes a wire that carries what it would have taken."""
    found: list[Site] = []
    end = mask.rfind("endmodule")
    for name, (where, form) in _declared(mask).items():
        taken = spans(rf"\b{name} <= ([^;\n]+);", mask)
        if len(taken) == 1:
            wire = Edit(where.start(), where.end(), f"    wire {form}{name};")
            gone = Edit(taken[0].start(), taken[0].end(), ";")
            found.append((wire, gone, Edit(end, end, f"    assign {name} = {taken[0][1]};\n")))
    return found


def _register_added(text: str, mask: str, rng: random.Random) -> list[Site]:
    """A register's value comes one cycle later."""
    found: list[Site] = []
    for name, (where, form) in _declared(mask).items():
        for m in spans(rf"\b{name} <= ([^;\n]+);", mask):
            late = Edit(where.end(), where.end(), f"\n    reg {form}{name}_mutant;")
            two = f"begin {name}_mutant <= {m[1]}; {name} <= {name}_mutant; end"
            found.append((Edit(m.start(), m.end(), two), late))
    return found


def _statement_removed(text: str, mask: str, rng: random.Random) -> list[Site]:
    pattern = rf"\b{_NAME}(?:\[[^\]\n;]*\])? <= [^;\n]+;(?! *{_NAME} = )"
    return [(Edit(m.start(), m.end(), ";"),) for m in spans(pattern, mask)]


def _reset(text: str, mask: str, rng: random.Random) -> list[Site]:
    """A reset that never comes, at one of the places where it is looked at."""
    idle = {"rst": "1'b0", "aresetn": "1'b1", "soft_reset": "1'b0", "clear": "1'b0"}
    return [
        (Edit(m.start(), m.end(), idle[m[0]]),)
        for m in spans(rf"(?<![\w.])(?:{'|'.join(idle)})\b(?! <=)", mask)
        if not re.search(r"(wire|reg) +$", mask[: m.start()])
    ]


def _connections(text: str, mask: str, rng: random.Random) -> list[Site]:
    """What two neighbouring ports of an instance are connected to, exchanged."""
    ports = [(m.end(), closing(mask, m.end()), m.start()) for m in spans(rf"\.{_NAME}\(", mask)]
    return [
        (Edit(a[0], a[1], text[b[0] : b[1]]), Edit(b[0], b[1], text[a[0] : a[1]]))
        for a, b in itertools.pairwise(ports)
        if not mask[a[1] + 1 : b[2]].strip(", \n")
    ]


def _operand(text: str, mask: str, rng: random.Random) -> list[Site]:
    """A vector in an expression becomes another one of the same width."""
    alike: dict[str, list[str]] = {}
    for m in spans(rf"\b(?:wire|reg) +(?:signed )?(\[[^\]\n]*\] |)({_NAME})(?=;| =|,|\n)", mask):
        alike.setdefault(m[1], []).append(m[2])
    found: list[Site] = []
    for names in alike.values():
        for name in names if len(names) > 1 else ():
            for m in spans(r"(?<=[\w\]] = )[^;\n]*|(?<=<= )[^;\n]*|(?<=\()[^()\n]*(?=\))", mask):
                for use in re.finditer(rf"(?<![\w.$']){name}\b(?!\()", m[0]):
                    other = rng.choice([n for n in names if n != name])
                    found.append((Edit(m.start() + use.start(), m.start() + use.end(), other),))
    return found


def _inverted(match: re.Match[str], when: str, rng: random.Random) -> Edit:
    """One bit of what a line of ``_ASSIGNED`` assigns is inverted ``when`` something is so."""
    high, low = int(match[1] or match[3] or 0), int(match[2] or match[1] or 0)
    place = rng.randrange(high - low + 1)
    wrong = f"{{({when}), {place}'d0}}" if place else f"({when})"
    return Edit(match.start(4), match.end(4), f"({match[4]}) ^ {wrong}")


def _rare_pattern(text: str, mask: str, rng: random.Random) -> list[Site]:
    """A bit of a value is inverted while some bits of a vector match a pattern."""
    vectors = [
        (m[2], int(m[1]) + 1)
        for m in spans(rf"\b(?:wire|reg) +(?:signed )?\[(\d+):0\] ({_NAME})(?=;| =|,|\n)", mask)
        if int(m[1]) >= 7
    ]
    if not vectors:
        return []
    found: list[Site] = []
    for m in spans(_ASSIGNED, mask):
        name, width = rng.choice(vectors)
        watched = min(width, _WATCHED)
        low = rng.randrange(width - watched + 1)
        hit = f"{name}[{low}+:{watched}] == {watched}'d{rng.randrange(1 << watched)}"
        found.append((_inverted(m, hit, rng),))
    return found


def _delayed(text: str, mask: str, rng: random.Random) -> list[Site]:
    """A bit of a value is inverted from a number of cycles, of events or of cycles without an event on."""
    header = mask.find("\n);")
    clocks = spans(r"input  ?wire (a?clk)\b", mask)
    if header < 0 or not clocks:
        return []
    events = ["1'b1", *(m[1] for m in spans(rf"input  ?wire ({_NAME})(?=,|\n)", mask) if m[1] != clocks[0][1])]
    found: list[Site] = []
    for m in spans(_ASSIGNED, mask):
        count, event = int(16 * (_MOST_CYCLES / 16) ** rng.random()), rng.choice(events)
        after = f"{event} ? 0 : mutant + 1" if event != "1'b1" and rng.random() < 0.5 else f"mutant + {event}"
        body = f"\n    integer mutant = 0;\n    always @(posedge {clocks[0][1]}) mutant <= {after};"
        found.append((
            _inverted(m, f"mutant > {count}", rng),
            Edit(header + 3, header + 3, body),
        ))  # fmt: skip
    return found


_SWAPS = {
    " + ": (" - ",), " - ": (" + ",), " && ": (" || ",), " || ": (" && ",), " & ": (" | ", " ^ "),
    " | ": (" & ", " ^ "), " ^ ": (" & ", " | "), " << ": (" >> ",), " * ": (" + ",),
}  # fmt: skip
_COMPARISONS = {
    " == ": (" != ", " < "), " != ": (" == ",), " < ": (" <= ", " > "), " > ": (" >= ", " < "), " >= ": (" > ",),
}  # fmt: skip

OPERATORS: dict[str, Operator] = {
    "constant bit": _constants,
    "memory bit": _memory,
    "operator": swapped(_SWAPS),
    "comparison": swapped(_COMPARISONS),
    "slice": _slices,
    "sign": replaced(r"\bsigned |\$signed(?=\()", lambda m, rng: ""),
    "register removed": _register_removed,
    "register added": _register_added,
    "statement removed": _statement_removed,
    "condition": negated,
    "inversion": replaced(r"(?<![&|^])[~!](?=[\w(&|])", lambda m, rng: ""),
    "reset": _reset,
    "parameter": replaced(r"(?<=[A-Z]\()\d+(?=\))", nudged),
    "number": replaced(r"(?<=[ {])\d+(?=[ ;,){])", nudged),
    "connections": _connections,
    "operand": _operand,
    "clock edge": replaced(r"\bposedge\b", lambda m, rng: "negedge"),
    "rare pattern": _rare_pattern,
    "delayed fault": _delayed,
}
