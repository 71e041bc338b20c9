"""Layers of the tabular transformer that stay in software: field and row embeddings and the attention itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
MASKED = -1e9


@keras.saving.register_keras_serializable(package="keras_models")
class FieldEmbedding(keras.layers.Layer):
    """One token per field (column) of a row: (..., features) to (..., fields, width).

    A number is placed among the ``bins`` quantile bins of its field, each with a learned vector, interpolated inside
    its bin; a categorical field, given as one 0/1 feature per level, gets the vector of its level. Numeric features
    come first, then the blocks of the categorical fields. `adapt` reads the bins off training data; without it they
    divide [-4, 4] evenly.

    Args:
        width: size of a token.
        numeric: number of numeric features.
        categories: number of levels of each categorical field.
        bins: number of bins of a numeric field.
    """

    def __init__(self, width: int, numeric: int, categories: Sequence[int] = (), bins: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if width < 1 or bins < 1 or numeric < 0 or min(categories, default=1) < 1 or not numeric + len(categories):
            raise ValueError(f"width, bins and levels >= 1 and at least one field expected; got width {width}, "
                             f"bins {bins}, numeric {numeric}, categories {list(categories)}")  # fmt: skip
        self.width, self.numeric, self.categories, self.bins = width, numeric, tuple(categories), bins

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the bins' edges (not trained), the vectors of bins and levels, and one offset per field."""
        if input_shape[-1] != self.numeric + sum(self.categories):
            raise ValueError(f"{self.name}: {self.numeric} numeric features and levels {list(self.categories)} "
                             f"do not make {input_shape[-1]} features")  # fmt: skip
        normal = keras.initializers.RandomNormal
        self.edges = self.add_weight(name="edges", shape=(self.numeric, self.bins + 1), trainable=False)
        self.edges.assign(np.tile(np.linspace(-4, 4, self.bins + 1, dtype=np.float32), (self.numeric, 1)))
        self.table = self.add_weight(
            name="table",
            shape=(self.numeric, self.bins, self.width),
            initializer=normal(stddev=self.bins**-0.5, seed=1),
        )
        self.levels = self.add_weight(
            name="levels", shape=(sum(self.categories), self.width), initializer=normal(stddev=1.0, seed=2)
        )
        self.offset = self.add_weight(
            name="offset", shape=(self.numeric + len(self.categories), self.width),
            initializer=normal(stddev=0.5, seed=3),
        )  # fmt: skip

    def adapt(self, X: np.ndarray) -> None:
        """Put the bins' edges at quantiles of the numeric features of ``X`` (..., features)."""
        X = np.asarray(X, np.float64).reshape(-1, np.shape(X)[-1])[:, : self.numeric]
        self.edges.assign(np.quantile(X, np.linspace(0, 1, self.bins + 1), axis=0).T.astype(np.float32))

    def call(self, inputs: Tensor) -> Tensor:
        """(..., fields, width) from (..., features)."""
        low, size = self.edges[:, :-1], self.edges[:, 1:] - self.edges[:, :-1]
        inverse = ops.where(size > 1e-6, 1.0 / ops.maximum(size, 1e-6), 0.0)  # repeated quantiles: an empty bin
        filled = ops.clip((ops.expand_dims(inputs[..., : self.numeric], -1) - low) * inverse, 0.0, 1.0)
        tokens = [ops.einsum("...fb,fbd->...fd", filled, self.table)]
        place = 0
        for count in self.categories:
            block = inputs[..., self.numeric + place : self.numeric + place + count]
            tokens.append(ops.expand_dims(ops.matmul(block, self.levels[place : place + count]), -2))
            place += count
        return ops.concatenate(tokens, axis=-2) + self.offset

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the tokens."""
        return (*input_shape[:-1], self.numeric + len(self.categories), self.width)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        own = {"width": self.width, "numeric": self.numeric, "categories": list(self.categories), "bins": self.bins}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_models")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector per position: (..., positions, width) to the same shape."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the vectors."""
        self.table = self.add_weight(
            name="table", shape=input_shape[-2:], initializer=keras.initializers.RandomNormal(stddev=0.1, seed=4)
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Inputs plus the vector of their position."""
        return inputs + self.table

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the outputs."""
        return input_shape


@keras.saving.register_keras_serializable(package="keras_models")
class TokenAttention(keras.layers.Layer):
    """Scaled dot-product attention of several heads, without weights: [query, key, value] to the context.

    All three are (..., tokens, width); the projections before and after are layers of their own, so that each can have
    learned widths and become hardware. A Keras mask of the keys (..., tokens) hides tokens from all others.
    """

    def __init__(self, heads: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if heads < 1:
            raise ValueError(f"at least one head expected, got {heads}")
        self.heads = heads
        self.supports_masking = True

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        """Check the shapes."""
        if len(input_shape) != 3 or input_shape[0] != input_shape[1] or input_shape[0] != input_shape[2]:
            raise ValueError(f"{self.name}: query, key and value of one shape expected, got {list(input_shape)}")
        if not input_shape[0][-1] or input_shape[0][-1] % self.heads:
            raise ValueError(f"{self.name}: width {input_shape[0][-1]} is no multiple of {self.heads} heads")

    def call(self, inputs: Sequence[Tensor], mask: Sequence[Tensor | None] | None = None) -> Tensor:
        """(..., tokens, width) context."""
        query, key, value = (self._split(x) for x in inputs)
        scale = np.float32((inputs[0].shape[-1] // self.heads) ** -0.5)
        scores = ops.matmul(query, ops.swapaxes(key, -1, -2)) * scale
        hidden = mask[1] if mask is not None else None
        if hidden is not None:
            scores = ops.where(ops.expand_dims(ops.expand_dims(hidden, -2), -2), scores, MASKED)
        context = ops.swapaxes(ops.matmul(ops.softmax(scores, axis=-1), value), -2, -3)
        return ops.reshape(context, (-1, *inputs[0].shape[1:]))

    def _split(self, x: Tensor) -> Tensor:
        """(..., heads, tokens, width / heads)."""
        return ops.swapaxes(ops.reshape(x, (-1, *x.shape[1:-1], self.heads, x.shape[-1] // self.heads)), -2, -3)

    def compute_mask(self, inputs: Sequence[Tensor], mask: Sequence[Tensor | None] | None = None) -> Tensor | None:
        """The queries' mask."""
        return mask[0] if mask is not None else None

    def compute_output_shape(self, input_shape: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """The shape of the context."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "heads": self.heads}
