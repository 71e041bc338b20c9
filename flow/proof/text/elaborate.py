"""From a module's syntax to nets whose every bit has one driver, parameters set and generate loops unrolled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flow.proof.text.evaluate import Evaluator, Timing
from flow.proof.text.findings import Fault, Unread
from flow.proof.text.nets import Cell, Driver, Net, Scope, Use, Value
from flow.proof.text.space import extended
from flow.proof.text.syntax import (
    Assign,
    Branch,
    Clocked,
    Conditional,
    Declaration,
    Expr,
    Genvar,
    Indexed,
    Instance,
    Item,
    Loop,
    Module,
    Name,
    Parameter,
    Range,
    Select,
    Statement,
    Target,
    Update,
)

_MOST_PASSES = 4096


class Elaboration:
    """A module's ``scope``, its ``drivers`` in the order of the text, its ``uses`` of cells and its ``clocks``."""

    def __init__(
        self, module: Module, evaluator: Evaluator, cells: Mapping[str, Cell], parameters: Mapping[str, Value]
    ) -> None:
        """Raises Unread for what is not known, Fault for bits with two drivers and the like."""
        self.module, self.scope, self.cells = module, Scope(), cells
        self.drivers: list[Driver] = []
        self.uses: list[Use] = []
        self.clocks: set[str] = set()
        self._evaluator = evaluator
        for parameter in module.parameters:
            self._parameter(parameter, self.scope, parameters)
        for port in module.ports:
            net = self._net(port.declaration, self.scope)
            if port.direction == "input":
                self._drive(Name(net.name), Driver("port", net.name, net.width, module.line, self.scope), self.scope)
        self._items(module.items, self.scope, "")

    def net(self, name: str, direction: str) -> Net:
        """The net of a port. Raises Unread where the module has no such port."""
        if not any(p.declaration.name == name and p.direction == direction for p in self.module.ports):
            raise Unread(f"{self.module.name} has no {direction} {name}")
        found = self.scope.find(name)
        assert isinstance(found, Net)
        return found

    def _items(self, items: tuple[Item, ...], scope: Scope, path: str) -> None:
        for item in items:
            try:
                self._item(item, scope, path)
            except (Unread, Fault) as exc:
                line = getattr(item, "line", None)
                raise (
                    exc if line is None or str(exc).startswith("line ") else type(exc)(f"line {line}: {exc}")
                ) from None

    def _item(self, item: Item, scope: Scope, path: str) -> None:
        match item:
            case Declaration():
                net = self._net(item, scope, path)
                if item.value is not None:
                    driver = Driver("wire", net.name, net.width, item.line, scope, item.value)
                    self._drive(Name(item.name), driver, scope)
            case Parameter():
                self._parameter(item, scope, {})
            case Assign(target=target, value=value, line=line):
                self._drive(target, Driver("wire", target.name, self._width(target, scope), line, scope, value), scope)
            case Clocked():
                self._clocked(item, scope)
            case Instance():
                self._instance(item, scope)
            case Genvar():
                pass
            case Loop():
                self._loop(item, scope, path)
            case Branch(condition=condition, yes=yes, no=no):
                self._items(yes if self._evaluator.integer(condition, scope) else no, Scope(scope), path)

    def _parameter(self, item: Parameter, scope: Scope, given: Mapping[str, Value]) -> None:
        if item.range is None:
            value: Value = given[item.name] if item.name in given else self._evaluator.integer(item.value, scope)
            if not isinstance(value, int):
                raise Unread(f"parameter {item.name} is no integer")
        else:
            width, lowest = self._limits(item.range, scope)
            if lowest:
                raise Unread(f"parameter {item.name} does not begin with bit 0")
            value = given.get(item.name, ())
            if item.name not in given:
                value = self._evaluator.assigned(item.value, width, scope, Timing())
            elif isinstance(value, int):
                raise Unread(f"parameter {item.name} is given without a width")
            else:
                value = extended(value, width, False)
        self._declare(item.name, value, scope)

    def _declare(self, name: str, value: Net | Value, scope: Scope) -> None:
        if name in scope.names:
            raise Fault(f"{name} is declared twice")
        scope.names[name] = value

    def _net(self, item: Declaration, scope: Scope, path: str = "") -> Net:
        width, lowest = self._limits(item.range, scope) if item.range else (1, 0)
        net = Net(path + item.name, width, item.signed, item.kind, [None] * width, lowest)
        self._declare(item.name, net, scope)
        return net

    def _limits(self, limits: Range, scope: Scope) -> tuple[int, int]:
        """Width of a range and its lowest index."""
        high, low = (self._evaluator.integer(e, scope) for e in limits)
        if high < low:
            raise Unread(f"a range of {high}:{low} is not known")
        return high - low + 1, low

    def _target(self, target: Target, scope: Scope) -> tuple[Net, int, int]:
        net = scope.find(target.name)
        if not isinstance(net, Net):
            raise Fault(f"{target.name} is assigned but is no net")
        if isinstance(target, Name):
            return net, 0, net.width
        low, count = self._evaluator.place(target, scope, Timing())
        if not isinstance(low, int):
            raise Unread(f"an assigned bit of {net.name} varies")
        low -= net.lowest
        if low < 0 or count < 1 or low + count > net.width:
            raise Fault(f"bits {low + count - 1} to {low} of {net.name} are assigned, which has {net.width}")
        return net, low, count

    def _width(self, target: Target, scope: Scope) -> int:
        return self._target(target, scope)[2]

    def _drive(self, target: Target, driver: Driver, scope: Scope) -> None:
        net, low, count = self._target(target, scope)
        if (net.kind == "reg") != (driver.kind in ("register", "state")):
            raise Fault(f"{net.name} is a {net.kind} and driven otherwise")
        for i in range(count):
            if net.drivers[low + i] is not None:
                raise Fault(f"bit {low + i} of {net.name} has two drivers")
            net.drivers[low + i] = (driver, i)
        self.drivers.append(driver)

    def _clocked(self, item: Clocked, scope: Scope) -> None:
        self.clocks.add(item.clock)
        states: dict[str, list[Statement]] = {}
        for statement in item.body:
            if isinstance(statement, Update):
                width = self._width(statement.target, scope)
                driver = Driver("register", statement.target.name, width, statement.line, scope, statement.value)
                self._drive(statement.target, driver, scope)
            else:
                for target in _updated(statement):
                    states.setdefault(target, []).append(statement)
        for name, statements in states.items():
            width = self._width(Name(name), scope)
            driver = Driver("state", name, width, item.line, scope, statements=tuple(statements))
            self._drive(Name(name), driver, scope)

    def _instance(self, item: Instance, scope: Scope) -> None:
        cell = self.cells.get(item.module)
        if cell is None:
            raise Unread(f"module {item.module} is not known")
        parameters = {name: self._given(value, scope) for name, value in item.parameters.items()}
        use = Use(item, cell, parameters, {})
        ports = cell.ports(parameters)
        if set(item.ports) != set(ports):
            raise Fault(f"the connections of {item.name} are not the ports of {item.module}")
        for name, (direction, width) in ports.items():
            value = item.ports[name]
            if direction == "input":
                use.inputs[name] = Driver("wire", f"{item.name}.{name}", width, item.line, scope, value)
            elif self._evaluator.size(value, scope)[0] != width:
                raise Fault(f"output {name} of {item.name} has {width} bits and is connected to another number")
            elif isinstance(value, Name | Select | Indexed):
                driver = Driver("cell", value.name, width, item.line, scope, use=use, port=name)
                self._drive(value, driver, scope)
            else:
                raise Unread(f"output {name} of {item.name} is connected to an expression")
        self.uses.append(use)

    def _given(self, value: Expr, scope: Scope) -> Value:
        """A parameter's value at an instance: an integer where it has no width of its own."""
        try:
            if getattr(value, "width", None) is None:
                return self._evaluator.integer(value, scope)
        except Unread:
            pass
        return self._evaluator.whole(value, scope, Timing())

    def _loop(self, item: Loop, scope: Scope, path: str) -> None:
        value = self._evaluator.integer(item.first, scope)
        for _ in range(_MOST_PASSES):
            inner = Scope(scope, {item.variable: value})
            if not self._evaluator.integer(item.condition, inner):
                return
            self._items(item.items, inner, f"{path}{item.label}[{value}].")
            value += self._evaluator.integer(item.step, inner)
        raise Unread(f"loop {item.label} takes more than {_MOST_PASSES} passes")


def _updated(statement: Statement) -> Iterator[str]:
    """The targets of a conditional statement, each once."""
    found: dict[str, None] = {}
    open_ones = [statement]
    while open_ones:
        inner = open_ones.pop()
        if isinstance(inner, Conditional):
            open_ones += [*inner.yes, *inner.no]
        elif not isinstance(inner.target, Name):
            raise Unread(f"line {inner.line}: a part of {inner.target.name} is updated under a condition")
        else:
            found[inner.target.name] = None
    return iter(found)
