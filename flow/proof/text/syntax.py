"""Syntax trees of the Verilog that the parallel hardware consists of."""

from __future__ import annotations

from typing import NamedTuple


class Number(NamedTuple):
    """A constant; without ``width`` a signed one of 32 bits."""

    value: int
    width: int | None
    signed: bool


class Name(NamedTuple):
    """A net or parameter, whole."""

    name: str


class Select(NamedTuple):
    """``name[high:low]``, or ``name[low]`` where ``high`` is None, which may be an index that varies."""

    name: str
    high: Expr | None
    low: Expr


class Indexed(NamedTuple):
    """``name[base +: bits]``."""

    name: str
    base: Expr
    bits: Expr


class Concat(NamedTuple):
    """``{a, b, ...}``, highest first."""

    parts: tuple[Expr, ...]


class Repeat(NamedTuple):
    """``{times{body}}``."""

    times: Expr
    body: Concat


class Unary(NamedTuple):
    """An operator before its operand."""

    operator: str
    operand: Expr


class Binary(NamedTuple):
    """An operator between two operands."""

    operator: str
    left: Expr
    right: Expr


class Choice(NamedTuple):
    """``condition ? yes : no``."""

    condition: Expr
    yes: Expr
    no: Expr


class Cast(NamedTuple):
    """``$signed(operand)`` or ``$unsigned(operand)``."""

    signed: bool
    operand: Expr


Expr = Number | Name | Select | Indexed | Concat | Repeat | Unary | Binary | Choice | Cast
Range = tuple[Expr, Expr]
Target = Name | Select | Indexed


class Declaration(NamedTuple):
    """A wire or register, with the expression that drives it if it is given at once."""

    kind: str
    name: str
    range: Range | None
    signed: bool
    value: Expr | None
    line: int


class Parameter(NamedTuple):
    """A parameter or localparam; one without ``range`` is an integer."""

    name: str
    range: Range | None
    value: Expr
    local: bool
    line: int


class Port(NamedTuple):
    """A port of a module."""

    direction: str
    declaration: Declaration


class Assign(NamedTuple):
    """A continuous assignment."""

    target: Target
    value: Expr
    line: int


class Update(NamedTuple):
    """``target <= value``."""

    target: Target
    value: Expr
    line: int


class Conditional(NamedTuple):
    """``if``/``else`` in an always block."""

    condition: Expr
    yes: tuple[Statement, ...]
    no: tuple[Statement, ...]


Statement = Update | Conditional


class Clocked(NamedTuple):
    """``always @(posedge clock)``."""

    clock: str
    body: tuple[Statement, ...]
    line: int


class Instance(NamedTuple):
    """An instance of a module or primitive, connected by name."""

    module: str
    name: str
    parameters: dict[str, Expr]
    ports: dict[str, Expr]
    line: int


class Genvar(NamedTuple):
    """Declaration of a variable of generate loops."""

    name: str


class Loop(NamedTuple):
    """A generate loop, from ``first`` while ``condition`` holds, by ``step``."""

    variable: str
    first: Expr
    condition: Expr
    step: Expr
    label: str
    items: tuple[Item, ...]


class Branch(NamedTuple):
    """A generate ``if``."""

    condition: Expr
    yes: tuple[Item, ...]
    no: tuple[Item, ...]


Item = Declaration | Parameter | Assign | Clocked | Instance | Genvar | Loop | Branch


class Module(NamedTuple):
    """One module."""

    name: str
    parameters: tuple[Parameter, ...]
    ports: tuple[Port, ...]
    items: tuple[Item, ...]
    line: int
