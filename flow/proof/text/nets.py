"""What elaboration makes of a module: nets, what drives each of their bits, and names in their scopes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from flow.proof.text.findings import Fault
from flow.proof.text.space import Space, Vector
from flow.proof.text.sums import Sums
from flow.proof.text.syntax import Expr, Instance, Statement

Value = int | Vector  # of a parameter: an integer, or a vector of a given width


class Context(Protocol):
    """What a cell needs to say what it computes."""

    space: Space
    sums: Sums


class Cell(Protocol):
    """What the proof knows of a module that is instantiated."""

    @property
    def latency(self) -> int:
        """Clock cycles from inputs to outputs."""

    def ports(self, parameters: dict[str, Value]) -> dict[str, tuple[str, int]]:
        """Direction and width of every port."""

    def outputs(self, context: Context, parameters: dict[str, Value], inputs: dict[str, Vector]) -> dict[str, Vector]:
        """The outputs, ``latency`` clock cycles after the inputs. Raises Fault or Unread."""


@dataclass(eq=False)
class Use:
    """One instance of a cell; its inputs are the drivers of ports."""

    instance: Instance
    cell: Cell
    parameters: dict[str, Value]
    inputs: dict[str, Driver]


@dataclass(eq=False)
class Driver:
    """What drives some bits of a net: an expression, a register's next value, a cell's output, or a port."""

    kind: str  # wire, register, state, cell, port
    name: str
    width: int
    line: int
    scope: Scope
    value: Expr | None = None
    statements: tuple[Statement, ...] = ()
    use: Use | None = None
    port: str = ""


@dataclass(eq=False)
class Net:
    """A wire or register with, for each bit, its driver and the bit of that driver's value."""

    name: str
    width: int
    signed: bool
    kind: str
    drivers: list[tuple[Driver, int] | None]
    lowest: int = 0  # index of its lowest bit


@dataclass(eq=False)
class Scope:
    """Names of a module or of one pass of a generate loop."""

    parent: Scope | None = None
    names: dict[str, Net | Value] = field(default_factory=dict)

    def find(self, name: str) -> Net | Value:
        """What a name stands for; raises Fault for one that is not declared."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        raise Fault(f"{name} is not declared")
