"""Neuron-level mixed precision training (NMP-QAT): layers, hardware cost, data loaders and the trainer.

Names are resolved on first use, so that ``import keras_models.data.loaders`` needs NumPy only and never imports
Keras.
"""

from __future__ import annotations

import importlib
from typing import Any

from keras_models.version import __version__ as __version__

_EXPORTS = {
    "NMPDense": "layers.dense",
    **dict.fromkeys(("NMPConv1D", "NMPConv2D", "NMPDepthwiseConv1D", "NMPDepthwiseConv2D"), "layers.convolution"),
    "NMPActivation": "layers.activations",
    "NMPInputQuantizer": "layers.activations",
    "estimated_luts": "layers.cost",
    "hardware_cost": "layers.cost",
    "set_beta": "layers.cost",
    "export_integer": "layers.export",
    "build_mlp": "methods.models",
    "bit_statistics": "methods.models",
    "load_model": "methods.models",
    "build_tabformer": "methods.tabformer",
    "TabSpec": "methods.tabformer",
    "FieldEmbedding": "layers.tokens",
    "PositionEmbedding": "layers.tokens",
    "TokenAttention": "layers.tokens",
    "load_dataset": "data.loaders",
    "DataError": "data.loaders",
    "LutBudget": "training.callbacks",
    "BetaSchedule": "training.callbacks",
    "precision_summary": "training.precision",
    "plot_widths": "training.precision",
    "to_nmp": "quantize.door",
    "ParetoFront": "training.callbacks",
    "PrecisionPictures": "training.callbacks",
    "Preprocessing": "data.preprocess",
    "NMPClassifier": "estimators",
    "NMPRegressor": "estimators",
}

__all__ = sorted([*_EXPORTS, "__version__"])


def __getattr__(name: str) -> Any:
    """Import the module that defines ``name`` and return it."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
