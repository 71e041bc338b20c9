"""A quantized ONNX model as steps of a design: weights and activations as integers, their scales where sums are read.

QONNX computes in float32: an activation is ``k * s``, a weight ``m * t``, and onnxruntime adds up their products, which
rounds as the order of its additions has it wherever a scale is no power of two. What does not depend on any order is
the sum of ``k * m``, and ``s * t`` in float32, the number that Brevitas, too, scales biases by. So a dense layer is its
integer sums times that; all that follows, up to the next quantizer, is what the runtime answers to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache, partial

import numpy as np

from flow.core.errors import ModelError
from flow.extract.activations import saturating, sign_values
from flow.extract.dyadic import power_of_two
from flow.extract.layer_steps import Affine, Dense, Elementwise, Quant, Relu, Softmax, Step
from flow.extract.needed import needed_bits
from flow.extract.onnx.constants import Constant, Floats
from flow.extract.onnx.integers import Grid, common_unit, ends_in, side_by_side, totals, weights_of, with_bias
from flow.extract.onnx.program import Called, Program, Summed
from flow.extract.onnx.quantizers import Made, quantizer
from flow.extract.onnx.runtime import Function, Runtime
from flow.extract.onnx.stored import StoredOnnx
from flow.extract.onnx.walk import Place, naming, per_element, walk
from flow.extract.probability import PROBABILITY, probabilities

_LARGE = 2.0**60  # times a scale it leaves nothing of the offset
_SMALLEST = 2.0**-100  # scale of a sum: its smallest products are far from what float32 takes for 0
_SCALE = "scale"  # of sums or of a quantizer's whole numbers: inside what is executed for them


@lru_cache(maxsize=8)  # a build asks for it when it extracts, compares, scores and tries input formats
def program_of(stored: StoredOnnx, is_given: bool = False, head: str = "logits") -> Program:
    """What a quantized model does; ``is_given`` where the format of its inputs is stated. Raises ModelError."""
    with np.errstate(all="ignore"), naming(stored):  # what is not finite is refused, or what the model does
        builder = Builder(Runtime(stored), math.prod(stored.shape), is_given)
        walk(stored, builder)
        return builder.program(head)


class Builder:
    """Hears of the nodes in order. ``pending`` are affine functions, not among the steps yet, since a quantizer or sum.

    A dense layer takes them into its scale, an end into the unit of the outputs; others make functions of them.
    """

    def __init__(self, runtime: Runtime, elements: int, is_given: bool) -> None:
        self.runtime, self.elements, self.is_given = runtime, elements, is_given
        self.steps: list[Step] = []
        self.executed: list[Called | Summed] = []
        self.pending: list[Elementwise] = []
        self.made: Made | None = None  # by the last quantizer, where that is what the signal comes from
        self.is_whole = True  # the steps end in numbers on a grid: inputs, sums or a quantizer's
        self.ending: tuple[Place, str, Function] | None = None
        self.classes: Place | None = None  # where the place of the largest output is taken
        self.input_unit = 1.0
        self.notes: list[str] = []
        self.nodes: list[Function] = []

    # what the walk tells

    def dense(self, at: Place, weights: Constant, bias: Constant) -> None:
        """A dense layer on what the steps end in."""
        self.go_on()
        grid = self.grid(at)
        self.pending = []
        self.multiplied(at, grid, weights, bias, self._function_of(at))

    def multiplied(self, at: Place, grid: Grid, weights: Constant, bias: Constant, function: Function) -> None:
        """A dense layer by ``function`` on values of a ``grid``."""
        own, scale, labels = weights_of(at, weights)
        unit, mantissas = abs(grid.unit), own * np.where(grid.unit < 0, -grid.factors, grid.factors)[:, None]
        products = (np.float32(unit) * scale.astype(np.float32)).astype(np.float64)
        if not ((products > _SMALLEST) & (products < 1 / _SMALLEST)).all():
            raise ModelError(f"node {at.name}: scales of {products.min():g} to {products.max():g} are beyond float32's")
        exponents = [power_of_two(float(p)) for p in products]
        frac = np.array([0 if e is None else -e for e in exponents], np.int64)
        rest = np.array([p if e is None else 1.0 for p, e in zip(products, exponents, strict=True)])
        bits = np.array([needed_bits(c, label) for c, label in zip(mantissas.T, labels, strict=True)], np.float64)
        zeros = np.zeros(len(frac), np.int64)
        dense = Dense(at.name, mantissas, frac, bits, zeros, zeros)
        constant = (grid.offset @ (own * scale)).astype(np.float32).astype(np.float64)
        self.steps.append(dense)
        self.executed.append(Summed(dense, dense, rest, constant + bias.values, own * scale, function))
        self.made, self.is_whole = None, True
        factors = rest.astype(np.float32)
        self._affine(at.name, _SCALE, lambda x: x * factors, rest, np.zeros_like(rest))
        for value in (Constant.of(constant), bias):
            floats = value.values.astype(np.float32)
            self._added(at.name, value, partial(np.add, floats))

    def affine(self, at: Place, scale: Floats, offset: Floats) -> None:
        """A scale and an offset, which wait for what follows."""
        self.go_on()
        if at.node.kind in ("Add", "Sub") and (scale == 1).all():
            sign = -1 if at.node.kind == "Sub" else 1
            constant = at.constants[0].shaped(lambda a: per_element(at.node, a, at.shape))
            signed = Constant(sign * constant.mantissas, constant.scale, constant.bits)
            self._added(at.name, signed, self._function_of(at))
            return
        function = self._function_of(at)
        if at.node.kind == "Div":
            divisor = per_element(at.node, at.constants[0].values, at.shape)
            if not divisor.all() or not np.isfinite(divisor).all():
                raise ModelError(f"node {at.name} divides by 0 or no finite number; export the model again")
            factors = [1 / Fraction(float(d)) for d in divisor]
            self._affine(at.name, at.node.kind, function, factors, np.zeros_like(divisor))
            return
        count = scale.size
        rows = np.array([0.0, _LARGE, -_LARGE], np.float32)[:, None] * np.ones(count, np.float32)
        zero, high, low = function(rows).astype(np.float64)
        self._affine(at.name, at.node.kind, function, (high - low) / (2 * _LARGE), zero)

    def activation(self, at: Place, kind: str) -> None:
        """A function, or the choice of a class."""
        if kind == "argmax":  # of a softmax it is that of the logits
            if self.ending is None or self.ending[1] != "softmax":
                self.go_on()
            self.classes = at
            return
        self.go_on()
        function = self._function_of(at)
        if kind != "relu":
            if kind == "softmax" and (len(at.shape) != 1 or at.node.settings.get("axis", -1) not in (-1, 1)):
                raise ModelError(f"node {at.name} is no {at.node.kind} of all outputs; flatten them before it")
            self.ending = at, kind, function
            return
        commutes = all(min(p.scale or (0,)) > 0 and not any(p.offset or (1,)) for p in self.pending)
        self.executed.append(Called(at.name, function, is_relu=commutes))
        if not commutes:
            self._flush()
        self.steps.append(Relu(at.name))

    def quantizer(self, at: Place) -> None:
        """A quantizer, behind which the steps are whole numbers, and its scale waits."""
        self.go_on()
        made, function = quantizer(at), self._function_of(at)
        self.executed.append(Called(at.name, function, made))
        first = not self.steps and not self.pending and not self.is_given
        self._flush()
        self.made, self.is_whole = made, True
        plain = made.plain()
        if plain is not None:
            self.steps.append(Quant(at.name, plain))
            return
        if first and made.rounding is not None and np.ptp(made.scale) == 0:
            self._input_unit(at, made)
        elif first and made.is_sign:
            self.steps += sign_values(at.name, 0, made.scale.size)
        else:
            numbers = Elementwise(
                at.name, at.node.kind, lambda x: made.whole(function(x)).astype(np.float32), rises_or_falls=True
            )
            own = saturating(made.low, made.high, 0)
            self.steps += [numbers, Quant(at.name, (own,) * made.scale.size)]
        scale, offset = made.scale.astype(np.float32), made.offset.astype(np.float32)
        self._affine(at.name, _SCALE, lambda x: x * scale + offset, made.scale, made.offset)

    # how steps come of it

    def _function_of(self, at: Place) -> Function:
        """A node as a function, taken down as the next that the signal goes through."""
        self.nodes.append(self.runtime.function(at.node, at.signal, at.shape))
        return self.nodes[-1]

    @property
    def is_at_end(self) -> bool:
        """Whether only the choice of a class may follow."""
        return self.classes is not None or (self.ending is not None and self.ending[1] == "softmax")

    def go_on(self) -> None:
        """Another node follows: what could have been left out at the end is a function inside."""
        softmax = self.ending[0] if self.ending is not None and self.ending[1] == "softmax" else None
        if last := self.classes or softmax:
            raise ModelError(f"node {last.name}: a {last.node.kind} is only possible at the end; remove it")
        if self.ending is not None:
            (at, kind, function), self.ending = self.ending, None
            self._function(at, kind, function)

    def _function(self, at: Place, kind: str, function: Function) -> None:
        self._flush()
        self.steps.append(Elementwise(at.name, kind, function, left_out=True))
        self.executed.append(Called(at.name, function))
        self.is_whole = False

    def _affine(self, name: str, kind: str, function: Function, scale: Floats | list[Fraction], offset: Floats) -> None:
        if not (np.isfinite(offset).all() and all(isinstance(s, Fraction) or np.isfinite(s) for s in scale)):
            raise ModelError(f"node {name}: its scale or offset is no finite number; export the model again")
        factors = tuple(s if isinstance(s, Fraction) else Fraction(float(s)) for s in scale)
        offsets = tuple(Fraction(float(o)) for o in offset)
        if all(f == 1 for f in factors) and not any(offsets):
            return
        self.pending.append(Elementwise(name, kind, function, factors, offsets, rises_or_falls=True))
        if kind != _SCALE:
            self.executed.append(Called(name, function))

    def _added(self, name: str, value: Constant, function: Function) -> None:
        """A bias: inside the dense layer before it where it is short there, else a function behind it."""
        if not np.isfinite(value.values).all():
            raise ModelError(f"node {name}: its bias is no finite number; export the model again")
        dense, last = self.steps[-1] if self.steps else None, self.executed[-1] if self.executed else None
        if isinstance(dense, Dense) and isinstance(last, Summed) and all(p.name == _SCALE for p in self.pending):
            inside = with_bias(dense, last.scale, value)
            if inside is not None:
                self.steps[-1], self.executed[-1] = inside, replace(last, dense=inside)
                return
        self._affine(name, "bias", function, np.ones(value.values.size), value.values)

    def _flush(self) -> None:
        """What waits becomes functions that the runtime is asked about."""
        if self.pending:
            self.steps += [replace(p, scale=None, offset=None) for p in self.pending]
            self.pending, self.is_whole, self.made = [], False, None

    def grid(self, at: Place) -> Grid:
        """What the inputs of a dense layer are multiples of. Raises ModelError where that is not known."""
        count = at.shape[0]
        if not self.pending and self.is_whole:
            return Grid(1.0, np.ones(count, np.int64), np.zeros(count))
        if not self.is_whole or self.made is None:
            raise ModelError(f"node {at.name} multiplies floats; put a Quant node before it")
        scale, offset = totals(self.pending)
        try:
            least, factors = common_unit(scale)
        except ValueError as why:
            raise ModelError(
                f"node {at.name}: its inputs have {why}, behind their quantizer; quantize them per tensor, and scale "
                "them before that"
            ) from None
        return Grid(float(least), factors, np.array([float(o) for o in offset]))

    def beside(self, name: str, parts: Sequence[Builder]) -> None:
        """These steps go on where closed ones end, whose values stand side by side."""
        self.made = next((part.made for part in parts if part.made is not None), None)
        self.pending = side_by_side(name, _SCALE, [(part.elements, part.pending) for part in parts])

    def _input_unit(self, at: Place, made: Made) -> None:
        """The host divides inputs by the scale of their quantizer, and the hardware takes whole numbers."""
        assert made.rounding is not None
        own = saturating(made.low, made.high, 0, made.rounding)
        self.steps.append(Quant(at.name, (own,) * made.scale.size))
        self.input_unit = float(made.scale[0])
        self.notes.append(
            f"the hardware takes inputs in units of {self.input_unit:.9g}, the scale of node {at.name}: the host "
            f"divides by it and rounds to {own.format}; with --input-format the hardware does"
        )

    def program(self, head: str) -> Program:
        """All of it, once every node is in. Raises ModelError where it ends in floats."""
        if self.ending is not None and head == PROBABILITY and self.ending[1] in ("sigmoid", "tanh"):
            function = self.ending[1]
            self._function(*self.ending)
            self.steps.append(probabilities(self.steps, self._count()))
            return self._made(None, 1.0, function)
        if not self.is_whole:
            name = self.steps[-1].layer
            raise ModelError(
                f"node {name}: the model ends in floats that no quantizer makes; put a Quant node at its end"
            )
        outputs, unit = ends_in(self.pending)
        self.steps += [] if outputs is None else [outputs]
        if unit != 1:
            self.notes.append(f"outputs are in units of {unit:.9g}: what leaves the chip times that is the model's")
        if self.ending is not None:
            at, kind, own = self.ending
            left_out = Elementwise(at.name, kind, own, left_out=True)
            self.steps.append(Softmax(at.name) if kind == "softmax" else left_out)
        if self.classes is not None:
            self.notes.append(
                f"the {self.classes.node.kind} of node {self.classes.name} is left out: the design ends in its logits; "
                "--head argmax gives the class"
            )
        if head == PROBABILITY:
            probabilities(self.steps, self._count())  # refuses
        return self._made(outputs, unit, None if self.ending is None else self.ending[1])

    def _count(self) -> int:
        dense = next((s for s in reversed(self.steps) if isinstance(s, Dense)), None)
        return self.elements if dense is None else len(dense.bias)

    def _made(self, outputs: Affine | Elementwise | None, unit: float, ending: str | None) -> Program:
        return Program(
            tuple(self.steps), tuple(self.executed), outputs, self.input_unit, unit, tuple(self.notes),
            tuple(self.nodes), ending,
        )  # fmt: skip
