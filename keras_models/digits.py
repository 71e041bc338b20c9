"""Canonical signed digits: the form of a constant with the fewest digits that are not 0, each 1 or -1."""

from __future__ import annotations

import numpy as np


def nonzero_digits(integers: np.ndarray | int) -> np.ndarray:
    """How many digits of each integer's canonical form are not 0: the ones of ``v ^ 3v``. Magnitudes below 2^62."""
    magnitude = np.abs(np.asarray(integers, np.int64)).astype(np.uint64)
    return np.asarray(np.bitwise_count(magnitude ^ (magnitude * np.uint64(3))), np.int64)
