"""A float ONNX model as a chain of dense layers, for ``--quantize``."""

from __future__ import annotations

import math
from pathlib import Path

from flow.core.errors import ModelError
from flow.extract.float_model import ChainBuilder
from flow.extract.onnx.constants import Constant, Floats
from flow.extract.onnx.stored import Node, StoredOnnx, read
from flow.extract.onnx.walk import walk
from keras_models.quantize.chain import FloatChain


class _Chain(ChainBuilder):
    """Takes matrices as constants, refuses quantizers."""

    def dense(self, name: str, weights: Constant, bias: Floats) -> None:  # type: ignore[override]
        super().dense(name, weights.values, bias)

    def quantizer(self, node: Node, arguments: list[Constant], shape: tuple[int, ...]) -> None:
        raise ModelError(
            f"node {node.name[:64]} quantizes: the model is quantized already; build it without --quantize"
        )


def onnx_chain(path: Path | str | StoredOnnx) -> FloatChain:
    """The dense layers of a float ONNX model. Raises ModelError naming node and remedy."""
    stored = path if isinstance(path, StoredOnnx) else read(path)
    builder = _Chain(math.prod(stored.shape))
    walk(stored, builder)
    return builder.chain(stored.name)
