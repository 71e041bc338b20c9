"""What layers of neurons share: each neuron learns the width of its weights and of its activation.

A neuron is a unit of a dense layer or a filter of a convolution; Columns of weights, one per neuron, are all that the
quantizers, the cost and the export know of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_models.layers import qkeras_bridge
from keras_models.layers.base import PrecisionLayer
from keras_models.layers.cost import adder_cost
from keras_models.layers.counts import LUT_PER_ACTIVATION_BIT
from keras_models.layers.ladders import DEFAULTS, ladders
from keras_models.quantizers.exact import kept, round_half_up, round_half_up_numpy, to_numpy, with_gradient
from keras_models.quantizers.learned import ActivationQuantizer, WeightQuantizer

Tensor = Any

COSTS = ("luts", "bits")
ACTIVATION_SHARE = 0.1  # of an activation's bit, beside a bit of each weight of its neuron, in the cost in bits
MAX_BIAS = 2**15 - 1
EXACT_FLOAT_BITS = 25  # sign and the 24 bits of a float32 significand


class NeuronLayer(PrecisionLayer):
    """Base of the layers whose kernel, as a matrix (weights of a neuron, neurons), has a width and a range per column.

    The forward pass is always the discrete one; see `quantizers.learned` for formats and gradients. With
    ``activation="relu"`` the output is clipped to [0, 2^e_j] and quantized at the neuron's width; with None the output
    is the exact accumulator. The bias is an integer times 2^-bias_frac: bits below the accumulator's step are constants
    that cost no logic.

    Args:
        units: number of neurons.
        activation: None, "linear" or "relu".
        mode: "hardware" or "paper": the default widths and starts. In both all scales are powers of two.
        use_bias: add a bias.
        weight_bits, weight_thresholds, weight_temperature, weight_start: see `BitLadder`; default widths
            (0, 1.58, 3, 4, 5, 6, 8) starting at 8 in hardware mode, (1, 2, 4, 8) starting at 1 in paper mode.
        weight_range: initial log2 of the weights' clip range; None is two standard deviations of He's initializer.
        activation_bits, activation_thresholds, activation_temperature, activation_start: likewise for the activation;
            (0, 1, 2, 3, 4, 5, 6, 8) starting at 8, or (4, 8, 16) starting at 4.
        activation_range: initial log2 of the activations' clip range.
        bias_frac: fraction bits of the bias.
        input_bits: width assumed for inputs of unknown origin, in the hardware cost only.
        beta: initial weight of the cost in the loss.
        cost: what ``beta`` weighs: "luts", or "bits" of stored weights (see `hardware_cost`).
        kernel_initializer, bias_initializer: as in Keras.
        kernel_quantizer, bias_quantizer: QKeras quantizers (string, config or object) that replace the learned ones.
    """

    kind = "dense"  # of the export
    counted = "units"  # what its constructor calls the number of neurons
    copies = 1  # of a neuron's adders in hardware
    # a bit of an activation, in the cost in bits: so many for every weight of its neuron, and so many besides
    activation_share: Any = ACTIVATION_SHARE
    activation_price: Any = 0.0
    inputs: int  # features of the last axis
    channels: np.ndarray  # which of them each weight meets, (weights of a neuron,) or of each neuron (weights, neurons)

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        mode: str = "hardware",
        use_bias: bool = True,
        weight_bits: Sequence[float] | None = None,
        weight_thresholds: Sequence[float] | None = None,
        weight_temperature: float | None = None,
        weight_start: float | None = None,
        weight_range: float | None = None,
        activation_bits: Sequence[int] | None = None,
        activation_thresholds: Sequence[float] | None = None,
        activation_temperature: float | None = None,
        activation_start: int | None = None,
        activation_range: float = 2.0,
        bias_frac: int = 8,
        input_bits: int = 8,
        beta: float = 0.0,
        cost: str = "luts",
        kernel_initializer: Any = "he_normal",
        bias_initializer: Any = "zeros",
        kernel_quantizer: Any = None,
        bias_quantizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(beta=beta, **kwargs)
        if units < 1 or activation not in (None, "linear", "relu") or mode not in DEFAULTS:
            raise ValueError(f"{self.counted} >= 1, activation relu or linear, mode {' or '.join(DEFAULTS)} expected; "
                             f"got {units}, {activation!r}, {mode!r}")  # fmt: skip
        if cost not in COSTS:
            raise ValueError(f"cost {' or '.join(COSTS)} expected, got {cost!r}")
        self.cost = cost
        self.units, self.activation, self.mode, self.use_bias = int(units), activation or "linear", mode, use_bias
        self.weight_ladder, self.activation_ladder = ladders(
            mode,
            (weight_bits, weight_thresholds, weight_temperature, weight_start),
            (activation_bits, activation_thresholds, activation_temperature, activation_start),
        )
        self.weight_range, self.activation_range = weight_range, float(activation_range)
        self.bias_frac, self.input_bits = int(bias_frac), int(input_bits)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_quantizer, self.bias_quantizer = kernel_quantizer, bias_quantizer
        self.kernel_quantizer_internal = qkeras_bridge.resolve(kernel_quantizer)
        self.bias_quantizer_internal = qkeras_bridge.resolve(bias_quantizer)
        self.activation_quantizer: ActivationQuantizer | None = None

    def add_neurons(self, shape: tuple[int, ...], units: int, inputs: int, channels: np.ndarray) -> None:
        """Create kernel, bias, strengths and ranges; see the attributes for what ``channels`` are."""
        self.units, self.inputs, self.channels = units, inputs, channels
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(units,), initializer=self.bias_initializer)
        if self.kernel_quantizer_internal is None:
            usual = float(np.log2(2 * np.sqrt(2 / math.prod(shape[:-1]))))
            start = usual if self.weight_range is None else self.weight_range
            variables = self.add_precision("weight", units, self.weight_ladder, start)
            self.kernel_quantizer_internal = WeightQuantizer(self.weight_ladder, *variables)
        if self.activation == "relu":
            ranges = self.add_precision("activation", units, self.activation_ladder, self.activation_range)
            self.activation_quantizer = ActivationQuantizer(self.activation_ladder, *ranges)

    @property
    def learned(self) -> bool:
        """Whether the weights' widths are learned (no QKeras quantizer was given)."""
        return self.kernel_quantizer is None

    def sums(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """The neurons' sums, without bias, of a quantized kernel of the layer's own shape."""
        raise NotImplementedError

    def columns(self, kernel: Tensor) -> Tensor:
        """A kernel of the layer's own shape as (weights of a neuron, neurons)."""
        return kernel if len(kernel.shape) == 2 else ops.reshape(kernel, (len(self.channels), self.units))

    def quantized_kernel(self, kernel: Tensor, training: bool = False) -> Tensor:
        """What the layer computes with, of the kernel's shape."""
        quantizer = self.kernel_quantizer_internal
        if not self.learned:
            return quantizer(kernel)
        if len(kernel.shape) == 2:
            return quantizer(kernel, training)
        return ops.reshape(quantizer(self.columns(kernel), training), kernel.shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """(..., units) from (..., inputs)."""
        outputs = self.sums(inputs, self.quantized_kernel(self.kernel, bool(training)))
        if self.bias is not None:
            outputs = outputs + self._quantized_bias(bool(training))
        self.add_hardware_loss(training)
        if self.activation_quantizer is not None:
            outputs = self.activation_quantizer(outputs, bool(training))
        return outputs

    def _quantized_bias(self, training: bool = False) -> Tensor:
        if self.bias_quantizer_internal is not None:
            return self.bias_quantizer_internal(self.bias)
        if training:
            return with_gradient(self._rounded_bias, self.bias)
        return self._rounded_bias(ops.convert_to_tensor(self.bias))[0]

    def _rounded_bias(self, bias: Tensor) -> tuple[Tensor, Any]:
        """The bias on its grid, with a straight-through gradient."""
        hard = ops.clip(round_half_up(bias * np.float32(2.0**self.bias_frac)), -MAX_BIAS, MAX_BIAS)
        return kept(hard * np.float32(2.0**-self.bias_frac)), lambda upstream: upstream

    def output_bits(self) -> Tensor | None:
        """(features,) differentiable widths of the outputs, None without an activation."""
        return None if self.activation_quantizer is None else self.activation_quantizer.soft_bits()

    def hardware_cost(self, exact: bool = True) -> Tensor:
        """LUTs of the adders (by learned widths, weights and input widths) and of the activations.

        With ``cost="bits"``: the bits that store the weights, and of an activation's width `activation_share` for each
        weight of its neuron and `activation_price` besides.
        """
        if self.cost == "bits":
            return self._stored_bits()
        total: Tensor = 0.0
        if self.learned:
            weight = self.beta if self.charged and not exact else None
            kernel = self.columns(self.kernel)
            total = adder_cost(self.kernel_quantizer_internal, kernel, self._arriving_bits(), exact, weight)
        if self.activation_quantizer is not None:
            total = total + LUT_PER_ACTIVATION_BIT * ops.sum(self.activation_quantizer.soft_bits())
        return ops.convert_to_tensor(self.copies * total, dtype="float32")

    def _arriving_bits(self) -> Tensor:
        """Widths of what each weight multiplies, of the shape of `channels`."""
        bits = self.upstream.output_bits() if self.upstream is not None else None
        if bits is None or self.inputs % bits.shape[0]:
            return ops.full(self.channels.shape, float(self.input_bits))
        if self.channels.shape == bits.shape:
            return bits
        return ops.take(bits, self.channels % bits.shape[0], axis=0)

    def _stored_bits(self) -> Tensor:
        """Scalar, with gradients to the strengths."""
        total: Tensor = ops.zeros(())
        weights = float(len(self.channels))  # of a neuron
        if self.learned:
            total = total + weights * ops.sum(self.kernel_quantizer_internal.soft_bits())
        if self.activation_quantizer is not None:
            each = weights * self.activation_share + self.activation_price
            total = total + each * ops.sum(self.activation_quantizer.soft_bits())
        return total

    def get_quantizers(self) -> list[Any]:
        """[kernel quantizer, bias quantizer or None], as QKeras layers answer it."""
        return [self.kernel_quantizer_internal, self.bias_quantizer_internal]

    def get_quantization_config(self) -> dict[str, str | None]:
        """Quantizers as text: ``kernel_quantizer``, ``bias_quantizer`` and ``activation``."""
        kernel = self.kernel_quantizer_internal
        learned_bias = f"nmp_bias(frac={self.bias_frac})" if self.use_bias else None
        return {
            "kernel_quantizer": f"nmp_weights(bits={self.weight_ladder.bits})" if kernel is None else str(kernel),
            "bias_quantizer": learned_bias if self.bias_quantizer is None else str(self.bias_quantizer_internal),
            "activation": f"nmp_activation(bits={self.activation_ladder.bits})" if self.activation == "relu" else None,
        }

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "activation": self.activation,
            "mode": self.mode,
            "use_bias": self.use_bias,
            **self.weight_ladder.config("weight"),
            "weight_range": self.weight_range,
            **self.activation_ladder.config("activation"),
            "activation_range": self.activation_range,
            "bias_frac": self.bias_frac,
            "input_bits": self.input_bits,
            "beta": self._beta_start,
            "cost": self.cost,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_quantizer": None if self.learned else qkeras_bridge.serialize(self.kernel_quantizer_internal),
            "bias_quantizer": qkeras_bridge.serialize(self.bias_quantizer_internal),
        }

    def export_integer(self) -> list[dict[str, Any]]:
        """[neurons] or [neurons, quantizer]: integer weights and biases, their fraction bits, widths and sums.

        ``weights`` are (weights of a neuron, neurons), ``channels`` says which input each weight meets, ``copies`` how
        often hardware has the neurons, ``kind`` is "dense" or "convolution". ``accumulator_bits`` (units,) is the width
        the sums need including the sign, or None when the input formats are unknown; where it is above 25, float32
        (and so Keras) no longer holds them exactly.
        """
        weights, frac, bits = self._integer_kernel()
        bias, bias_frac = self._integer_bias()
        dense: dict[str, Any] = {
            "kind": self.kind, "weights": weights, "weight_frac": frac, "weight_bits": bits,
            "bias": bias, "bias_frac": bias_frac, "channels": self.channels, "copies": self.copies,
        }  # fmt: skip
        dense["accumulator_bits"] = self._accumulator_bits(dense)
        if self.activation_quantizer is None:
            return [dense]
        return [dense, self.activation_quantizer.export(relu=True)]

    def _integer_kernel(self) -> tuple[np.ndarray, ...]:
        if self.learned:
            found: tuple[np.ndarray, ...] = self.kernel_quantizer_internal.integers(self.columns(self.kernel))
            return found
        values = to_numpy(self.columns(self.kernel_quantizer_internal(ops.convert_to_tensor(self.kernel))))
        mantissa, frac = qkeras_bridge.integers(values, f"{self.name}: kernel")
        return mantissa, frac, np.full(self.units, qkeras_bridge.width_label(self.kernel_quantizer_internal))

    def _integer_bias(self) -> tuple[np.ndarray, np.ndarray]:
        frac = np.full(self.units, self.bias_frac, np.int64)
        if self.bias is None:
            return np.zeros(self.units, np.int64), frac
        if self.bias_quantizer_internal is not None:
            return qkeras_bridge.integers(to_numpy(self._quantized_bias()), f"{self.name}: bias")
        rounded = round_half_up_numpy(np.ldexp(to_numpy(self.bias).astype(np.float64), self.bias_frac))
        return np.clip(rounded, -MAX_BIAS, MAX_BIAS).astype(np.int64), frac

    def _accumulator_bits(self, dense: dict[str, Any]) -> np.ndarray | None:
        source = self.upstream.export_integer()[-1] if self.upstream is not None else None
        if source is None or source["kind"] != "quantizer" or self.inputs % len(source["bits"]):
            return None
        met = self.channels % len(source["bits"])
        met = met if met.ndim == 2 else met[:, None]
        finest = int(source["frac"].max())
        largest = np.ldexp(1.0, source["bits"] - source["signed"]) * (source["bits"] > 0)
        terms = np.abs(dense["weights"]) * np.ldexp(largest, finest - source["frac"])[met]
        grid = np.maximum(finest + dense["weight_frac"], dense["bias_frac"])
        total = np.ldexp(terms.sum(axis=0), grid - finest - dense["weight_frac"])
        total += np.ldexp(np.abs(dense["bias"]).astype(np.float64), grid - dense["bias_frac"])
        return np.asarray(np.ceil(np.log2(np.maximum(total, 1.0) + 1.0)) + 1, np.int64)

    def float32_exact(self) -> bool | None:
        """Whether every accumulator fits float32 exactly; None when the input formats are unknown."""
        bits = self.export_integer()[0]["accumulator_bits"]
        return None if bits is None else bool((bits <= EXACT_FLOAT_BITS).all())
