"""QKeras quantizers in place of the learned ones: resolved lazily, since importing qkeras also imports TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_models.quantizers.precision import TERNARY

MAX_FRAC = 24


def resolve(identifier: Any) -> Any:
    """The QKeras quantizer named by a string, a config dict or an object; None stays None."""
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, str):
        return identifier
    import qkeras

    return qkeras.get_quantizer(identifier)


def serialize(quantizer: Any) -> Any:
    """A config from which `resolve` restores the quantizer."""
    return None if quantizer is None else keras.saving.serialize_keras_object(quantizer)


def width_label(quantizer: Any) -> float:
    """The weight width a QKeras quantizer stands for: 1 for binary, 1.58 for ternary, else its ``bits``."""
    name = type(quantizer).__name__
    if "binary" in name:
        return 1.0
    return TERNARY if "ternary" in name else float(getattr(quantizer, "bits", np.nan))


def integers(values: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas int64 and the fewest fraction bits per last-axis column that hold float values exactly.

    Raises ValueError when a value is not an integer times 2^-24 or coarser: the quantizer's scale is no power of two.
    """
    values = np.asarray(values, np.float64)
    scaled = np.ldexp(values, MAX_FRAC)
    if not np.isfinite(values).all() or (scaled != np.round(scaled)).any():
        raise ValueError(f"{where}: quantized values are not multiples of a power of two; use alpha=1 or 'auto_po2'")
    mantissa = scaled.astype(np.int64)
    columns = mantissa.reshape(-1, mantissa.shape[-1]) if mantissa.ndim > 1 else mantissa[None, :]
    merged = np.bitwise_or.reduce(np.abs(columns), axis=0)
    zeros = np.asarray([int(v & -v).bit_length() - 1 if v else MAX_FRAC for v in merged.tolist()], np.int64)
    return mantissa >> zeros, MAX_FRAC - zeros
