"""One way through a graph, from its input to its output: what reaches each node is a constant or the signal.

What the signal goes through is told to a `Path`, once for models of floats and once for quantized ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.extract.onnx.constants import Constant, Floats, bipolar, quantized
from flow.extract.onnx.stored import QUANTIZING, Node, StoredOnnx

_ENDINGS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh", "LogSoftmax": "softmax"}
_CLASSES = ("ArgMax", "TopK")  # of the largest element, where they are of all elements and the first one
_EITHER_WAY = ("Add", "Sub", "Mul", "Div", "MatMul", "Gemm")  # may have a constant as first input, or say why not
_MOST = 1 << 26  # elements of a constant, as of all that a file may hold
_FLOAT = 1  # onnx.TensorProto.FLOAT
_UNCHANGED = ("Identity", "Dropout", "Cast")
SHAPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
_TAKES = "only MatMul, Gemm, Add, Sub, Mul, Div, BatchNormalization, Relu, reshapes and QONNX's quantizers are known"


@dataclass(frozen=True)
class Place:
    """A node that the signal goes through: its name and shape as it arrives, and the node's constant arguments."""

    node: Node
    signal: str
    shape: tuple[int, ...]
    constants: tuple[Constant, ...]

    @property
    def name(self) -> str:
        """What the node is called, cut to a readable length."""
        return self.node.name[:64]


class Path(Protocol):
    """What hears of the signal's way; elements are those of the flattened signal, constants are per element."""

    def dense(self, at: Place, weights: Constant, bias: Constant) -> None:
        """``x @ weights + bias``; bias is one for every unit."""

    def affine(self, at: Place, scale: Floats, offset: Floats) -> None:
        """``x * scale + offset``."""

    def activation(self, at: Place, kind: str) -> None:
        """relu, or softmax, sigmoid, tanh, argmax."""

    def quantizer(self, at: Place) -> None:
        """A node of QONNX."""


@dataclass
class Walk:
    """What a graph's nodes do to one signal, told to ``path``."""

    stored: StoredOnnx
    path: Path
    constants: dict[str, Constant] = field(default_factory=dict)
    signal: str = ""
    shape: tuple[int, ...] = ()
    passed: set[str] = field(default_factory=set)  # names of the signal at earlier places

    def run(self) -> None:
        """From the input to the output."""
        self.signal, self.shape = self.stored.entry, self.stored.shape
        self.constants = {name: Constant.of(array) for name, array in self.stored.constants.items()}
        for node in self.stored.nodes:
            self._node(node)
        if self.signal != self.stored.end:
            raise ModelError(f"{self.stored.path}: its output {self.stored.end[:64]} is not what its last node makes")

    def _node(self, node: Node) -> None:
        moving = [name for name in node.inputs if name and name not in self.constants]
        if not moving:
            self.constants[node.outputs[0]] = folded(node, [self.constants[name] for name in node.inputs if name])
            return
        if len(moving) > 1 or moving[0] != self.signal:
            known = set(moving) <= self.passed | {self.signal}
            reason = (
                "joins or takes up branches; only one path from input to output becomes hardware"
                if known
                else (f"needs {moving[0][:32]}, which nothing before it makes")
            )
            raise ModelError(f"node {node.name[:64]} ({node.kind}) {reason}")
        arguments = [self.constants.get(name) for name in node.inputs]
        self.passes(node, arguments)
        self.passed.add(self.signal)
        self.signal = node.outputs[1 if node.kind == "TopK" else 0]  # of TopK the places, not the values

    def passes(self, node: Node, arguments: list[Constant | None]) -> None:
        """The signal goes through a node of it and of constants (None: the signal)."""
        kind, given = node.kind, [a for a in arguments if a is not None]
        at = Place(node, self.signal, self.shape, tuple(given))
        if arguments[0] is not None and kind not in _EITHER_WAY:
            raise ModelError(f"node {at.name} ({kind[:64]}) takes the signal as another input than its first")
        if kind in _UNCHANGED:
            _require_float(node)
        elif kind in SHAPING:
            self.shape = reshaped(node, self.shape, given)
        elif kind in ("MatMul", "Gemm"):
            self._dense(at, arguments)
        elif kind in ("Add", "Sub", "Mul", "Div"):
            scale, offset = _arithmetic(node, arguments)
            self.path.affine(at, self._each(node, scale), self._each(node, offset))
        elif kind == "BatchNormalization":
            if node.settings.get("training_mode", 0):
                raise ModelError(f"node {at.name} normalizes by the data it sees; export the model in evaluation mode")
            gamma, beta, mean, variance = (a.values for a in given[:4])
            scale = gamma / np.sqrt(variance + float(node.settings.get("epsilon", 1e-5)))
            by_channel = (-1, *(1,) * (len(self.shape) - 1))
            both = (part.reshape(by_channel) for part in (scale, beta - mean * scale))
            self.path.affine(at, *(self._each(node, part) for part in both))
        elif kind == "Relu":
            self.path.activation(at, "relu")
        elif kind in _ENDINGS:
            self.path.activation(at, _ENDINGS[kind])
        elif kind in _CLASSES:
            _require_first_class(at)
            self.path.activation(at, "argmax")
        elif kind in QUANTIZING:
            self.path.quantizer(at)
        else:
            raise ModelError(f"node {node.name[:64]} is a {kind[:64]}: {_TAKES}")

    def _each(self, node: Node, value: Floats) -> Floats:
        return per_element(node, value, self.shape)

    def _dense(self, at: Place, arguments: list[Constant | None]) -> None:
        weights, settings = arguments[1], at.node.settings
        if arguments[0] is not None or weights is None or weights.values.ndim != 2 or settings.get("transA"):
            raise ModelError(f"node {at.name} ({at.node.kind}) is not a signal times a constant matrix")
        if settings.get("transB"):
            weights = weights.shaped(np.transpose)
        weights = Constant(weights.mantissas, weights.scale * float(settings.get("alpha", 1.0)), weights.bits)
        if len(self.shape) != 1 or self.shape[0] != len(weights.values):
            raise ModelError(
                f"node {at.name}: {len(weights.values)} inputs expected, a signal of shape {self.shape} arrives"
            )
        units = weights.values.shape[1]
        bias = Constant.of(np.zeros(units))
        if len(arguments) > 2 and arguments[2] is not None:
            bias = arguments[2].shaped(lambda a: np.broadcast_to(a, (1, units))[0])
            bias = Constant(bias.mantissas, bias.scale * float(settings.get("beta", 1.0)), bias.bits)
        self.shape = (units,)
        self.path.dense(at, weights, bias)


