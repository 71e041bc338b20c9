"""A float ONNX model as a chain of dense layers, for ``--quantize``."""

from __future__ import annotations

import math
from pathlib import Path

from flow.core.errors import ModelError
from flow.extract.chain_builder import ChainBuilder
from flow.extract.onnx.constants import Constant, Floats
from flow.extract.onnx.stored import StoredOnnx, read
from flow.extract.onnx.walk import Place, walk
from keras_models.quantize.chain import FloatChain


class _Chain(ChainBuilder):
    """Takes nodes, refuses quantizers."""

    def dense(self, at: Place, weights: Constant, bias: Constant) -> None:  # type: ignore[override]
        super().dense(at.name, weights.values, bias.values)

    def affine(self, at: Place, scale: Floats, offset: Floats) -> None:  # type: ignore[override]
        super().affine(at.name, scale, offset)

    def activation(self, at: Place, kind: str) -> None:  # type: ignore[override]
        super().activation(at.name, kind)

    def quantizer(self, at: Place) -> None:
        raise ModelError(f"node {at.name} quantizes: the model is quantized already; build it without --quantize")


def onnx_chain(path: Path | str | StoredOnnx) -> FloatChain:
    """The dense layers of a float ONNX model. Raises ModelError naming node and remedy."""
    stored = path if isinstance(path, StoredOnnx) else read(path)
    builder = _Chain(math.prod(stored.shape))
    walk(stored, builder)
    return builder.chain(stored.name)
