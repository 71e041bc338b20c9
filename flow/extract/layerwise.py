"""A Keras model evaluated layer by layer with float64 sums, for models whose sums float32 cannot hold.

The quantizers are still the model's own, called on float32. A float64 sum is handed to them *rounded to odd*: the last
bit of the float32 stands for everything below it, so that rounding again to a coarser grid is the same as rounding the
exact sum once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.extract.arrays import to_numpy
from flow.extract.batchnorm import affine_of
from flow.extract.chain import Applied
from flow.extract.read import steps_of
from flow.extract.remedies import IGNORED
from flow.extract.steps import Dense, Quant, Relu, Softmax, Step
from flow.fixed import Quantizer

Floats = NDArray[np.float64]


def layerwise_outputs(path: list[Applied], inputs: NDArray[np.float32]) -> Floats:
    """Logits (vectors x outputs) of the path's layers for inputs of the model's own shape."""
    values: Any = inputs
    for applied in path:
        values = _apply(applied, values)
    return np.asarray(values, np.float64).reshape(len(inputs), -1)


def reach(quantizer: Quantizer) -> float:
    """A magnitude beyond which every value saturates."""
    return float(2 * max(-quantizer.low, quantizer.high + 1) * 2.0**-quantizer.format.frac)


def _apply(applied: Applied, values: Any) -> Any:
    if applied.kind in IGNORED:
        return values.reshape(len(values), *applied.output_shape)
    steps = steps_of(applied)
    if applied.kind in ("BatchNormalization", "QBatchNormalization"):
        affine = affine_of(applied)
        scale = np.ldexp(affine.sign.astype(np.float64), affine.exponent).reshape(applied.output_shape)
        return values * scale + np.array([float(o) for o in affine.offset]).reshape(applied.output_shape)
    function: Any = lambda x: applied.layer(x, training=False)  # noqa: E731
    if isinstance(steps[0] if steps else None, Dense):
        values = np.asarray(values, np.float64) @ _kernel(applied) + _bias(applied)
        steps = steps[1:]
        function = getattr(applied.layer, "activation_quantizer", None) or applied.layer.activation
    return _activate(steps, function, values)


def _activate(steps: list[Step], function: Any, values: Any) -> Any:
    if not steps or isinstance(steps[0], Softmax):
        return values
    if isinstance(steps[0], Relu):
        return np.maximum(values, 0)
    quant = next(s for s in steps if isinstance(s, Quant))
    limits = np.array([reach(q) for q in quant.quantizers]).reshape(values.shape[1:])
    return to_numpy(function(_to_float32(np.clip(values, -limits, limits))))


def _kernel(applied: Applied) -> Floats:
    layer = applied.layer
    if hasattr(layer, "export_integer"):
        part = next(p for p in layer.export_integer() if p["kind"] == "dense")
        return np.asarray(np.ldexp(np.asarray(part["weights"], np.float64), -np.asarray(part["weight_frac"])))
    return to_numpy(layer.kernel_quantizer_internal(to_numpy(layer.kernel))).astype(np.float64)


def _bias(applied: Applied) -> Floats | float:
    layer = applied.layer
    if hasattr(layer, "export_integer"):
        part = next(p for p in layer.export_integer() if p["kind"] == "dense")
        return np.asarray(np.ldexp(np.asarray(part["bias"], np.float64), -np.asarray(part["bias_frac"])))
    if not layer.use_bias:
        return 0.0
    bias = to_numpy(layer.bias)
    return to_numpy(layer.bias_quantizer_internal(bias) if layer.bias_quantizer else bias).astype(np.float64)


def _to_float32(values: Any) -> NDArray[np.float32]:
    """float64 to float32, rounded to odd: towards zero, with the last bit set where something was cut off."""
    values = np.asarray(values, np.float64)
    nearest = values.astype(np.float32)
    beyond = np.abs(nearest.astype(np.float64)) > np.abs(values)
    cut = np.where(beyond, np.nextafter(nearest, np.float32(0)), nearest).astype(np.float32)
    inexact = cut.astype(np.float64) != values
    return np.asarray((cut.view(np.int32) | inexact.astype(np.int32)).view(np.float32), np.float32)
