"""CMPQ (arXiv 2410.13056): a trained float network quantized channel by channel, without training it again.

A channel is one input of a dense layer, a row of its kernel. Channels whose activations have larger norms get more
bits, so that a layer's mean is any fraction asked for; each channel's weights are clustered (k-means) into a codebook
of its own; two kinds of outliers stay float: the weights of the channels with the largest activations, and those that
the codebooks would change most.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_models.loop.stage import Stage
from keras_models.methods import mlp
from keras_models.methods.codebook import ChannelCodebookDense
from keras_models.methods.kmeans import kmeans
from keras_models.quantizers.exact import to_numpy

SPREAD = 0.1  # share of channels one bit above and as many one bit below the others
OUTLIERS = 0.005  # share of the weights kept float, half of either kind
MIN_BITS, MAX_BITS = 1, 8


def build(inputs: int, hidden: tuple[int, ...], outputs: int, seed: int = 0) -> keras.Model:
    """A float MLP of layers that can be quantized channel by channel."""
    layers: list[keras.layers.Layer] = [mlp.features(inputs)]
    for place in mlp.places(hidden, outputs):
        start, activation = mlp.initializer(seed, place), None if place.is_last else "relu"
        layers.append(ChannelCodebookDense(place.units, activation, kernel_initializer=start, name=place.name))
    return keras.Sequential(layers, name="cmpq_mlp")


def channel_bits(norms: np.ndarray, mean: float) -> np.ndarray:
    """Code bits of each channel: louder channels more, the mean as near below ``mean`` as whole channels allow."""
    order = np.argsort(-norms, kind="stable")
    bits = np.full(len(norms), int(np.floor(mean)))
    bits[order[: int((mean - np.floor(mean)) * len(norms) + 1e-9)]] += 1
    moved = int(SPREAD * len(norms))
    if moved:
        up, down = bits[order[:moved]] < MAX_BITS, bits[order[-moved:]] > MIN_BITS
        count = min(int(up.sum()), int(down.sum()))
        bits[order[:moved][up][:count]] += 1
        bits[order[-moved:][down][::-1][:count]] -= 1
    return bits


def quantize(kernel: np.ndarray, norms: np.ndarray, mean: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The quantized kernel, its channels' code bits and the 0/1 mask of weights kept as they were."""
    bits = channel_bits(norms, mean)
    share = OUTLIERS / 2 * kernel.size
    keep = np.zeros(kernel.shape, bool)
    loud = np.abs(kernel) * norms[:, None]
    keep.reshape(-1)[np.argsort(-loud, axis=None)[: int(share)]] = True
    quantized = _cluster(kernel, bits, keep)
    change = np.where(keep, 0.0, np.abs(quantized - kernel) * norms[:, None])
    keep.reshape(-1)[np.argsort(-change, axis=None)[: int(share)]] = True
    return _cluster(kernel, bits, keep), bits, keep


def _cluster(kernel: np.ndarray, bits: np.ndarray, keep: np.ndarray) -> np.ndarray:
    out = kernel.copy()
    for channel, width in enumerate(bits):
        rest = ~keep[channel]
        if rest.any():
            centres, labels = kmeans(kernel[channel, rest], 2 ** int(width))
            out[channel, rest] = centres[labels]
    return out


def finish(stage: Stage, found: dict[str, Any]) -> dict[str, Any]:
    """Quantize the trained model layer by layer, each with the activations of the ones quantized before it."""
    signal = stage.calibration()[0]
    for layer in stage.model.layers:
        norms = np.linalg.norm(signal, axis=0)
        kernel, bits, keep = quantize(to_numpy(layer.kernel), norms, stage.settings["bits"])
        layer.kernel.assign(kernel)
        layer.code_bits.assign(bits.astype(np.float32))
        layer.outliers.assign(keep.astype(np.float32))
        signal = to_numpy(layer(signal))
    return {"bits_asked": stage.settings["bits"]}


def describe(model: keras.Model) -> dict[str, Any]:
    """Width statistics (32 before quantization) and size: codes, float16 codebooks and biases, outliers with places."""
    bits = [to_numpy(layer.code_bits).astype(int) for layer in model.layers]
    shapes = [tuple(layer.kernel.shape) for layer in model.layers]
    weights = sum(rows * columns for rows, columns in shapes)
    counts = np.bincount(np.concatenate(bits))
    if not counts[1:].any():
        return {"mean_weight_bits": 32.0, "mean_activation_bits": 32.0, "weight_bits_histogram": {},
                "model_bytes": 4 * (weights + sum(columns for _, columns in shapes))}  # fmt: skip
    codes = sum(int(b.sum()) * columns for b, (_, columns) in zip(bits, shapes, strict=True))
    entries = sum(int(np.minimum(2**b, columns).sum()) for b, (_, columns) in zip(bits, shapes, strict=True))
    outliers = sum(int(to_numpy(layer.outliers).sum()) for layer in model.layers)
    return {
        "mean_weight_bits": codes / weights,
        "mean_activation_bits": 32.0,
        "channel_bits_histogram": {str(width): int(n) for width, n in enumerate(counts) if n},
        "weight_bits_histogram": {},
        "outliers": outliers,
        "model_bytes": -(-codes // 8) + 2 * (entries + sum(columns for _, columns in shapes)) + 6 * outliers,
    }
