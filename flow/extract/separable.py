"""Convolutions with two kernels as the two layers that they are: one channel by channel, then one pixel by pixel."""

from __future__ import annotations

from typing import Any

from flow.extract.arrays import used
from flow.extract.quiet import quiet


def separated(layer: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """A depthwise convolution and one of size 1 with the kernels that the layer's predictions use.

    ``shape`` is that of the inputs, without the batch. The second has the layer's name, bias and activation.
    """
    import keras

    directions = len(layer.kernel_size)
    depthwise, pointwise = (getattr(keras.layers, f"{kind}{directions}D") for kind in ("DepthwiseConv", "Conv"))
    with quiet():
        first = depthwise(
            layer.kernel_size, strides=layer.strides, padding=layer.padding, dilation_rate=layer.dilation_rate,
            depth_multiplier=layer.depth_multiplier, data_format=layer.data_format, use_bias=False,
            name=f"{layer.name}_depthwise",
        )  # fmt: skip
        second = pointwise(
            layer.filters, 1, data_format=layer.data_format, use_bias=layer.use_bias, activation=layer.activation,
            name=layer.name,
        )  # fmt: skip
        first.build((None, *shape))
        second.build(first.compute_output_shape((None, *shape)))
        first.set_weights([used(layer, "depthwise", layer.depthwise_kernel)])
        biases = [used(layer, "bias", layer.bias)] if layer.use_bias else []
        second.set_weights([used(layer, "pointwise", layer.pointwise_kernel), *biases])
    return first, second
