"""A sigmoid or tanh at the end as hardware: what Keras answers to every sum, rounded to eight fraction bits."""

from __future__ import annotations

from collections.abc import Sequence

from flow.core.errors import ModelError
from flow.core.fixed import Fixed, Quantizer
from flow.extract.layer_steps import Elementwise, Quant, Softmax, Step

PROBABILITY = "probability"
FRACTION_BITS = 8
_ONE = 1 << FRACTION_BITS
_QUANTIZERS = {
    "sigmoid": Quantizer(Fixed(False, FRACTION_BITS + 1, FRACTION_BITS), "RND_CONV", 0, _ONE),
    "tanh": Quantizer(Fixed(True, FRACTION_BITS + 2, FRACTION_BITS), "RND_CONV", -_ONE, _ONE),
}


def probabilities(steps: Sequence[Step], count: int) -> Quant:
    """The quantizer behind the function that ends ``steps``. Raises ModelError where that is none of each logit."""
    last = steps[-1] if steps else None
    if isinstance(last, Softmax):
        raise ModelError(
            f"layer {last.layer}: a softmax takes all logits at once, so --head probability has no table for it; use "
            "--head argmax for the class, or logits"
        )
    if not isinstance(last, Elementwise) or last.name not in _QUANTIZERS:
        raise ModelError("--head probability is for models that end in a sigmoid or tanh; use logits or argmax")
    return Quant(last.layer, (quantizer_of(last.name),) * count)


def quantizer_of(function: str) -> Quantizer:
    """How what a function at the end answers leaves the chip."""
    return _QUANTIZERS[function]
