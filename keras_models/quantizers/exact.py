"""Float operations that are exact in graph mode on every backend: powers of two by their bits, half-up rounding.

Dividing by a constant vector or raising 2 to a vector is *not* exact inside ``tf.function`` (it becomes an approximate
reciprocal), so every scale here is a float32 made of its exponent's bits, and is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np
from keras import ops

MAX_EXPONENT = 48
_MIXED = 4_096  # elements of a sum that is quicker with one operation fewer
_BIAS, _FRACTION_BITS = 127, 23  # of float32
_WHOLE = ContextVar("whole program", default=False)

Tensor = Any
Rule = Callable[..., tuple[Tensor, Any]]  # a value, and the function that makes gradients of its own


def power_of_two(exponent: Tensor) -> Tensor:
    """Exactly ``2**exponent`` (float32) for int32 exponents, saturating at +-`MAX_EXPONENT`."""
    biased = ops.clip(exponent, -MAX_EXPONENT, MAX_EXPONENT) + _BIAS
    return ops.view(ops.left_shift(biased, _FRACTION_BITS), "float32")


def linear_log2(value: Tensor) -> Tensor:
    """The logarithm of numbers >= 1, linear between powers of two: the bits of a float32, read as an integer."""
    return ops.cast(ops.view(value, "int32") - (_BIAS << _FRACTION_BITS), "float32") * np.float32(2.0**-_FRACTION_BITS)


def round_half_up(value: Tensor, half: Tensor = 0.5) -> Tensor:
    """Nearest integer, ties upwards; exact, unlike ``floor(v + 0.5)``, which sends 0.49999997 to 1 in float32.

    With another ``half`` from 0 to 0.5, ``floor(v + half)``, but that values less than 2^-25 below 0 count as 0.
    """
    low = ops.floor(value)
    return low + ops.cast(value - low >= 1.0 - half, value.dtype)


def round_half_up_numpy(value: np.ndarray, half: float = 0.5) -> np.ndarray:
    """`round_half_up` of arrays: float32, or float64 that holds what float32 might not."""
    value = normal(value)
    low = np.floor(value)
    return np.asarray(low + (value - low >= np.float32(1.0 - half)))


def normal(value: np.ndarray) -> np.ndarray:
    """Float32 values as both backends' processors read and give them: what is smaller than its normal numbers is 0."""
    return np.where(np.abs(value) < np.finfo(np.float32).tiny, np.float32(0), value)


def to_int(value: Tensor) -> Tensor:
    """The int32 nearest to ``value``."""
    return ops.cast(round_half_up(value), "int32")


def kept(values: Tensor) -> Tensor:
    """The values as the results of sums: compilers keep those, others they work out anew wherever they are used.

    For small tensors that are broadcast to large ones.
    """
    first = np.asarray([True, False]).reshape(2, *[1] * len(values.shape))
    return ops.sum(ops.where(first, ops.expand_dims(values, 0), np.float32(0.0)), axis=0)


def column_sum(values: Tensor, weights: Tensor | float = 1.0) -> Tensor:
    """(columns,) from (..., columns), rows times ``weights``: a number or (rows,); not exact.

    A product with a row of weights: compilers make sums over columns slow by mixing them with what makes the values.
    For large values two equal rows, since a product of a vector is mixed likewise (one core, strided).
    """
    rows = ops.reshape(values, (-1, values.shape[-1]))
    count = ops.shape(rows)[0]
    weights = ops.broadcast_to(ops.convert_to_tensor(weights, "float32"), (1, count))
    if not isinstance(count, int) or count * rows.shape[1] > _MIXED:
        weights = ops.concatenate([weights, weights], axis=0)
    return ops.matmul(weights, rows)[0]


def with_gradient(function: Rule, *inputs: Tensor, weight: Tensor | None = None) -> Tensor:
    """What ``function`` of the inputs returns beside its own gradient function (see ``ops.custom_gradient``).

    With a ``weight`` that is zero when it runs, a scalar zero: nothing is computed then.
    """
    tensors = [ops.copy(value) for value in inputs]  # copied: variables are refused
    if weight is not None:
        function, tensors = _unless_zero(function), [ops.copy(weight), *tensors]
    if keras.backend.backend() == "tensorflow" and not _WHOLE.get():
        function = _compiled(function)
    return ops.custom_gradient(function)(*tensors)


def _unless_zero(function: Rule) -> Rule:
    """The function, of scalars, with a weight before its inputs, which decides whether it runs."""

    def guarded(weight: Tensor, *inputs: Tensor) -> tuple[Tensor, Any]:
        def run() -> tuple[Tensor, ...]:
            value, gradient = function(*inputs)
            return value, *gradient(ops.ones(()))

        def skip() -> tuple[Tensor, ...]:
            return ops.zeros(()), *(ops.zeros_like(value) for value in inputs)

        value, *found = ops.cond(ops.not_equal(weight, 0.0), run, skip)
        return value, lambda upstream: (ops.zeros_like(weight), *(upstream * gradient for gradient in found))

    return guarded


@contextmanager
def whole_program() -> Iterator[None]:
    """For tracing what is compiled as a whole: its parts are then not compiled by themselves, which takes time."""
    token = _WHOLE.set(True)
    try:
        yield
    finally:
        _WHOLE.reset(token)


def _compiled(function: Rule) -> Rule:
    """In TensorFlow's graphs one XLA kernel forward and one backward: Keras compiles no graph on a processor."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return function
    forward = tf.function(lambda *inputs: function(*inputs)[0], jit_compile=True)
    backward = tf.function(lambda upstream, *inputs: function(*inputs)[1](upstream), jit_compile=True)
    return lambda *inputs: (forward(*inputs), lambda upstream: backward(upstream, *inputs))


def only_gradient(value: Tensor) -> Tensor:
    """Exactly zero in the forward pass, with the gradient of ``value``."""
    return value - ops.stop_gradient(value)


def to_numpy(value: Tensor) -> np.ndarray:
    """The NumPy array of a tensor or a Keras variable."""
    return np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(value)))
