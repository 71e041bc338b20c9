"""Layers whose weights are indices into a codebook of free values (ADQ, CMPQ): no integer form, so no hardware."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_models.quantizers.exact import only_gradient

Tensor = Any
MAX_WIDTH = 5
SLOTS = 2**MAX_WIDTH - 1


class _Dense(keras.layers.Layer):
    """Kernel, bias and an optional ReLU."""

    def __init__(self, units: int, activation: str | None = None, kernel_initializer: Any = "he_normal", **kwargs: Any):
        super().__init__(**kwargs)
        if units < 1 or activation not in (None, "linear", "relu"):
            raise ValueError(f"units >= 1 and activation relu or linear expected, got {units}, {activation!r}")
        self.units, self.activation = int(units), activation or "linear"
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create kernel and bias."""
        shape = (int(input_shape[-1]), self.units)  # type: ignore[arg-type]
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def _weights(self, training: bool) -> Tensor:
        return self.kernel

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """(..., units) from (..., inputs)."""
        outputs = ops.matmul(inputs, self._weights(bool(training))) + self.bias
        return ops.relu(outputs) if self.activation == "relu" else outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the outputs."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "units": self.units, "activation": self.activation,
                "kernel_initializer": initializer}  # fmt: skip


@keras.saving.register_keras_serializable(package="keras_models")
class ChannelCodebookDense(_Dense):
    """Weights that `cmpq` snaps to a codebook per input channel after training, some of them kept as outliers.

    Holds beside the kernel its channels' ``code_bits`` (inputs,), 0 before quantization, and ``outliers`` (inputs,
    units), 1 where a weight is kept as it was.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights."""
        super().build(input_shape)
        inputs = self.kernel.shape[0]
        self.code_bits = self.add_weight(name="code_bits", shape=(inputs,), initializer="zeros", trainable=False)
        self.outliers = self.add_weight(name="outliers", shape=self.kernel.shape, initializer="zeros", trainable=False)


@keras.saving.register_keras_serializable(package="keras_models")
class AdaptiveCodebookDense(_Dense):
    """ADQ's dense layer: weights are the nearest of at most 2^b - 1 levels, which follow the weights as they train.

    Every training step moves each level towards the mean of the weights nearest to it (exponential moving average, the
    zero level stays); the gradient passes straight through to the weights. Width 0 means weights as they are, float.

    Args:
        decay: of the moving average, per step.
    """

    def __init__(self, units: int, activation: str | None = None, decay: float = 0.99, **kwargs: Any) -> None:
        super().__init__(units, activation, **kwargs)
        if not 0 < decay < 1:
            raise ValueError(f"decay must be between 0 and 1, got {decay}")
        self.decay = float(decay)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create kernel, bias, codebook (rising, filled up with its largest level), its length and the width."""
        super().build(input_shape)
        self.codebook = self.add_weight(name="codebook", shape=(SLOTS,), initializer="zeros", trainable=False)
        self.width = self.add_weight(name="width", shape=(), initializer="zeros", trainable=False)
        self.levels = self.add_weight(name="levels", shape=(), initializer="ones", trainable=False)

    def set_width(self, width: int) -> None:
        """Use ``width`` bits, 2 to 5, with levels at quantiles of the weights; 0 for float weights."""
        self.width.assign(float(width))
        levels = quantile_levels(np.asarray(ops.convert_to_numpy(self.kernel)), width) if width else np.zeros(1)
        self.levels.assign(float(len(levels)))
        self.codebook.assign(np.pad(levels, (0, SLOTS - len(levels)), mode="edge").astype(np.float32))

    def _labels(self) -> Tensor:
        levels = ops.convert_to_tensor(self.codebook)
        middles = (levels[1:] + levels[:-1]) * 0.5
        flat = ops.reshape(ops.stop_gradient(ops.convert_to_tensor(self.kernel)), (-1,))
        return ops.minimum(ops.searchsorted(middles, flat, side="left"), self._last())

    def _last(self) -> Tensor:
        return ops.cast(self.levels, "int32") - 1

    def _weights(self, training: bool) -> Tensor:
        labels = self._labels()
        snapped = ops.reshape(ops.take(ops.convert_to_tensor(self.codebook), labels, axis=0), self.kernel.shape)
        if training:
            self.codebook.assign(self._followed(labels))
        hard = ops.where(ops.convert_to_tensor(self.width) > 0, snapped, ops.convert_to_tensor(self.kernel))
        return ops.stop_gradient(hard) + only_gradient(self.kernel)

    def _followed(self, labels: Tensor) -> Tensor:
        """The codebook after one step of the moving average."""
        flat = ops.reshape(ops.stop_gradient(ops.convert_to_tensor(self.kernel)), (-1,))
        levels = ops.convert_to_tensor(self.codebook)
        counts = ops.segment_sum(ops.ones_like(flat), labels, num_segments=SLOTS)
        means = ops.segment_sum(flat, labels, num_segments=SLOTS) / ops.maximum(counts, 1.0)
        moves = ops.logical_and(counts > 0, levels != 0)
        moved = ops.where(moves, self.decay * levels + (1 - self.decay) * means, levels)
        return ops.where(ops.arange(SLOTS) > self._last(), ops.take(moved, self._last(), axis=0), moved)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "decay": self.decay}


def quantile_levels(kernel: np.ndarray, width: int) -> np.ndarray:
    """ADQ's start: 2^(width - 1) - 1 quantiles of the positive weights, as many of the negative ones, and zero."""
    half = 2 ** (width - 1) - 1
    marks = (np.arange(half) + 0.5) / half
    sides = [side for side in (kernel[kernel < 0], kernel[kernel > 0]) if side.size]
    return np.unique(np.concatenate([[0.0], *[np.quantile(side, marks) for side in sides]]))