@contextmanager
def naming(stored: StoredOnnx) -> Iterator[None]:
    """Errors raised inside name the file, once."""
    try:
        yield
    except ModelError as exc:
        raise ModelError(str(exc) if str(stored.path) in str(exc) else f"{stored.path}: {exc}") from None


@contextmanager
def guarded(stored: StoredOnnx) -> Iterator[None]:
    """What nodes that do not fit their inputs raise inside becomes a ModelError."""
    try:
        yield
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as exc:
        raise ModelError(f"{stored.path}: a node does not fit its inputs ({str(exc)[:100]}); export it again") from None


def walk(stored: StoredOnnx, path: Path) -> None:
    """Tell ``path`` what the signal goes through. Raises ModelError naming file, node and remedy."""
    with guarded(stored), naming(stored):
        Walk(stored, path).run()


def per_element(node: Node, value: Floats, shape: tuple[int, ...]) -> Floats:
    """A constant for every element of the flattened signal. Raises ModelError where it does not broadcast."""
    try:
        return np.broadcast_to(value, (1, *shape)).ravel()
    except ValueError:
        raise ModelError(f"node {node.name[:64]}: a constant of shape {value.shape} does not fit {shape}") from None


def _require_float(node: Node) -> None:
    """Raise ModelError for a cast to another type than float32."""
    if node.kind == "Cast" and node.settings.get("to") != _FLOAT:
        raise ModelError(f"node {node.name[:64]} casts to another type than float32, which changes numbers; remove it")


def _require_first_class(at: Place) -> None:
    """Raise ModelError unless a node gives the index of the largest of all elements, the first one on a tie."""
    settings, node = at.node.settings, at.node
    axis = settings.get("axis", 0 if node.kind == "ArgMax" else -1)
    largest = bool(settings.get("largest", 1)) and not settings.get("select_last_index", 0)
    count = 1 if node.kind == "ArgMax" else int(at.constants[0].values.ravel()[0])
    if axis not in (-1, len(at.shape)) or len(at.shape) != 1 or not largest or count != 1:
        raise ModelError(f"node {at.name} ({node.kind}) is not the one largest of all outputs; leave it out")


