"""A Keras model as the calls of its layers and operations, in an order in which each finds its inputs computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.extract.arrays import to_numpy
from flow.extract.chain import Applied, fixed_shape, is_model, tensors_of
from flow.extract.operations import MOVED
from flow.extract.remedies import IGNORED
from flow.extract.separable import separated
from flow.extract.stored_calls import MAX_CALLS
from flow.extract.windows import MAXIMA, SEPARABLE

# Layers and operations that move, add and scale values; Flatten and Reshape, which leave them in their order, aside.
MOVING = frozenset(
    "Add Subtract Average Negative Multiply Divide TrueDivide Rescaling Concatenate Stack GetItem Permute Transpose "
    "Swapaxes Moveaxis ExpandDims Squeeze RepeatVector".split()
) | frozenset(MOVED)


@dataclass(frozen=True)
class Call:
    """A layer or operation at one place: the values it reads and the one it makes, by number.

    ``call`` calls it anew on one tensor per source, symbolic or not.
    """

    applied: Applied
    sources: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    result: int
    call: Callable[[Sequence[Any]], Any]

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """What it answers to one float32 array per source (rows x the source's shape)."""
        import keras

        return to_numpy(self.call([keras.ops.convert_to_tensor(v) for v in values]))

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.applied.name

    @property
    def kind(self) -> str:
        """The layer's class name."""
        return self.applied.kind


@dataclass(frozen=True)
class Input:
    """An input of the model: its name and its shape without the batch axis."""

    name: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=int))


@dataclass(frozen=True)
class Trace:
    """Calls on values by number: first the inputs in the model's order, then what each call makes."""

    inputs: tuple[Input, ...]
    calls: tuple[Call, ...]
    outputs: tuple[int, ...]

    @property
    def path(self) -> list[Applied] | None:
        """The layers of a model that is one path from one input to one output; None for other models."""
        sources = [call.sources for call in self.calls]
        straight = len(self.inputs) == 1 and sources == [(i,) for i in range(len(sources))]
        straight &= self.outputs == (len(sources),)
        plain = all(hasattr(call.applied.layer, "weights") and call.kind not in MOVING | MAXIMA for call in self.calls)
        return [call.applied for call in self.calls] if straight and plain else None

    @property
    def last(self) -> list[Applied]:
        """The layers whose values are outputs, those aside that change no value, in the order of the outputs."""
        calls = {call.result: call for call in self.calls}
        found = []
        for value in self.outputs:
            while value in calls and calls[value].kind in IGNORED:
                value = calls[value].sources[0]
            found += [calls[value].applied] if value in calls else []
        return found

    @property
    def named_outputs(self) -> list[tuple[str, int]]:
        """The outputs' layers or inputs by name, each with its number of elements."""
        values = {i: (entry.name, entry.elements) for i, entry in enumerate(self.inputs)}
        for call in self.calls:
            values[call.result] = call.name, int(np.prod(call.applied.output_shape, dtype=int))
        return [values[value] for value in self.outputs]

    @property
    def ends(self) -> frozenset[int]:
        """The values that are outputs, or that nothing but layers that change no value stands before."""
        found = set(self.outputs)
        for call in reversed(self.calls):
            if call.result in found and call.kind in IGNORED:
                found.add(call.sources[0])
        return frozenset(found)

    def readers(self) -> dict[int, int]:
        """How often each value is read, by calls and as an output."""
        counts: dict[int, int] = dict.fromkeys(range(len(self.inputs) + len(self.calls)), 0)
        for value in (*(s for call in self.calls for s in call.sources), *self.outputs):
            counts[value] += 1
        return counts


def trace(model: Any) -> Trace:
    """All calls that the model's outputs depend on; models inside the model are opened. Raises ModelError."""
    entering = tensors_of(model, "inputs")
    inputs = tuple(Input(_input_name(t), fixed_shape(t, str(model.name))) for t in entering)
    calls: list[Call] = []
    outputs = _traced(model, list(range(len(inputs))), calls, len(inputs))
    return Trace(inputs, tuple(calls), tuple(outputs))


def _input_name(tensor: Any) -> str:
    return str(tensor._keras_history.operation.name)


def _traced(model: Any, entering: Sequence[int], calls: list[Call], first: int) -> list[int]:
    """Append the calls that compute the model's outputs from these values; the values of its outputs."""
    known = {id(t): value for t, value in zip(tensors_of(model, "inputs"), entering, strict=True)}
    outputs = tensors_of(model, "outputs")
    for node in _in_order(outputs, known):
        sources = [known[id(t)] for t in node.input_tensors]
        operation = node.operation
        if len(calls) > MAX_CALLS:
            raise ModelError(f"model {model.name} has more than {MAX_CALLS} calls of layers; make it smaller")
        if is_model(operation):
            made = _traced(operation, sources, calls, first)
        elif len(node.outputs) != 1:
            kind = type(operation).__name__
            raise ModelError(f"layer {operation.name} ({kind}) has {len(node.outputs)} outputs; use slices instead")
        else:
            shapes = tuple(fixed_shape(t, str(operation.name)) for t in node.input_tensors)
            shape = fixed_shape(node.outputs[0], str(operation.name))
            if type(operation).__name__ in SEPARABLE:
                calls += _two_calls(operation, sources, shapes, shape, first + len(calls))
            else:
                applied = Applied(operation, shapes[0] if shapes else (), shape)
                calls.append(Call(applied, tuple(sources), shapes, first + len(calls), _calling(node)))
            made = [calls[-1].result]
        known |= {id(t): value for t, value in zip(node.outputs, made, strict=True)}
    return [known[id(t)] for t in outputs]


def _two_calls(
    layer: Any, sources: Sequence[int], shapes: tuple[tuple[int, ...], ...], shape: tuple[int, ...], number: int
) -> list[Call]:
    """The calls of a convolution with two kernels, which make the values ``number`` and the next one."""
    depthwise, pointwise = separated(layer, shapes[0])
    between = (*shape[:-1], shapes[0][-1] * layer.depth_multiplier)
    return [
        Call(Applied(depthwise, shapes[0], between), tuple(sources), shapes, number, lambda t: depthwise(t[0])),
        Call(Applied(pointwise, between, shape), (number,), (between,), number + 1, lambda t: pointwise(t[0])),
    ]


def _in_order(outputs: Sequence[Any], known: dict[int, int]) -> Iterator[Any]:
    """The nodes that make the outputs, each after those that make its inputs."""
    done, waiting = set(known), list(reversed(outputs))
    while waiting:
        tensor = waiting[-1]
        if id(tensor) in done:
            waiting.pop()
            continue
        history = tensor._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        missing = [t for t in node.input_tensors if id(t) not in done]
        if missing:
            waiting += reversed(missing)
            continue
        if not node.input_tensors:
            raise ModelError(f"layer {history.operation.name} is not connected to the model's inputs; connect it")
        yield node
        done |= {id(t) for t in node.outputs}


def _calling(node: Any) -> Callable[[Sequence[Any]], Any]:
    def call(tensors: Sequence[Any]) -> Any:
        found = {id(t): value for t, value in zip(node.input_tensors, tensors, strict=True)}
        args, kwargs = node.arguments.fill_in(found)
        return node.operation(*args, **kwargs)

    return call
