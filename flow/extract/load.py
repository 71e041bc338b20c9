"""Keras models from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def load_model(path: Path | str) -> Any:
    """The Keras model in a file."""
    import keras
    import qkeras  # noqa: F401

    return keras.models.load_model(path, compile=False)