def _arithmetic(node: Node, arguments: list[Constant | None]) -> tuple[Floats, Floats]:
    """Scale and offset of a sum, difference, product or quotient with a constant."""
    constant = next(a for a in arguments if a is not None).values
    one, zero, first = np.ones_like(constant), np.zeros_like(constant), arguments[0] is None
    if node.kind == "Mul":
        return constant, zero
    if node.kind == "Add":
        return one, constant
    if node.kind == "Sub":
        return (one, -constant) if first else (-one, constant)
    if not first:
        raise ModelError(f"node {node.name[:64]} divides a constant by the signal; only dividing by one is known")
    return one / constant, zero


def reshaped(node: Node, shape: tuple[int, ...], given: list[Constant]) -> tuple[int, ...]:
    """The shape behind a node that keeps the order of the elements, without the batch axis."""
    whole = (1, *shape)
    if node.kind == "Flatten":
        if node.settings.get("axis", 1) not in (1, -len(shape)):
            raise ModelError(f"node {node.name[:64]} flattens axis {node.settings['axis']}; use axis 1")
        return (math.prod(shape),)
    axes = [int(a) for a in (given[0].values.ravel() if given else node.settings.get("axes", []))]
    if node.kind == "Reshape":
        target = [whole[i] if a == 0 else a for i, a in enumerate(axes)]
        target[0] = 1 if target[0] != -1 or -1 in target[1:] else -1
        found = np.empty(whole, np.bool_).reshape(target).shape
    elif node.kind == "Squeeze":
        found = np.squeeze(np.empty(whole, np.bool_), tuple(axes) or None).shape
    else:
        found = np.expand_dims(np.empty(whole, np.bool_), tuple(axes)).shape
    if len(found) < 2 or found[0] != 1:
        raise ModelError(f"node {node.name[:64]} mixes the batch axis with others; keep it in front")
    return tuple(found[1:])


def folded(node: Node, given: list[Constant]) -> Constant:
    """What a node makes of constants."""
    reader = _FOLDED.get(node.kind)
    if reader is None:
        raise ModelError(f"node {node.name[:64]} is a {node.kind[:64]} of constants, which is not known; simplify the "
                         "model before it is exported")  # fmt: skip
    return reader(node, given)


def _shape_of_constant(node: Node, given: list[Constant]) -> Constant:
    axes = [int(a) for a in (given[1].values.ravel() if len(given) > 1 else node.settings.get("axes", []))]
    if node.kind == "Reshape":
        return given[0].shaped(lambda a: a.reshape([a.shape[i] if n == 0 else n for i, n in enumerate(axes)]))
    if node.kind == "Squeeze":
        return given[0].shaped(lambda a: np.squeeze(a, tuple(axes) or None))
    return given[0].shaped(lambda a: np.expand_dims(a, tuple(axes)))


def _constant(node: Node, given: list[Constant]) -> Constant:
    found: NDArray[Any] = np.asarray(node.settings.get("value", next(iter(node.settings.values()), 0)))
    return Constant.of(found)


def _transposed(node: Node, given: list[Constant]) -> Constant:
    perm = node.settings.get("perm")
    return given[0].shaped(lambda a: np.transpose(a, perm))


def _cast(node: Node, given: list[Constant]) -> Constant:
    _require_float(node)
    return given[0]


def _combined(node: Node, given: list[Constant]) -> Constant:
    first, second = (a.values.astype(np.float32) for a in given)
    if math.prod(np.broadcast_shapes(first.shape, second.shape)) > _MOST:
        raise ModelError(f"node {node.name[:64]} makes a constant of more than {_MOST} elements; simplify the model")
    operation = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[node.kind]
    return Constant.of(operation(first, second))


_FOLDED: dict[str, Callable[[Node, list[Constant]], Constant]] = {
    "Constant": _constant,
    "Quant": lambda node, given: quantized(node, given[0], given[1:4]),
    "IntQuant": lambda node, given: quantized(node, given[0], given[1:4]),
    "BipolarQuant": lambda node, given: bipolar(given[0], given[1]),
    "Transpose": _transposed,
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze"), _shape_of_constant),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _combined),
    "Identity": lambda node, given: given[0],
    "Cast": _cast,
}
