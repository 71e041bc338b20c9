"""Primitives of 7-series and UltraScale parts as functions (AMD UG953, UG974), and the addition of a row of bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flow.proof.text.bdd import TRUE
from flow.proof.text.findings import Fault, Unread
from flow.proof.text.nets import Cell, Context, Value
from flow.proof.text.space import Vector, constant, extended
from flow.proof.text.sums import Form

ROW, SUM = "nmp_row", "nmp_sum"  # a row of a bit heap, and one without its two single bits


def parameter_vector(parameters: dict[str, Value], name: str, width: int) -> Vector:
    """A parameter as a vector; it is 0 where it is not given."""
    value = parameters.get(name, 0)
    return constant(value, width) if isinstance(value, int) else extended(value, width, False)


def known_parameters(parameters: dict[str, Value], *names: str) -> None:
    """Raises Unread for a parameter of another name."""
    if unknown := set(parameters) - set(names):
        raise Unread(f"parameter {', '.join(sorted(unknown))} is not known")


@dataclass(frozen=True)
class Lut6:
    """``LUT6_2``: O6 is the entry of all six inputs, O5 that of the five lower ones in the lower half."""

    latency: int = 0

    def ports(self, parameters: dict[str, Value]) -> dict[str, tuple[str, int]]:
        """Direction and width of every port."""
        return {**{f"I{i}": ("input", 1) for i in range(6)}, "O5": ("output", 1), "O6": ("output", 1)}

    def outputs(self, context: Context, parameters: dict[str, Value], inputs: dict[str, Vector]) -> dict[str, Vector]:
        """The outputs' functions."""
        known_parameters(parameters, "INIT")
        entries, index = parameter_vector(parameters, "INIT", 64), tuple(inputs[f"I{i}"][0] for i in range(6))
        space = context.space
        return {"O6": (space.lookup(entries, index),), "O5": (space.lookup(entries[:32], index[:5]),)}


@dataclass(frozen=True)
class Carry:
    """``CARRY4`` or, of ``bits`` 8, ``CARRY8`` as one chain of eight."""

    bits: int
    latency: int = 0

    def ports(self, parameters: dict[str, Value]) -> dict[str, tuple[str, int]]:
        """Direction and width of every port."""
        second = "CYINIT" if self.bits == 4 else "CI_TOP"
        wide = {"S": "input", "DI": "input", "O": "output", "CO": "output"}
        return {"CI": ("input", 1), second: ("input", 1), **{n: (d, self.bits) for n, d in wide.items()}}

    def outputs(self, context: Context, parameters: dict[str, Value], inputs: dict[str, Vector]) -> dict[str, Vector]:
        """The outputs' functions."""
        known_parameters(parameters)
        bdd = context.space.bdd
        carry = inputs["CI"][0]
        if self.bits == 4:
            carry = bdd.either(carry, inputs["CYINIT"][0])
        sums, carries = [], []
        for select, data in zip(inputs["S"], inputs["DI"], strict=True):
            sums.append(bdd.differ(select, carry))
            carry = bdd.choose(select, carry, data)
            carries.append(carry)
        return {"O": tuple(sums), "CO": tuple(carries)}


@dataclass(frozen=True)
class Lut:
    """``LUT2`` to ``LUT6``: the entry of all inputs."""

    bits: int
    latency: int = 0

    def ports(self, parameters: dict[str, Value]) -> dict[str, tuple[str, int]]:
        """Direction and width of every port."""
        return {**{f"I{i}": ("input", 1) for i in range(self.bits)}, "O": ("output", 1)}

    def outputs(self, context: Context, parameters: dict[str, Value], inputs: dict[str, Vector]) -> dict[str, Vector]:
        """The output's function."""
        known_parameters(parameters, "INIT")
        entries = parameter_vector(parameters, "INIT", 1 << self.bits)
        return {"O": (context.space.lookup(entries, tuple(inputs[f"I{i}"][0] for i in range(self.bits))),)}


@dataclass(frozen=True)
class Mux:
    """``MUXF7`` and ``MUXF8``: I1 where S is 1, else I0."""

    latency: int = 0

    def ports(self, parameters: dict[str, Value]) -> dict[str, tuple[str, int]]:
        """Direction and width of every port."""
        return {"I0": ("input", 1), "I1": ("input", 1), "S": ("input", 1), "O": ("output", 1)}

    def outputs(self, context: Context, parameters: dict[str, Value], inputs: dict[str, Vector]) -> dict[str, Vector]:
        """The output's function."""
        known_parameters(parameters)
        return {"O": (context.space.bdd.choose(inputs["S"][0], inputs["I1"][0], inputs["I0"][0]),)}


PRIMITIVES: dict[str, Cell] = {
    "LUT6_2": Lut6(), "CARRY4": Carry(4), "CARRY8": Carry(8), "MUXF7": Mux(), "MUXF8": Mux(),
    **{f"LUT{bits}": Lut(bits) for bits in range(2, 7)},
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """``nmp_row``: the lowest ``Y`` bits of ``(a ^ NA) + (b ^ NB) + (c ^ NC) + d + e``; ``nmp_sum`` without d and e.

    ``prove(module, W, Y)`` shows that its own text does so; it gives what is wrong, or nothing.
    """

    module: str
    prove: Callable[[str, int, int], str]
    latency: int = 0

    def ports(self, parameters: dict[str, Value]) -> dict[str, tuple[str, int]]:
        """Direction and width of every port."""
        width, result = row_size(parameters)
        single = "de" if self.module == ROW else ""
        inputs = {**dict.fromkeys("abc", ("input", width)), **dict.fromkeys(single, ("input", 1))}
        return {**inputs, "y": ("output", result)}

    def outputs(self, context: Context, parameters: dict[str, Value], inputs: dict[str, Vector]) -> dict[str, Vector]:
        """The sum."""
        width, result = row_size(parameters)
        if wrong := self.prove(self.module, width, result):
            raise Fault(f"is an {self.module}, which {wrong}")
        masks = {x: parameter_vector(parameters, f"N{x.upper()}", width) for x in "abc"}
        return {"y": context.sums.vector(row_form(context, inputs, masks), result)}


def row_size(parameters: dict[str, Value]) -> tuple[int, int]:
    """Columns and bits of a row's result, by default all of the sum. Raises Unread or Fault for impossible ones."""
    known_parameters(parameters, "W", "Y", "NA", "NB", "NC")
    width = parameters.get("W")
    result = parameters.get("Y", width + 2 if isinstance(width, int) else None)
    if not isinstance(width, int) or not isinstance(result, int):
        raise Unread(f"W of an {ROW} is not given, or W or Y not as an integer")
    if width < 1 or not 1 <= result <= width + 2:
        raise Fault(f"a row of {width} columns has no result of {result} bits")
    return width, result


def row_form(context: Context, inputs: dict[str, Vector], masks: dict[str, Vector]) -> Form:
    """What a row adds up to, by its definition."""
    total = Form({}, 0)
    for name, mask in masks.items():
        total = total.plus(context.sums.of(masked(context, inputs[name], mask)))
    for name in inputs.keys() & {"d", "e"}:
        total = total.plus(context.sums.of(inputs[name]))
    return total


def masked(context: Context, bits: Vector, mask: Vector) -> Vector:
    """``bits ^ mask``."""
    bdd = context.space.bdd
    return tuple(bdd.invert(b) if m == TRUE else bdd.differ(b, m) if m else b for b, m in zip(bits, mask, strict=True))
