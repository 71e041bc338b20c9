"""Reference models built of NMP layers, what they learned, and loading them back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_models.layers import convolution  # noqa: F401  (so that saved models of them load)
from keras_models.layers.activations import NMPInputQuantizer
from keras_models.layers.dense import NMPDense
from keras_models.methods import mlp


def build_mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    mode: str = "hardware",
    seed: int = 0,
    dense: dict[str, Any] | None = None,
    quantize_inputs: dict[str, Any] | None = None,
    weights_only: bool = False,
) -> keras.Model:
    """An MLP: input quantizer, hidden `NMPDense` layers with ReLU, a linear `NMPDense` output.

    ``dense`` and ``quantize_inputs`` are further arguments of the layers. Kernel initializers are seeded by ``seed``.
    With ``weights_only`` inputs and activations stay float, which is no hardware, as in the method's published mode.
    """
    layers: list[keras.layers.Layer] = [mlp.features(inputs)]
    if not weights_only:
        layers.append(NMPInputQuantizer(name=mlp.QUANTIZER, **(quantize_inputs or {})))
    for place in mlp.places(hidden, outputs):
        layers.append(
            NMPDense(
                place.units,
                activation=None if place.is_last or weights_only else "relu",
                mode=mode,
                name=place.name,
                kernel_initializer=mlp.initializer(seed, place),
                **(dense or {}),
            )
        )
        if weights_only and not place.is_last:
            layers.append(keras.layers.ReLU(name=place.relu))
    return keras.Sequential(layers, name="nmp_mlp")


def bit_statistics(description: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean widths and the histogram of neurons by weight width, from exported layers.

    ``mean_weight_bits`` counts every weight with its neuron's width; ``mean_activation_bits`` is over the neurons that
    have an activation quantizer; ``zero_weights`` is the share of weights that are zero.
    """
    dense = [item for item in description if item["kind"] != "quantizer"]
    after = [b for a, b in pairwise(description) if a["kind"] != "quantizer" == b["kind"]]
    weights = sum(item["weights"].size for item in dense)
    labels = np.concatenate([item["weight_bits"] for item in dense])
    activations = np.concatenate([item["bits"] for item in after]) if after else np.zeros(0)
    widths, counts = np.unique(labels, return_counts=True)
    return {
        "mean_weight_bits": float(sum(item["weight_bits"].sum() * len(item["weights"]) for item in dense) / weights),
        "mean_activation_bits": float(activations.mean()) if activations.size else None,
        "weight_bits_histogram": {f"{w:g}": int(c) for w, c in zip(widths, counts, strict=True)},
        "zero_weights": float(sum((item["weights"] == 0).sum() for item in dense) / weights),
    }


def load_model(path: str | Path) -> keras.Model:
    """Load a saved model for inference; the layers of this package are registered by importing their modules."""
    from keras_models.layers import tokens  # noqa: F401
    from keras_models.methods import codebook  # noqa: F401

    return keras.models.load_model(path, compile=False)
