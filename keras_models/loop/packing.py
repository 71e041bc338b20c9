"""Many small variables as one vector: an optimizer's step is then one operation for all of them, not one for each.

A network's biases, strengths and ranges are vectors of some dozens of numbers; on a processor, starting an operation on
one of them takes longer than the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

Tensor = Any
SMALL = 4096  # elements up to which a variable joins the others


class Packing:
    """Turns one tensor per variable into the large ones, in order, then one vector of all small ones; and back."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self.shapes = [tuple(shape) for shape in shapes]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.large = [i for i, size in enumerate(self.sizes) if size > SMALL]
        self.small = [i for i, size in enumerate(self.sizes) if size <= SMALL]

    def pack(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The packed tensors."""
        joined = [ops.concatenate([ops.ravel(values[i]) for i in self.small])] if self.small else []
        return [*(values[i] for i in self.large), *joined]

    def unpack(self, packed: Sequence[Tensor]) -> list[Tensor]:
        """One tensor per variable."""
        values: list[Tensor] = [None] * len(self.shapes)
        for position, i in enumerate(self.large):
            values[i] = packed[position]
        start = 0
        for i in self.small:
            values[i] = ops.reshape(packed[-1][start : start + self.sizes[i]], self.shapes[i])
            start += self.sizes[i]
        return values

    def spread(self, scalars: Sequence[float]) -> list[np.float32 | np.ndarray]:
        """One number per variable in the packed form (float32), for products with packed tensors."""
        joined = np.repeat([scalars[i] for i in self.small], [self.sizes[i] for i in self.small])
        return [*(np.float32(scalars[i]) for i in self.large), *([joined.astype(np.float32)] if self.small else [])]

    def zeros(self) -> list[np.ndarray]:
        """Zeros in the packed form."""
        large = [np.zeros(self.shapes[i], np.float32) for i in self.large]
        return [*large, *([np.zeros(sum(self.sizes[i] for i in self.small), np.float32)] if self.small else [])]
