"""A module at work: what its nets hold, as functions of its inputs, and how many cycles later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from flow.proof.text.elaborate import Elaboration
from flow.proof.text.evaluate import Evaluator, Timing
from flow.proof.text.findings import Fault, Unread
from flow.proof.text.nets import Cell, Driver, Net, Use, Value
from flow.proof.text.space import Space, Vector
from flow.proof.text.syntax import Binary, Cast, Choice, Concat, Expr, Indexed, Module, Name, Repeat, Select, Unary


class Held(NamedTuple):
    """What a net or driver holds ``stage`` cycles after the inputs; None: always, ``settle`` cycles from the start."""

    bits: Vector
    stage: int | None
    settle: int


class Machine(Evaluator):
    """A module whose inputs are given; a subclass may put given values in the place of nets (``held``)."""

    def __init__(
        self,
        space: Space,
        module: Module,
        inputs: Mapping[str, Vector],
        cells: Mapping[str, Cell] | None = None,
        parameters: Mapping[str, Value] | None = None,
    ) -> None:
        """Raises Unread or Fault for a module that cannot be elaborated or has other inputs."""
        super().__init__(space)
        self.inputs = inputs
        self._known: dict[Driver, Held] = {}  # before elaboration, in which a wrong text may read a net
        self._outputs: dict[Use, tuple[dict[str, Vector], int | None, int]] = {}
        self._open: set[Driver] = set()
        self.elaboration = Elaboration(module, self, cells or {}, parameters or {})
        for name, bits in inputs.items():
            if self.elaboration.net(name, "input").width != len(bits):
                raise Fault(f"input {name} of {module.name} does not have {len(bits)} bits")

    def held(self, net: Net) -> Held | None:
        """What stands in place of a net; None: what drives it."""
        return None

    def read(self, net: Net, low: int, width: int, timing: Timing) -> Vector:
        """Bits of a net."""
        given = self.held(net)
        if given is not None:
            timing.add(given.stage, given.settle, net.name)
            return given.bits[low : low + width]
        return self.driven(net, low, width, timing)

    def driven(self, net: Net, low: int, width: int, timing: Timing) -> Vector:
        """Bits of a net as its drivers make them."""
        bits: list[int] = []
        last: Driver | None = None
        value: Vector = ()
        for i in range(low, low + width):
            place = net.drivers[i]
            if place is None:
                raise Fault(f"bit {i} of {net.name} has no driver")
            if place[0] is not last:
                last = place[0]
                held = self.run(last)
                timing.add(held.stage, held.settle, net.name)
                value = held.bits
            bits.append(value[place[1]])
        return tuple(bits)

    def run(self, driver: Driver) -> Held:
        """What a driver makes of what it reads. Raises Fault or Unread."""
        found = self._known.get(driver)
        if found is not None:
            return found
        if driver in self._open:
            raise Fault(f"{driver.name} depends on itself")
        self._open.add(driver)
        try:
            self._known[driver] = found = self._value(driver)
        finally:
            self._open.discard(driver)
        return found

    def _value(self, driver: Driver) -> Held:
        if driver.kind == "port":
            if driver.name not in self.inputs:
                raise Fault(f"{driver.name} is used as a value")
            return Held(self.inputs[driver.name], 0, 0)
        if driver.kind == "cell":
            assert driver.use is not None
            outputs, stage, settle = self._used(driver.use)
            return Held(outputs[driver.port], stage, settle)
        if driver.value is None:
            raise Unread(f"register {driver.name} is updated under a condition")
        timing = Timing()
        bits = self.assigned(driver.value, driver.width, driver.scope, timing)
        if driver.kind == "wire":
            return Held(bits, timing.stage, timing.settle)
        return Held(bits, None if timing.stage is None else timing.stage + 1, timing.settle + 1)

    def _used(self, use: Use) -> tuple[dict[str, Vector], int | None, int]:
        if use not in self._outputs:
            timing, inputs = Timing(), {}
            for name, driver in use.inputs.items():
                if self._is_clock(driver):
                    continue
                held = self.run(driver)
                timing.add(held.stage, held.settle, driver.name)
                inputs[name] = held.bits
            outputs = use.cell.outputs(self, use.parameters, inputs)
            later = use.cell.latency
            stage = None if timing.stage is None else timing.stage + later
            self._outputs[use] = outputs, stage, timing.settle + later
        return self._outputs[use]

    def _is_clock(self, driver: Driver) -> bool:
        """Whether an instance's input is the clock itself; ``clocked`` checks that it goes where it should."""
        return isinstance(driver.value, Name) and driver.value.name == CLOCK and driver.name.endswith(f".{CLOCK}")

    def clocked(self) -> None:
        """Check that all registers, those of instances included, work on the one clock. Raises Fault."""
        if self.elaboration.clocks - {CLOCK}:
            raise Fault(f"registers work on {', '.join(sorted(self.elaboration.clocks - {CLOCK}))}")
        for use in self.elaboration.uses:
            if CLOCK in use.inputs and not self._is_clock(use.inputs[CLOCK]):
                raise Fault(f"{use.instance.name} works on another clock")

    def in_order(self, outputs: list[str]) -> Iterator[Driver]:
        """The drivers that outputs depend on, in the order of the text: running them so keeps recursion shallow."""
        reached: set[Driver] = set()
        seen: set[Net] = set()
        open_ones = [found for name in outputs if isinstance(found := self.elaboration.scope.find(name), Net)]
        while open_ones:
            net = open_ones.pop()
            if net in seen:
                continue
            seen.add(net)
            for driver in {place[0] for place in net.drivers if place} - reached:
                reached.add(driver)
                inner = driver.use.inputs.values() if driver.use else [driver]
                names = {(n, d.scope) for d in inner if d.value for n in _names(d.value)}
                open_ones += [f for n, scope in names if isinstance(f := scope.find(n), Net)]
        return (driver for driver in self.elaboration.drivers if driver in reached)


CLOCK = "clk"


def _names(expr: Expr) -> Iterator[str]:
    """The names an expression reads."""
    open_ones: list[Expr] = [expr]
    while open_ones:
        match open_ones.pop():
            case Name(name=name):
                yield name
            case Select(name=name, low=low):
                yield name
                open_ones.append(low)
            case Indexed(name=name):
                yield name
            case Concat(parts=parts):
                open_ones += parts
            case Repeat(body=body):
                open_ones.append(body)
            case Unary(operand=operand) | Cast(operand=operand):
                open_ones.append(operand)
            case Binary(left=left, right=right):
                open_ones += [left, right]
            case Choice(condition=condition, yes=yes, no=no):
                open_ones += [condition, yes, no]
            case _:
                pass
