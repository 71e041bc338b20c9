"""QDenseBatchnorm at inference: a kernel and a bias that are folded with the moving statistics, then quantized."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.extract.arrays import layer_function
from flow.extract.chain import Applied
from flow.extract.quiet import quiet


def folded_constants(applied: Applied) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel (inputs x units) and bias (units) that the layer applies in predictions, in both of its folding modes.

    They are its own answers: to zeros the bias, and without a bias to each input alone the kernel. Raises ModelError
    where one is no number.
    """
    layer, inputs = applied.layer, applied.input_shape[-1]
    with quiet(), changed(layer, activation=None):
        bias = layer_function(layer, applied.input_shape)(np.zeros((1, inputs), np.float32))[0]
        with changed(layer, bias_quantizer_internal=lambda folded: 0 * folded):
            kernel = layer_function(layer, applied.input_shape)(np.eye(inputs, dtype=np.float32))
    require_finite(applied.name, kernel=kernel, bias=bias)
    return kernel, bias


def require_finite(layer: str, **folded: NDArray[np.float32]) -> None:
    """Raise ModelError where folded constants, by what they are and with the neurons last, are no numbers."""
    for what, values in folded.items():
        if not np.isfinite(values).all():
            place = np.argwhere(~np.isfinite(values))[0]
            raise ModelError(
                f"layer {layer}, neuron {place[-1]}: its folded {what} is {values[tuple(place)]:g}; train again with a "
                "smaller learning rate"
            )


@contextlib.contextmanager
def changed(layer: Any, **settings: Any) -> Iterator[None]:
    """The layer with other attributes for the time being."""
    before = {name: getattr(layer, name) for name in settings}
    for name, value in settings.items():
        setattr(layer, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(layer, name, value)
