"""Which width each neuron of a model has now, per layer, and how many neurons have which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_models.layers.export import precision_layers
from keras_models.quantizers.exact import to_numpy
from keras_models.quantizers.learned import ActivationQuantizer, WeightQuantizer

if TYPE_CHECKING:
    import keras

Histogram = dict[str, int]


def neuron_widths(model: keras.Model) -> dict[str, np.ndarray]:
    """Widths (neurons,) by ``layer/weights`` and ``layer/activations``, in the model's order.

    Layers with a QKeras quantizer in place of the learned one have no learned width and are left out.
    """
    found = {}
    for layer in precision_layers(model):
        quantizers = (getattr(layer, "kernel_quantizer_internal", None),
                      getattr(layer, "activation_quantizer", None), getattr(layer, "quantizer", None))  # fmt: skip
        for quantizer in quantizers:
            if isinstance(quantizer, WeightQuantizer | ActivationQuantizer):
                kind = "weights" if isinstance(quantizer, WeightQuantizer) else "activations"
                ladder = quantizer.ladder
                index = ladder.index_numpy(to_numpy(quantizer.strength))
                found[f"{layer.name}/{kind}"] = np.asarray(ladder.bits, np.float64)[index]
    return found


def width_histograms(model: keras.Model) -> dict[str, Histogram]:
    """Neurons by width, ``{"dense_0/weights": {"1.58": 12, "4": 20}}``."""
    histograms = {}
    for name, widths in neuron_widths(model).items():
        values, counts = np.unique(widths, return_counts=True)
        histograms[name] = {f"{v:g}": int(c) for v, c in zip(values, counts, strict=True)}
    return histograms
