"""The dense layer whose neurons each learn the width of their weights and of their activation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_models.layers.neurons import NeuronLayer

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_models")
class NMPDense(NeuronLayer):
    """Dense layer with one learned weight width, range and activation width per neuron (column of the kernel).

    Args:
        units: number of neurons.
        activation, mode and all others: as in `NeuronLayer`.
    """

    def __init__(self, units: int, activation: str | None = None, mode: str = "hardware", **kwargs: Any) -> None:
        super().__init__(units, activation, mode, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create kernel, bias, strengths and ranges."""
        super().build(input_shape)
        fan_in = int(input_shape[-1])  # type: ignore[arg-type]
        self.add_neurons((fan_in, self.units), self.units, fan_in, np.arange(fan_in))

    def sums(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """(..., units) from (..., inputs)."""
        return ops.matmul(inputs, kernel)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the outputs."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "units": self.units}
