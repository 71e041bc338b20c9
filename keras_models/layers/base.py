"""What the NMP layers share: cost weight, precision variables and the link to the layer that feeds them."""

from __future__ import annotations

import weakref
from typing import Any

import keras
from keras import ops

from keras_models.layers.inactive import INACTIVE
from keras_models.quantizers.learned import MAX_RANGE
from keras_models.quantizers.precision import BitLadder

Tensor = Any
# Layers that hand on features, or pixels of the channels they came in: every value stays one of its quantizer's. The
# search for the feeding quantizer walks through them.
PASS_THROUGH = INACTIVE | frozenset(
    "Flatten Reshape ZeroPadding1D ZeroPadding2D Cropping1D Cropping2D UpSampling1D UpSampling2D MaxPooling1D "
    "MaxPooling2D GlobalMaxPooling1D GlobalMaxPooling2D".split()
)


class Interval(keras.constraints.Constraint):
    """Clips to ``bounds``, a pair of numbers."""

    def __init__(self, low: float, high: float) -> None:
        self.bounds = (low, high)

    def __call__(self, w: Tensor) -> Tensor:
        """The values within the bounds."""
        return ops.clip(w, *self.bounds)

    def get_config(self) -> dict[str, float]:
        """Constructor arguments."""
        return {"low": self.bounds[0], "high": self.bounds[1]}


class PrecisionLayer(keras.layers.Layer):
    """Base of the layers with learned precision.

    Each holds a scalar weight ``beta`` (not trained): training adds ``beta * hardware_cost()`` to the loss. A schedule
    may assign it at any time; 0 (the default) switches the cost off. With ``charged`` False calls leave it out: for
    training that adds it by itself.
    """

    charged = True

    def __init__(self, beta: float = 0.0, **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")  # integers up to 2^24 are exact in float32, not in half types
        super().__init__(**kwargs)
        self._beta_start = float(beta)
        self._upstream: Any = None
        self.beta: Any = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create ``beta``; subclasses add their own weights."""
        if input_shape[-1] is None:
            raise ValueError(f"{self.name}: the last input dimension must be known")
        self.beta = self.add_weight(
            name="beta", shape=(), initializer=keras.initializers.Constant(self._beta_start), trainable=False
        )

    def add_precision(self, prefix: str, count: int, ladder: BitLadder, log2_range: float) -> tuple[Any, Any]:
        """The trainable strengths and log2 ranges of ``count`` neurons."""
        constant = keras.initializers.Constant
        strength = self.add_weight(
            name=f"{prefix}_strength", shape=(count,), initializer=constant(ladder.start_strength),
            constraint=Interval(0.0, 1.0),
        )  # fmt: skip
        ranges = self.add_weight(
            name=f"{prefix}_log2_range", shape=(count,), initializer=constant(log2_range),
            constraint=Interval(-MAX_RANGE, MAX_RANGE),
        )  # fmt: skip
        return strength, ranges

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Keras' call; a symbolic one also notes the quantizer that feeds this layer."""
        source = find_upstream(inputs)
        if source is not None:
            self.set_upstream(source)
        return super().__call__(inputs, *args, **kwargs)

    def set_upstream(self, layer: PrecisionLayer) -> None:
        """Name the quantizing layer that feeds this one.

        Symbolic calls (Sequential and functional models) find it by themselves; a subclassed model may call this in its
        constructor, else the inputs count with the layer's ``input_bits``.
        """
        self._upstream = weakref.ref(layer)  # a plain attribute would be tracked as a sublayer

    @property
    def upstream(self) -> PrecisionLayer | None:
        """The quantizing layer that feeds this one, if known."""
        return self._upstream() if self._upstream is not None else None

    def output_bits(self) -> Tensor | None:
        """(features,) differentiable widths of the outputs, or None when they are not quantized."""
        return None

    def hardware_cost(self, exact: bool = True) -> Tensor:
        """Differentiable scalar in LUTs of this layer alone.

        Not ``exact``: for a training step, with a value that takes less time; if `charged`, that of adders is 0 while
        ``beta`` is.
        """
        raise NotImplementedError

    def export_integer(self) -> list[dict[str, Any]]:
        """The layer as integers, in data-flow order."""
        raise NotImplementedError

    def add_hardware_loss(self, training: Any) -> None:
        """Add ``beta * hardware_cost()`` to the losses of a training step."""
        if training and self.charged:
            self.add_loss(self.beta * self.hardware_cost(exact=False))


class SignalLayer(PrecisionLayer):
    """Base of the layers that are one quantizer of signals, ``quantizer``, and keep the input's shape."""

    quantizer: Any

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the outputs."""
        return input_shape

    def output_bits(self) -> Tensor:
        """(features,) differentiable widths of the outputs."""
        return self.quantizer.soft_bits()

    def get_quantizers(self) -> list[Any]:
        """[quantizer]."""
        return [self.quantizer]


def find_upstream(tensor: Any) -> PrecisionLayer | None:
    """The quantizing layer whose output a symbolic tensor carries, through layers that change nothing."""
    history = getattr(tensor, "_keras_history", None)
    while history is not None:
        operation = history.operation
        if isinstance(operation, PrecisionLayer):
            return operation
        if type(operation).__name__ not in PASS_THROUGH or _mixes(operation):
            return None
        source = operation._inbound_nodes[history.node_index].input_tensors[0]
        history = getattr(source, "_keras_history", None)
    return None


def _mixes(operation: Any) -> bool:
    """Whether a layer that hands channels on is set so that it does not."""
    first = getattr(operation, "data_format", None) == "channels_first"
    return first or getattr(operation, "interpolation", None) not in (None, "nearest")
