"""ADQ (arXiv 2510.19760): adaptive codebooks per layer, widths by sensitivity, activations with learned thresholds.

The network first trains in float. The loss with one layer at a time quantized at each width is that layer's
sensitivity; bits go, one at a time, where they save most loss per bit of size, up to the mean width asked for. Inputs
are 8-bit, as for the other methods. The paper's distillation from a float teacher is left out: no method here has one.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_models.layers.activations import NMPInputQuantizer
from keras_models.loop.stage import Stage
from keras_models.methods import mlp
from keras_models.methods.codebook import MAX_WIDTH, AdaptiveCodebookDense, ThresholdActivation

WIDTHS = tuple(range(2, MAX_WIDTH + 1))
ACTIVATION_BITS = 4


def build(inputs: int, hidden: tuple[int, ...], outputs: int, calibration: np.ndarray, seed: int = 0) -> keras.Model:
    """An MLP of adaptive codebook layers and threshold activations."""
    layers: list[keras.layers.Layer] = [
        mlp.features(inputs),
        NMPInputQuantizer(input_bits=(8,), name=mlp.QUANTIZER),
    ]
    for place in mlp.places(hidden, outputs):
        start = mlp.initializer(seed, place)
        layers.append(AdaptiveCodebookDense(place.units, kernel_initializer=start, name=place.name))
        if not place.is_last:
            layers.append(ThresholdActivation(ACTIVATION_BITS, name=f"levels_{place.number}"))
    model = keras.Sequential(layers, name="adq_mlp")
    model.get_layer(mlp.QUANTIZER).adapt(calibration)
    return model


def codebook_layers(model: keras.Model) -> list[AdaptiveCodebookDense]:
    """The dense layers in order."""
    return [layer for layer in model.layers if isinstance(layer, AdaptiveCodebookDense)]


def sensitivities(stage: Stage) -> np.ndarray:
    """(layers, widths) losses with one layer quantized at one width and the others float."""
    losses: list[list[float]] = []
    for layer in codebook_layers(stage.model):
        losses.append([])
        for width in WIDTHS:
            layer.set_width(width)
            losses[-1].append(stage.loss())
        layer.set_width(0)
    return np.asarray(losses)


def allocate(losses: np.ndarray, sizes: np.ndarray, mean: float) -> list[int]:
    """Widths per layer whose mean over all weights stays at or below ``mean``, bits going where they save most."""
    chosen = np.zeros(len(sizes), int)
    while True:
        options = []
        for k in range(len(sizes)):
            bits = np.asarray(WIDTHS)[chosen + (np.arange(len(sizes)) == k)] if chosen[k] + 1 < len(WIDTHS) else None
            if bits is not None and (bits * sizes).sum() <= mean * sizes.sum() + 1e-9:
                options.append(((losses[k, chosen[k]] - losses[k, chosen[k] + 1]) / sizes[k], k))
        if not options:
            return [WIDTHS[i] for i in chosen]
        chosen[max(options)[1]] += 1


def search(stage: Stage) -> dict[str, Any]:
    """Train in float, measure sensitivities and leave the model with its widths and first codebooks."""
    stage.train(max(1, round(0.3 * stage.epochs)))
    layers = codebook_layers(stage.model)
    losses = sensitivities(stage)
    sizes = np.asarray([int(np.prod(layer.kernel.shape)) for layer in layers])
    widths = allocate(losses, sizes, stage.settings["bits"])
    for layer, width in zip(layers, widths, strict=True):
        layer.set_width(width)
    return {"layer_bits": widths, "sensitivity": np.round(losses, 6).tolist()}


def describe(model: keras.Model) -> dict[str, Any]:
    """Width statistics and size: codes, codebooks and biases in float32, thresholds and steps."""
    layers = codebook_layers(model)
    sizes = np.asarray([int(np.prod(layer.kernel.shape)) for layer in layers])
    widths = np.asarray([int(layer.width) for layer in layers])
    units = np.asarray([layer.units for layer in layers])
    thresholds = sum(2**layer.bits for layer in model.layers if isinstance(layer, ThresholdActivation))
    size = (sizes * widths).sum() / 8 + 4 * ((2**widths - 1).sum() + units.sum() + thresholds)
    return {
        "mean_weight_bits": float((sizes * widths).sum() / sizes.sum()),
        "mean_activation_bits": float(ACTIVATION_BITS) if thresholds else None,
        "weight_bits_histogram": {str(w): int(units[widths == w].sum()) for w in sorted(set(widths.tolist()))},
        "model_bytes": int(np.ceil(size)),
    }
