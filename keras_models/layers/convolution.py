"""Convolutions whose filters each learn the width of their weights and of their activation: a filter is a neuron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_models.layers.neurons import NeuronLayer

Tensor = Any
HARDWARE = ("streamed", "unrolled")


class Convolution(NeuronLayer):
    """Base of the convolutions: a window over pixels, channels last, and neurons that see it at every position.

    Args:
        filters: number of filters; of a depthwise layer `depth_multiplier` times its channels.
        kernel_size, strides, dilation_rate: a number, or one per direction. Strides and dilation exclude each other.
        padding: "valid" or "same".
        data_format: "channels_last", the only one.
        hardware: what the cost counts: "streamed", a filter once, which sees one position after the other, or
            "unrolled", a filter at every position. Line buffers and pools are in neither.
        settings: as in `NeuronLayer`.
    """

    kind = "convolution"
    counted = "filters"
    directions: int

    def __init__(
        self, filters: int, kernel_size: int | Sequence[int], strides: int | Sequence[int] = 1, padding: str = "valid",
        data_format: str | None = None, dilation_rate: int | Sequence[int] = 1, hardware: str = "streamed",
        **settings: Any,
    ) -> None:  # fmt: skip
        super().__init__(filters, **settings)
        self.kernel_size = self._each("kernel_size", kernel_size)
        self.strides, self.dilation_rate = self._each("strides", strides), self._each("dilation_rate", dilation_rate)
        self.padding, self.hardware = str(padding).lower(), hardware
        if data_format not in (None, "channels_last"):
            raise ValueError(f"{self.name}: data_format {data_format!r}: channels are last here; put a Permute layer "
                             f"before it, or store the images so")  # fmt: skip
        if self.padding not in ("valid", "same") or hardware not in HARDWARE:
            raise ValueError(f"{self.name}: padding valid or same, hardware {' or '.join(HARDWARE)} expected; "
                             f"got {padding!r}, {hardware!r}")  # fmt: skip
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{self.name}: strides {self.strides} and dilation {self.dilation_rate} exclude each other"
            )

    def _each(self, what: str, value: Any) -> tuple[int, ...]:
        numbers = tuple(value) if isinstance(value, list | tuple) else (value,) * self.directions
        if len(numbers) != self.directions or not all(isinstance(n, int) and n > 0 for n in numbers):
            raise ValueError(f"{self.name}: {what} {value!r}: give {self.directions} positive whole numbers, or one")
        return numbers

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create kernel, bias, strengths and ranges."""
        super().build(input_shape)
        if len(input_shape) != self.directions + 2:
            raise ValueError(f"{self.name} sees inputs of shape {input_shape[1:]}; {self.directions} directions of "
                             "pixels and channels are needed")  # fmt: skip
        positions = self.compute_output_shape(input_shape)[1:-1]
        if self.hardware == "unrolled":
            if None in positions:
                raise ValueError(f"{self.name}: hardware='unrolled' needs inputs of known size, got {input_shape[1:]}")
            self.copies = math.prod(positions)  # type: ignore[arg-type]
        self.add_filters(int(input_shape[-1]))  # type: ignore[arg-type]

    def add_filters(self, inputs: int) -> None:
        """Create what a layer on so many channels learns."""
        raise NotImplementedError

    @property
    def _window(self) -> dict[str, Any]:
        return {"strides": self.strides, "padding": self.padding, "data_format": "channels_last",
                "dilation_rate": self.dilation_rate}  # fmt: skip

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the outputs."""
        sizes: list[int | None] = []
        for size, k, step, spread in zip(
            input_shape[1:-1], self.kernel_size, self.strides, self.dilation_rate, strict=True
        ):
            left = 0 if self.padding == "same" else (k - 1) * spread
            sizes.append(None if size is None else -(-(size - left) // step))
            if size is not None and size <= left:
                raise ValueError(f"{self.name}: its window of {self.kernel_size} does not fit into {input_shape[1:-1]} "
                                 "pixels; use padding='same' or a smaller one")  # fmt: skip
        return (input_shape[0], *sizes, self.filters_of(input_shape[-1]))

    def filters_of(self, inputs: int | None) -> int:
        """Number of filters on so many channels."""
        return self.units

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "kernel_size": list(self.kernel_size), "strides": list(self.strides),
                "padding": self.padding, "data_format": "channels_last", "dilation_rate": list(self.dilation_rate),
                "hardware": self.hardware}  # fmt: skip


class _Grouped(Convolution):
    """A convolution of channels, all or by groups."""

    def __init__(
        self, filters: int, kernel_size: int | Sequence[int], strides: int | Sequence[int] = 1, padding: str = "valid",
        data_format: str | None = None, dilation_rate: int | Sequence[int] = 1, groups: int = 1,
        activation: str | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, activation=activation,
                         **settings)  # fmt: skip
        if not isinstance(groups, int) or groups < 1 or self.units % groups:
            raise ValueError(f"{self.name}: groups {groups!r}: a divisor of its {filters} filters is needed")
        self.groups = groups

    def add_filters(self, inputs: int) -> None:
        """Create what the filters learn; of ``inputs`` channels each sees those of its group."""
        if inputs % self.groups:
            raise ValueError(f"{self.name}: {inputs} channels are no multiple of its {self.groups} groups")
        own = inputs // self.groups
        seen = np.tile(np.arange(own), math.prod(self.kernel_size))
        if self.groups > 1:
            group = np.arange(self.units) // (self.units // self.groups)
            seen = seen[:, None] + own * group
        self.add_neurons((*self.kernel_size, own, self.units), self.units, inputs, seen)

    def sums(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """(rows, positions, filters) from (rows, pixels, channels)."""
        return ops.conv(inputs, kernel, **self._window)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "filters": self.units, "groups": self.groups}


class _Depthwise(Convolution):
    """Filters on one channel each, `depth_multiplier` per channel."""

    counted = "depth_multiplier"

    def __init__(
        self, kernel_size: int | Sequence[int], strides: int | Sequence[int] = 1, padding: str = "valid",
        depth_multiplier: int = 1, data_format: str | None = None, dilation_rate: int | Sequence[int] = 1,
        activation: str | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        super().__init__(depth_multiplier, kernel_size, strides, padding, data_format, dilation_rate,
                         activation=activation, **settings)  # fmt: skip
        self.depth_multiplier = int(depth_multiplier)

    def add_filters(self, inputs: int) -> None:
        """Create what the filters learn."""
        seen = np.repeat(np.arange(inputs), self.depth_multiplier)
        met = np.tile(seen, (math.prod(self.kernel_size), 1))
        self.add_neurons((*self.kernel_size, inputs, self.depth_multiplier), len(seen), inputs, met)

    def filters_of(self, inputs: int | None) -> int:
        """Number of filters on so many channels."""
        return self.depth_multiplier * int(inputs)  # type: ignore[arg-type]

    def sums(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """(rows, positions, filters) from (rows, pixels, channels)."""
        return ops.depthwise_conv(inputs, kernel, **self._window)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "depth_multiplier": self.depth_multiplier}


@keras.saving.register_keras_serializable(package="keras_models")
class NMPConv1D(_Grouped):
    """Convolution over one direction with one learned weight width, range and activation width per filter.

    Args:
        filters, kernel_size, strides, padding, data_format, dilation_rate, groups: as in Keras, channels last.
        hardware: see `Convolution`.
        settings: as in `NeuronLayer`.
    """

    directions = 1


@keras.saving.register_keras_serializable(package="keras_models")
class NMPConv2D(_Grouped):
    """Convolution over two directions with one learned weight width, range and activation width per filter.

    Args:
        filters, kernel_size, strides, padding, data_format, dilation_rate, groups: as in Keras, channels last.
        hardware: see `Convolution`.
        settings: as in `NeuronLayer`.
    """

    directions = 2


@keras.saving.register_keras_serializable(package="keras_models")
class NMPDepthwiseConv1D(_Depthwise):
    """Depthwise convolution over one direction, each of its filters with widths and a range of its own.

    Args:
        kernel_size, depth_multiplier, strides, padding, data_format, dilation_rate: as in Keras, channels last.
        hardware: see `Convolution`.
        settings: as in `NeuronLayer`.
    """

    directions = 1


@keras.saving.register_keras_serializable(package="keras_models")
class NMPDepthwiseConv2D(_Depthwise):
    """Depthwise convolution over two directions, each of its filters with widths and a range of its own.

    Args:
        kernel_size, depth_multiplier, strides, padding, data_format, dilation_rate: as in Keras, channels last.
        hardware: see `Convolution`.
        settings: as in `NeuronLayer`.
    """

    directions = 2
