"""The grouped layers as a library for scripts that use hls4ml themselves: ``flow.hls.register()`` and a configuration.

hls4ml is imported only when one of the names is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["KERAS_LAYERS", "design_config", "hls4ml_config", "register"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("flow.hls.library"), name)
