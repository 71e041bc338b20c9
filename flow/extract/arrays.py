"""Keras variables and tensors as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_numpy(value: Any) -> NDArray[Any]:
    """The values of a Keras variable, a tensor of either backend, an array or a number."""
    # Asking a Keras variable for __array__ warns under NumPy 2, so its own method comes first.
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
