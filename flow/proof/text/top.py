"""The top module: layers in a row, and beside them the pipeline of ``valid``, which a reset empties."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from flow.proof.text.evaluate import Timing
from flow.proof.text.findings import Fault, Finding, Unread
from flow.proof.text.machine import CLOCK, Held, Machine
from flow.proof.text.nets import Context, Driver, Net, Value
from flow.proof.text.space import Space, Vector
from flow.proof.text.syntax import Instance, Module, Statement, Update

TOP = "top module"


@dataclass
class Stage:
    """A layer's module as the top sees it: its output is a value of its own, ``latency`` cycles after its input."""

    input_bits: int
    output_bits: int
    latency: int
    input: Vector | None = None
    output: Vector = field(default=())

    def ports(self, parameters: dict[str, Value]) -> dict[str, tuple[str, int]]:
        """Direction and width of every port."""
        return {CLOCK: ("input", 1), "x": ("input", self.input_bits), "y": ("output", self.output_bits)}

    def outputs(self, context: Context, parameters: dict[str, Value], inputs: dict[str, Vector]) -> dict[str, Vector]:
        """The output for an input. Raises Unread for a second instance."""
        if self.input is not None or parameters:
            raise Unread("a layer's module is used twice, or has parameters")
        self.input, self.output = inputs["x"], context.space.atom("y", self.output_bits)
        return {"y": self.output}


def stage_modules(top: Module) -> list[str]:
    """The modules that a top instantiates, in the order of its text."""
    return [item.module for item in top.items if isinstance(item, Instance)]


def prove_top(top: Module, stages: Mapping[str, Stage]) -> list[Finding]:
    """What of a top is not proved: data go through ``stages`` in their order, ``valid`` keeps step with them."""
    findings: list[Finding] = []
    checks: tuple[tuple[str, Callable[[_Top, Sequence[Stage]], None]], ...] = (
        ("out_data", _data),
        ("out_valid", _valid),
    )
    for signal, check in checks:
        try:
            check(_Top(top, stages), list(stages.values()))
        except (Fault, Unread) as exc:
            findings.append(Finding(TOP, -1, signal, str(exc), isinstance(exc, Fault)))
        for stage in stages.values():
            stage.input = None
    return findings


class _Top(Machine):
    """The top with every register in place of its value: bits ``state`` of the present cycle."""

    def __init__(self, module: Module, stages: Mapping[str, Stage]) -> None:
        space, first = Space(), next(iter(stages.values()))
        inputs = {"rst": space.atom("rst", 1), "in_valid": space.atom("in_valid", 1)}
        inputs["in_data"] = space.atom("in_data", first.input_bits)
        super().__init__(space, module, inputs, stages)
        self.state: dict[Net, Vector] = {}
        ports = sorted((p.direction, p.declaration.name) for p in module.ports)
        wanted = [("input", name) for name in (CLOCK, "rst", "in_valid", "in_data")]
        if ports != sorted([*wanted, ("output", "out_valid"), ("output", "out_data")]):
            raise Unread("has other ports")
        self.clocked()

    def held(self, net: Net) -> Held | None:
        """A register's present value."""
        if net.kind != "reg":
            return None
        if net not in self.state:
            self.state[net] = self.space.atom(net.name, net.width)
        return Held(self.state[net], 0, 0)

    def next_bit(self, function: int) -> int:
        """What the register bit that ``function`` is will be in the next cycle. Raises Fault where it is none."""
        owner = self.space.owner(function)
        for net, bits in self.state.items():
            if owner and function == bits[owner[1] if owner[1] < len(bits) else 0]:
                place = net.drivers[owner[1]]
                if place is None:
                    raise Fault(f"bit {owner[1]} of {net.name} has no driver")
                return self._next(place[0], net)[place[1]]
        raise Fault("is no pipeline of registers")

    def _next(self, driver: Driver, net: Net) -> Vector:
        if driver.value is not None:
            return self.assigned(driver.value, driver.width, driver.scope, Timing())
        bits = self.state[net]
        for statement in driver.statements:
            bits = self._after(statement, driver, net, bits)
        return bits

    def _after(self, statement: Statement, driver: Driver, net: Net, bits: Vector) -> Vector:
        if isinstance(statement, Update):
            if statement.target.name != net.name:
                return bits
            return self.assigned(statement.value, net.width, driver.scope, Timing())
        test = self.space.any(self.whole(statement.condition, driver.scope, Timing()))
        yes, no = bits, bits
        for inner in statement.yes:
            yes = self._after(inner, driver, net, yes)
        for inner in statement.no:
            no = self._after(inner, driver, net, no)
        return self.space.select(test, yes, no)


def _data(top: _Top, stages: Sequence[Stage]) -> None:
    """Every stage gets the whole output of the one before, and the last one's leaves."""
    net, timing = top.elaboration.net("out_data", "output"), Timing()
    bits = top.read(net, 0, net.width, timing)
    before = top.inputs["in_data"]
    for number, stage in enumerate(stages, start=1):
        if stage.input is None:
            raise Fault(f"layer {number} does not reach the output")
        if stage.input != before:
            raise Fault(f"layer {number} does not get the whole output of the one before it")
        before = stage.output
    if bits != before:
        raise Fault("is not the whole output of the last layer")
    if timing.stage != sum(stage.latency for stage in stages):
        raise Fault(f"comes after {timing.stage} clock cycles instead of {sum(stage.latency for stage in stages)}")


def _valid(top: _Top, stages: Sequence[Stage]) -> None:
    """``out_valid`` is ``in_valid`` as many cycles ago as data take, unless a reset came since."""
    net, latency, bdd = top.elaboration.net("out_valid", "output"), sum(s.latency for s in stages), top.space.bdd
    if net.width != 1:
        raise Fault(f"has {net.width} bits")
    bit = top.read(net, 0, 1, Timing())[0]
    running = bdd.invert(top.inputs["rst"][0])
    for cycle in range(latency):
        after = top.next_bit(bit)
        if bdd.both(after, top.inputs["rst"][0]) != 0:
            raise Fault(f"is not emptied by a reset, {cycle + 1} cycles before the output")
        source = _when_running(top, after)
        if bdd.both(running, source) != after:
            raise Fault(f"does not follow the cycle before, {cycle + 1} cycles before the output")
        bit = source
    if bit != top.inputs["in_valid"][0]:
        raise Fault(f"is not in_valid of {latency} clock cycles ago")


def _when_running(top: _Top, function: int) -> int:
    """A function where ``rst`` is 0; ``rst`` is the only bit that resets read beside others."""
    bdd, reset = top.space.bdd, top.inputs["rst"][0]
    known: dict[int, int] = {}

    def without(f: int) -> int:
        if f < 2:
            return f
        if f not in known:
            if bdd.level[f] == bdd.level[reset]:
                known[f] = bdd.low[f]
            else:
                test = bdd.variable(bdd.level[f])
                known[f] = bdd.choose(test, without(bdd.high[f]), without(bdd.low[f]))
        return known[f]

    return without(function)
