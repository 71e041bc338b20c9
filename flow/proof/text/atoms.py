"""``nmp_atoms`` and ``nmp_carried`` as functions, and the proof that their own texts compute them: for a shape, with
any masks, in both forms; and the same of ``nmp_full_adder``.

The meaning is written down here a second time, from the module's description; nothing of the emission is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from flow.proof.text.bdd import FALSE
from flow.proof.text.cells import PRIMITIVES, known_parameters, masked, parameter_vector
from flow.proof.text.elaborate import Elaboration
from flow.proof.text.evaluate import Evaluator
from flow.proof.text.findings import Fault, Unread
from flow.proof.text.machine import Machine
from flow.proof.text.nets import Context, Value
from flow.proof.text.rows import in_both_forms, modules_of, output_differs
from flow.proof.text.space import Space, Vector, constant
from flow.proof.text.sums import Form
from flow.proof.text.syntax import Module

# a row of a bit heap on a chain of atoms, one of whose lowest columns only the carry goes on, and three bits' sum
ATOMS, CARRIED, FULL_ADDER = "nmp_atoms", "nmp_carried", "nmp_full_adder"
_LANES = ("a", "b", "c")  # hold a place of every column each
_PLACES = len(_LANES)
_ATOMS = ([6, 0], [5, 0], [4, 1])  # digits of an atom's lower and upper column
_LEFT_OUT = {6: (), 5: (4,), 4: (3,)}
_UPPER = 4  # the place of an atom 14 that weighs like its upper column
_STRAIGHT = 5  # the place of an atom 06 that is never inverted
_IN_GROUP = 5  # places of a carried group
# by KX what the places of a group weigh, and its columns
_GROUPS = {1: ((1, 1, 0, 0, 0), 1), 2: ((1, 1, 2, 2, 0), 2), 4: ((1, 1, 1, 1, 2), 2), 5: ((1, 1, 1, 1, 1), 2)}


class Shape(NamedTuple):
    """What an instance's parameters say: columns, result bits, whether d is used, K, carried groups and KX."""

    width: int
    result: int
    carry: int
    digits: int
    groups: int = 0
    kinds: int = 0

    @property
    def _kinds(self) -> list[int]:
        found = [self.kinds >> 4 * g & 15 for g in range(self.groups)]
        if any(kind not in _GROUPS for kind in found):
            raise Fault(f"{self.kinds:x} is not made of groups")
        return found

    @property
    def under(self) -> int:
        """Columns of which only the carry goes on."""
        return sum(_GROUPS[kind][1] for kind in self._kinds)

    @property
    def all_weights(self) -> list[int]:
        """What each place of the groups weighs, then those of the columns above, 0 for one that is left out."""
        found, column = list[int](), 0
        for kind in self._kinds:
            weights, columns = _GROUPS[kind]
            found += [weight << column for weight in weights]
            column += columns
        return found + [weight << column for weight in self.weights]

    @property
    def weights(self) -> list[int]:
        """What each place of a column weighs, 0 for one that is left out. Raises Fault for digits that mean nothing."""
        digits = [self.digits >> 4 * i & 15 for i in range(self.width)]
        found, i = [0] * _PLACES * self.width, 0
        while i < self.width:
            if digits[i] <= 2:
                found[_PLACES * i : _PLACES * i + 2] = [1 << i] * 2
                i += 1
                continue
            kind = digits[i]
            if digits[i : i + 2] not in _ATOMS:
                raise Fault(f"column {i} of {self.digits:x} is no atom")
            for place in range(2 * _PLACES):
                if place not in _LEFT_OUT[kind]:
                    found[_PLACES * i + place] = 2 << i if kind == 4 and place == _UPPER else 1 << i
            i += 2
        for i, digit in enumerate(digits):
            if digit == 0 and not (i and digits[i - 1] > 2):
                found[_PLACES * i : _PLACES * i + 2] = [0, 0]
        return found

    @property
    def straight(self) -> list[int]:
        """Of all places those that are never inverted: those left out, and one of each atom 06."""
        first = _IN_GROUP * self.groups
        sixes = [first + _PLACES * i + _STRAIGHT for i in range(self.width) if self.digits >> 4 * i & 15 == 6]
        return [i for i, weight in enumerate(self.all_weights) if not weight] + sixes


