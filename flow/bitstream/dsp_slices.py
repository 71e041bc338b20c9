"""A DSP slice (DSP48E1) as its features say it is, and pin by pin in both netlists.

Bits say which registers a slice has, which of its mode pins are inverted, and whether its D input takes part; what it
computes is chosen at pins. Cascades of A and B, pattern detection and SIMD are refused: no design here has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from flow.bitstream.fabric import Contradiction
from flow.bitstream.netlist import Cell, outputs_of
from flow.proof.netlist.side import Bit
from flow.proof.netlist.words import number

KIND = "DSP48E1"
SITES = {"DSP_0": "X0Y0", "DSP_1": "X0Y1"}  # by their names in features and wires
OUTPUTS = {"P": 48, "PCOUT": 48}
INVERTIBLE = {"ALUMODE": 4, "CARRYIN": 1, "CLK": 1, "INMODE": 5, "OPMODE": 7}
_ENABLES = ("A1", "A2", "AD", "ALUMODE", "B1", "B2", "C", "CARRYIN", "CTRL", "D", "INMODE", "M", "P")
_RESETS = ("A", "ALLCARRYIN", "ALUMODE", "B", "C", "CTRL", "D", "INMODE", "M", "P")
_INPUTS = {
    **INVERTIBLE, "A": 30, "B": 18, "C": 48, "CARRYINSEL": 3, "D": 25, "PCIN": 48,
    **{f"CE{name}": 1 for name in _ENABLES}, **{f"RST{name}": 1 for name in _RESETS},
}  # fmt: skip
_REGISTERS = ("AD", "ALUMODE", "CARRYIN", "CARRYINSEL", "C", "D", "INMODE", "M", "OPMODE", "P")
_REFUSED = re.compile(r"[AB]_INPUT\[0\]|AUTORESET_.*|SEL_MASK_.*|USE_SIMD_.*")
_FREE = ("BCOUT", "ACOUT", "CARRYCASCOUT", "CARRYOUT", "MULTSIGNOUT", "OVERFLOW", "PATTERNBDETECT", "PATTERNDETECT",
         "UNDERFLOW", "ACIN", "BCIN", "CARRYCASCIN", "CARRYINSEL", "MULTSIGNIN")  # fmt: skip
_CHOICES = {"A_INPUT": "DIRECT", "B_INPUT": "DIRECT", "USE_SIMD": "ONE48", "USE_PATTERN_DETECT": "NO_PATDET"}


def read(name: str, features: Collection[str], driver: Callable[[str], str]) -> Cell:
    """A DSP slice; ``driver`` says what drives a pin, such as ``OPMODE3``. PCIN, which always is what the slice below
    gives, is 0 where nothing takes it.

    Raises Contradiction for settings that no design of this flow has.
    """
    refused = next((f for f in sorted(features) if _REFUSED.fullmatch(f)), None)
    if refused:
        raise Contradiction(f"DSP slice {name} has {refused}, which no design of this flow has")
    parameters = {f"{register}REG": int(f"Z{register}REG[0]" not in features) for register in _REGISTERS}
    for path in "AB":
        if {f"{path}REG_0", f"{path}REG_2"} <= set(features):
            raise Contradiction(f"DSP slice {name} has both no registers and two of its input {path}")
        parameters[f"{path}REG"] = 0 if f"{path}REG_0" in features else 2 if f"{path}REG_2" in features else 1
        parameters[f"{path}CASCREG"] = parameters[f"{path}REG"]  # of an output that nothing here uses
    for pin, width in INVERTIBLE.items():
        straight = [f"ZIS_{pin}_INVERTED[{i}]" if width > 1 else f"ZIS_{pin}_INVERTED" for i in range(width)]
        parameters[f"IS_{pin}_INVERTED"] = sum((feature not in features) << i for i, feature in enumerate(straight))
    inputs: dict[str, tuple[str, ...]] = {}
    for pin, width in _INPUTS.items():
        inputs[pin] = tuple(driver(f"{pin}{i}" if width > 1 else pin) for i in range(width))
    if set(inputs["CARRYINSEL"]) != {"0"}:
        raise Contradiction(f"DSP slice {name} chooses its carry by CARRYINSEL, as in no design of this flow")
    if not _takes_cascade(inputs["OPMODE"], parameters["IS_OPMODE_INVERTED"]):
        inputs["PCIN"] = ("0",) * 48
    words = {"USE_DPORT": "TRUE" if "USE_DPORT[0]" in features else "FALSE"}
    return Cell(KIND, parameters, inputs, outputs_of(name, OUTPUTS), words)


def _takes_cascade(opmode: Sequence[str], turned: int) -> bool:
    """Whether what OPMODE chooses may be PCIN."""
    known = {i: opmode[i] != str(turned >> i & 1) for i in (4, 5) if opmode[i] in ("0", "1")}
    return known.get(4, True) and not known.get(5, False)


def refusal(entry: Mapping[str, Any]) -> str | None:
    """What a DSP slice of a netlist has that cannot be read back; None where there is nothing."""
    for pin in _FREE:
        bits = entry["connections"].get(pin, ())
        if entry["port_directions"].get(pin) == "input" and any(bit not in ("0", "x") for bit in bits):
            return f"an input {pin}"
    return next((f"{p}={entry['parameters'][p]}" for p, only in _CHOICES.items()
                 if entry["parameters"].get(p, only) != only), None)  # fmt: skip


def settings(entry: Mapping[str, Any], theirs: Cell) -> Iterator[str]:
    """Names of parameters that are otherwise in the bitstream."""
    ours = entry["parameters"]
    for name in (*(f"{register}REG" for register in (*_REGISTERS, "A", "B")),):
        if number(ours.get(name, 1)) != theirs.parameters[name]:
            yield name
    if ours.get("USE_DPORT", "FALSE") != theirs.words["USE_DPORT"]:
        yield "USE_DPORT"


def inputs(entry: Mapping[str, Any], theirs: Cell) -> Iterator[tuple[str, Bit, str, bool]]:
    """Every input: its pin, its net, the signal of the bitstream, and whether one of them is inverted.

    A pin that the netlist leaves out is 0.
    """
    for pin, width in _INPUTS.items():
        bits = entry["connections"].get(pin, ["0"] * width)
        turned = number(entry["parameters"].get(f"IS_{pin}_INVERTED", 0)) ^ theirs.parameters.get(
            f"IS_{pin}_INVERTED", 0
        )
        for i, bit in enumerate(bits):
            if bit != "x":
                yield f"{pin}[{i}]" if width > 1 else pin, bit, theirs.inputs[pin][i], bool(turned >> i & 1)