@keras.saving.register_keras_serializable(package="keras_models")
class ThresholdActivation(keras.layers.Layer):
    """ADQ's activation: learned rising thresholds T_1..T_(2^n - 1), mapped to n-bit levels a learned step apart.

    The output is the step times the number of thresholds at or below the input. The gradient is that of the piecewise
    linear function whose ramps, one interval wide, are centred on the thresholds (a generalized straight-through
    estimator): it reaches the input, the thresholds and the step.

    Args:
        bits: n.
        top: where the last threshold starts; the levels span the same range.
    """

    def __init__(self, bits: int = 4, top: float = 4.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 1 <= bits <= 8 or not top > 0:
            raise ValueError(f"bits 1 to 8 and a positive top expected, got {bits}, {top}")
        self.bits, self.top = int(bits), float(top)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create gaps between thresholds and the step, both as logarithms."""
        count = 2**self.bits - 1
        start = keras.initializers.Constant(float(np.log(self.top / count)))
        self.log_gaps = self.add_weight(name="log_gaps", shape=(count,), initializer=start)
        self.log_step = self.add_weight(name="log_step", shape=(), initializer=start)

    def thresholds(self) -> Tensor:
        """(2^n - 1,) rising thresholds; the first lies half a gap above zero."""
        gaps = ops.exp(self.log_gaps)
        return ops.cumsum(gaps) - 0.5 * gaps[0]

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Levels of the input's shape."""
        thresholds, step = self.thresholds(), ops.exp(self.log_step)
        count = ops.searchsorted(thresholds, ops.reshape(ops.stop_gradient(inputs), (-1,)), side="right")
        level = ops.reshape(ops.cast(count, "float32"), ops.shape(inputs))
        hard = level * step
        if not training:
            return hard
        gaps = ops.stop_gradient(ops.exp(self.log_gaps))
        ramps = ops.clip((ops.expand_dims(inputs, -1) - thresholds) / gaps + 0.5, 0.0, 1.0)
        soft = ops.sum(ramps, axis=-1) * ops.stop_gradient(step)
        return ops.stop_gradient(level) * step + only_gradient(soft)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the outputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "bits": self.bits, "top": self.top}