@dataclass(frozen=True)
class Atoms:
    """``nmp_atoms`` and ``nmp_carried``: d and the places, inverted by their masks, added by their weights.

    The result is the lowest ``Y`` bits above those of the carried columns. ``prove(shape)`` shows that the module's own
    text does so; it gives what is wrong, or nothing.
    """

    name: str
    prove: Callable[[Shape], str]
    latency: int = 0

    def ports(self, parameters: dict[str, Value]) -> dict[str, tuple[str, int]]:
        """Direction and width of every port."""
        shape = _shape(self.name, parameters)
        groups = {"x": ("input", _IN_GROUP * shape.groups)} if shape.groups else {}
        lanes = dict.fromkeys(_LANES, ("input", shape.width))
        return {**lanes, **groups, "d": ("input", 1), "y": ("output", shape.result)}

    def outputs(self, context: Context, parameters: dict[str, Value], inputs: dict[str, Vector]) -> dict[str, Vector]:
        """The sum."""
        shape = _shape(self.name, parameters)
        weights, places = shape.all_weights, inputs.get("x", ()) + _places([inputs[lane] for lane in _LANES])
        mask = parameter_vector(parameters, "NX", _IN_GROUP * shape.groups) if shape.groups else ()
        mask += _places([parameter_vector(parameters, f"N{lane.upper()}", shape.width) for lane in _LANES])
        if any(mask[i] for i in shape.straight):
            raise Fault(f"is an {self.name} that inverts a place that it cannot invert")
        if any(places[i] != FALSE for i, weight in enumerate(weights) if not weight):
            raise Fault(f"is an {self.name} with a bit in a place that it leaves out")
        if not shape.carry and not shape.groups and inputs["d"] != (FALSE,):
            raise Fault(f"is an {self.name} without d that is given one")
        if wrong := self.prove(shape):
            raise Fault(f"is an {self.name}, which {wrong}")
        form = _form(context, weights, places, mask, inputs["d"])
        return {"y": context.sums.vector(form, shape.under + shape.result)[shape.under :]}


def _places(lanes: Sequence[Vector]) -> Vector:
    """The places of every column, lowest column first, from lanes a, b and c."""
    return tuple(bit for column in zip(*lanes, strict=True) for bit in column)


def _shape(name: str, parameters: dict[str, Value]) -> Shape:
    """The shape that parameters give. Raises Unread or Fault for impossible ones."""
    known_parameters(parameters, "W", "Y", "K", "NA", "NB", "NC", *(("G", "KX", "NX") if name == CARRIED else ("D",)))
    width, digits, carry = parameters.get("W"), parameters.get("K"), parameters.get("D", 0)
    result = parameters.get("Y", width + 1 if isinstance(width, int) else None)
    if not isinstance(width, int) or not isinstance(result, int) or not isinstance(carry, int):
        raise Unread(f"W of an {name} is not given, or W, Y or D not as an integer")
    if not isinstance(digits, tuple) or any(bit > 1 for bit in digits):
        raise Unread(f"K of an {name} is not given as a constant")
    if width < 1 or not 1 <= result <= width + 1 or len(digits) != 4 * width:
        raise Fault(f"a chain of {width} columns and {len(digits)} bits of K has no result of {result} bits")
    shape = Shape(width, result, carry, sum(bit << i for i, bit in enumerate(digits)))
    if name != CARRIED:
        return shape
    groups, kinds = parameters.get("G"), parameters.get("KX")
    if not isinstance(groups, int) or not isinstance(kinds, tuple) or any(bit > 1 for bit in kinds):
        raise Unread(f"G and KX of an {name} are not given as constants")
    if groups < 1 or len(kinds) != 4 * groups:
        raise Fault(f"{groups} groups have {len(kinds)} bits of KX")
    return shape._replace(groups=groups, kinds=sum(bit << i for i, bit in enumerate(kinds)))


def _form(context: Context, weights: list[int], places: Vector, mask: Vector, carry: Vector = ()) -> Form:
    """What a chain adds up to, by its definition."""
    total = context.sums.of(carry)
    for bit, weight in zip(masked(context, places, mask), weights, strict=True):
        total = total.plus(context.sums.of((bit,)), weight)
    return total


