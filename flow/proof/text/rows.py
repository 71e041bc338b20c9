"""Proof of ``nmp_row`` and ``nmp_sum`` from their own text: for a width, with any masks, in both forms.

The plain sum is compared as a form; the one of primitives bit by bit, as functions of all operands and masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from flow.proof.text.cells import PRIMITIVES, ROW, SUM, Row, row_form
from flow.proof.text.elaborate import Elaboration
from flow.proof.text.evaluate import Evaluator, Timing
from flow.proof.text.findings import Fault, Unread
from flow.proof.text.machine import Machine
from flow.proof.text.nets import Cell, Value
from flow.proof.text.parser import parse
from flow.proof.text.preprocess import preprocess
from flow.proof.text.space import Space, Vector
from flow.proof.text.sums import Form
from flow.proof.text.syntax import Module

READINGS: tuple[tuple[str, ...], ...] = ((), ("SYNTHESIS",))  # macros of simulators and of synthesizers

_MOST_NODES = 300_000


@lru_cache(maxsize=4096)
def prove_row(text: str, width: int, result: int, name: str = ROW) -> str:
    """Nothing where module ``name`` of a text adds ``width`` columns to ``result`` bits, else what is wrong."""

    def wrong(macros: tuple[str, ...]) -> str:
        module = modules_of(text, macros, ROW, SUM)[name]
        return _defaults(text, module, width) or _differs(text, module, width, result)

    return in_both_forms(wrong, f"of {width} columns, ")


def in_both_forms(wrong_with: Callable[[tuple[str, ...]], str], what: str = "") -> str:
    """Nothing where a text is right with the macros of simulators and of synthesizers, else what is wrong and where."""
    for macros in READINGS:
        try:
            wrong = wrong_with(macros)
        except (Unread, Fault) as exc:
            wrong = str(exc)
        if wrong:
            return f"{what}{'as synthesized' if macros else 'as simulated'}, {wrong}"
    return ""


@lru_cache(maxsize=128)
def modules_of(text: str, macros: tuple[str, ...], *names: str) -> dict[str, Module]:
    """The modules of a text, which are to be these. Raises Unread."""
    modules = parse(preprocess(text, macros))
    if sorted(m.name for m in modules) != sorted(names):
        raise Unread(f"is not made of {'modules' if len(names) > 1 else 'a module'} {' and '.join(names)}")
    return {m.name: m for m in modules}


def _cells(text: str, module: Module) -> Mapping[str, Cell]:
    """What a module may consist of: primitives or, a sum without single bits, a row."""
    return PRIMITIVES if module.name == ROW else {ROW: Row(ROW, lambda name, w, y: prove_row(text, w, y, name))}


class _Definition(NamedTuple):
    """What a row of some width adds up to, as functions of its operands and masks."""

    space: Space
    inputs: dict[str, Vector]
    masks: dict[str, Vector]
    bits: Vector


@lru_cache(maxsize=64)
def _definition(width: int, name: str) -> _Definition:
    space = Space()
    masks: dict[str, Vector] = {}
    inputs: dict[str, Vector] = {}
    for x in "abc":  # a mask next to its operand: of both only the difference counts
        masks[x], inputs[x] = space.atom(f"N{x.upper()}", width), space.atom(x, width)
    inputs |= {x: space.atom(x, 1) for x in ("de" if name == ROW else "")}
    evaluator = Evaluator(space)
    return _Definition(space, inputs, masks, evaluator.sums.bits(row_form(evaluator, inputs, masks), width + 2))


def _defaults(text: str, module: Module, width: int) -> str:
    """A mask that is not given is 0, and a result that is not given all of the sum, whatever else is given."""
    space, _, masks, _ = _definition(width, module.name)
    cells = _cells(text, module)
    for x in masks:
        given: dict[str, Value] = {f"N{y.upper()}": mask for y, mask in masks.items() if y != x}
        elaboration = Elaboration(module, Evaluator(space), cells, {"W": width, **given})
        value = elaboration.scope.find(f"N{x.upper()}")
        if not isinstance(value, tuple) or any(value):
            return f"has masks that are not 0 where they are not given (N{x.upper()})"
        if elaboration.scope.find("Y") != width + 2:
            return "has another default of Y than all bits of the sum"
    return ""


def _differs(text: str, module: Module, width: int, result: int) -> str:
    if len(_definition(width, module.name).space.bdd.level) > _MOST_NODES:
        _definition.cache_clear()  # wrong texts have filled it
    space, inputs, masks, wanted = _definition(width, module.name)
    parameters: dict[str, Value] = {"W": width, "Y": result, **{f"N{x.upper()}": mask for x, mask in masks.items()}}
    machine = Machine(space, module, inputs, _cells(text, module), parameters)
    return output_differs(machine, result, row_form(machine, inputs, masks), wanted)


def output_differs(machine: Machine, result: int, form: Form | None, bits: Vector) -> str:
    """Nothing where ``y`` holds ``result`` bits of a sum, given as functions and, if lowest, by its form; else where
    not.
    """
    output, sums, bdd = machine.elaboration.net("y", "output"), machine.sums, machine.space.bdd
    if output.width != result:
        return f"has a result of another width than {result} bits"
    for driver in machine.in_order(["y"]):
        machine.run(driver)
    found = sums.of(machine.read(output, 0, result, Timing()))
    if form and sums.canonical(found, 1 << result) == form.reduced(1 << result):
        return ""
    for i, (a, b) in enumerate(zip(sums.bits(found, result), bits, strict=False)):
        if a != b:
            return f"has a wrong bit {i} of its result for {_example(machine.space, bdd.differ(a, b))}"
    return ""


def _example(space: Space, wrong: int) -> str:
    values = {atom.name: 0 for atom in space.atoms}
    for level, taken in space.bdd.example(wrong).items():
        number, bit = space.place(level)
        values[space.atoms[number].name] |= taken << bit
    return ", ".join(f"{name} = {value}" for name, value in values.items() if name != "a sum")
