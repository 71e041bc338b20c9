"""From a trained Keras model to an exact integer design, and from there to verified hardware.

    import flow

    hw = flow.hardware("m.h5", part="xc7z020", data="digits")
    hw.report.synthesis.lut, hw.predict(X)

Names are resolved on first use, so that ``import flow`` costs nothing and never imports Keras.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from keras_models.version import __version__

if TYPE_CHECKING:
    from flow import errors, hls
    from flow.api.designs import evaluate, load_design
    from flow.api.estimates import Estimate, estimate
    from flow.api.hardware import Hardware, hardware
    from flow.core.design import Design
    from flow.hls.library import hls4ml_config

__all__ = [
    "Design",
    "Estimate",
    "Hardware",
    "__version__",
    "errors",
    "estimate",
    "evaluate",
    "hardware",
    "hls",
    "hls4ml_config",
    "load_design",
]

_HOMES = {
    "Design": "flow.core.design",
    "Estimate": "flow.api.estimates",
    "Hardware": "flow.api.hardware",
    "estimate": "flow.api.estimates",
    "evaluate": "flow.api.designs",
    "hardware": "flow.api.hardware",
    "hls4ml_config": "flow.hls.library",
    "load_design": "flow.api.designs",
}


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, from the module that defines it."""
    if name in ("errors", "hls"):
        return import_module(f"flow.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
