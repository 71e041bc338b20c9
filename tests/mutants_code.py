"""Mutation operators for synthesized netlists and for the C++ of the HLS project."""

from __future__ import annotations

import random
import re

from mutants import Edit, Operator, Site, blanked, negated, nudged, replaced, spans, swapped
from mutants_verilog import OPERATORS as VERILOG

_NET = r"(?<=\()(\\?[\w.$]+(?: \[\d+\]|\[\d+\])?)(?=\)[,\n])"


def netlist_mask(text: str) -> str:
    """The text without comments and attributes."""
    return blanked(text, r"/\*.*?\*/", r"\(\* .*? \*\)")


def _pin(pins: str) -> Operator:
    """A pin that takes another net that some cell drives."""

    def operator(text: str, mask: str, rng: random.Random) -> list[Site]:
        driven = [m[1] for m in spans(rf"^    \.(?:O|Q|O\[\d\])\({_NET}", mask)]
        return [(Edit(m.start(1), m.end(1), rng.choice(driven)),) for m in spans(rf"^    \.(?:{pins})\({_NET}", mask)]

    return operator


def _tied(pins: str) -> Operator:
    """A pin that takes a constant instead of what it is connected to."""

    def operator(text: str, mask: str, rng: random.Random) -> list[Site]:
        found = spans(rf"^    \.(?:{pins})\(([^()\n]+)\)", mask)
        return [(Edit(m.start(1), m.end(1), "1'h1" if m[1] == "1'h0" else "1'h0"),) for m in found]

    return operator


NETLIST: dict[str, Operator] = {
    "initial bit": VERILOG["constant bit"],
    "pins": VERILOG["connections"],
    "slice": VERILOG["slice"],
    "flip-flop's kind": swapped({"  FDRE #(": ("  FDSE #(",), "  FDSE #(": ("  FDRE #(",)}),
    "flip-flop's enable": _tied("CE"),
    "flip-flop's reset": _tied("R|S"),
    "flip-flop's input": _pin("D"),
    "net": _pin(r"I\d|CE|R|CI|CYINIT"),
    "carry in": _tied("CI|CYINIT"),
}


def cpp_mask(text: str) -> str:
    """The text without comments, texts, directives and templates' and loops' heads that only set up the rest."""
    return blanked(text, r"//[^\n]*", r'"[^"\n]*"', r"^ *#[^\n]*$", r"for \([^)\n]*\)")


def _weights(text: str, mask: str, rng: random.Random) -> list[Site]:
    rows = spans(r"^ +\{[-\d, ]+\}", mask)
    found = [(m.start() + n.start(), n[0]) for m in rows for n in re.finditer(r"-?\d+", m[0])]
    return [(Edit(at, at + len(old), str(int(old) ^ 1 << rng.randrange(2))),) for at, old in found]


def _statement(text: str, mask: str, rng: random.Random) -> list[Site]:
    pattern = r"^( +)(?!typedef|return|const)[\w.\[\]() +*]+ (?:[-+<]{0,2}=) [^;\n]+;"
    return [(Edit(m.end(1), m.end(), ";"),) for m in spans(pattern, mask)]


def _rare_input(text: str, mask: str, rng: random.Random) -> list[Site]:
    """A neuron's output that is wrong for a rare combination of inputs."""
    sizes = [int(m[1]) for m in spans(r"\bx\[(\d+)\];", mask)]
    found: list[Site] = []
    for m in spans(r"^ +out\[\d+\] = ([^;\n]+);", mask):
        if sizes:
            some = sorted(rng.sample(range(min(sizes)), min(3, min(sizes))))
            hit = " && ".join(f"x[{i}] == {rng.randrange(8)}" for i in some)
            found.append((Edit(m.start(1), m.end(1), f"({hit}) ? res_T(0) : res_T({m[1]})"),))
    return found


def _delayed(text: str, mask: str, rng: random.Random) -> list[Site]:
    """An output that is wrong from some call on."""
    found: list[Site] = []
    for m in spans(r"^ +out\[\d+\] = ([^;\n]+);", mask):
        count = int(16 * (2000 / 16) ** rng.random())
        late = f" {{ static int mutant = 0; if (++mutant > {count}) out[0] = 0; }}"
        found.append((Edit(m.end(), m.end(), late),))
    return found


CPP: dict[str, Operator] = {
    "weight": _weights,
    "number": replaced(r"(?<![\w.'-])\d+(?=[,>)\]; ]|LL)", nudged),
    "operator": swapped(
        {" + ": (" - ",), " - ": (" + ",), " << ": (" >> ",), " >> ": (" << ",), " & ": (" | ",), " * ": (" + ",),
         " += ": (" -= ",), " -= ": (" += ",), " <<= ": (" >>= ",), " && ": (" || ",), "-p;": ("p;",)}
    ),
    "comparison": swapped({" == ": (" != ",), " < ": (" <= ",), " > ": (" >= ", " < "), " >= ": (" > ",)}),
    "truth": swapped({"true": ("false",), "false": ("true",)}),
    "rounding": swapped(
        {"nmp::RND_CONV": ("nmp::RND", "nmp::TRN"), "nmp::RND,": ("nmp::RND_CONV,", "nmp::TRN,"),
         "nmp::TRN": ("nmp::RND",), "MODE == TRN": ("MODE == RND",), "MODE == RND_CONV": ("MODE == RND",)}
    ),
    "sign": swapped({"ap_int<": ("ap_uint<",), "ap_uint<": ("ap_int<",), "ap_fixed<": ("ap_ufixed<",),
                     "ap_ufixed<": ("ap_fixed<",)}),
    "statement removed": _statement,
    "condition": negated,
    "operand": replaced(r"(?<=[(, ])sum_\d+(?=[),])", lambda m, rng: f"sum_{rng.randrange(5)}"),
    "row": replaced(r"(?<=_w\d\[)\d+(?=\], )", nudged),
    "rare pattern": _rare_input,
    "delayed fault": _delayed,
}  # fmt: skip
