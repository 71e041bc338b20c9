"""``to_nmp``: a float Keras model in memory as a model of NMP layers that can be trained on and built."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_models.data.loaders import Dataset, Declaration
from keras_models.data.splits import random_split, stratified_split
from keras_models.quantize.command import parser, read_chain, tuned
from keras_models.quantize.judge import Judged, unchanged

_SHARES = (0.8, 0.2)


def to_nmp(float_model: Any, X: Any, y: Any = None, epochs: int = 0, seed: int = 0, **options: Any) -> Any:
    """A Keras model of NMP layers with the weights of a float one, formats chosen so that its score stays.

    ``float_model``: a Keras model of dense layers, convolutions and pools, or a file's name. ``X``: its inputs (rows x
    inputs, or images), which calibrate and, with ``epochs``, train; the model returned takes images as flat rows.
    ``y``: integer classes or float targets; without it the float model's own answers.
    ``options``: ``beta``, ``learning_rate`` and ``batch_size``, as ``python -m keras_models.quantize`` has them.

    Raises ValueError where the model cannot be quantized or the data does not fit it.
    """
    import keras

    from keras_models.quantize.build import nmp_model
    from keras_models.quantize.calibrate import Calibration, choose

    words = {"beta": None, "learning_rate": None, "batch_size": None} | options
    if unknown := sorted(words.keys() - {"beta", "learning_rate", "batch_size"}):
        raise ValueError(f"option {unknown[0]!r} is not known; there are beta, learning_rate and batch_size")
    given = [f"--{key.replace('_', '-')}={value}" for key, value in words.items() if value is not None]
    settings = parser().parse_args(
        ["float.h5", "--data", "rows", "--out", "nmp.h5", f"--epochs={epochs}", f"--seed={seed}", "--quiet", *given]
    )
    with tempfile.TemporaryDirectory() as folder:
        chain = read_chain(_file(float_model, Path(folder)))
    X = np.asarray(X, np.float32)
    X = X.reshape(len(X), -1)
    targets = _targets(chain.logits(X.astype(np.float64)) if y is None else np.asarray(y), y is None)
    classes = targets.dtype.kind == "i"
    split = stratified_split(targets, seed, _SHARES) if classes else random_split(len(X), seed, _SHARES)
    dataset = Dataset("rows", X, targets, split, Declaration())
    judged = Judged.of(dataset, chain, unchanged(dataset))
    keras.utils.set_random_seed(seed)
    quantized = choose(Calibration(chain, judged.parts["train"][0]), judged.good_enough(chain))
    model = nmp_model(quantized)
    if epochs:
        tuned(settings, model, chain, judged)
    return model


def _file(model: Any, folder: Path) -> Path:
    if isinstance(model, str | Path):
        return Path(model)
    from keras_models.training.output import save_model

    save_model(folder / "float.keras", model, None)
    return folder / "float.keras"


def _targets(found: np.ndarray, own: bool) -> np.ndarray:
    """Labels as integers, quantities as (rows, targets); of the model's ``own`` outputs the classes they choose."""
    if own and found.ndim == 2 and found.shape[1] > 1:
        return np.asarray(found.argmax(axis=1))
    if found.dtype.kind in "iub":
        return found.reshape(len(found)).astype(np.int64)
    return found.reshape(len(found), -1).astype(np.float64)
