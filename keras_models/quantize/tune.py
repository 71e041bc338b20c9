"""Fine-tuning by NMP-QAT from the float weights, on labels mixed with what the float model says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_models.methods.catalog import METHODS
from keras_models.quantize.chain import FloatChain
from keras_models.quantize.judge import Judged
from keras_models.training.fit import FitConfig, FitResult, fit

TEACHER = 0.5  # of the targets: the float model's outputs (Hinton et al., Distilling the knowledge, 2015)


def tune(
    model: keras.Model,
    chain: FloatChain,
    judged: Judged,
    config: FitConfig,
    on_epoch: Callable[[dict[str, float], Any], None] = lambda row, widths: None,
) -> FitResult:
    """Train ``model`` as `fit` does; the training part's targets are `soft_targets`."""
    X, y = judged.parts["train"]
    parts = {**judged.parts, "train": (X, soft_targets(chain, judged.task, X, y))}
    return fit(model, METHODS["nmp"], parts, judged.task, config, on_epoch=on_epoch)


def soft_targets(chain: FloatChain, task: str, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Float32 (rows, outputs): probabilities of classes, or values, `TEACHER` of them the float model's."""
    logits = chain.logits(X)
    if task == "regression":
        own, taught = y.reshape(len(y), -1).astype(np.float64), logits
    elif logits.shape[1] == 1:
        own, taught = (y[:, None] == 1).astype(np.float64), 1 / (1 + np.exp(-logits))
    else:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        own, taught = (y[:, None] == np.arange(logits.shape[1])).astype(np.float64), powers / powers.sum(1)[:, None]
    return ((1 - TEACHER) * own + TEACHER * taught).astype(np.float32)