@lru_cache(maxsize=4096)
def prove_atoms(text: str, shape: Shape) -> str:
    """Nothing where the module of a text adds the bits of a shape, else what is wrong."""
    name = CARRIED if shape.groups else ATOMS
    what = f"groups {shape.kinds:x} and " if shape.groups else ""
    return in_both_forms(
        lambda macros: _differs(modules_of(text, macros, name)[name], shape), f"of {what}columns {shape.digits:x}, "
    )


@dataclass(frozen=True)
class FullAdder:
    """``nmp_full_adder``: the sum of the three bits of ``x ^ N``; ``prove`` as for a chain."""

    prove: Callable[[], str]
    latency: int = 0

    def ports(self, parameters: dict[str, Value]) -> dict[str, tuple[str, int]]:
        """Direction and width of every port."""
        known_parameters(parameters, "N")
        return {"x": ("input", _PLACES), "y": ("output", 2)}

    def outputs(self, context: Context, parameters: dict[str, Value], inputs: dict[str, Vector]) -> dict[str, Vector]:
        """The sum."""
        if wrong := self.prove():
            raise Fault(f"is an {FULL_ADDER}, which {wrong}")
        mask = parameter_vector(parameters, "N", _PLACES)
        return {"y": context.sums.vector(_form(context, [1] * _PLACES, inputs["x"], mask), 2)}


@lru_cache(maxsize=64)
def prove_full_adder(text: str) -> str:
    """Nothing where the module of a text adds three bits, else what is wrong."""

    def wrong(macros: tuple[str, ...]) -> str:
        module, space = modules_of(text, macros, FULL_ADDER)[FULL_ADDER], Space()
        inputs, mask = {"x": space.atom("x", _PLACES)}, space.atom("N", _PLACES)
        if any(Machine(space, module, inputs, PRIMITIVES).elaboration.scope.find("N")):  # type: ignore[arg-type]
            raise Fault("inverts bits where N is not given")
        machine = Machine(space, module, inputs, PRIMITIVES, {"N": mask})
        form = _form(machine, [1] * _PLACES, inputs["x"], mask)
        return output_differs(machine, 2, form, machine.sums.bits(form, 2))

    return in_both_forms(wrong)


def _differs(module: Module, shape: Shape) -> str:
    space, weights = Space(), shape.all_weights
    straight, first = set(shape.straight), _IN_GROUP * shape.groups
    mask = tuple(FALSE if i in straight else bit for i, bit in enumerate(space.atom("N", len(weights))))
    places = tuple(b if weight else FALSE for b, weight in zip(space.atom("x", len(weights)), weights, strict=True))
    inputs = {lane: places[first + i :: _PLACES] for i, lane in enumerate(_LANES)}
    inputs |= {"x": places[:first]} if shape.groups else {}
    inputs["d"] = space.atom("d", 1)
    given: dict[str, Value] = {"W": shape.width, "K": constant(shape.digits, 4 * shape.width)}
    given |= {"G": shape.groups, "KX": constant(shape.kinds, 4 * shape.groups)} if shape.groups else {}
    others: dict[str, Value] = {"Y": shape.result, **({"NX": mask[:first]} if shape.groups else {"D": shape.carry})}
    others |= {f"N{lane.upper()}": mask[first + i :: _PLACES] for i, lane in enumerate(_LANES)}
    if wrong := _defaults(space, module, given, others, shape):
        return wrong
    machine = Machine(space, module, inputs, PRIMITIVES, {**given, **others})
    form = _form(machine, weights, places, mask, inputs["d"])
    bits = machine.sums.bits(form, shape.under + shape.result)[shape.under :]
    return output_differs(machine, shape.result, None if shape.under else form, bits)


def _defaults(space: Space, module: Module, given: dict[str, Value], others: dict[str, Value], shape: Shape) -> str:
    """What is not given is as ``_shape`` and the masks take it, whatever else is given."""
    wanted: dict[str, Value] = {"Y": shape.width + 1, "D": 0, "NX": constant(0, _IN_GROUP * shape.groups)}
    for name in others:
        rest = {**given, **{other: value for other, value in others.items() if other != name}}
        found = Elaboration(module, Evaluator(space), PRIMITIVES, rest).scope.find(name)
        if found != wanted.get(name, constant(0, shape.width)):
            return f"has another default of {name}"
    return ""
