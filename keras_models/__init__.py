"""Neuron-level mixed precision training (NMP-QAT): layers, hardware cost, data loaders and the trainer.

Names are resolved on first use, so that ``import keras_models.data`` or ``keras_models.preprocess`` needs NumPy only
and never imports Keras.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "NMPDense": "layers",
    "NMPActivation": "activations",
    "NMPInputQuantizer": "activations",
    "estimated_luts": "cost",
    "hardware_cost": "cost",
    "set_beta": "cost",
    "export_integer": "export",
    "build_mlp": "models",
    "bit_statistics": "models",
    "load_model": "models",
    "build_tabformer": "tabformer",
    "TabSpec": "tabformer",
    "FieldEmbedding": "tokens",
    "PositionEmbedding": "tokens",
    "TokenAttention": "tokens",
    "load_dataset": "data",
    "DataError": "data",
    "ParetoFront": "callbacks",
    "PrecisionPictures": "callbacks",
    "Preprocessing": "preprocess",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    """Import the module that defines ``name`` and return it."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
