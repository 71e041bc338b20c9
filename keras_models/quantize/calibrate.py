"""Post-training quantization: every neuron's widths and ranges, chosen by the noise that reaches the outputs.

The noise that a rounded weight column or signal adds to the outputs is its own mean square error on calibration rows,
times how much of it the outputs see (`FloatChain.sensitivities`); all of them add up. For a given sum the fewest bits
are used where everyone's noise per product it takes part in is the same (reverse water-filling: Cover and Thomas,
*Elements of Information Theory*, 10.3.3), so one number decides all widths. Biases take up what rounding does to the
mean of a sum (Nagel et al., *Data-free quantization*, ICCV 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_models.layers.neurons import MAX_BIAS
from keras_models.quantize.chain import FloatChain, FloatDense, Floats
from keras_models.quantize.formats import (
    MOST,
    Choices,
    exponent_of,
    round_signals,
    round_weights,
    signal_choices,
    weight_choices,
)

MAX_ROWS = 2048
MAX_PIXELS = 1 << 16  # of a signal that its formats are tried on
NOISES = tuple(2.0**-k for k in range(1, 9))  # of the outputs, relative to how they vary: coarse to fine
FINE = 2.0**-6  # where no score decides
BIAS_FRACS = range(-8, 25)
HEADROOM = 8  # without data, powers of two between what normal inputs reach and where a signal saturates


@dataclass(frozen=True)
class Signals:
    """Formats of a signal's features: widths, log2 of their ranges, and which are signed; (features,) each."""

    bits: Floats
    log2_range: Floats
    signed: NDArray[np.bool_]

    def __call__(self, values: Floats) -> Floats:
        """Rounded and saturated values (rows x features, or rows x pixels of so many channels)."""
        by_feature = values.reshape(-1, len(self.bits))
        return round_signals(by_feature, self.bits, self.log2_range, self.signed).reshape(values.shape)


@dataclass(frozen=True)
class Layer:
    """A layer's formats: kernel as float32 (inputs, units), width and range by unit, bias on its grid, what follows."""

    source: FloatDense
    kernel: Floats
    weight_bits: Floats
    weight_range: Floats
    bias: Floats
    bias_frac: int
    output: Signals | None

    def __call__(self, sums: Floats) -> Floats:
        """What the layer makes of its sums."""
        sums = sums + self.source.each(self.bias, sums)
        found = sums if self.output is None else self.output(sums)
        return found if self.source.pool is None else self.source.pool.largest(found)[0]

    def weights(self) -> Floats:
        """The rounded kernel."""
        return rounded(self.kernel, self.weight_bits, self.weight_range)


@dataclass(frozen=True)
class Quantized:
    """A chain with formats; `noise` is what was asked for, relative to how the outputs vary."""

    chain: FloatChain
    inputs: Signals
    layers: tuple[Layer, ...]
    noise: float

    def logits(self, X: Floats) -> Floats:
        """The outputs (rows x outputs) of inputs (rows x features)."""
        rows = self.chain.rows_at_once(max(len(X), 1))
        return np.concatenate([self._logits(X[i : i + rows]) for i in range(0, max(len(X), 1), rows)])

    def _logits(self, X: Floats) -> Floats:
        values = self.inputs(np.asarray(X, np.float64))
        for layer in self.layers:
            values = layer(layer.source.sums(values, layer.weights()))
        return values


def rounded(kernel: Floats, bits: Floats, log2_range: Floats) -> Floats:
    """The kernel rounded by units of different widths."""
    found = np.zeros_like(kernel)
    for width in np.unique(bits):
        columns = bits == width
        found[:, columns] = round_weights(kernel[:, columns], float(width), log2_range[columns])
    return found


