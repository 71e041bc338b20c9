"""From a trained Keras model to an exact integer design, and from there to verified hardware."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """``flow.hls4ml_config``: hls4ml is imported only when it is asked for."""
    if name == "hls4ml_config":
        from flow.hls import hls4ml_config

        return hls4ml_config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
