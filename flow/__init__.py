"""From a trained Keras model to an exact integer design, and from there to verified hardware."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """``flow.hls`` and ``flow.hls4ml_config``, imported when one of them is asked for."""
    if name in ("hls", "hls4ml_config"):
        hls = import_module("flow.hls")
        return hls if name == "hls" else hls.hls4ml_config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