class Calibration:
    """A chain on calibration rows: the error of every width, from which `at` puts formats together.

    ``given`` are the formats of the inputs where they are known. Then the rows need not be real data: with ``exact``
    signals get ranges that hold whatever such inputs can lead to (at most `HEADROOM` powers of two more than the rows
    reach), else those that fit the rows. Raises ValueError where a value is beyond all formats.
    """

    def __init__(self, chain: FloatChain, rows: Floats, given: Signals | None = None, exact: bool = False) -> None:
        self.chain, self.given = chain, given
        self.rows = np.asarray(rows[: chain.rows_at_once(MAX_ROWS)], np.float64)
        self.signals = chain.signals(self.rows if given is None else given(self.rows))
        self.sensitivities = chain.sensitivities(self.signals)
        self.kernels = [layer.kernel.astype(np.float32).astype(np.float64) for layer in chain.layers]
        self.weights = [
            weight_choices(kernel, _error(layer, values))
            for kernel, layer, values in zip(self.kernels, chain.layers, self.signals, strict=False)
        ]
        self.bounds = _bounds(chain, given) if given is not None and exact else None
        self.narrowed = 0  # signals that can saturate although their ranges come from exact bounds
        self.hidden = [self._signal(index) for index in range(len(self.signals) - 1)]

    def _signal(self, index: int) -> tuple[NDArray[np.bool_], Choices]:
        """Signs and choices of the inputs (0) or of a hidden layer's outputs."""
        values = self.signals[index].reshape(-1, self.chain.signal_widths[index])
        largest, signed = np.abs(values).max(axis=0, initial=0.0), values.min(axis=0, initial=0.0) < 0
        if self.bounds is not None and index:
            low, high = self.bounds[index - 1]
            signed = low < 0
            exact, reached = exponent_of(np.maximum(-low, high)), exponent_of(largest)
            self.narrowed += int((exact > reached + HEADROOM).sum())
            values = values[:: len(values) // MAX_PIXELS + 1]
            return signed, signal_choices(values, signed, np.minimum(exact, reached + HEADROOM), clip=False)
        if index and self.chain.layers[index - 1].relu:
            signed = np.zeros_like(signed)
        elif index:
            signed = np.ones_like(signed)
        where = "input" if index == 0 else f"layer {self.chain.layers[index - 1].name}, neuron"
        if largest.max(initial=0.0) > 2.0**MOST:
            feature = int(largest.argmax())
            raise ValueError(
                f"{where} {feature} reaches {largest[feature]:.3g}, more than 2^{MOST}: scale the inputs, such as by "
                "--preprocessing standard"
            )
        return signed, signal_choices(values[:: len(values) // MAX_PIXELS + 1], signed, exponent_of(largest))

    def at(self, noise: float) -> Quantized:
        """Formats whose predicted noise is at most this share (of standard deviations) of how the outputs vary."""
        goal = noise**2 * float(self.signals[-1].var(axis=0).sum())
        floor = sum(float((see * choices.error.min(axis=0)).sum()) for see, choices, _ in self._all())
        low, high = -60.0, 60.0  # log2 of the price of noise
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self._noise(2.0**middle) <= floor + goal else (low, middle)
        return self._formats(2.0**low, noise)

    def _all(self) -> Iterator[tuple[Floats, Choices, float]]:
        """Of all weights and signals: sensitivities, choices, and the products each column takes part in."""
        for (of_sums, of_inputs), choices, (_, signal), kernel in zip(
            self.sensitivities, self.weights, self.hidden, self.kernels, strict=True
        ):
            yield of_sums, choices, float(kernel.shape[0])
            yield of_inputs, signal, float(kernel.shape[1])

    def _noise(self, price: float) -> float:
        total = 0.0
        for see, choices, products in self._all():
            places = choices.smallest(_allowed(price * products, see))
            total += float((see * np.take_along_axis(choices.error, places[None], 0)[0]).sum())
        return total

    def _formats(self, price: float, noise: float) -> Quantized:
        signals = []
        for (signed, choices), (_, see), kernel in zip(self.hidden, self.sensitivities, self.kernels, strict=True):
            bits, ranges = _taken(choices, _allowed(price * kernel.shape[1], see))
            signals.append(Signals(bits, ranges, signed))
        inputs = signals[0] if self.given is None else self.given
        values, layers = inputs(self.rows), []
        for index, source in enumerate(self.chain.layers):
            see = self.sensitivities[index][0]
            bits, ranges = _taken(self.weights[index], _allowed(price * len(source.kernel), see))
            kernel = self.kernels[index]
            sums = source.sums(values, rounded(kernel, bits, ranges))
            wanted = source.sums(self.signals[index])
            wanted = wanted + source.each(source.bias, wanted)
            means = [total.reshape(-1, len(bits)).mean(axis=0) for total in (wanted, sums)]
            exact_bias = source.bias if self.bounds is not None else means[0] - means[1]
            bias, frac = _bias(exact_bias, float(np.min(_allowed(price, see))))
            output = signals[index + 1] if index + 1 < len(signals) else None
            layers.append(Layer(source, kernel, bits, ranges, bias, frac, output))
            values = layers[-1](sums)
        return Quantized(self.chain, inputs, tuple(layers), noise)


def choose(calibration: Calibration, good_enough: Callable[[Quantized], bool] | None = None) -> Quantized:
    """The coarsest formats that are good enough, the finest tried where none is; `FINE` ones without a judge."""
    if good_enough is None:
        return calibration.at(FINE)
    found = None
    for noise in NOISES:
        found = calibration.at(noise)
        if good_enough(found):
            break
    assert found is not None
    return found


def _allowed(noise: float, sensitivity: Floats) -> Floats:
    """The error that makes so much noise; any error where the outputs see nothing."""
    with np.errstate(divide="ignore"):
        return np.where(sensitivity > 0, noise / sensitivity, np.inf)


def _taken(choices: Choices, allowed: Floats) -> tuple[Floats, Floats]:
    places = choices.smallest(allowed)
    return np.asarray(choices.bits)[places], np.take_along_axis(choices.log2_range, places[None], 0)[0]


def _error(layer: FloatDense, values: Floats) -> Callable[[Floats], Floats]:
    """The variance that a difference of kernels makes in a layer's sums, from its inputs (rows x inputs)."""
    met = layer.met(values)
    centred = met - met.mean(axis=1, keepdims=True)
    few = centred.shape[2] > centred.shape[1]
    moments = None if few else centred.transpose(0, 2, 1) @ centred / centred.shape[1]

    def error(difference: Floats) -> Floats:
        own = difference.reshape(len(difference), layer.groups, -1).transpose(1, 0, 2)
        if moments is None:
            return np.asarray(np.square(centred @ own).mean(axis=1).ravel())
        return np.asarray(np.maximum((own * (moments @ own)).sum(axis=1), 0.0).ravel())

    return error


def _bias(bias: Floats, allowed: float) -> tuple[Floats, int]:
    """The bias on a grid whose rounding makes no more noise than allowed, as far as its 16 bits reach."""
    largest = float(np.abs(bias).max(initial=0.0))
    holding = [f for f in BIAS_FRACS if largest * 2.0**f <= MAX_BIAS] or [BIAS_FRACS[0]]
    fine = [f for f in holding if 4.0**-f / 12 <= allowed] or [holding[-1]]
    return np.clip(np.floor(np.ldexp(bias, fine[0]) + 0.5), -MAX_BIAS, MAX_BIAS) * 2.0 ** -fine[0], fine[0]


def _bounds(chain: FloatChain, inputs: Signals) -> list[tuple[Floats, Floats]]:
    """What every feature of the layers' outputs can reach, for all inputs that their formats hold."""
    pixels = chain.inputs // len(inputs.bits)
    low = np.tile(np.where(inputs.signed, -(2.0**inputs.log2_range), 0.0), pixels)[None]
    high, found = np.tile(2.0**inputs.log2_range, pixels)[None], []
    for layer in chain.layers:
        positive, negative = np.maximum(layer.kernel, 0), np.minimum(layer.kernel, 0)
        low, high = (layer.sums(a, positive) + layer.sums(b, negative) for a, b in ((low, high), (high, low)))
        low, high = (values + layer.each(layer.bias, values) for values in (low, high))
        low, high = (np.maximum(low, 0), np.maximum(high, 0)) if layer.relu else (low, high)
        low, high = (v if layer.pool is None else layer.pool.largest(v)[0] for v in (low, high))
        units = len(layer.bias)
        found.append((low.reshape(-1, units).min(axis=0), high.reshape(-1, units).max(axis=0)))
    return found
