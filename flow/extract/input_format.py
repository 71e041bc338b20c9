"""The format of inputs that a model does not quantize, chosen from a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.core.errors import DataError
from flow.core.evaluate import as_read
from flow.core.fixed import Fixed, Quantizer, bits_for
from flow.extract.labels import known_classes
from flow.extract.test_data import Preparation, score
from keras_models.data.labels import class_indices
from keras_models.data.loaders import Dataset

_ROWS = 4096  # of the data that formats are tried on
_TRIED_BITS = range(2, 17)
_ALLOWED_LOSS = 0.001  # of accuracy, or of the squared error's share


@dataclass(frozen=True)
class Choice:
    """A chosen format and what to tell about it."""

    format: Fixed
    text: str


def choose_format(
    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    ending: str | None,
    dataset: Dataset,
    preparation: Preparation,
) -> Choice:
    """The format of fewest bits that costs a model next to nothing on the data's validation part.

    ``predict`` is the model, ``ending`` the function that it ends in. The range is that of the training part's inputs.
    Without validation rows the training part serves for both.
    """
    part = "val" if len(dataset.part("val")[0]) else "train"
    seen, (inputs, y) = _inputs(dataset, preparation, "train")[0], _inputs(dataset, preparation, part)
    inputs, y = inputs[:_ROWS], y[:_ROWS]
    if not len(seen) or not len(inputs):
        raise DataError(f"data {dataset.name} has no training rows to choose an input format from; state one")
    head = "probability" if ending == "sigmoid" else "logits"

    def own_score(values: NDArray[np.float32]) -> dict[str, Any]:
        outputs = predict(values)
        if dataset.task == "regression":
            targets = y if preparation.applied is None else preparation.applied.apply_targets(y)
        else:
            targets = class_indices(y, known_classes(dataset, preparation.classes, outputs.shape[1])[0])
        return score(dataset.task, outputs, targets, head)

    floats, tried = own_score(inputs), []
    for bits in _TRIED_BITS:
        fmt = _covering(seen, bits)
        rounded = Quantizer.saturating(fmt).from_float(as_read(inputs).reshape(-1)).reshape(inputs.shape)
        values = (rounded * 2.0**-fmt.frac).astype(np.float32)
        tried.append((fmt, own_score(values)))
        if _loss(floats, tried[-1][1]) <= _ALLOWED_LOSS or np.array_equal(values, inputs):
            break
    fmt, own = min(tried, key=lambda t: _loss(floats, t[1]) if _loss(floats, t[1]) > _ALLOWED_LOSS else -1)
    rows = f"{len(inputs)} rows of the {'validation' if part == 'val' else 'training'} part of {dataset.name}"
    text = (
        f"--input-format auto chose {fmt} ({fmt.bits} bits, {fmt.frac} of them fraction): on {rows} the model's "
        f"{floats['metric']} is {own['value']:.6g} with inputs rounded to it, {floats['value']:.6g} with floats"
    )
    return Choice(fmt, text)


def _inputs(dataset: Dataset, preparation: Preparation, part: str) -> tuple[NDArray[np.float32], NDArray[Any]]:
    X, y = dataset.part(part)
    return X.astype(np.float32) if preparation.applied is None else preparation.applied.apply(X), y


def _covering(values: NDArray[np.float32], bits: int) -> Fixed:
    """The finest format of so many bits whose range holds all values."""
    low, high = float(values.min()), float(values.max())
    signed = low < 0
    frac = bits - 64
    for finer in range(-64, 65):
        needed = bits_for(min(int(np.floor(low * 2.0**finer)), 0), max(int(np.ceil(high * 2.0**finer)), 0))[1]
        if needed > bits:
            break
        frac = finer
    return Fixed(signed, bits, frac)


def _loss(floats: dict[str, Any], own: dict[str, Any]) -> float:
    if floats["metric"] == "accuracy":
        return float(floats["value"] - own["value"])
    return float(own["value"] / max(floats["value"], 1e-30) - 1)
