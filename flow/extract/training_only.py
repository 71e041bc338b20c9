"""Settings of a model that act in training and not at inference: the design holds what inference computes."""

from __future__ import annotations

from flow.extract.activations import is_stochastic
from flow.extract.chain import Applied

_QUANTIZERS = (
    ("kernel_quantizer_internal", "weights"),
    ("bias_quantizer_internal", "biases"),
    ("activation", "activations"),
)


def training_only(path: list[Applied]) -> list[str]:
    """A line for each quantizer of weights, biases or activations that is stochastic in training only."""
    return [
        f"layer {applied.name}: {type(quantizer).__name__} of its {what} is stochastic in training only; the design "
        "has the values that the model uses at inference"
        for applied in path
        for attribute, what in _QUANTIZERS
        if is_stochastic(quantizer := getattr(applied.layer, attribute, None))
    ]
