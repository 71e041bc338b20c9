"""Layers that quantize signals: standalone activations and model inputs, each feature with its own learned width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_models.layers.base import SignalLayer
from keras_models.layers.counts import LUT_PER_ACTIVATION_BIT
from keras_models.layers.ladders import DEFAULTS
from keras_models.quantizers.learned import ActivationQuantizer
from keras_models.quantizers.precision import BitLadder

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_models")
class NMPActivation(SignalLayer):
    """A per-feature quantizer, after a ReLU (unsigned) or after nothing (signed).

    Args:
        activation: "relu" or "linear".
        mode, activation_bits, activation_thresholds, activation_temperature, activation_start, activation_range, beta:
            as in `NMPDense`.
    """

    def __init__(
        self,
        activation: str = "relu",
        mode: str = "hardware",
        activation_bits: Sequence[int] | None = None,
        activation_thresholds: Sequence[float] | None = None,
        activation_temperature: float | None = None,
        activation_start: int | None = None,
        activation_range: float = 2.0,
        beta: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(beta=beta, **kwargs)
        if activation not in ("relu", "linear") or mode not in DEFAULTS:
            raise ValueError(f"activation relu or linear and mode {' or '.join(DEFAULTS)} expected, "
                             f"got {activation!r}, {mode!r}")  # fmt: skip
        self.activation, self.mode, self.activation_range = activation, mode, float(activation_range)
        _, _, default_bits, default_start = DEFAULTS[mode]
        bits = default_bits if activation_bits is None else tuple(activation_bits)
        if activation_start is None and default_start in bits:
            activation_start = default_start
        self.ladder = BitLadder(bits, activation_thresholds, activation_temperature, activation_start, ternary=False)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create strengths and ranges, one per feature of the last axis."""
        super().build(input_shape)
        features = int(input_shape[-1])  # type: ignore[arg-type]
        variables = self.add_precision("activation", features, self.ladder, self.activation_range)
        signed = None if self.activation == "relu" else np.ones(features, np.float32)
        self.quantizer = ActivationQuantizer(self.ladder, *variables, signed=signed)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Quantized signals of the input's shape."""
        self.add_hardware_loss(training)
        return self.quantizer(inputs, bool(training))

    def hardware_cost(self, exact: bool = True) -> Tensor:
        """LUTs of ReLU and saturation."""
        return LUT_PER_ACTIVATION_BIT * ops.sum(self.quantizer.soft_bits())

    def get_quantization_config(self) -> dict[str, str]:
        """The quantizer as text under ``activation``."""
        return {"activation": f"nmp_activation(bits={self.ladder.bits})"}

    def export_integer(self) -> list[dict[str, Any]]:
        """[quantizer]."""
        return [self.quantizer.export(relu=self.activation == "relu")]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "activation": self.activation,
            "mode": self.mode,
            **self.ladder.config("activation"),
            "activation_range": self.activation_range,
            "beta": self._beta_start,
        }


@keras.saving.register_keras_serializable(package="keras_models")
class NMPInputQuantizer(SignalLayer):
    """Quantizes model inputs; every feature learns its width down to 0 (not used) and its power-of-two range.

    `adapt` reads signs and ranges off training data; without it all features are signed with range 2^``input_range``.

    Args:
        input_bits, input_thresholds, input_temperature, input_start: see `BitLadder`; default 0 to 8, starting at 8.
        input_range: initial log2 of the clip range.
        beta: initial weight of the hardware cost (the cost of an input is charged where it is used).
    """

    def __init__(
        self,
        input_bits: Sequence[int] = (0, 1, 2, 3, 4, 5, 6, 7, 8),
        input_thresholds: Sequence[float] | None = None,
        input_temperature: float | None = None,
        input_start: int | None = None,
        input_range: float = 3.0,
        beta: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(beta=beta, **kwargs)
        self.ladder = BitLadder(input_bits, input_thresholds, input_temperature, input_start, ternary=False)
        self.input_range = float(input_range)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create strengths, ranges and signs, one per feature."""
        super().build(input_shape)
        features = int(input_shape[-1])  # type: ignore[arg-type]
        variables = self.add_precision("input", features, self.ladder, self.input_range)
        self.signed = self.add_weight(name="input_signed", shape=(features,), initializer="ones", trainable=False)
        self.quantizer = ActivationQuantizer(self.ladder, *variables, signed=self.signed)

    def adapt(self, X: np.ndarray, quantile: float = 0.999) -> None:
        """Set each feature's sign (unsigned when never negative) and range (the ``quantile`` of its magnitude)."""
        X = np.asarray(X, np.float32)
        X = X.reshape(-1, X.shape[-1])
        if not self.built:
            self.build((None, X.shape[-1]))
        self.signed.assign((X.min(axis=0) < 0).astype(np.float32))
        largest = np.maximum(np.quantile(np.abs(X), quantile, axis=0), 2.0**-8)
        self.quantizer.log2_range.assign(np.ceil(np.log2(largest)).astype(np.float32))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Quantized inputs of the same shape."""
        return self.quantizer(inputs, bool(training))

    def hardware_cost(self, exact: bool = True) -> Tensor:
        """Zero: inputs are wires; the layers that use them charge their width."""
        return ops.zeros(())

    def get_quantization_config(self) -> dict[str, str]:
        """The quantizer as text under ``activation``."""
        return {"activation": f"nmp_input(bits={self.ladder.bits})"}

    def export_integer(self) -> list[dict[str, Any]]:
        """[quantizer]."""
        return [self.quantizer.export(relu=False)]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            **self.ladder.config("input"),
            "input_range": self.input_range,
            "beta": self._beta_start,
        }
