"""QDenseBatchnorm at inference: a kernel and a bias that are folded with the moving statistics, then quantized."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.extract.arrays import layer_function, predicted
from flow.extract.chain import Applied
from flow.extract.quiet import quiet

_RETRAIN = "train again with a smaller learning rate"


def folded_constants(applied: Applied) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel (inputs x units) and bias (units) that the layer applies in predictions, in both of its folding modes.

    Raises ModelError where the layer itself answers with others: it is asked for every one.
    """
    layer = applied.layer
    with quiet():
        kernel = predicted(lambda k: _quantized(layer.kernel_quantizer_internal, _inverse(layer) * k), layer.kernel)
        bias = predicted(lambda k: _quantized(layer.bias_quantizer_internal, _bias(layer) + 0 * k[0]), layer.kernel)
        probes = np.concatenate([np.zeros((1, len(kernel))), np.eye(len(kernel))]).astype(np.float32)
        activation, layer.activation = layer.activation, None
        try:
            answers = layer_function(layer, applied.input_shape)(probes)
        finally:
            layer.activation = activation
    expected = np.concatenate([bias[None], kernel + bias]).astype(np.float32)
    if not np.array_equal(answers, expected):
        row, unit = (int(i) for i in np.argwhere(answers != expected)[0])
        what = "bias" if row == 0 else f"weight {row - 1}"
        raise ModelError(
            f"layer {applied.name}, neuron {unit}: {what} is {answers[row, unit]:g} in predictions, not "
            f"{expected[row, unit]:g} as folded; {_RETRAIN}"
        )
    return kernel, bias


def _inverse(layer: Any) -> Any:
    import keras

    norm = layer.batchnorm
    inverse = 1 / keras.ops.sqrt(norm.moving_variance + norm.epsilon)
    return inverse if norm.gamma is None else inverse * norm.gamma


def _bias(layer: Any) -> Any:
    norm = layer.batchnorm
    folded = _inverse(layer) * ((layer.bias if layer.use_bias else 0) - norm.moving_mean)
    return folded if norm.beta is None else folded + norm.beta


def _quantized(quantizer: Any, value: Any) -> Any:
    return value if quantizer is None else quantizer(value)
