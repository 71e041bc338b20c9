"""The width that a neuron's weights need at least."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def needed_bits(column: Any, label: float) -> float:
    """``label`` if the mantissas fit it as `flow.core.check` counts, else the smallest width they fit."""
    widest = max((abs(int(w)) for w in np.asarray(column).ravel()), default=0)
    limit = 1 << max(math.ceil(label) - 1, 0) if label else 0
    return label if widest <= limit else float((widest - 1).bit_length() + 1)
