"""Dense layers, convolutions, scales and activations of floats, put together to a chain."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import ModelError
from flow.core.nodes import Window
from flow.extract.windows import require_size, weights_met
from keras_models.quantize.chain import FloatChain, FloatDense, Windows

Floats = NDArray[np.float64]
ENDINGS = ("softmax", "sigmoid", "tanh", "softsign", "softplus")  # rise with their input, so that a class stays one
ZEROS = "zeros"  # a padding: zeros around the pixels as the window has them
TAKES = "--quantize takes dense layers, convolutions and pools with ReLU or nothing between them"
UNSUITED = f"{TAKES}: train it with ReLU, or quantized, with QDense and a QActivation behind the function"


@dataclass
class ChainBuilder:
    """Takes dense layers, scales and activations in data-flow order and folds the scales. All raise ModelError."""

    width: int
    shape: tuple[int, ...] = ()  # of the signal: pixels, then channels
    layers: list[FloatDense] = field(default_factory=list)
    left_out: str = ""
    notes: list[str] = field(default_factory=list)
    streams: bool = False  # layers are to do the same at every position
    _scale: tuple[Floats, Floats] | None = None  # waits for the next dense layer
    _repeated: Window | None = None  # pixels that the next layer sees several times; scales wait before them
    _ended: str = ""  # the layer whose activation can only be the last

    def dense(self, name: str, kernel: Floats, bias: Floats) -> None:
        """A dense layer (inputs, units)."""
        self._go_on()
        if self._repeated is not None and len(kernel) == self._entering:
            kernel = _added_up(kernel, self._repeated, self.width)
            self._repeated = None
        if kernel.ndim != 2 or len(kernel) != self.width or bias.shape != kernel.shape[1:]:
            raise ModelError(f"layer {name[:64]} has a kernel of shape {kernel.shape} for {self._entering} inputs")
        if self._scale is not None:
            scale, offset = self._scale
            kernel, bias, self._scale = scale[:, None] * kernel, bias + offset @ kernel, None
        self._append(FloatDense(name, kernel, bias))
        self.width = kernel.shape[1]
        self.shape = (self.width,)

    def filters(
        self, name: str, seen: Window, padding: str, kernel: Floats, bias: Floats, depthwise: bool = False
    ) -> None:
        """A convolution, or a pool of means: kernel as Keras has it, a bias per filter.

        ``padding`` is Keras' own, or `ZEROS` where only the window says what lies around the pixels.
        It is unrolled where its window, or the scale in front of it, is not the same at every position; if the chain
        ``streams``, a scale that meets zeros around the pixels becomes a layer of its own instead.
        """
        self._go_on()
        channels = seen.shape[-1]
        own = 1 if depthwise else int(kernel.shape[-2])
        columns = kernel.reshape(-1, math.prod(kernel.shape[-2:]) if depthwise else kernel.shape[-1])
        bias = np.broadcast_to(bias, columns.shape[1:])
        folded = self._folded(columns, bias, own, channels, bool((seen.pixels() < 0).any()))
        if folded is None and self.streams and self._is_by_channel(channels):
            self._carried(f"{name}_inputs")
            folded = columns, bias
        if padding not in ("valid", "same", ZEROS) or folded is None:
            met = weights_met(name, seen, tuple(kernel.shape), depthwise)
            require_size(name, *met.shape)
            self.dense(name, np.where(met >= 0, kernel.ravel()[met], 0.0), np.tile(bias, math.prod(seen.positions)))
        else:
            windows = self._windows(name, seen, padding, channels // own)
            self._scale = None
            self._append(FloatDense(name, *folded, windows=windows))
        self.shape = (*seen.positions, columns.shape[1])
        self.width = math.prod(self.shape)

    def _append(self, layer: FloatDense) -> None:
        for what, values in (("kernel", layer.kernel), ("bias", layer.bias)):
            if not np.isfinite(values).all():
                raise ModelError(
                    f"layer {layer.name[:64]}: its {what} holds NaN or infinity; load an earlier checkpoint"
                )
        self.layers.append(layer)

    def _folded(
        self, columns: Floats, bias: Floats, own: int, channels: int, padded: bool
    ) -> tuple[Floats, Floats] | None:
        """Columns of a convolution behind the scale of each channel; None where that differs between positions."""
        if self._scale is None:
            return columns, bias
        scale, offset = (part.reshape(-1, channels) for part in self._scale)
        if not self._is_by_channel(channels) or (padded and offset.any()):
            return None
        groups = channels // own
        met = np.tile(np.arange(own), len(columns) // own)[:, None]
        met = met + own * (np.arange(columns.shape[1]) // (columns.shape[1] // groups))
        return scale[0][met] * columns, bias + (offset[0][met] * columns).sum(axis=0)

    def _is_by_channel(self, channels: int) -> bool:
        """Whether the scale that waits is the same at all pixels."""
        parts = () if self._scale is None else (part.reshape(-1, channels) for part in self._scale)
        return all((part == part[0]).all() for part in parts)

    def _carried(self, name: str) -> None:
        """A layer that hands each pixel on, by which what waits is applied."""
        ones, channels = (1,) * (len(self.shape) - 1), self.shape[-1]
        kernel = np.eye(channels).reshape(*ones, channels, channels)
        self.filters(name, Window.pixel(self.shape), "valid", kernel, np.zeros(channels))

    def maxima(self, name: str, seen: Window, padding: str) -> None:
        """A pool of maxima behind a layer."""
        self._go_on()
        last = self.layers[-1] if self.layers else None
        if last is None or last.pool is not None or self._scale is not None or seen.shape[-1] != len(last.bias):
            raise ModelError(
                f"layer {name[:64]} takes maxima of what is not a convolution's, with ReLU or nothing behind it; put "
                "normalizations before the ReLU, and one pool behind a layer"
            )
        pool = self._windows(name, seen, padding)
        self.layers[-1] = replace(last, pool=pool)
        self.shape = (*seen.positions, seen.shape[-1])
        self.width = math.prod(self.shape)

    def repeat(self, name: str, seen: Window) -> None:
        """Pixels several times, which the next layer sees so."""
        self._go_on()
        if self._repeated is not None:
            _require_repeated(name, seen, self._repeated)
            seen = replace(self._repeated, repeats=tuple(np.multiply(self._repeated.repeats, seen.repeats).tolist()))
        self._repeated = seen
        self.shape = (*seen.positions, seen.channels)

    def _windows(self, name: str, seen: Window, padding: str, groups: int = 1) -> Windows:
        """The window on what is there, or on what waits to be repeated."""
        own = Windows(seen.shape, seen.size, seen.strides, seen.dilation, padding, seen.pixels(), groups)
        if padding == ZEROS:
            own = replace(own, padding="valid", padded=seen.padded)
        waiting, self._repeated = self._repeated, None
        if waiting is None:
            return own
        _require_repeated(name, seen, waiting)
        pixels = np.where(own.pixels < 0, -1, waiting.pixels()[own.pixels, 0])
        return replace(own, shape=waiting.shape, pixels=pixels, repeats=waiting.repeats)

    @property
    def _entering(self) -> int:
        """Number of elements that the next layer sees."""
        return self.width if self._repeated is None else self._repeated.count * self._repeated.channels

    def affine(self, name: str, scale: Floats, offset: Floats) -> None:
        """``x * scale + offset`` of every element or channel."""
        self._go_on()
        if self.width % max(scale.size, 1) or not (np.isfinite(scale).all() and np.isfinite(offset).all()):
            raise ModelError(
                f"layer {name[:64]} scales {scale.size} channels of {self.width} elements, or not finitely"
            )
        scale, offset = (part.ravel() for part in np.broadcast_arrays(scale, offset))
        last = self.layers[-1] if self.layers else None
        units = 0 if last is None else len(last.bias)
        by_unit = units > 0 and units % scale.size == 0
        own = tuple(np.tile(part, units // part.size) for part in (scale, offset)) if by_unit else None
        scale, offset = (np.tile(part, self.width // part.size) for part in (scale, offset))
        if last is not None and own is not None and not last.relu and (last.pool is None or (own[0] > 0).all()):
            self.layers[-1] = replace(last, kernel=last.kernel * own[0], bias=last.bias * own[0] + own[1])
        elif self._scale is not None:
            self._scale = self._scale[0] * scale, self._scale[1] * scale + offset
        else:
            self._scale = scale, offset

    def activation(self, name: str, kind: str) -> None:
        """A function of every element by its Keras name."""
        if kind in ("linear", ""):
            return
        self._go_on()
        if kind == "relu" and self.layers and self._scale is None:
            self.layers[-1] = replace(self.layers[-1], relu=True)
        elif kind in ENDINGS and self.layers and self._scale is None:
            self.left_out, self._ended = kind, name
        else:
            raise ModelError(f"layer {name[:64]}: activation {kind[:32]} is there; {UNSUITED}")

    def _go_on(self) -> None:
        if self._ended:
            raise ModelError(f"layer {self._ended[:64]}: activation {self.left_out} is inside the model; {UNSUITED}")

    def chain(self, name: str) -> FloatChain:
        """The finished chain."""
        if not self.layers:
            raise ModelError("the model has no dense layer, so there is nothing to quantize")
        if self._scale is not None or self._repeated is not None or self.layers[-1].relu:
            self._last()
        return FloatChain(name, tuple(self.layers), self.left_out, tuple(self.notes))

    def _last(self) -> None:
        """One more layer, of the scale or the pixels that wait, or of nothing behind a ReLU."""
        self._ended, name = "", "scaled_outputs"
        if len(self.shape) > 1:
            self._carried(name)
        else:
            ChainBuilder.dense(self, name, np.eye(self._entering), np.zeros(self._entering))


def _require_repeated(name: str, seen: Window, repeated: Window) -> None:
    if seen.shape != (*repeated.positions, repeated.channels):
        raise ModelError(f"layer {name[:64]} sees repeated pixels reshaped; put the Reshape before UpSampling")


def _added_up(kernel: Floats, repeated: Window, width: int) -> Floats:
    """The kernel on pixels that are repeated as one on the pixels before."""
    elements = repeated.pixels() * repeated.channels + np.arange(repeated.channels)
    found = np.zeros((width, kernel.shape[1]))
    np.add.at(found, elements.ravel(), kernel)
    return found
