"""Float operations that are exact in graph mode on every backend: powers of two by table, half-up rounding.

Dividing by a constant vector or raising 2 to a vector is *not* exact inside ``tf.function`` (it becomes an approximate
reciprocal), so every scale here is a table entry that is multiplied.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

MAX_EXPONENT = 48
_POWERS = np.ldexp(np.float32(1.0), np.arange(-MAX_EXPONENT, MAX_EXPONENT + 1)).astype(np.float32)

Tensor = Any


def power_of_two(exponent: Tensor) -> Tensor:
    """Exactly ``2**exponent`` (float32) for int32 exponents, saturating at +-`MAX_EXPONENT`."""
    index = ops.clip(exponent, -MAX_EXPONENT, MAX_EXPONENT) + MAX_EXPONENT
    return ops.take(ops.convert_to_tensor(_POWERS), index, axis=0)


def round_half_up(value: Tensor) -> Tensor:
    """Nearest integer, ties upwards; exact, unlike ``floor(v + 0.5)``, which sends 0.49999997 to 1 in float32."""
    low = ops.floor(value)
    return low + ops.cast(value - low >= 0.5, value.dtype)


def to_int(value: Tensor) -> Tensor:
    """The int32 nearest to ``value``."""
    return ops.cast(round_half_up(value), "int32")


def only_gradient(value: Tensor) -> Tensor:
    """Exactly zero in the forward pass, with the gradient of ``value``."""
    return value - ops.stop_gradient(value)


def to_numpy(value: Tensor) -> np.ndarray:
    """The NumPy array of a tensor or a Keras variable."""
    return np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(value)))
